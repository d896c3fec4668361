"""Blend: put the face back so that nothing outside the mask changes, not even by rounding."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from .. import geometry
from ..engine import Stage
from ..errors import OptionError
from ..geometry import FFHQ_512
from ..types import Array, Chunk
from ._paste import CANVAS, Area, painted
from .parse import _feather, default_shape

if TYPE_CHECKING:
    from ..runtime import Runtime

MARGIN = 24  # px at 512 around the mask that filters may look at
GRID = 16  # areas begin and end on its lines, so that every coarser picture of them has whole pixels
COLORS, SPREAD = 64, 3.0  # grid of the colour field, and its smoothness in cells of 8 px
# The coarse picture is what the generator's pixels, 5 px here, can tell. Averaging UNIT px, a Gaussian of SIGMA and
# enlarging again amount to a Gaussian of 5 px at a tenth of its cost.
UNIT, SIGMA = 4, 1.15
# How the source's own pixels are found again in the made face: by optical flow between the coarse pictures, smoothed
# (coarse pixels), and believed where afterwards both differ by few 8-bit steps.
FLOW_SIGMA, TOLERANCE, LEAST = 1.5, 18.0, 32
STILL = 8.0  # 8-bit steps by which the coarse picture may change for detail to count as the same
FEW, PAINT = 40, 60.0  # coarse pixels: fewer say nothing about the lips' colour; 8-bit steps: more is something else
LIPS_MEMORY = 0.95  # as MEMORY, for the lips: their mean changes with every sound they form
MEMORY = 0.8  # share of the previous frame's colour match that is kept: light does not change in a frame


@dataclass
class _Before:
    """What a track's last frame looked like."""

    number: int
    drift: Array = field(default_factory=lambda: np.zeros((COLORS, COLORS, 3), np.float32))
    lips: Array | None = None  # (3,) what their colour lacks
    area: Area | None = None
    coarse: Array = field(default_factory=lambda: np.zeros(0))
    detail: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Blend(Stage):
    """Write the restored (or synthesised) face into the frame.

    Colours are matched to the source by a smooth field measured on the skin around the mouth, and those of the lips
    (where ``parse`` has found them) by their own mean, steadied over the track. A generator knows 96 pixels a face;
    what it shows is mostly there in the source, too, only elsewhere: lips, chin and beard have moved. So the source's
    own pixels are moved to where the synthesis shows them, and the synthesis itself is seen only where that fails,
    above all between the lips. What is transferred is the *difference* to the source face, resampled into the frame:
    16-bit sources keep their precision, and pixels whose mask is 0 their exact values.
    """

    name: ClassVar[str] = "blend"
    reads: ClassVar[tuple[str, ...]] = (
        "frames",
        "faces.frame",
        "faces.track",
        "faces.aligned",
        "faces.synced",
        "faces.synced96",
        "faces.to96",
        "faces.to512",
    )
    optional: ClassVar[tuple[str, ...]] = ("faces.restored", "faces.mask", "faces.lips")
    adds: ClassVar[tuple[str, ...]] = ("frames",)

    method: str = "multiband"  # wide transitions for colour, narrow ones for detail; "feather" = one width
    # Share of the source's own pixels where they show, moved, what the synthesis shows. 0 = the synthesis alone.
    texture: float = 1.0  # less makes lips and skin around the mouth soft
    # Share of the previous frame's synthesised detail that is kept where the face holds still: restorers invent a
    # slightly different skin in each frame, which shimmers.
    steady: float = 0.5  # a half-life of one frame: calms noise, is gone before a lip has moved
    # Generators shift colours a little, which the eye sees at the mask's border first, and lose the paint of lips.
    color: bool = True

    def __post_init__(self) -> None:
        for name in ("texture", "steady"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"blend.{name} lies between 0 and 1, not {getattr(self, name)}")
        if self.method not in ("multiband", "feather"):
            raise OptionError(f"blend.method is multiband or feather, not '{self.method}'")

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Keeps each track's colour match and detail from frame to frame."""
        before: dict[int, _Before] = {}
        for chunk in chunks:
            yield self._blend(chunk, before)

    def _blend(self, chunk: Chunk, before: dict[int, _Before]) -> Chunk:
        faces = chunk.faces
        assert faces is not None and faces.synced is not None and faces.aligned is not None
        assert faces.track is not None and faces.to96 is not None and faces.to512 is not None
        assert faces.synced96 is not None
        if not len(faces):
            return chunk
        made = faces.synced if faces.restored is None else faces.restored
        masks = faces.mask
        if masks is None:
            soft = _feather(default_shape(), 14.0)
            where = painted(faces.to96, faces.to512, faces.synced96.shape[1])
            masks = np.round(255 * soft[None] * where).astype(np.uint8)
            if chunk.active is not None:
                masks[~chunk.active[faces.frame]] = 0
        frames = chunk.frames.copy()
        for n, i in enumerate(faces.frame.tolist()):
            area = _area(masks[n])
            if area is None:
                continue
            number, track = chunk.start + i, int(faces.track[n])
            last = before.get(track)
            last = last if last is not None and last.number == number - 1 else None
            now = before[track] = _Before(number)
            if self.color:
                drift = _drift(faces.aligned[n], made[n], masks[n])
                now.drift = drift if last is None else MEMORY * last.drift + (1 - MEMORY) * drift
            source, face = faces.aligned[n][area].astype(np.float32), made[n][area].astype(np.float32)
            lips = None if faces.lips is None else faces.lips[n][:, *_cells(area, UNIT)].astype(np.float32) / 255
            change = self._change(source, face, area, lips, now, last)
            mask = masks[n][area].astype(np.float32) / 255
            change = _weighted(change, mask) if self.method == "feather" else _bands(change, mask)
            _transfer(frames[i], change, (area[1].start, area[0].start), faces.to512[n])
        return replace(chunk, frames=frames)

    def _change(
        self, source: Array, face: Array, area: Area, lips: Array | None, now: _Before, last: _Before | None
    ) -> Array:
        """(h, w, 3) float32 in 8-bit steps to add to the part ``area`` of the source face.

        lips: (2, h / UNIT, w / UNIT) in [0, 1], where they are in the source and in the face.
        """
        coarse = before = _coarse(face)
        coarse_source = _coarse(source)
        if self.color:
            coarse = before + _enlarged(now.drift[_cells(area, CANVAS // COLORS)], before)
            if lips is not None:
                _match_lips(coarse, coarse_source, lips, now, last)
        detail = face - _enlarged(before)
        if self.steady:
            detail = _held(detail, coarse, area, now, last, self.steady)
        made = detail + _enlarged(coarse)
        if self.texture:
            flow = _motion(coarse, coarse_source)
            agree = _enlarged(_agreement(coarse, _moved(coarse_source, flow), self.texture))
            moved = _moved(source.astype(np.uint8), _enlarged(flow) * UNIT).astype(np.float32)
            made = cv2.blendLinear(moved, made, agree, 1 - agree)
        return np.asarray(made - source)


def _area(mask: Array) -> Area | None:
    """The part of the canvas around the mask that has to be computed; None when the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return _span(rows), _span(columns)


def _span(used: Array) -> slice:
    """The first to the last of ``used`` with MARGIN around them, widened to the GRID."""
    first, end = int(used[0]) - MARGIN, int(used[-1]) + 1 + MARGIN
    return slice(max(0, first // GRID * GRID), min(CANVAS, -(-end // GRID) * GRID))


def _cells(area: Area, unit: int) -> Area:
    """The area in a picture whose pixels are ``unit`` px wide."""
    rows, columns = area
    return slice(rows.start // unit, rows.stop // unit), slice(columns.start // unit, columns.stop // unit)


def _coarse(image: Array) -> Array:
    """(h / UNIT, w / UNIT, 3) float32: the image without detail."""
    small = cv2.resize(image, None, fx=1 / UNIT, fy=1 / UNIT, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), SIGMA))


def _enlarged(small: Array, like: Array | None = None) -> Array:
    """A coarse picture at full size, or at the size of ``like``."""
    height, width = (small.shape[0] * UNIT, small.shape[1] * UNIT) if like is None else like.shape[:2]
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _weighted(image: Array, weight: Array) -> Array:
    """image (h, w, 3) times weight (h, w); numpy would go through the three channels one by one."""
    return np.asarray(cv2.multiply(image, cv2.merge([weight] * 3)))


def _apart(a: Array, b: Array) -> Array:
    """(h, w): the largest difference of a channel between (h, w, 3) images."""
    red, green, blue = cv2.split(cv2.absdiff(a, b))
    return np.asarray(cv2.max(cv2.max(red, green), blue))


@lru_cache(maxsize=1)
def _not_mouth() -> Array:
    """(64, 64) float32: where the skin of the aligned face should look as it did, which leaves out the mouth."""
    out = np.ones((COLORS, COLORS), np.float32)
    unit = COLORS / CANVAS
    (x1, y1), (x2, y2) = FFHQ_512[3], FFHQ_512[4]
    centre = (round((x1 + x2) / 2 * unit), round((y1 + y2) / 2 * unit))
    cv2.ellipse(out, centre, (round((x2 - x1) * 0.75 * unit), round((x2 - x1) * 0.6 * unit)), 0, 0, 360, 0.02, -1)
    return out


def _drift(aligned: Array, made: Array, mask: Array) -> Array:
    """(64, 64, 3) float32 to add to the made face: how far its colours have drifted from the source's, as a smooth
    field known on the skin around the mouth and carried across it."""
    before, after = (
        cv2.resize(x, (COLORS, COLORS), interpolation=cv2.INTER_AREA).astype(np.float32) for x in (aligned, made)
    )
    weight = cv2.resize(mask, (COLORS, COLORS), interpolation=cv2.INTER_AREA).astype(np.float32) / 255 * _not_mouth()
    # A moved jaw is no drift of colour: large differences count little.
    weight = weight / (1 + (_apart(before, after) / 24) ** 2)
    total = cv2.GaussianBlur(weight, (0, 0), SPREAD) + 1e-3
    return _weighted(cv2.GaussianBlur(_weighted(before - after, weight), (0, 0), SPREAD), 1 / total)


def _match_lips(coarse: Array, source: Array, lips: Array, now: _Before, last: _Before | None) -> None:
    """Give the lips of ``coarse`` the mean colour they have in ``source``, in place."""
    now.lips = None if last is None else last.lips
    before, after = (max(float(x.sum()), 1e-6) for x in lips)
    if min(before, after) >= FEW:
        lack = lips[0].ravel() @ source.reshape(-1, 3) / before - lips[1].ravel() @ coarse.reshape(-1, 3) / after
        lack = np.clip(lack, -PAINT, PAINT)
        now.lips = lack if now.lips is None else LIPS_MEMORY * now.lips + (1 - LIPS_MEMORY) * lack
    if now.lips is not None:
        coarse += cv2.GaussianBlur(lips[1], (0, 0), SIGMA)[..., None] * now.lips.astype(np.float32)


def _held(detail: Array, coarse: Array, area: Area, now: _Before, last: _Before | None, share: float) -> Array:
    """``detail`` mixed with the previous frame's wherever the coarse picture has not changed; noted down in ``now``.

    Both are in the aligned face's coordinates, where a head that moves as a whole stands still.
    """
    now.area, now.coarse, now.detail = area, coarse, detail
    if last is None or last.area is None:
        return detail
    rows = slice(max(area[0].start, last.area[0].start), min(area[0].stop, last.area[0].stop))
    columns = slice(max(area[1].start, last.area[1].start), min(area[1].stop, last.area[1].stop))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return detail
    here, there = _within((rows, columns), area), _within((rows, columns), last.area)
    moved = _apart(coarse[_cells(here, UNIT)], last.coarse[_cells(there, UNIT)])
    agree = share * np.exp(-((moved / STILL) ** 2))
    now.detail = detail.copy()
    now.detail[here] += _enlarged(cv2.merge([agree] * 3)) * (last.detail[there] - detail[here])
    return now.detail


def _within(part: Area, whole: Area) -> Area:
    """``part`` of the canvas as slices of an array that covers ``whole``."""
    y, x = whole[0].start, whole[1].start
    return slice(part[0].start - y, part[0].stop - y), slice(part[1].start - x, part[1].stop - x)


def _motion(made: Array, source: Array) -> Array:
    """(h, w, 2) float32 optical flow: where in ``source`` each pixel of ``made`` is from, in coarse pixels (x, y)."""
    height, width = made.shape[:2]
    more = (0, max(0, LEAST - height), 0, max(0, LEAST - width))  # OpenCV crashes on smaller pictures
    grey = (
        cv2.copyMakeBorder(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), *more, cv2.BORDER_REPLICATE) for x in (made, source)
    )
    made8, source8 = (x.clip(0, 255).astype(np.uint8) for x in grey)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(made8, source8, None)
    return np.asarray(cv2.GaussianBlur(flow[:height, :width], (0, 0), FLOW_SIGMA))


def _moved(image: Array, flow: Array) -> Array:
    """image (h, w, 3) float32 sampled where the flow (h, w, 2) says."""
    at = cv2.add(flow, _places(*image.shape[:2]))
    return np.asarray(cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


@lru_cache(maxsize=16)
def _places(height: int, width: int) -> Array:
    """(h, w, 2) float32: the (x, y) of every pixel."""
    return np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))


def _agreement(coarse: Array, coarse_source: Array, share: float) -> Array:
    """(h, w) float32 in [0, share]: where the moved source shows what the synthesis shows.

    TOLERANCE is in 8-bit steps.
    """
    difference = cv2.dilate(_apart(coarse, coarse_source), np.ones((3, 3), np.uint8))
    difference = cv2.GaussianBlur(difference, (0, 0), 5 / UNIT)
    return np.asarray(share * np.exp(-((difference / TOLERANCE) ** 2)))


def _bands(change: Array, mask: Array, levels: int = 4) -> Array:
    """The change blended band by band: each octave coarser, its mask's edge twice as soft; nothing where mask is 0."""
    rest, soft = change, mask
    details = []
    for _ in range(levels):
        coarse = cv2.pyrDown(rest)
        details.append(_weighted(rest - cv2.pyrUp(coarse), soft))
        rest, soft = coarse, cv2.resize(soft, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    out = _weighted(rest, cv2.GaussianBlur(soft, (0, 0), 1.0))
    for detail in reversed(details):
        out = cv2.pyrUp(out) + detail
    # A hard guarantee: the coarse bands reach a little beyond the mask, fade them out inside its edge.
    return _weighted(out, np.minimum(mask * 4, 1))


def _transfer(frame: Array, change: Array, corner: tuple[int, int], to512: Array) -> None:
    """Add a part of the canvas to the frame, in place.

    change (h, w, 3) float32: in 8-bit steps, exactly 0 where the mask is, which leaves those pixels as they are;
    corner: (x, y) of its first pixel on the canvas. h, w: whole GRID cells.
    """
    height, width = change.shape[:2]
    shift = np.array([[1.0, 0, corner[0]], [0, 1, corner[1]]])
    matrix = geometry.compose(geometry.invert(to512), shift)  # part -> frame
    ends = np.array([[x, y] for x in (-1, width) for y in (-1, height)], float) @ matrix[:, :2].T + matrix[:, 2]
    x1, y1 = np.maximum(np.floor(ends.min(0)).astype(int), 0)
    x2, y2 = np.minimum(np.ceil(ends.max(0)).astype(int) + 1, (frame.shape[1], frame.shape[0]))
    if x2 <= x1 or y2 <= y1:
        return
    scale = float(np.hypot(*matrix[:, 0]))  # frame pixels a canvas pixel
    factor = 1
    while scale * factor <= 0.5 and factor < GRID:  # shrinking: average first
        factor *= 2
    if factor > 1:
        change = cv2.resize(change, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        matrix = geometry.compose(matrix, geometry.scaling(factor))
    matrix = matrix.copy()
    matrix[:, 2] -= (x1, y1)
    placed = cv2.warpAffine(change, matrix, (int(x2 - x1), int(y2 - y1)), flags=cv2.INTER_LINEAR)
    part = frame[y1:y2, x1:x2]
    if frame.dtype == np.uint16:
        placed *= 257
    part[:] = cv2.add(part, placed, dtype=cv2.CV_16U if frame.dtype == np.uint16 else cv2.CV_8U)  # rounds and clips
