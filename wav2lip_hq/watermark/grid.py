"""Where the cells lie: on the lower face, placed by its upper half, which synthesis leaves as it is."""

from __future__ import annotations

import cv2
import numpy as np

from .. import geometry, mesh
from ..types import Array
from .signs import COLUMNS, ROWS

CELL = 9.0  # px of the aligned 512 px face
LEFT, TOP = 98.0, 270.0  # edges of the grid there
MARGIN = 2  # cells around the grid that the reader samples, to look for it nearby
FINE = 4  # samples a cell, each way
BEAT = 2.3  # Hz: slower than speech, faster than heads turn, not a multiple of the rhythm of encoders
# A cell against its four neighbors: signs are independent, faces are smooth, and encoders take finer detail first.
_KERNEL = np.array([[0, -0.25, 0], [-0.25, 1, -0.25], [0, -0.25, 0]], np.float32)
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)
_FOOT = mesh.at(1, 2, 97, 98, 326, 327)  # tip and foot of the nose
_OUTLINE = [*range(mesh.JAW.start + 2, mesh.JAW.stop - 2), *mesh.at(205, 5, 425)]  # of the lower face, to the nose
_AIM = np.array([[192.98, 239.95], [318.90, 240.19], [256.6, 318.0]])  # eyes and foot of the nose, aligned


def anchor(points: Array | None, five: Array) -> Array:
    """(N, 2, 3) maps from the frame to the aligned face, by eyes and nose alone: the mouth is about to change.

    points: (N, POINTS, 2) mesh, or None; five: (N, 5, 2) landmarks, used in its place.
    """
    if points is None:
        return geometry.fit_similarity(np.asarray(five)[:, :3], _AIM)
    rings = (points[:, mesh.LEFT_EYE], points[:, mesh.RIGHT_EYE], points[:, _FOOT])
    return geometry.fit_similarity(np.stack([ring.mean(1, dtype=np.float64) for ring in rings], 1), _AIM)


def to_cells(maps: Array, finer: float = 1.0, margin: float = 0.0) -> Array:
    """(..., 2, 3) maps from the frame to cells, or to ``finer`` samples of each; ``margin``: cells before the first.

    The outer edge of the first, -0.5, lies at LEFT and TOP."""
    step = finer / CELL
    shift = [[finer * margin - 0.5 - step * (edge + 0.5)] for edge in (LEFT - 0.5, TOP - 0.5)]
    return geometry.compose(np.concatenate([step * np.eye(2), shift], 1), maps)


def sampled(frame: Array, map_: Array) -> Array:
    """(h, w) float32: brightness of the grid and MARGIN cells around it, FINE samples a cell, in 8-bit steps.

    frame: (H, W, 3) uint8 or uint16; map_: (2, 3), see ``anchor``.
    """
    height, width = (ROWS + 2 * MARGIN) * FINE, (COLUMNS + 2 * MARGIN) * FINE
    part = geometry.sample(frame, to_cells(map_, FINE, MARGIN), max(height, width))[:height, :width]
    scale = np.float32(1 / 257 if frame.dtype == np.uint16 else 1)
    return np.asarray(cv2.transform(part.astype(np.float32), _LUMA * scale))


def cells(fine: Array, dx: float = 0, dy: float = 0, scale: float = 1.0) -> Array:
    """(ROWS, COLUMNS) float32: mean of each cell's samples (see ``sampled``) where the grid is moved by (dx, dy)
    samples and scaled about its middle."""
    size = COLUMNS * FINE, ROWS * FINE
    middle = [(fine.shape[1] - 1) / 2 + dx, (fine.shape[0] - 1) / 2 + dy]
    shift = [[at - scale * (length - 1) / 2] for at, length in zip(middle, size, strict=True)]
    matrix = np.concatenate([scale * np.eye(2), shift], 1)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(fine, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(there, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA))


def sharpened(values: Array) -> Array:
    """Cells without the mean of their neighbors."""
    return np.asarray(cv2.filter2D(values, -1, _KERNEL, borderType=cv2.BORDER_REFLECT))


def within(points: Array, map_: Array) -> Array:
    """(ROWS, COLUMNS) float32 of 0 and 1: the cells of the lower face, where marks are. points: (POINTS, 2) mesh."""
    outline = geometry.apply(to_cells(map_)[None], points[None, _OUTLINE])[0]
    out = np.zeros((ROWS, COLUMNS), np.float32)
    hull = cv2.convexHull(np.clip(np.round(outline), -999, 999).astype(np.int32))
    cv2.fillConvexPoly(out, hull, 1.0)
    return out
