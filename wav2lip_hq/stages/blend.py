"""Blend: put the face back so that nothing outside the mask changes, not even by rounding."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from .. import geometry
from ..engine import Stage
from ..errors import OptionError
from ..types import Array, Chunk
from ._coarse import UNIT, apart, cells, coarsened, enlarged, weighted
from ._colors import COLORS, drift, lips_lack, painted_lips, violet, without_violet
from ._motion import agreement, motion, moved_along
from ._paste import CANVAS, Area, painted
from ._recall import WINDOW, Mouths
from .parse import _feather, default_shape

if TYPE_CHECKING:
    from ..runtime import Runtime

MARGIN = 24  # px at 512 around the mask that filters may look at
GRID = 16  # areas begin and end on its lines, so that every coarser picture of them has whole pixels
MOUTH = (slice(300, 440), slice(180, 332))  # of the aligned face
STILL = 8.0  # 8-bit steps by which the coarse picture may change for detail to count as the same
LIPS_MEMORY = 0.95  # as MEMORY, for the lips: their mean changes with every sound they form
VIOLET_MEMORY = 0.99  # what the source has shown once, say painted lips, it may show again
MEMORY = 0.8  # share of the previous frame's colour match that is kept: light does not change in a frame
FORGOTTEN = 100  # frames without a track after which nothing is known of it: films have thousands


@dataclass
class _Before:
    """What a track's last frame looked like."""

    number: int
    mouths: Mouths  # of all its frames
    drift: Array = field(default_factory=lambda: np.zeros((COLORS, COLORS, 3), np.float32))
    lips: Array | None = None  # (3,) what their colour lacks
    violet: float = 0.0  # the most seen in the source, see there
    area: Area | None = None
    coarse: Array = field(default_factory=lambda: np.zeros(0))
    detail: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Blend(Stage):
    """Write the restored (or synthesised) face into the frame.

    Colours are matched to the source by a smooth field measured on the skin around the mouth, and those of the lips
    (where ``parse`` has found them) by their own mean, steadied over the track. A generator knows 96 pixels a face;
    what it shows is mostly there in the source, too, only elsewhere: lips, chin and beard have moved. So the source's
    own pixels are moved to where the synthesis shows them. Where that fails, above all between the lips, the mouth is
    taken from the frame of the same face, among those seen so far, in which it looks most like the synthesised one.
    The synthesis itself is seen where neither is to be had: on photographs, at the beginning, on a silent face.
    What is transferred is the *difference* to the source face, resampled into the frame:
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
    # Share of mouths from earlier frames of the same face between the lips. 0 = the synthesis alone, without teeth.
    recall: float = 1.0
    # Share of the previous frame's synthesised detail that is kept where the face holds still: restorers invent a
    # slightly different skin in each frame, which shimmers.
    steady: float = 0.5  # a half-life of one frame: calms noise, is gone before a lip has moved
    # Generators shift colours a little, which the eye sees at the mask's border first, and lose the paint of lips.
    color: bool = True

    def __post_init__(self) -> None:
        for name in ("texture", "recall", "steady"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"blend.{name} lies between 0 and 1, not {getattr(self, name)}")
        if self.method not in ("multiband", "feather"):
            raise OptionError(f"blend.method is multiband or feather, not '{self.method}'")

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Keeps each track's colours, detail and mouths from frame to frame."""
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
            for old in [t for t, b in before.items() if number - b.number > FORGOTTEN]:
                del before[old]
            last = before.get(track)
            now = before[track] = _Before(number, Mouths() if last is None else last.mouths)
            last = last if last is not None and last.number == number - 1 else None
            if self.recall:
                now.mouths.add(number, faces.aligned[n], masks[n])
            if self.color:
                drifted = drift(faces.aligned[n], made[n], masks[n])
                now.drift = np.asarray(_steadied(drifted, None if last is None else last.drift, MEMORY))
            source, face = faces.aligned[n][area].astype(np.float32), made[n][area].astype(np.float32)
            lips = None if faces.lips is None else faces.lips[n][:, *cells(area, UNIT)].astype(np.float32) / 255
            mask = masks[n][area].astype(np.float32) / 255
            light = float(faces.aligned[n][MOUTH].mean())
            change = self._change(source, face, mask, area, lips, light, now, last)
            change = weighted(change, mask) if self.method == "feather" else _bands(change, mask)
            _transfer(frames[i], change, (area[1].start, area[0].start), faces.to512[n])
        return replace(chunk, frames=frames)

    def _change(
        self,
        source: Array,
        face: Array,
        mask: Array,
        area: Area,
        lips: Array | None,
        light: float,
        now: _Before,
        last: _Before | None,
    ) -> Array:
        """(h, w, 3) float32 in 8-bit steps to add to the part ``area`` of the source face.

        lips: (2, h / UNIT, w / UNIT) in [0, 1], where they are in the source and in the face. light: the source's
        brightness around the mouth, in 8-bit steps.
        """
        coarse = before = coarsened(face)
        coarse_source = coarsened(source)
        if self.color:
            coarse = before + enlarged(now.drift[cells(area, CANVAS // COLORS)], before)
            if lips is not None:
                lack = lips_lack(coarse, coarse_source, lips)
                now.lips = _steadied(lack, None if last is None else last.lips, LIPS_MEMORY)
                coarse = coarse if now.lips is None else painted_lips(coarse, lips[1], now.lips)
            small = cv2.resize(mask, coarse.shape[1::-1], interpolation=cv2.INTER_AREA)
            now.violet = max(violet(coarse_source, small), 0.0 if last is None else VIOLET_MEMORY * last.violet)
            coarse = without_violet(coarse, now.violet)
        detail = face - enlarged(before)
        if self.steady:
            detail = _held(detail, coarse, area, now, last, self.steady)
        made = detail + enlarged(coarse)
        if self.texture:
            flow = motion(coarse, coarse_source)
            agree = agreement(coarse, moved_along(coarse_source, flow), light)
            share = self.texture * enlarged(agree)
            moved = moved_along(source.astype(np.uint8), enlarged(flow) * UNIT).astype(np.float32)
            made = cv2.blendLinear(moved, made, share, 1 - share)
        if self.recall:
            mouth = _within(WINDOW, area)
            made[mouth] = now.mouths.painted(made[mouth], coarse[cells(mouth, UNIT)], light, self.recall)
        return np.asarray(made - source)


def _area(mask: Array) -> Area | None:
    """The part of the canvas around mask and mouth that has to be computed; None when the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return _span(rows, WINDOW[0]), _span(columns, WINDOW[1])


def _span(used: Array, least: slice) -> slice:
    """The first to the last of ``used`` with MARGIN around them, widened to the GRID and to ``least``."""
    first, end = min(int(used[0]) - MARGIN, least.start), max(int(used[-1]) + 1 + MARGIN, least.stop)
    return slice(max(0, first // GRID * GRID), min(CANVAS, -(-end // GRID) * GRID))


def _steadied(new: Array | None, before: Array | None, memory: float) -> Array | None:
    """A running mean; what is not known this time stays."""
    if new is None or before is None:
        return before if new is None else new
    return memory * before + (1 - memory) * new


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
    moved = apart(coarse[cells(here, UNIT)], last.coarse[cells(there, UNIT)])
    agree = share * np.exp(-((moved / STILL) ** 2))
    now.detail = detail.copy()
    now.detail[here] += enlarged(cv2.merge([agree] * 3)) * (last.detail[there] - detail[here])
    return now.detail


def _within(part: Area, whole: Area) -> Area:
    """``part`` of the canvas as slices of an array that covers ``whole``."""
    y, x = whole[0].start, whole[1].start
    return slice(part[0].start - y, part[0].stop - y), slice(part[1].start - x, part[1].stop - x)


def _bands(change: Array, mask: Array, levels: int = 4) -> Array:
    """The change blended band by band: each octave coarser, its mask's edge twice as soft; nothing where mask is 0."""
    rest, soft = change, mask
    details = []
    for _ in range(levels):
        coarse = cv2.pyrDown(rest)
        details.append(weighted(rest - cv2.pyrUp(coarse), soft))
        rest, soft = coarse, cv2.resize(soft, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    out = weighted(rest, cv2.GaussianBlur(soft, (0, 0), 1.0))
    for detail in reversed(details):
        out = cv2.pyrUp(out) + detail
    # A hard guarantee: the coarse bands reach a little beyond the mask, fade them out inside its edge.
    return weighted(out, np.minimum(mask * 4, 1))


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
