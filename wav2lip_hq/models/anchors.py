"""RetinaFace's anchors (priors), and how boxes and landmarks are encoded relative to them. numpy, no torch.

Coordinates are RetinaFace's own, in px of the network's input: pixel edges at integers, so pixel centers at +0.5.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..types import Array

Sides = tuple[tuple[int, ...], ...]

MEAN_BGR = (104.0, 117.0, 123.0)  # subtracted from the input, which is BGR in [0, 255]
STRIDES = (8, 16, 32)
SIDES: Sides = ((16, 32), (64, 128), (256, 512))  # facexlib's square anchors at each stride, in px
CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2  # what offsets of centers and logarithms of sizes are divided by


@lru_cache(maxsize=16)
def anchors(height: int, width: int, sides: Sides = SIDES) -> Array:
    """(A, 3) float64 anchors center x, center y, side, in the order of the network's outputs for such an input.

    sides: those at each stride, in px. The array is shared and read-only.
    """
    parts = []
    for stride, here in zip(STRIDES, sides, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), here, indexing="ij")
        parts.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], -1).reshape(-1, 3))
    out = np.concatenate(parts).astype(np.float64)
    out.flags.writeable = False
    return out


def as_boxes(anchor: Array) -> Array:
    """(A, 4) boxes x1, y1, x2, y2 of anchors (A, 3)."""
    half = anchor[:, 2:] / 2
    return np.concatenate([anchor[:, :2] - half, anchor[:, :2] + half], 1)


def encode(boxes: Array, points: Array, anchor: Array) -> tuple[Array, Array]:
    """Offsets (A, 4) and (A, 10), float32, that the network is to output for boxes (A, 4) and landmarks (A, 5, 2)."""
    center, side = anchor[:, :2], anchor[:, 2:]
    shift = ((boxes[:, :2] + boxes[:, 2:]) / 2 - center) / (CENTER_VARIANCE * side)
    grow = np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3) / side) / SIZE_VARIANCE
    marks = (points - center[:, None]) / (CENTER_VARIANCE * side[:, None])
    return np.concatenate([shift, grow], 1).astype(np.float32), marks.reshape(-1, 10).astype(np.float32)


def decode(offsets: Array, points: Array, anchor: Array) -> tuple[Array, Array]:
    """Boxes (K, 4) and landmarks (K, 5, 2) from offsets (K, 4), points (K, 10) and anchors (K, 3)."""
    center, side = anchor[:, :2], anchor[:, 2:]
    middle = center + offsets[:, :2] * CENTER_VARIANCE * side
    half = side * np.exp(offsets[:, 2:].astype(np.float64) * SIZE_VARIANCE) / 2
    marks = center[:, None] + points.reshape(-1, 5, 2) * CENTER_VARIANCE * side[:, None]
    return np.concatenate([middle - half, middle + half], 1), marks
