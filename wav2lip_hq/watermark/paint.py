"""Writing the mark."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .. import geometry
from ..types import Array
from .grid import BEAT, to_cells

STEPS = 2.005  # 8-bit steps: root mean square of the mark inside the mask; with rounding to whole ones 42.1 dB
MOST = 3.0  # and of its cells, where little is left of the mask
SMOOTH, EDGE = 6, 1  # samples a cell, and cells around the grid, to draw it
LARGE = 0.5  # px of the frame per px of the aligned face, above which less is needed: more pixels carry each cell


def painted(cells: Array, time: float, map_: Array, mask: Array) -> Array:
    """(h, w) float32: what a mark adds, in 8-bit steps, to a frame shown at ``time`` seconds, on the mask's own grid.

    cells: (ROWS, COLUMNS) complex64, see ``signs.meant``; map_: (2, 3), from the grid of the mask to the aligned face,
    see ``grid.anchor``; mask: (h, w) float32, 0 to 255.
    """
    turn = 2 * math.pi * ((time * BEAT) % 1.0)
    values = cells.real * math.cos(turn) + cells.imag * math.sin(turn)
    matrix = geometry.invert(to_cells(map_, SMOOTH, EDGE))
    # Enlarged by cubics first, then laid by straight lines: the same within a percent, in a third of the time.
    values = cv2.copyMakeBorder(values.astype(np.float32), EDGE, EDGE, EDGE, EDGE, cv2.BORDER_CONSTANT)
    fine = cv2.resize(values, None, fx=SMOOTH, fy=SMOOTH, interpolation=cv2.INTER_CUBIC)
    mark = cv2.multiply(cv2.warpAffine(fine, matrix, mask.shape[::-1], flags=cv2.INTER_LINEAR), mask, scale=1 / 255)
    inside = cv2.compare(mask, 128, cv2.CMP_GE)
    power = cv2.mean(cv2.multiply(mark, mark), inside)[0]
    return np.asarray(cv2.multiply(mark, min(MOST, STEPS / math.sqrt(max(power, 1e-6)))))


def needed(per_pixel: float) -> float:
    """The share of the mark that large faces need. per_pixel: frame px per px of the aligned face."""
    return min(1.0, max(0.5, math.sqrt(LARGE / max(per_pixel, 1e-6))))
