"""Blending of a generator's face into the frame, for presets that synthesize pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .. import geometry
from ..geometry import FFHQ_512
from ..types import Array
from ._coarse import UNIT, apart, cells, coarsened, enlarged, weighted
from ._colors import COLORS, drift, lips_lack, painted_lips, violet, without_violet
from ._motion import agreement, motion, moved_along
from ._paste import CANVAS, Area

MARGIN = 24  # px of the canvas around the mask, for filters
GRID = 16  # areas begin and end on its lines, so that every coarser picture of them has whole pixels
MOUTH = (slice(300, 440), slice(180, 332))  # of the aligned face
STILL = 8.0  # change of the coarse picture, in 8-bit steps, at which the last frame's detail gets a weight of 1/e
MEMORY = 0.8  # weight of a frame's colors relative to the next one's, in the moving average over frames


@dataclass(frozen=True)
class Picture:
    """A synthesized face and what was measured of it; depends on its own frame alone."""

    number: int  # of its frame
    area: Area  # the part of the canvas around mask and mouth that has to be computed
    source: Array  # (h, w, 3) uint8, the area of the source's face
    face: Array  # (h, w, 3) uint8, and of the synthesized one
    mask: Array  # (h, w) float32 in [0, 1]
    light: float  # the source's brightness around the mouth in 8-bit steps
    lips: Array | None  # (2, h / UNIT, w / UNIT) in [0, 1], where they are in the source and in the face
    coarse: Array  # (h / UNIT, w / UNIT, 3) float32, the face without detail
    drift: Array  # (64, 64, 3), how far its colors have drifted; zero without color matching
    lack: Array | None  # (3,) the source's mean color of the lips minus the face's
    violet: float  # the most seen in the source

    @property
    def detail(self) -> Array:
        """(h, w, 3) float32: the face without its coarse picture."""
        return np.asarray(self.face.astype(np.float32) - enlarged(self.coarse))


def look_at(number: int, aligned: Array, made: Array, mask: Array, lips: Array | None, color: bool) -> Picture | None:
    """Measure a synthesized face ``made`` (512, 512, 3) uint8; None when its mask is empty."""
    area = _area(mask)
    if area is None:
        return None
    source, soft = aligned[area], mask[area].astype(np.float32) / 255
    coarse, coarse_source = (coarsened(x[area].astype(np.float32)) for x in (made, aligned))
    shown = None if lips is None else lips[:, *cells(area, UNIT)].astype(np.float32) / 255
    drifted, lack, most = np.zeros((COLORS, COLORS, 3), np.float32), None, 0.0
    if color:
        drifted = drift(aligned, made, mask)
        if shown is not None:
            lack = lips_lack(coarse + enlarged(drifted[cells(area, CANVAS // COLORS)], coarse), coarse_source, shown)
        most = violet(coarse_source, cv2.resize(soft, coarse.shape[1::-1], interpolation=cv2.INTER_AREA))
    light = float(aligned[MOUTH].mean())
    return Picture(number, area, source, made[area], soft, light, shown, coarse, drifted, lack, most)


def change(now: Picture, before: Sequence[Picture], texture: float, steady: float, color: bool) -> Array:
    """(h, w, 3) float32 in 8-bit steps to add to the part ``now.area`` of the source face.

    before: the same face in a fixed number of frames before, the oldest first. texture: share of the source's own
    pixels where, moved, they agree with the synthesis. steady: share of the last frame's detail that is kept.
    """
    source, coarse = now.source.astype(np.float32), now.coarse
    coarse_source = coarsened(source)
    if color:
        seen = [*before, now]
        weights = np.array([MEMORY ** (now.number - p.number) for p in seen])
        steadied = sum(w * p.drift for w, p in zip(weights / weights.sum(), seen, strict=True))
        coarse = coarse + enlarged(np.asarray(steadied, np.float32)[cells(now.area, CANVAS // COLORS)], coarse)
        lacks = [p.lack for p in seen if p.lack is not None]
        if now.lips is not None and lacks:
            coarse = painted_lips(coarse, now.lips[1], np.mean(lacks, 0))
        coarse = without_violet(coarse, max(p.violet for p in seen))
    detail = now.detail
    if steady and before and before[-1].number == now.number - 1:
        detail = _held(detail, now, before[-1], steady)
    made = detail + enlarged(coarse)
    if texture:
        flow = motion(coarse, coarse_source)
        agree = agreement(coarse, moved_along(coarse_source, flow), now.light)
        share = texture * enlarged(agree)
        moved = moved_along(now.source, enlarged(flow) * UNIT).astype(np.float32)
        made = cv2.blendLinear(moved, made, share, 1 - share)
    return np.asarray(made - source)


def _held(detail: Array, now: Picture, last: Picture, share: float) -> Array:
    """``detail`` mixed with the previous frame's where the coarse picture has not changed.

    Both are in the coordinates of the aligned face, in which a head that moves as a whole is at rest.
    """
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(now.area, last.area, strict=True)
    )
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return detail
    here, there = _within((rows, columns), now.area), _within((rows, columns), last.area)
    moved = apart(now.coarse[cells(here, UNIT)], last.coarse[cells(there, UNIT)])
    agree = share * np.exp(-((moved / STILL) ** 2))
    out = detail.copy()
    out[here] += enlarged(cv2.merge([agree] * 3)) * (last.detail[there] - detail[here])
    return out


@lru_cache(maxsize=1)
def _least() -> Area:
    """The part of the canvas that a mouth takes up, on the GRID."""
    (x1, y1), (x2, y2) = FFHQ_512[3:]
    wide, x, y = x2 - x1, (x1 + x2) / 2, (y1 + y2) / 2
    edges = [(y - 0.8 * wide, y + 0.8 * wide), (x - wide, x + wide)]
    rows, columns = (slice(int(a) // GRID * GRID, -(-int(b) // GRID) * GRID) for a, b in edges)
    return rows, columns


def _area(mask: Array) -> Area | None:
    """The part of the canvas around mask and mouth that has to be computed; None when the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    least = _least()
    return _span(rows, least[0]), _span(columns, least[1])


def _span(used: Array, least: slice) -> slice:
    """The first to the last of ``used`` with MARGIN around them, widened to the GRID and to ``least``."""
    first, end = min(int(used[0]) - MARGIN, least.start), max(int(used[-1]) + 1 + MARGIN, least.stop)
    return slice(max(0, first // GRID * GRID), min(CANVAS, -(-end // GRID) * GRID))


def _within(part: Area, whole: Area) -> Area:
    """``part`` of the canvas as slices of an array that covers ``whole``."""
    y, x = whole[0].start, whole[1].start
    return slice(part[0].start - y, part[0].stop - y), slice(part[1].start - x, part[1].stop - x)


def bands(change: Array, mask: Array, levels: int = 4) -> Array:
    """Multiband blending (Burt and Adelson 1983): each octave with a mask twice as soft; exactly 0 where the mask
    is."""
    rest, soft = change, mask
    details = []
    for _ in range(levels):
        coarse = cv2.pyrDown(rest)
        details.append(weighted(rest - cv2.pyrUp(coarse), soft))
        rest, soft = coarse, cv2.resize(soft, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    out = weighted(rest, cv2.GaussianBlur(soft, (0, 0), 1.0))
    for detail in reversed(details):
        out = cv2.pyrUp(out) + detail
    # The coarse bands reach a little beyond the mask: fade them out inside its edge.
    return weighted(out, np.minimum(mask * 4, 1))


def transfer(frame: Array, change: Array, area: Area, to512: Array) -> None:
    """Add a part of the canvas to the frame, in place.

    change (h, w, 3) float32: in 8-bit steps, exactly 0 where the mask is, which leaves those pixels as they are. h, w:
    whole GRID cells.
    """
    height, width = change.shape[:2]
    shift = np.array([[1.0, 0, area[1].start], [0, 1, area[0].start]])
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
