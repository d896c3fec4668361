"""Pasting the generator's crop into the aligned 512 px face with soft edges."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .. import geometry
from ..types import Array

CANVAS = 512
Area = tuple[slice, slice]  # rows and columns of the canvas
# Shares of the crop's side. The generator sees the upper half and synthesizes the lower; its upper half is not used.
# The crop fades in from TOP over FADE, so that eyes and most of the nose stay the source's, and out over EDGE at the
# border.
TOP, FADE, EDGE = 0.50, 0.10, 0.07


@lru_cache(maxsize=8)
def weight(size: int) -> Array:
    """(size, size) float32 in [0, 1]: weight of the generator's pixels, 0 in the upper half and at the border."""
    at = (np.arange(size) + 0.5) / size
    rows = _ramp((at - TOP) / FADE) * _ramp((1 - at) / EDGE)
    columns = _ramp(at / EDGE) * _ramp((1 - at) / EDGE)
    return np.asarray(rows[:, None] * columns[None], np.float32)


def _ramp(x: Array) -> Array:
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def to_canvas(to96: Array, to512: Array, scale: float = 1.0) -> Array:
    """(N, 2, 3) maps from the generator crop, enlarged by ``scale``, to the aligned face."""
    return geometry.compose(to512, geometry.compose(geometry.invert(to96), geometry.invert(geometry.scaling(scale))))


def painted(to96: Array, to512: Array, size: int) -> Array:
    """(N, 512, 512) float32 in [0, 1]: ``weight``, in the aligned face."""
    out = np.zeros((len(to96), CANVAS, CANVAS), np.float32)
    for n, matrix in enumerate(to_canvas(to96, to512)):
        area, part = painted_part(matrix, size)
        out[n][area] = part
    return out


def painted_part(matrix: Array, size: int) -> tuple[Area, Array]:
    """The part of the canvas that the generator's lower half covers, and ``weight`` there, float32 in [0, 1].

    matrix: from the generator's crop of ``size`` px to the canvas.
    """
    corners = np.array([[x, y] for x in (-1, size) for y in (TOP * size - 1, size)]) @ matrix[:, :2].T + matrix[:, 2]
    x1, y1 = np.clip(np.floor(corners.min(0)), 0, CANVAS).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(corners.max(0)) + 1, 0, CANVAS).astype(int).tolist()
    area = slice(y1, y2), slice(x1, x2)
    if x2 <= x1 or y2 <= y1:
        return area, np.zeros((max(0, y2 - y1), max(0, x2 - x1)), np.float32)
    return area, np.asarray(cv2.warpAffine(weight(size), _moved(matrix, x1, y1), (x2 - x1, y2 - y1)))


def _moved(matrix: Array, x: int, y: int) -> Array:
    """The map to a part of the canvas that begins at (x, y)."""
    out = matrix.copy()
    out[:, 2] -= (x, y)
    return out


def paste(crops: Array, to96: Array, to512: Array, under: Array, size: int) -> Array:
    """(N, 512, 512, 3) uint8: crops (N, S, S, 3) uint8, S a multiple of ``size``, blended over the faces ``under``."""
    enlarged = to_canvas(to96, to512, crops.shape[1] / size)
    out = under.copy()
    for n, matrix in enumerate(to_canvas(to96, to512)):
        area, alpha = painted_part(matrix, size)
        if not alpha.size:
            continue
        local = _moved(enlarged[n], area[1].start, area[0].start)
        shape = alpha.shape[::-1]
        crop = cv2.warpAffine(crops[n], local, shape, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        out[n][area] = cv2.blendLinear(crop, np.ascontiguousarray(out[n][area]), alpha, 1 - alpha)
    return out
