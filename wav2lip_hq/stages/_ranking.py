"""A stable ranking of the faces of a shot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..boxes import iou
from ..types import Array

HOLD = 1.0  # seconds for which a vanished face keeps its rank, so that no other face is dubbed for a moment
SETTLE = 0.5  # seconds a new track must have been seen before it may overtake: it could be a false alarm
TOGETHER = 0.25  # seconds: faces that appear within this time of each other may overtake at once
SAME_PLACE = 0.3  # intersection over union from which on a new track continues a vanished one


@dataclass
class _Place:
    track: int
    value: float
    box: Array
    since: float  # seconds
    seen: float


class Ranking:
    """Keeps the faces of a shot in order of a value, highest first.

    A face overtakes another only when its value exceeds ``margin`` times the other's, so that two of about the same
    size do not alternate, and only after ``settle`` seconds, unless they appeared together. A face that vanishes keeps
    its rank for HOLD seconds, and a new track in its place inherits it.
    """

    def __init__(self, margin: float = 1.0, settle: float = SETTLE) -> None:
        self.margin, self.settle = margin, settle
        self._places: list[_Place] = []

    def clear(self) -> None:
        """Forget everything: a new shot."""
        self._places = []

    def update(self, time: float, tracks: list[int], boxes: Array, values: list[float]) -> list[int]:
        """Track numbers by rank after a frame at ``time`` with these tracks (numbers, boxes (n, 4), values); may
        contain tracks that are absent."""
        self._places = [p for p in self._places if p.track in tracks or time - p.seen <= HOLD]
        known = {p.track: p for p in self._places}
        for track, box, value in sorted(zip(tracks, boxes, values, strict=True), key=lambda item: -item[2]):
            place = known.get(track)
            if place is None:
                place = self._successor(box, tracks)
                if place is None:
                    place = _Place(track, value, box, time, time)
                    later = [n for n, p in enumerate(self._places) if value > p.value and self._may(place, p, time)]
                    # Behind all that it may not overtake yet.
                    bound = [n + 1 for n, p in enumerate(self._places) if not self._may(place, p, time)]
                    at = max([min(later, default=len(self._places)), *bound])
                    self._places.insert(at, place)
            place.track, place.value, place.box, place.seen = track, value, box, time
        for _ in self._places:  # few faces: a bubble sort, whose comparison needs no transitivity
            for n in range(len(self._places) - 1):
                first, second = self._places[n : n + 2]
                larger = second.value > first.value and second.value > self.margin * first.value
                if larger and self._may(second, first, time):
                    self._places[n : n + 2] = [second, first]
        return [p.track for p in self._places]

    def _may(self, place: _Place, other: _Place, time: float) -> bool:
        """Whether a face is visible now and has been for long enough to overtake the other."""
        if place.seen < time:
            return False
        return time - place.since >= self.settle or place.since - other.since <= TOGETHER

    def _successor(self, box: Array, present: list[int]) -> _Place | None:
        absent = [p for p in self._places if p.track not in present]
        if not absent:
            return None
        overlaps = iou(np.asarray(box)[None], np.stack([p.box for p in absent]))[0]
        best = int(overlaps.argmax())
        return absent[best] if overlaps[best] >= SAME_PLACE else None
