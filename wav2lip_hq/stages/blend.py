"""Blend: put the face back so that nothing outside the mask changes, not even by rounding."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from .. import geometry
from ..engine import Stage
from ..errors import OptionError
from ..types import Array, Chunk
from ._paste import CANVAS, painted
from .parse import _feather, default_shape

if TYPE_CHECKING:
    from ..runtime import Runtime

RING = 24  # px at 512: width of the band around the mask that colours are matched in
MEMORY = 0.8  # share of the previous frame's colour match that is kept: light does not change in a frame


@dataclass(frozen=True)
class Blend(Stage):
    """Write the restored (or synthesised) face into the frame.

    Colours are matched to the source in the band around the mask, per channel, smoothed over the track. What is
    transferred is the *difference* to the source face, resampled into the frame: texture and grain of the source stay
    wherever the synthesis agrees with it, and 16-bit sources keep their precision. Pixels whose mask is 0 keep their
    exact values.
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
    color: bool = True  # generators shift colours a little; the eye sees it at the mask's border first

    def __post_init__(self) -> None:
        if self.method not in ("multiband", "feather"):
            raise OptionError(f"blend.method is multiband or feather, not '{self.method}'")

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Keeps each track's colour match from frame to frame."""
        matches: dict[int, tuple[int, Array]] = {}
        for chunk in chunks:
            yield self._blend(chunk, matches)

    def _blend(self, chunk: Chunk, matches: dict[int, tuple[int, Array]]) -> Chunk:
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
            if not masks[n].any():
                continue
            source, face = faces.aligned[n].astype(np.float32), made[n].astype(np.float32)
            if self.color:
                shift = _match(source, face, masks[n])
                number, track = chunk.start + i, int(faces.track[n])
                if track in matches and matches[track][0] == number - 1:
                    shift = MEMORY * matches[track][1] + (1 - MEMORY) * shift
                matches[track] = (number, shift)
                face = face * shift[0] + shift[1]
            mask = masks[n].astype(np.float32) / 255
            change = (face - source) * mask[..., None] if self.method == "feather" else _bands(face - source, mask)
            _transfer(frames[i], change, mask, faces.to512[n])
        return replace(chunk, frames=frames)


def _match(source: Array, face: Array, mask: Array) -> Array:
    """(2, 3) float32 gain and bias a channel that bring ``face`` to ``source`` in the band around the mask."""
    inside = mask > 127
    small = cv2.resize(inside.astype(np.uint8), (128, 128), interpolation=cv2.INTER_AREA)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (RING // 2 | 1, RING // 2 | 1))
    # Inside the mask, next to its border: there both show the same cheeks and chin.
    band = (small > 0) & (cv2.erode(small, kernel) == 0)
    if band.sum() < 32:
        return np.array([[1, 1, 1], [0, 0, 0]], np.float32)
    a = cv2.resize(source, (128, 128), interpolation=cv2.INTER_AREA)[band]
    b = cv2.resize(face, (128, 128), interpolation=cv2.INTER_AREA)[band]
    gain = np.clip(np.median(a, 0) / np.maximum(np.median(b, 0), 1), 0.8, 1.25)
    bias = np.clip(np.median(a - gain * b, 0), -16, 16)
    return np.stack([gain, bias]).astype(np.float32)


def _bands(change: Array, mask: Array, levels: int = 4) -> Array:
    """The change blended band by band: each octave coarser, its mask's edge twice as soft; nothing where mask is 0."""
    out = np.zeros_like(change)
    rest = change
    sizes = []
    for level in range(levels):
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


def _transfer(frame: Array, change: Array, mask: Array, to512: Array) -> None:
    """Add ``change`` (512, 512, 3), in 8-bit units and already weighted, to the part of ``frame`` it belongs to."""
    x1, y1, x2, y2 = geometry.region(to512, CANVAS, frame.shape[:2])
    if x2 <= x1 or y2 <= y1:
        return
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    corners = np.array([[c, r] for c in (columns[0] - 1, columns[-1] + 1) for r in (rows[0] - 1, rows[-1] + 1)], float)
    back = geometry.invert(to512)
    spots = corners @ back[:, :2].T + back[:, 2]
    x1, y1 = max(x1, int(np.floor(spots[:, 0].min())) - 1), max(y1, int(np.floor(spots[:, 1].min())) - 1)
    x2, y2 = min(x2, int(np.ceil(spots[:, 0].max())) + 2), min(y2, int(np.ceil(spots[:, 1].max())) + 2)
    if x2 <= x1 or y2 <= y1:
        return
    stack = np.dstack([change, mask])
    scale = float(np.hypot(*back[:, 0]))  # frame pixels a canvas pixel
    matrix = back
    if scale < 0.5:  # shrinking: average first
        factor = max(1, int(0.5 / scale + 0.5))
        if factor > 1:
            side = CANVAS // factor
            stack = cv2.resize(stack, (side, side), interpolation=cv2.INTER_AREA)
            matrix = geometry.compose(back, geometry.scaling(CANVAS / side))
    local = matrix.copy()
    local[:, 2] -= (x1, y1)
    how = cv2.INTER_LINEAR
    placed = cv2.warpAffine(stack, local, (x2 - x1, y2 - y1), flags=how, borderMode=cv2.BORDER_CONSTANT)
    part = frame[y1:y2, x1:x2]
    unit = 257.0 if frame.dtype == np.uint16 else 1.0
    top = 65535 if frame.dtype == np.uint16 else 255
    changed = np.clip(np.round(part.astype(np.float32) + placed[..., :3] * unit), 0, top).astype(frame.dtype)
    touched = placed[..., 3] > 0
    part[touched] = changed[touched]
