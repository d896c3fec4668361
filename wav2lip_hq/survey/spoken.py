"""What a survey says of who speaks: plain facts, which are saved with it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Heard:
    """What a face's mouth says about the sound in one shot."""

    track: int
    score: float | None  # standard deviations by which it fits at the footage's offset; None = could not be measured
    offset_ms: float | None  # by which the picture is late against the sound, by this mouth alone
    lead: float = 0.0  # standard deviations by which that offset fits better than others


@dataclass(frozen=True)
class Spoken:
    """Who speaks in a shot, ``first`` to ``last`` (inclusive, frames of the footage)."""

    first: int
    last: int
    track: int
    confidence: float  # in [0, 1]: how likely it is this face, of those that are seen; 1 where there is no other
    heard: tuple[Heard, ...] = field(default=())  # one a face
