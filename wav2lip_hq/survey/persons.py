"""Persons: which of the survey's faces are one person. A cut starts a new face, and whom it shows may be known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..stages.appearance import appearance
from ..types import Array
from .facts import CLOSED, WIDE, FaceFacts, hardly_open, most_closed
from .shown import SurveyedTrack, unpacked

if TYPE_CHECKING:
    from .table import Survey

# Median similarity of the views of two faces from which they are one person, if no frame shows both. Of 32 pairs of
# clips of one person 70 in 100 are as similar, of 7,349 pairs of two people one in a thousand.
ALIKE = 0.75


def persons(survey: Survey) -> list[list[int]]:
    """The faces whose mouth was seen, by person: who is seen in most frames first, in each the same."""
    assert survey.faces.track is not None
    numbers, counts = np.unique(survey.faces.track, return_counts=True)
    order = [int(n) for n in numbers[np.argsort(-counts, kind="stable")]]
    known = [t for t in order if t in survey.tracks and survey.tracks[t].neutral is not None]
    views = {t: _views(survey.tracks[t]) for t in known}
    shown = {t: set(survey.faces.frame[survey.faces.track == t].tolist()) for t in known}
    found: list[list[int]] = []
    for track in known:
        for one in found:
            alike = max(_likeness(views[track], views[t]) for t in one) >= ALIKE
            if alike and all(shown[track].isdisjoint(shown[t]) for t in one):
                one.append(track)
                break
        else:
            found.append([track])
    return sorted(found, key=lambda one: -sum(len(shown[t]) for t in one))


def _views(track: SurveyedTrack) -> Array:
    """(n, D) descriptions of a face's views, each of length 1."""
    described = appearance(np.stack([unpacked(v) for v in track.views])) if track.views else np.zeros((0, 1))
    return np.asarray(described / (np.linalg.norm(described, axis=1, keepdims=True) + 1e-9))


def _likeness(a: Array, b: Array) -> float:
    """Median cosine similarity of descriptions (n, D), (m, D); -1 without any."""
    return float(np.median(a @ b.T)) if len(a) and len(b) else -1.0


def summed_up(survey: Survey, numbers: list[int]) -> SurveyedTrack:
    """What is known of a person by its faces, the most seen first: all their mouths, the measure of all frames."""
    first = survey.tracks[numbers[0]]
    if len(numbers) == 1 or survey.coded is None:
        return first
    tracks = [survey.tracks[t] for t in numbers]
    seen = [survey.opening(t)[1] for t in numbers]
    closed, wide = (float(v) for v in np.percentile(np.concatenate(seen), (CLOSED, WIDE)))
    # A face whose mouth was never closed does not show how it looks closed.
    weight = [len(s) * hardly_open(t.closed, closed, wide) for s, t in zip(seen, tracks, strict=True)]
    mouths = FaceFacts()
    for track in tracks:
        for mouth in track.mouths:
            mouths.keep(mouth)
    return replace(
        first,
        closed=closed,
        wide=wide,
        spread=float(np.std(np.concatenate(seen))),
        neutral=np.average([t.neutral for t in tracks], 0, weight).astype(np.float32) if any(weight) else first.neutral,
        mouths=tuple(mouths.mouths),
        references=most_closed((r for t in tracks for r in t.references), closed, wide),
    )
