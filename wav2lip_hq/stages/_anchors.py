"""RetinaFace's anchors, decoding and non-maximum suppression, on whole arrays.

Coordinates here are RetinaFace's own: pixel edges at integers, so pixel centers at +0.5. ``detect`` converts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..types import Array

STRIDES = (8, 16, 32)
# Share of the smaller box: half a face beside the whole one is the detector's echo, not a second person, whose box in
# front of or behind another's shares less while both can be seen.
INSIDE = 0.55
CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2  # what the network's offsets are divided by in training


@lru_cache(maxsize=16)
def anchors(height: int, width: int, sides: tuple[tuple[int, ...], ...]) -> Array:
    """(A, 3) float64 anchors center x, center y, side, in the order of the network's outputs for such an input.

    ``sides``: those at each stride, in pixels.
    """
    parts = []
    for stride, here in zip(STRIDES, sides, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), here, indexing="ij")
        parts.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], -1).reshape(-1, 3))
    out = np.concatenate(parts).astype(np.float64)
    out.flags.writeable = False  # shared by the cache
    return out


def decode(offsets: Array, points: Array, anchor: Array) -> tuple[Array, Array]:
    """Boxes (K, 4) and landmarks (K, 5, 2) in input pixels, from offsets (K, 4), points (K, 10) and anchors (K, 3)."""
    center, side = anchor[:, :2], anchor[:, 2:]
    middle = center + offsets[:, :2] * CENTER_VARIANCE * side
    half = side * np.exp(offsets[:, 2:].astype(np.float64) * SIZE_VARIANCE) / 2
    marks = center[:, None] + points.reshape(-1, 5, 2) * CENTER_VARIANCE * side[:, None]
    return np.concatenate([middle - half, middle + half], 1), marks


def _areas(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Common areas (n, m) of boxes a (n, 4) and b (m, 4), and their own, (n, 1) and (1, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    area_a = np.clip(a[:, 2:4] - a[:, :2], 0, None).prod(-1)
    area_b = np.clip(b[:, 2:4] - b[:, :2], 0, None).prod(-1)
    return np.clip(high - low, 0, None).prod(-1), area_a[:, None], area_b[None]


def iou(a: Array, b: Array) -> Array:
    """(n, m) intersection over union of boxes a (n, 4) and b (m, 4)."""
    both, area_a, area_b = _areas(a, b)
    return np.asarray(both / np.maximum(area_a + area_b - both, 1e-9))


def suppress(boxes: Array, scores: Array, overlap: float) -> Array:
    """Indices of the boxes (n, 4) to keep, best score first.

    None overlaps a better kept one by more than ``overlap`` (intersection over union), nor shares more than INSIDE of
    the smaller one's area with it.
    """
    order = np.argsort(-scores, kind="stable")
    both, area_a, area_b = _areas(boxes[order], boxes[order])
    clash = both > overlap * np.maximum(area_a + area_b - both, 1e-9)
    clash |= both > INSIDE * np.minimum(area_a, area_b)
    alive = np.ones(len(order), bool)
    for i in range(len(order)):  # a face or two are left after the first steps; the matrix is the costly part
        if alive[i]:
            alive[i + 1 :] &= ~clash[i, i + 1 :]
    return np.asarray(order[alive])


def vote(rows: Array, boxes: Array, weights: Array, keep: Array) -> Array:
    """(k, d) kept rows of (n, d), each averaged with the rows whose boxes (n, 4) overlap its own by more than half.

    A face is seen by a dozen anchors. Their mean trembles from frame to frame only two thirds as much as the best one's
    estimate (measured on seven clips: 0.40 % instead of 0.65 % of the face's height).
    """
    together = (iou(boxes[keep], boxes) > 0.5) * weights
    return np.asarray(together @ rows / together.sum(1, keepdims=True))
