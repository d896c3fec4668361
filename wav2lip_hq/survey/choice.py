"""Choosing among the faces of a survey that followed all of them, by the same rules as the ``track`` stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import OptionError
from ..runtime import Runtime
from ..stages.track import Chooser, Track
from ..types import Array, Reason
from .shown import unpacked
from .table import Survey


def choose(survey: Survey, track: Track, runtime: Runtime) -> Survey:
    """The survey with only the faces that ``track.faces`` means. Raises OptionError when other faces were left out
    already when it was made."""
    wanted, made = str(track.faces), str(survey.made.get("track.faces", "all"))
    if wanted == "all" or (wanted == made and track.reference == survey.made.get("track.reference", "")):
        return survey
    if made != "all":
        raise OptionError(
            f"this survey followed track.faces={made}, not {wanted}; survey again with --set track.faces=all, and "
            "choose afterwards"
        )
    if wanted == "speaker":
        return speaking(survey)
    chooser = Chooser(track, runtime)
    faces = survey.faces
    assert faces.track is not None and faces.box is not None
    gone = np.ones(len(faces), bool)
    values: dict[int, float] = {}
    before: set[int] = set()
    for frame in np.unique(faces.frame).tolist():
        rows = survey.rows(frame)
        numbers, boxes = faces.track[rows].tolist(), faces.box[rows]
        if before and not before & set(numbers):  # no track continues: a cut
            chooser.ranking.clear()
        before = set(numbers)
        now = [_value(survey, chooser, n, rows.start + i, boxes[i], values) for i, n in enumerate(numbers)]
        meant, boxes, now = chooser.meant(numbers, boxes, now)
        order = chooser.ranking.update(float(survey.times[frame]), meant, boxes, now)
        if chooser.rank < len(order):
            gone[rows] = np.array(numbers) != order[chooser.rank]
    return replace(survey.leave(gone, Reason.NOT_CHOSEN), made={**survey.made, "track.faces": wanted})


def speaking(survey: Survey) -> Survey:
    """The survey with only the face that speaks in each shot. Raises OptionError where that was not measured."""
    if survey.speakers is None:
        raise OptionError("this survey does not say who speaks: it was made without, or edited since; survey again")
    faces = survey.faces
    assert faces.track is not None
    gone = np.ones(len(faces), bool)
    for shot in survey.speakers:
        gone &= ~((faces.frame >= shot.first) & (faces.frame <= shot.last) & (faces.track == shot.track))
    return replace(survey.leave(gone, Reason.NOT_CHOSEN), made={**survey.made, "track.faces": "speaker"})


def _value(survey: Survey, chooser: Chooser, number: int, row: int, box: Array, fixed: dict[int, float]) -> float:
    if chooser.kind == "largest":
        score = 1.0 if survey.faces.score is None else float(survey.faces.score[row])
        return chooser.size(box, score)
    if number not in fixed:
        if chooser.wanted is None:
            fixed[number] = chooser.place(box)
        else:
            views = [unpacked(v) for v in survey.tracks[number].views] if number in survey.tracks else []
            fixed[number] = chooser.likeness(np.asarray(views))
    return fixed[number]
