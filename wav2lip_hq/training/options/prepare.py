"""Options of `wav2lip-hq train prepare`, which turns footage into training clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ...options import check, described, option


@described
@dataclass(frozen=True)
class PrepareOptions:
    """What is kept of footage, and how. Raises OptionError for a wrong type or a value out of range."""

    name: ClassVar[str] = "train.prepare"

    size: int = option(
        144, "Side of the stored crops; the generator's box is about two thirds of it.", unit="px", low=32
    )
    crf: int = option(20, "x264 quality of the stored crops; less is better and larger.", low=0, high=51)
    smallest: float = option(48.0, "Least side of a face in the footage.", unit="px", low=0)
    shortest: float = option(1.0, "Least length of a clip.", unit="s", above=0)
    longest: float = option(20.0, "Tracks are cut into clips of at most this length.", unit="s", above=0)
    validation: float = option(0.1, "Share of the identities held back to measure on.", low=0, below=1)
    stages: dict[str, dict[str, Any]] = option(dict, "Options for detect and track, say {detect: {model: NAME}}.")

    def __post_init__(self) -> None:
        check(self)
