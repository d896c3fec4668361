"""Who says which line, by whose mouth fits the footage's own sound while the line is heard."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import audio, video
from ..metrics.mouthfit import MouthFit
from ..pipeline import HQPipeline
from ..survey import Survey
from ..survey.shots import Shot, frames_of, shots
from ..survey.speakers import UNSURE, listen
from .script import Line, Role


def assigned(
    face: Path, lines: Sequence[Line], pipeline: HQPipeline, reading: dict[str, Any]
) -> tuple[list[Line], dict[str, Role], list[str]]:
    """(lines with their speakers, roles with their faces, warnings). Lines of which nothing is known, as those shorter
    than a second, are said by whoever said the one before.

    People are told apart by where they sit, in one shot: after a cut nobody is known again, so that footage with cuts
    keeps one speaker. Raises what ``HQPipeline.survey`` raises.
    """
    plain, nobody = list(lines), {line.speaker: Role() for line in lines}
    survey = pipeline.set("track.faces=all").survey(face, **reading)
    found = shots(survey)
    seen = {track for shot in found for track in shot.tracks}
    if len(found) > 1:
        return plain, nobody, ["the footage has cuts, so people are not told apart; name speakers in the script"]
    if len(seen) < 2:
        return plain, nobody, []
    fits = MouthFit(pipeline.runtime, audio.load_audio(face))
    if fits.name is None:
        return plain, nobody, ["no sync network is installed, so people are not told apart"]
    spans = [_shot(survey, line) for line in plain]
    with video.open_video(str(face), **reading) as reader:
        heard = listen(reader, survey, fits, found=spans)
    names: dict[int, str] = {}
    made, warnings, now = [], [], None
    for number, (line, one) in enumerate(zip(plain, heard, strict=True), 1):
        measured = any(h.score is not None for h in one.heard)
        now = one.track if measured or now is None else now
        if one.confidence < UNSURE:
            warnings.append(f"line {number}, at {line.start:.2f} s: it is not certain who speaks; look at the script")
        name = names.setdefault(now, _name(len(names)))
        made.append(replace(line, speaker=name))
    return made, {name: Role(face=_place(survey, track, seen)) for track, name in names.items()}, warnings


def _shot(survey: Survey, line: Line) -> Shot:
    """The frames in which a line is heard, and who is seen in them."""
    first = int(np.searchsorted(survey.times, line.start - 1e-6))
    last = max(first, int(np.searchsorted(survey.times, line.end - 1e-6)) - 1)
    first, last = (min(n, len(survey) - 1) for n in (first, last))
    there = tuple(t for t in survey.numbers if np.any((frames_of(survey, t) >= first) & (frames_of(survey, t) <= last)))
    return Shot(first, last, there or tuple(survey.numbers))


def _place(survey: Survey, track: int, seen: set[int]) -> str:
    """A choice of face for ``track.faces``: left or right of two people, else the pixel where it was first seen."""
    boxes = {t: _first_box(survey, t) for t in seen}
    middle = {t: float(box[0] + box[2]) / 2 for t, box in boxes.items()}
    if len(seen) == 2:
        return "left" if middle[track] == min(middle.values()) else "right"
    box = boxes[track]
    return f"at={round(middle[track])},{round(float(box[1] + box[3]) / 2)}"


def _first_box(survey: Survey, track: int) -> Any:
    rows = []
    for faces in (survey.faces, survey.left):
        assert faces.track is not None and faces.box is not None
        mine = np.flatnonzero(faces.track == track)
        if len(mine):
            rows.append((int(faces.frame[mine[0]]), faces.box[mine[0]]))
    return min(rows, key=lambda row: row[0])[1]


def _name(number: int) -> str:
    return string.ascii_uppercase[number] if number < 26 else f"P{number + 1}"
