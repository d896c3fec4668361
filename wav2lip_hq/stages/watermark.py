"""Watermark: mark the synthesized mouths invisibly as synthetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from .. import geometry, watermark
from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk, Faces
from ._place import Place

if TYPE_CHECKING:
    from ..runtime import Runtime

BRIGHT, LEAST = 80.0, 0.6  # 8-bit steps below which the mark of large faces gets fainter, and its least share
ROWS = 64  # of a frame that are changed at once: few enough for the processor's cache
COARSE = 8  # px of the canvas over which light is measured


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
        frames = chunk.frames  # in place: a copy of a large frame takes as long as the mark
        if not (frames.flags.writeable and frames.flags.c_contiguous):
            frames = frames.copy()
        maps = watermark.anchor(faces.mesh, faces.landmarks)
        cells = watermark.meant(self.number)
        for n, i in enumerate(faces.frame.tolist()):
            if chunk.active is None or chunk.active[i]:
                _mark(frames[i], faces, n, maps[n], cells, float(chunk.pts[i]))
        return replace(chunk, frames=frames)


def _mark(frame: Array, faces: Faces, n: int, map_: Array, cells: Array, time: float) -> None:
    """Add the mark to face ``n`` of ``frame``, in place, where its mask is.

    It is drawn on the canvas of the mask and brought into the frame once, as the mask is: what is large is only moved,
    rounded and added.
    """
    assert faces.mask is not None and faces.to512 is not None
    left, top, width, height = cv2.boundingRect(faces.mask[n])
    if not width or not np.isfinite(map_).all():
        return
    area = slice(top, top + height), slice(left, left + width)
    place = Place(area, faces.to512[n], frame.shape[:2])
    if min(place.size) < 2:
        return
    mask, every = faces.mask[n][area], max(1, int(place.scale))  # the canvas is fine enough
    if every > 1:  # what is interpolated reaches a little further
        mask = cv2.erode(mask, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    onto = geometry.compose(map_, place.to_frame)
    onto[:, 2] += onto[:, :2] @ (left, top)
    mark = watermark.painted(cells, time, onto, mask.astype(np.float32))
    strength = 1.0 if faces.strength is None else float(faces.strength[n])
    strength *= watermark.needed(1 / float(np.hypot(*map_[:, 0])))
    # In the dark the eye sees smaller steps; small faces need them all, and encoders hide them.
    dimmed = (1 - LEAST) * min(max((place.scale - 0.5) / 0.3, 0.0), 1.0)
    if dimmed:
        light = cv2.resize(_light(frame, place), mark.shape[::-1], interpolation=cv2.INTER_LINEAR)
        mark = cv2.multiply(mark, cv2.min(cv2.max(light, 1 - dimmed), 1.0))
    change = place.placed(cv2.multiply(mark, strength), 1, cv2.BORDER_CONSTANT, every)
    part = frame[place.slices]
    for first in range(0, len(part), ROWS):
        rows = slice(first, first + ROWS)
        _add(part[rows], change[rows])


def _add(part: Array, change: Array) -> None:
    """Add ``change`` (h, w) float32, in 8-bit steps, to ``part`` (h, w, 3) uint8 or uint16, in place, rounded."""
    depth, middle = cv2.CV_8U, 128
    if part.dtype == np.uint16:
        change, depth, middle = cv2.multiply(change, 257.0), cv2.CV_16U, 32768
    # What lightens and what darkens, each in the frame's own type: several times as fast as adding signed numbers.
    around = cv2.add(change, float(middle), dtype=depth)
    cv2.add(part, cv2.cvtColor(cv2.subtract(around, middle), cv2.COLOR_GRAY2RGB), dst=part)
    cv2.subtract(part, cv2.cvtColor(cv2.subtract(middle, around), cv2.COLOR_GRAY2RGB), dst=part)


def _light(frame: Array, place: Place) -> Array:
    """(h, w) float32: how light the frame is beside BRIGHT, COARSE px of the canvas a pixel."""
    (rows, columns), full = place.area, 257 if frame.dtype == np.uint16 else 1
    size = [-(-(s.stop - s.start) // COARSE) for s in (columns, rows)]
    shift = np.array([[1.0, 0, -columns.start], [0, 1, -rows.start]])
    matrix = geometry.compose(geometry.invert(geometry.scaling(COARSE)), geometry.compose(shift, place.to_canvas))
    seen = cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blur(seen[..., 1].astype(np.float32), (3, 3)) / np.float32(full * BRIGHT))
