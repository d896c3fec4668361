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
from ._paste import CANVAS, painted
from .parse import _feather, default_shape

if TYPE_CHECKING:
    from ..runtime import Runtime

MARGIN = 24  # px at 512 around the mask that filters may look at
COLORS, SPREAD = 64, 3.0  # grid of the colour field, and its smoothness in cells of 8 px
COARSE, TOLERANCE = 5.0, 14.0
STILL = 8.0  # 8-bit steps by which the coarse picture may change for detail to count as the same
MEMORY = 0.8  # share of the previous frame's colour match that is kept: light does not change in a frame


Area = tuple[slice, slice]  # rows and columns of the canvas


@dataclass
class _Before:
    """What a track's last frame looked like."""

    number: int
    drift: Array = field(default_factory=lambda: np.zeros((COLORS, COLORS, 3), np.float32))
    area: Area | None = None
    coarse: Array = field(default_factory=lambda: np.zeros(0))
    detail: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Blend(Stage):
    """Write the restored (or synthesised) face into the frame.

    Colours are matched to the source by a smooth field measured on the skin around the mouth, steadied over the track.
    What is transferred is the *difference* to the source face, resampled into the frame: texture and grain of the
    source stay wherever the synthesis agrees with it, and 16-bit sources keep their precision. Pixels whose mask is 0
    keep their exact values.
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
    optional: ClassVar[tuple[str, ...]] = ("faces.restored", "faces.mask")
    adds: ClassVar[tuple[str, ...]] = ("frames",)

    method: str = "multiband"  # wide transitions for colour, narrow ones for detail; "feather" = one width
    # Share of the source's own texture (pores, stubble, grain) that is kept where source and synthesis agree in shape.
    texture: float = 1.0  # generators know 96 pixels a face: without it, skin around the mouth goes soft
    # Share of the previous frame's synthesised detail that is kept where the face holds still: restorers invent a
    # slightly different skin in each frame, which shimmers.
    steady: float = 0.5  # a half-life of one frame: calms noise, is gone before a lip has moved
    color: bool = True  # generators shift colours a little; the eye sees it at the mask's border first

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
            source, face = faces.aligned[n][area].astype(np.float32), made[n][area].astype(np.float32)
            mask = masks[n][area].astype(np.float32) / 255
            number, track = chunk.start + i, int(faces.track[n])
            last = before.get(track)
            last = last if last is not None and last.number == number - 1 else None
            now = before[track] = _Before(number)
            if self.color:
                drift = _drift(faces.aligned[n], made[n], masks[n])
                now.drift = drift if last is None else MEMORY * last.drift + (1 - MEMORY) * drift
                face = face + cv2.resize(now.drift, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC)[area]
            coarse = cv2.GaussianBlur(face, (0, 0), COARSE)
            if self.steady:
                face = _hold_still(face, coarse, area, now, last, self.steady)
            if self.texture:
                face = _keep_texture(source, face, coarse, self.texture)
            change = (face - source) * mask[..., None] if self.method == "feather" else _bands(face - source, mask)
            corner = (area[1].start, area[0].start)
            _transfer(frames[i], np.dstack([change, mask]), corner, faces.to512[n])
        return replace(chunk, frames=frames)


def _area(mask: Array) -> Area | None:
    """The part of the canvas around the mask that has to be computed; None when the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    y1, x1 = max(0, int(rows[0]) - MARGIN), max(0, int(columns[0]) - MARGIN)
    return slice(y1, min(CANVAS, int(rows[-1]) + 1 + MARGIN)), slice(x1, min(CANVAS, int(columns[-1]) + 1 + MARGIN))


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
    difference = before - after
    # A moved jaw is no drift of colour: large differences count little.
    weight = weight / (1 + (np.abs(difference).max(2) / 24) ** 2)
    total = cv2.GaussianBlur(weight, (0, 0), SPREAD) + 1e-3
    return np.asarray(cv2.GaussianBlur(difference * weight[..., None], (0, 0), SPREAD) / total[..., None])


def _hold_still(face: Array, coarse: Array, area: Area, now: _Before, last: _Before | None, share: float) -> Array:
    """``face`` with detail mixed with the previous frame's wherever its coarse picture has not changed.

    Both are in the aligned face's coordinates, where a head that moves as a whole stands still.
    """
    now.area, now.coarse, now.detail = area, coarse, face - coarse
    if last is None or last.area is None:
        return face
    rows = slice(max(area[0].start, last.area[0].start), min(area[0].stop, last.area[0].stop))
    columns = slice(max(area[1].start, last.area[1].start), min(area[1].stop, last.area[1].stop))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return face
    here, there = _within((rows, columns), area), _within((rows, columns), last.area)
    moved = np.abs(coarse[here] - last.coarse[there]).max(2)
    agree = share * np.exp(-((moved / STILL) ** 2))[..., None]
    now.detail[here] += agree * (last.detail[there] - now.detail[here])
    return np.asarray(coarse + now.detail)


def _within(part: Area, whole: Area) -> Area:
    """``part`` of the canvas as slices of an array that covers ``whole``."""
    y, x = whole[0].start, whole[1].start
    return slice(part[0].start - y, part[0].stop - y), slice(part[1].start - x, part[1].stop - x)


def _keep_texture(source: Array, face: Array, low_face: Array, share: float) -> Array:
    """``face`` with the fine detail of ``source`` wherever their coarse shapes agree.

    Lips, teeth and a moved jaw differ in shape and keep the synthesised detail; skin and beard beside them do not
    differ and get their own back. COARSE is what one pixel of the generator covers here; TOLERANCE is in 8-bit steps.
    """
    low_source = cv2.GaussianBlur(source, (0, 0), COARSE)
    difference = np.abs(low_face - low_source).max(2)
    difference = cv2.GaussianBlur(cv2.dilate(difference, np.ones((9, 9), np.uint8)), (0, 0), COARSE)
    agree = share * np.exp(-((difference / TOLERANCE) ** 2))[..., None]
    return np.asarray(face + agree * ((source - low_source) - (face - low_face)))


def _bands(change: Array, mask: Array, levels: int = 4) -> Array:
    """The change blended band by band: each octave coarser, its mask's edge twice as soft; nothing where mask is 0."""
    out = np.zeros_like(change)
    rest = change
    sizes = []
    for _ in range(levels):
        coarse = cv2.pyrDown(rest)
        back = cv2.pyrUp(coarse, dstsize=(rest.shape[1], rest.shape[0]))
        sizes.append((rest - back, cv2.resize(mask, rest.shape[1::-1], interpolation=cv2.INTER_AREA)))
        rest = coarse
    soft = cv2.GaussianBlur(cv2.resize(mask, rest.shape[1::-1], interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    out = rest * soft[..., None]
    for detail, level_mask in reversed(sizes):
        out = cv2.pyrUp(out, dstsize=(detail.shape[1], detail.shape[0])) + detail * level_mask[..., None]
    # A hard guarantee: the coarse bands reach a little beyond the mask, fade them out inside its edge.
    return np.asarray(out * np.clip(mask * 4, 0, 1)[..., None])


def _transfer(frame: Array, stack: Array, corner: tuple[int, int], to512: Array) -> None:
    """Add a part of the canvas to the frame, in place.

    stack (h, w, 4) float32: the change in 8-bit units, already weighted, and the mask in [0, 1]; corner: (x, y) of its
    first pixel on the canvas.
    """
    height, width = stack.shape[:2]
    shift = np.array([[1.0, 0, corner[0]], [0, 1, corner[1]]])
    matrix = geometry.compose(geometry.invert(to512), shift)  # part -> frame
    ends = np.array([[x, y] for x in (-1, width) for y in (-1, height)], float) @ matrix[:, :2].T + matrix[:, 2]
    x1, y1 = np.maximum(np.floor(ends.min(0)).astype(int), 0)
    x2, y2 = np.minimum(np.ceil(ends.max(0)).astype(int) + 1, (frame.shape[1], frame.shape[0]))
    if x2 <= x1 or y2 <= y1:
        return
    scale = float(np.hypot(*matrix[:, 0]))  # frame pixels a canvas pixel
    if scale < 0.5:  # shrinking: average first
        size = max(2, round(width * 2 * scale)), max(2, round(height * 2 * scale))
        gx, gy = width / size[0], height / size[1]
        stack = cv2.resize(stack, size, interpolation=cv2.INTER_AREA)
        matrix = geometry.compose(matrix, np.array([[gx, 0, (gx - 1) / 2], [0, gy, (gy - 1) / 2]]))
    matrix = matrix.copy()
    matrix[:, 2] -= (x1, y1)
    placed = cv2.warpAffine(stack, matrix, (int(x2 - x1), int(y2 - y1)), flags=cv2.INTER_LINEAR)
    part = frame[y1:y2, x1:x2]
    deep = frame.dtype == np.uint16
    changed = part.astype(np.float32) + placed[..., :3] * (257.0 if deep else 1.0)
    changed = np.clip(np.round(changed), 0, 65535 if deep else 255).astype(frame.dtype)
    touched = placed[..., 3] > 0
    part[touched] = changed[touched]
