"""Shots: stretches of footage between cuts, with the faces that are seen in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .table import Survey


@dataclass(frozen=True)
class Shot:
    """Frames ``first`` to ``last`` (inclusive) of the footage, in which ``tracks`` are seen."""

    first: int
    last: int
    tracks: tuple[int, ...]


def shots(survey: Survey) -> list[Shot]:
    """The shots that show a face, in order. A cut ends all tracks, so a shot ends where none goes on.

    Frames without a face belong to the shot before them.
    """
    there: dict[int, set[int]] = {}
    for faces in (survey.faces, survey.left):
        assert faces.track is not None
        for frame, track in zip(faces.frame.tolist(), faces.track.tolist(), strict=True):
            there.setdefault(frame, set()).add(track)
    last_seen = {track: frame for frame in sorted(there) for track in there[frame]}
    out: list[Shot] = []
    seen: set[int] = set()
    first, ends = 0, -1
    for frame in sorted(there):
        if seen and frame > ends:  # every track of this shot has ended
            out.append(Shot(first, frame - 1, tuple(sorted(seen))))
            seen, first = set(), frame
        seen |= there[frame]
        ends = max(ends, *(last_seen[track] for track in there[frame]))
    if seen:
        out.append(Shot(first, len(survey) - 1, tuple(sorted(seen))))
    return out


def frames_of(survey: Survey, track: int) -> np.ndarray:
    """Frames of the footage in which a track is seen, synthesized or not; ascending."""
    rows = [f.frame[f.track == track] for f in (survey.faces, survey.left) if f.track is not None]
    return np.unique(np.concatenate(rows))
