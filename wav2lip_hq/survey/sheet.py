"""Surveys for people to read: a table of the faces, and a picture with a thumbnail of each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import cv2
import numpy as np

from ..types import Array, Reason
from .shown import unpacked
from .table import Survey

SIDE = 112


def rows(survey: Survey) -> list[dict[str, Any]]:
    """One face a row, as plain values: number, first and last second, frames synthesized, frames left and why,
    openings of its mouth, how many mouths and references are kept of it, whether its manner of speaking was learned."""
    faces, left = survey.faces, survey.left
    assert faces.track is not None and left.track is not None and left.reason is not None
    out: list[dict[str, Any]] = []
    for number in survey.numbers:
        mine, others = faces.frame[faces.track == number], left.frame[left.track == number]
        frames = np.concatenate([mine, others])
        reasons = Counter(Reason(int(r)).text for r in left.reason[left.track == number])
        track = survey.tracks.get(number)
        row: dict[str, Any] = {
            "face": number,
            "from": round(float(survey.times[frames.min()]), 3),
            "to": round(float(survey.times[frames.max()]), 3),
            "synthesized": len(mine),
            "left": dict(reasons),
        }
        if track is not None and track.neutral is not None:
            row |= {
                "closed": round(track.closed, 4),
                "wide": round(track.wide, 4),
                "mouths": len(track.mouths),
                "references": len(track.references),
                "manner": track.manner is not None,
            }
        out.append(row)
    return out


def empty_frames(survey: Survey) -> int:
    """Frames of the footage without any face."""
    return len(survey) - len(np.union1d(survey.faces.frame, survey.left.frame))


def picture(survey: Survey) -> Array:
    """(H, W, 3) uint8 RGB: the first views of each face beside its number, one face a row."""
    numbers = [n for n in survey.numbers if n in survey.tracks and survey.tracks[n].views]
    sheet = np.full((max(1, len(numbers)) * SIDE, 6 * SIDE, 3), 32, np.uint8)
    for line, number in enumerate(numbers):
        top = line * SIDE
        cv2.putText(sheet, str(number), (16, top + 72), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (235, 235, 235), 2, cv2.LINE_AA)
        for n, view in enumerate(survey.tracks[number].views[:5]):
            sheet[top : top + SIDE, (n + 1) * SIDE : (n + 2) * SIDE] = unpacked(view)
    return sheet
