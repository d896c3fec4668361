"""Putting a generator crop into the aligned 512 px face without an edge."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .. import geometry
from ..types import Array

CANVAS = 512
# The generator is given the upper half and paints the lower one; what it makes of the upper half is not used. The
# transition lies below the middle, where eyes and most of the nose are still the source's own.
TOP, FADE, EDGE = 0.50, 0.10, 0.07


@lru_cache(maxsize=8)
def weight(size: int) -> Array:
    """(size, size) float32 in [0, 1]: 1 where the generator's own pixels count, 0 at the crop's border."""
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
    """(N, 512, 512) float32 in [0, 1]: where the generator painted, in the aligned face."""
    matrices = to_canvas(to96, to512)
    base = weight(size)
    out = np.empty((len(matrices), CANVAS, CANVAS), np.float32)
    for n, matrix in enumerate(matrices):
        out[n] = cv2.warpAffine(base, matrix, (CANVAS, CANVAS), flags=cv2.INTER_LINEAR)
    return out


def paste(crops: Array, to96: Array, to512: Array, under: Array, size: int) -> Array:
    """(N, 512, 512, 3) uint8: crops (N, S, S, 3) uint8, S = size times an enlargement, over the faces ``under``."""
    scale = crops.shape[1] / size
    matrices = to_canvas(to96, to512, scale)
    alpha = painted(to96, to512, size)
    out = under.copy()
    for n, matrix in enumerate(matrices):
        rows, columns = np.flatnonzero(alpha[n].any(1)), np.flatnonzero(alpha[n].any(0))
        if not len(rows):
            continue
        y1, y2, x1, x2 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        local = matrix.copy()
        local[:, 2] -= (x1, y1)
        shape = (int(x2 - x1), int(y2 - y1))
        crop = cv2.warpAffine(crops[n], local, shape, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        a = alpha[n, y1:y2, x1:x2, None]
        part = out[n, y1:y2, x1:x2].astype(np.float32)
        out[n, y1:y2, x1:x2] = np.round(part + a * (crop.astype(np.float32) - part)).astype(np.uint8)
    return out
