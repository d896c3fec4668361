"""Writing the mark."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .. import geometry
from ..types import Array
from .grid import BEAT, to_cells

AMPLITUDE = 2.38  # 8-bit steps: root mean square of the cells in small faces, for 42 dB inside the mask
SMOOTH, EDGE = 6, 1  # samples a cell, and cells around the grid, to draw it
LARGE = 0.5  # px of the frame per px of the aligned face, above which less is needed: more pixels carry each cell


def painted(cells: Array, time: float, map_: Array, corner: tuple[int, int], size: tuple[int, int]) -> Array:
    """(h, w) float32: what a mark adds to a part of a frame shown at ``time`` seconds, in 8-bit steps.

    cells: (ROWS, COLUMNS) complex64, see ``signs.meant``; map_: (2, 3), see ``grid.anchor``; corner (x, y) and size (w,
    h) of the part.
    """
    turn = 2 * math.pi * ((time * BEAT) % 1.0)
    matrix = geometry.invert(to_cells(map_, SMOOTH, EDGE))
    per_pixel = float(np.hypot(*np.asarray(map_)[:, 0]))
    strength = AMPLITUDE * min(1.0, max(0.5, math.sqrt(LARGE * per_pixel)))
    values = strength * (cells.real * math.cos(turn) + cells.imag * math.sin(turn))
    matrix[:, 2] -= corner
    # Enlarged by cubics first, then laid by straight lines: the same within a percent, in a third of the time.
    values = cv2.copyMakeBorder(values.astype(np.float32), EDGE, EDGE, EDGE, EDGE, cv2.BORDER_CONSTANT)
    fine = cv2.resize(values, None, fx=SMOOTH, fy=SMOOTH, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.warpAffine(fine, matrix, size, flags=cv2.INTER_LINEAR))
