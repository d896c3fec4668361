"""What is kept of one face while the footage is read: mouths it shows, frames with a closed mouth, views of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from .. import geometry, mesh
from ..stages.appearance import crops
from ..types import Array, Mouths, References
from .shown import Shown, SurveyedTrack, packed

MOUTHS = 64  # kept per face: 1 MB
NOVEL = 2.5  # px of the aligned face by which a mouth must differ (root mean square of its lips) to be kept
DEGREES = 4.0  # difference in pose that counts as much as one px of lips
REFERENCES = 12  # closed-mouth frames kept per face
BUCKET = 12.0  # degrees of yaw and pitch: size of the bins of head poses that references are kept for
PER_BUCKET = 2  # references kept per bin, the most closed mouths
PORTRAIT = 256  # side of a reference picture in px
VIEWS = 5  # thumbnails kept per face
CLEAR = 0.5  # lowest visibility of a mouth that is kept
LEVELS = 4000  # openings kept per face for its percentiles, evenly thinned out beyond
CALM = 250  # most closed meshes kept per face; their mean is its neutral mouth
CLOSED, WIDE = 5, 95  # percentiles of the opening that count as closed and wide open


def mouth_window(image: Array, to512: Array) -> Array:
    """(192, 240, 3) uint8: ``Mouths.WINDOW`` of the aligned face, sampled straight from the frame (H, W, 3)."""
    rows, columns = Mouths.WINDOW
    side = columns.stop - columns.start
    top = rows.stop - side
    moved = to512 - np.array([[0, 0, columns.start], [0, 0, top]])
    return geometry.eight_bits(geometry.sample(image, moved, side))[rows.start - top :]


@dataclass(frozen=True)
class Sighting:
    """One face in one frame."""

    number: int  # frame of the footage
    image: Array  # (H, W, 3) the frame
    box: Array  # (4,)
    landmarks: Array  # (5, 2)
    mesh: Array | None  # (POINTS, 2), frame
    pose: Array | None  # (3,)
    visible: float


@dataclass
class FaceFacts:
    """Collects. What comes later replaces what is known already, so memory is bounded whatever the footage's length."""

    mouths: list[Shown] = field(default_factory=list)
    closed: dict[tuple[int, int], list[Shown]] = field(default_factory=dict)
    views: list[bytes] = field(default_factory=list)
    openings: list[float] = field(default_factory=list)
    _apart: Array = field(default_factory=lambda: np.zeros((0, 0)))
    _calm: list[tuple[float, Array]] = field(default_factory=list)  # most closed meshes: opening, aligned mesh
    _seen: int = 0
    _stride: int = 1  # every how many-th opening is kept
    _known: SurveyedTrack | None = None

    def add(self, seen: Sighting) -> tuple[float, float]:
        """Take a frame; returns (sharpness, light) of the mouth."""
        if len(self.views) < VIEWS:
            self.views.append(packed(crops(seen.image, seen.landmarks[None])[0]))
        to512 = geometry.fit_similarity(seen.landmarks[None], geometry.FFHQ_512)[0]
        window = mouth_window(seen.image, to512)
        gray = cv2.cvtColor(window, cv2.COLOR_RGB2GRAY)
        light, sharpness = float(gray.mean()), float(np.abs(cv2.Laplacian(gray, cv2.CV_32F)).mean())
        if seen.mesh is None or seen.pose is None or seen.visible < CLEAR:
            return sharpness, light
        aligned = np.asarray(seen.mesh @ to512[:, :2].T + to512[:, 2], np.float32)
        opening = float(mesh.opening(seen.mesh))
        new = Shown(seen.number, window, aligned, np.asarray(seen.pose, np.float32), light, opening)
        self._known = None
        self._level(opening, aligned)
        self.keep(new)
        self._reference(new, seen)
        return sharpness, light

    def _level(self, opening: float, aligned: Array) -> None:
        if self._seen % self._stride == 0:
            self.openings.append(opening)
        self._seen += 1
        if len(self.openings) > LEVELS:
            self.openings, self._stride = self.openings[::2], 2 * self._stride
        self._calm.append((opening, aligned))
        if len(self._calm) > 2 * CALM:
            self._calm = sorted(self._calm, key=lambda item: item[0])[:CALM]

    def keep(self, new: Shown) -> None:
        """Keep a mouth that differs from all kept; beyond MOUTHS, one of the two most alike is dropped."""
        gap = np.array([_difference(new, old) for old in self.mouths])
        if len(gap) and gap.min() < NOVEL:
            return
        if len(self.mouths) == MOUTHS:
            near = self._apart + np.diag(np.full(MOUTHS, np.inf))
            if near.min() >= gap.min():
                return
            out = int(np.unravel_index(near.argmin(), near.shape)[1])
            del self.mouths[out]
            self._apart = np.delete(np.delete(self._apart, out, 0), out, 1)
            gap = np.delete(gap, out)
        self._apart = np.block([[self._apart, gap[:, None]], [gap[None], np.zeros((1, 1))]])
        self.mouths.append(new.packed())

    def _reference(self, new: Shown, seen: Sighting) -> None:
        yaw, pitch = np.round(new.pose[:2] / BUCKET).astype(int)
        group = self.closed.setdefault((int(yaw), int(pitch)), [])
        if len(group) == PER_BUCKET and new.opening >= group[-1].opening:
            return
        group.append(replace(new, picture=portrait(seen.image, seen.box)).packed())
        group.sort(key=lambda k: (k.opening, k.number))
        del group[PER_BUCKET:]

    def known(self) -> SurveyedTrack:
        """What is known so far."""
        if self._known is None:
            self._known = self._summed_up()
        return self._known

    def _summed_up(self) -> SurveyedTrack:
        if not self.openings:
            return SurveyedTrack(views=tuple(self.views))
        closed, wide = (float(v) for v in np.percentile(self.openings, (CLOSED, WIDE)))
        calm = sorted(self._calm, key=lambda item: item[0])[: min(max(1, self._seen // 10), CALM)]
        return SurveyedTrack(
            closed=closed,
            wide=wide,
            spread=float(np.std(self.openings)),
            neutral=np.mean([m for _, m in calm], 0).astype(np.float32),
            mouths=tuple(self.mouths),
            references=most_closed((k for group in self.closed.values() for k in group), closed, wide),
            views=tuple(self.views),
        )


def hardly_open(opening: float, closed: float, wide: float) -> bool:
    """Whether an opening is hardly above the closed level of a mouth with these."""
    return opening <= closed + 0.25 * (wide - closed) + 0.01


def most_closed(shown: Iterable[Shown], closed: float, wide: float) -> tuple[Shown, ...]:
    """References for a mouth with these openings: the most closed ones of all head directions, in order of frames."""
    order = sorted(shown, key=lambda k: (k.opening, k.number))
    usable = [k for k in order if hardly_open(k.opening, closed, wide)] or order[:1]
    return tuple(sorted(usable[:REFERENCES], key=lambda k: k.number))


def _difference(a: Shown, b: Shown) -> float:
    """Root mean square distance of the lips in px, and of the direction at DEGREES a px."""
    lips = ((a.mesh[mesh.LIPS] - b.mesh[mesh.LIPS]) ** 2).sum(-1).mean()
    turned = ((a.pose[:2] - b.pose[:2]) ** 2).sum() / DEGREES**2
    return float(np.sqrt(lips + turned))


def portrait(image: Array, box: Array) -> Array:
    """(256, 256, 3) uint8: the face's box (4,) with room around it, stretched."""
    matrix = geometry.box_to_crop(geometry.pad_box(box[None], (References.ROOM,) * 4), PORTRAIT)[0]
    return geometry.eight_bits(geometry.sample(image, matrix, PORTRAIT))
