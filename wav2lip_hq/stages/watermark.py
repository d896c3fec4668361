"""Watermark: mark the synthesized mouths invisibly as synthetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from .. import watermark
from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk, Faces
from ._place import Place

if TYPE_CHECKING:
    from ..runtime import Runtime

BRIGHT, LEAST = 80.0, 0.6  # 8-bit steps below which the mark of large faces gets fainter, and its least share


@described
@dataclass(frozen=True)
class Watermark(Stage):
    """Mark synthesized mouths invisibly, so that ``wav2lip-hq detect`` recognizes them after re-encoding, scaling and
    cropping.

    A pattern of cells, a few 8-bit steps light or dark, moves with the face and beats 2.3 times a second. It is written
    where ``faces.mask`` is, with its weight, and nowhere else; PSNR inside is at least 42 dB. A frame's pattern depends
    on its face and its time alone.
    """

    name: ClassVar[str] = "watermark"
    reads: ClassVar[tuple[str, ...]] = ("frames",)
    optional: ClassVar[tuple[str, ...]] = (
        "faces.frame",
        "faces.landmarks",
        "faces.mesh",
        "faces.to512",
        "faces.mask",
        "faces.strength",
    )
    adds: ClassVar[tuple[str, ...]] = ("frames",)

    number: int = option(0, "What the mark says: 32 bits.", low=0, high=(1 << watermark.BITS) - 1)

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        faces = chunk.faces
        if faces is None or not len(faces) or faces.mask is None or faces.to512 is None or faces.landmarks is None:
            return chunk
        frames = chunk.frames.copy()
        maps = watermark.anchor(faces.mesh, faces.landmarks)
        cells = watermark.meant(self.number)
        for n, i in enumerate(faces.frame.tolist()):
            if chunk.active is None or chunk.active[i]:
                _mark(frames[i], faces, n, maps[n], cells, float(chunk.pts[i]))
        return replace(chunk, frames=frames)


def _mark(frame: Array, faces: Faces, n: int, map_: Array, cells: Array, time: float) -> None:
    """Add the mark to face ``n`` of ``frame``, in place, where its mask is."""
    assert faces.mask is not None and faces.to512 is not None
    left, top, width, height = cv2.boundingRect(faces.mask[n])
    if not width or not np.isfinite(map_).all():
        return
    area = slice(top, top + height), slice(left, left + width)
    place = Place(area, faces.to512[n], frame.shape[:2])
    if min(place.size) < 2:
        return
    share = place.placed(faces.mask[n][area].astype(np.float32), 1, cv2.BORDER_CONSTANT)
    strength = 1.0 if faces.strength is None else float(faces.strength[n])
    full = 257 if frame.dtype == np.uint16 else 1
    part = frame[place.slices]
    # In the dark the eye sees smaller steps; small faces need them all, and encoders hide them.
    least = 1 - (1 - LEAST) * min(max((place.scale - 0.5) / 0.3, 0.0), 1.0)
    light = cv2.blur(part[..., 1], (9, 9)).astype(np.float32) / np.float32(full * BRIGHT)
    share *= cv2.min(cv2.max(light, least), 1.0)
    mark = watermark.painted(cells, time, map_, place.corner, place.size)
    change = cv2.multiply(mark, share, scale=strength * full / 255)
    part[:] = cv2.add(part, cv2.merge([change] * 3), dtype=cv2.CV_16U if frame.dtype == np.uint16 else cv2.CV_8U)
