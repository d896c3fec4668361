"""What a survey holds of one face: pictures of it as JPEG, and figures. Small, frozen, unpacked when it is needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from ..types import Array, Manner, Mouths, References, TrackFacts

ELSEWHERE = 1 << 40  # subtracted from frame numbers of other footage, so that none is adjacent to one of this footage
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def packed(picture: Array) -> bytes:
    """A (h, w, 3) uint8 RGB picture as JPEG. Surveys keep pictures so from the start, saved or not."""
    return bytes(cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), QUALITY)[1])


def unpacked(data: bytes) -> Array:
    """(h, w, 3) uint8 RGB."""
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture of a face, or of its mouth, in one frame."""

    number: int  # frame of the footage
    picture: Array | bytes  # (h, w, 3) uint8 RGB, or the same as JPEG
    mesh: Array  # (POINTS, 2) float32, in the aligned 512 px face
    pose: Array  # (3,) float32, degrees
    light: float
    opening: float

    def packed(self) -> Shown:
        """With its picture as JPEG."""
        return self if isinstance(self.picture, bytes) else replace(self, picture=packed(self.picture))

    @property
    def pixels(self) -> Array:
        """(h, w, 3) uint8 RGB."""
        return unpacked(self.picture) if isinstance(self.picture, bytes) else self.picture


@dataclass(frozen=True, eq=False)
class SurveyedTrack:
    """One face. Without ``neutral`` its mouth was never seen clearly, or there were no dense landmarks."""

    closed: float = 0.0
    wide: float = 0.0
    spread: float = 0.0
    neutral: Array | None = None  # (POINTS, 2) float32
    mouths: tuple[Shown, ...] = ()
    references: tuple[Shown, ...] = ()
    views: tuple[bytes, ...] = ()  # (112, 112, 3) JPEGs of its first frames
    manner: Manner | None = None  # how it speaks, where that could be learned

    @property
    def portrait(self) -> Array | None:
        """(112, 112, 3) uint8 RGB: a view of the face; None without any."""
        return unpacked(self.views[len(self.views) // 2]) if self.views else None

    def joined(self, person: SurveyedTrack) -> SurveyedTrack:
        """With what other footage of the same person shows: its mouths to choose from, too, and its measure, which
        this footage may be too short for."""
        return self if person.neutral is None else _joined(self, person)

    def facts(self) -> TrackFacts | None:
        """With pictures unpacked, for the stages; None when nothing is known of the mouth."""
        return None if self.neutral is None else _facts(self)


@lru_cache(maxsize=8)  # the same object again and again, so that its pictures are unpacked once
def _joined(track: SurveyedTrack, person: SurveyedTrack) -> SurveyedTrack:
    def elsewhere(shown: tuple[Shown, ...]) -> tuple[Shown, ...]:
        return tuple(replace(s, number=s.number - ELSEWHERE) for s in shown)

    return replace(
        person,
        mouths=track.mouths + elsewhere(person.mouths),
        references=track.references + elsewhere(person.references),
        views=track.views,
    )


@lru_cache(maxsize=8)  # tracks at a time; unpacked they take 10 MB each
def _facts(track: SurveyedTrack) -> TrackFacts:
    assert track.neutral is not None
    return TrackFacts(
        closed=track.closed,
        wide=track.wide,
        spread=track.spread,
        neutral=track.neutral,
        mouths=Mouths(
            number=np.array([m.number for m in track.mouths], np.int64),
            picture=np.stack([m.pixels for m in track.mouths]),
            mesh=np.stack([m.mesh for m in track.mouths]),
            pose=np.stack([m.pose for m in track.mouths]),
            light=np.array([m.light for m in track.mouths], np.float32),
        ),
        references=References(
            number=np.array([k.number for k in track.references], np.int64),
            picture=np.stack([k.pixels for k in track.references]),
            opening=np.array([k.opening for k in track.references], np.float32),
            pose=np.stack([k.pose for k in track.references]),
            light=np.array([k.light for k in track.references], np.float32),
        ),
        manner=track.manner,
    )
