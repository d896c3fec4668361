"""Checking the sync of finished files without synthesis: offset and confidence for each shot and speaker."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from . import sealing, video
from .errors import InputError, NoFaceError, OptionError
from .metrics.offset import CERTAIN
from .pipeline import HQPipeline
from .places import make_folder
from .stages import Track
from .survey import survey_footage
from .survey.speakers import heard, seconds
from .survey.spoken import Heard
from .types import Array

TOLERANCE = 60.0  # ms: early sound is noticed from about here on (ITU-R BT.1359: 45 ms early, 125 ms late)
APART = 60.0  # ms: shots whose offsets differ by no more than this beyond TOLERANCE share one offset
VERDICTS = ("in sync", "picture late", "picture early", "not certain", "differs from shot to shot")


@dataclass(frozen=True, eq=False)
class Checked:
    """One shot of a file: when it is shown (seconds), who seems to speak, and how well that mouth fits the sound."""

    start: float
    end: float
    face: int
    confidence: float  # in [0, 1] that this face speaks and no other; 1 where there is no other
    offset_ms: float | None  # by which the picture is late against the sound; None = could not be measured
    lead: float  # standard deviations by which that offset fits better than others
    faces: tuple[Heard, ...]
    view: Array | None = None  # (112, 112, 3) uint8 of the face

    @property
    def certain(self) -> bool:
        """Whether the offset can be relied on: of such shots of 3 s, 95 % were right."""
        return self.offset_ms is not None and self.lead >= CERTAIN


@dataclass(frozen=True, eq=False)
class SyncCheck:
    """What was measured of a file. offset_ms: by which its picture is late against its sound, as its certain shots
    agree; None where none is certain."""

    path: Path
    shots: tuple[Checked, ...]
    offset_ms: float | None
    tolerance_ms: float = TOLERANCE

    @property
    def spread_ms(self) -> float:
        """How far the certain shots are apart."""
        found = [s.offset_ms for s in self.shots if s.certain and s.offset_ms is not None]
        return max(found) - min(found) if found else 0.0

    @property
    def verdict(self) -> str:
        """In words, one of VERDICTS."""
        if self.offset_ms is None:
            return "not certain"
        if self.spread_ms > APART + self.tolerance_ms:
            return "differs from shot to shot"
        if abs(self.offset_ms) <= self.tolerance_ms:
            return "in sync"
        return "picture late" if self.offset_ms > 0 else "picture early"

    @property
    def fixable(self) -> bool:
        """Whether moving all of the sound by one time would bring it into sync."""
        return self.verdict in ("picture late", "picture early")


def check(
    path: str | os.PathLike[str],
    pipe: HQPipeline,
    *,
    tolerance_ms: float = TOLERANCE,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> SyncCheck:
    """Measure a file. pipe: whose ``detect`` and ``track`` find the faces, all of them.

    Raises InputError (no media, no sound), NoFaceError, OptionError (no sync network is installed).
    """
    stages = tuple(s for s in pipe.set("track.faces=all").stages if s.name in ("detect", "track"))
    if not any(isinstance(s, Track) for s in stages):
        raise OptionError("a sync check needs the stages detect and track")
    with video.open_video(path) as reader:
        info = reader.info
        if info.still or not info.has_audio:
            raise InputError(f"{os.fspath(path)} has {'no motion' if info.still else 'no sound'}, so no sync to check")
        found = survey_footage(reader, stages, pipe.runtime, on_progress=on_progress, made={"track.faces": "all"})
        if not found.numbers:
            raise NoFaceError(f"{os.fspath(path)}: no face was found, so there is no mouth to compare with the sound")
        found = heard(reader, found, pipe.runtime, all_shots=True)
    shots = []
    for spoken in found.speakers or ():
        mine = next(h for h in spoken.heard if h.track == spoken.track)
        start, end = seconds(found, spoken)
        known = found.tracks.get(spoken.track)
        view = None if known is None else known.portrait
        measured = (spoken.confidence, mine.offset_ms, mine.lead, spoken.heard, view)
        shots.append(Checked(round(start, 3), round(end, 3), spoken.track, *measured))
    return SyncCheck(Path(path), tuple(shots), _common(shots), tolerance_ms)


def _common(shots: list[Checked]) -> float | None:
    """The weighted median of what certain shots measure; long and clear ones count more."""
    certain = sorted((s.offset_ms, s.lead * (s.end - s.start)) for s in shots if s.certain and s.offset_ms is not None)
    if not certain:
        return None
    weights = np.cumsum([weight for _, weight in certain])
    return round(certain[int(np.searchsorted(weights, weights[-1] / 2))][0], 1)


@dataclass(frozen=True)
class Fixed:
    """A corrected copy. lost: what of the file is not in it, a line each; provenance: who signed it, "" if nobody."""

    path: Path
    lost: tuple[str, ...]
    provenance: str


def fix(found: SyncCheck, target: str | os.PathLike[str] | None = None, *, provenance: bool = True) -> Fixed:
    """Write a copy of a file whose sound is moved into sync, without encoding.

    target: default as ``video.shifted_name``; provenance: keep the file's signed manifest, if it has one, as that of an
    ingredient of the copy, which is signed anew. Raises InputError where one shift cannot do it, OutputError.
    """
    if not found.fixable or found.offset_ms is None:
        raise InputError(f"{found.path} is not corrected: {found.verdict}")
    output = Path(target) if target is not None else video.shifted_name(found.path)
    make_folder(output.parent)
    by = Fraction(found.offset_ms).limit_denominator(1000) / 1000
    seal = sealing.kept(found.path, output, found.offset_ms) if provenance else None
    lost = video.shift_sound(found.path, output, by, sealing.finisher(seal, output))
    said = [f"{what} could not be copied" for what in lost] + ([] if seal is None else seal.warnings)
    return Fixed(output, tuple(said), "" if seal is None else sealing.said(seal))
