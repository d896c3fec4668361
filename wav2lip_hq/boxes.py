"""Boxes (x1, y1, x2, y2): how much they overlap, and which of several detections of one face to keep."""

from __future__ import annotations

import numpy as np

from .types import Array


def _areas(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Intersections (n, m) of boxes a (n, 4) and b (m, 4), and the boxes' own areas, (n, 1) and (1, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    area_a = np.clip(a[:, 2:4] - a[:, :2], 0, None).prod(-1)
    area_b = np.clip(b[:, 2:4] - b[:, :2], 0, None).prod(-1)
    return np.clip(high - low, 0, None).prod(-1), area_a[:, None], area_b[None]


def iou(a: Array, b: Array) -> Array:
    """(n, m) intersection over union of boxes a (n, 4) and b (m, 4)."""
    both, area_a, area_b = _areas(a, b)
    return np.asarray(both / np.maximum(area_a + area_b - both, 1e-9))


def nms(boxes: Array, scores: Array, max_iou: float, max_inside: float = 1.0) -> Array:
    """Non-maximum suppression: indices of the boxes (n, 4) to keep, best score first.

    A box is dropped when a better one is kept and either their intersection over union exceeds ``max_iou``, or more
    than the fraction ``max_inside`` of the smaller of the two lies inside the other (1: never).
    """
    order = np.argsort(-scores, kind="stable")
    both, area_a, area_b = _areas(boxes[order], boxes[order])
    clash = both > max_iou * np.maximum(area_a + area_b - both, 1e-9)
    if max_inside < 1:
        clash |= both > max_inside * np.minimum(area_a, area_b)
    alive = np.ones(len(order), bool)
    for i in range(len(order)):  # few boxes survive the first steps; the matrix is the costly part
        if alive[i]:
            alive[i + 1 :] &= ~clash[i, i + 1 :]
    return np.asarray(order[alive])


def box_voting(rows: Array, boxes: Array, weights: Array, keep: Array) -> Array:
    """(k, d) kept rows of (n, d), each the weighted mean of all rows whose boxes (n, 4) have an intersection over union
    above 0.5 with its own (Gidaris and Komodakis 2015).

    A face is detected at a dozen anchors. Their mean jitters from frame to frame only two thirds as much as the
    best-scored one (measured on seven clips: 0.40 % instead of 0.65 % of the face's height).
    """
    together = (iou(boxes[keep], boxes) > 0.5) * weights
    return np.asarray(together @ rows / together.sum(1, keepdims=True))
