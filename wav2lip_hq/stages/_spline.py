"""Smooth interpolation between scattered points of a face: thin plate splines (Bookstein 1989) on a coarse grid."""

from __future__ import annotations

import cv2
import numpy as np

from ..types import Array
from ._coarse import UNIT
from ._paste import Area

SCALE = 100.0  # px: unit of length, for well-conditioned equations
STIFF = 2e-4  # regularization: smooths noise of a fraction of a pixel, and allows points that coincide

# OpenCV's LAPACK takes its working memory when it is first used (for larger systems), and does not live through being
# refused it: so it is used while there is plenty, before networks are loaded.
cv2.solve(np.eye(200), np.eye(200), flags=cv2.DECOMP_LU)


def spread(points: Array, values: Array, area: Area, unit: int = UNIT) -> Array:
    """(h, w, C) float32 on the cells of ``area``: the smoothest field that has ``values`` at ``points``.

    points: (n, 2) x and y on the canvas, values: (n, C); area: whole cells of ``unit`` px.
    """
    at = np.asarray(points, np.float64) / SCALE
    n = len(at)
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = _bend(((at[:, None] - at) ** 2).sum(-1)) + STIFF * np.eye(n)
    system[:n, n], system[:n, n + 1 :] = 1, at
    system[n:, :n] = system[:n, n:].T
    wanted = np.concatenate([np.asarray(values, np.float64), np.zeros((3, np.shape(values)[1]))])
    # OpenCV's solver: numpy's starts threads, which for so small a system take longer than the solution.
    weights = cv2.solve(system, wanted, flags=cv2.DECOMP_LU)[1].astype(np.float32)
    rows, columns = (((np.arange(s.start, s.stop, unit) + (unit - 1) / 2) / SCALE).astype(np.float32) for s in area)
    px, py = at.T.astype(np.float32)
    apart = ((rows[:, None] - py) ** 2)[:, None] + ((columns[:, None] - px) ** 2)[None]
    out = cv2.gemm(_bend(apart.reshape(-1, n)), weights[:n], 1, None, 0)
    out = out.reshape(len(rows), len(columns), -1) + weights[n]
    return np.asarray(out + columns[None, :, None] * weights[n + 1] + rows[:, None, None] * weights[n + 2], np.float32)


def _bend(squares: Array) -> Array:
    """The kernel of thin plate splines, r^2 log r^2, from squared distances."""
    return np.asarray(squares * np.log(squares + squares.dtype.type(1e-12)))
