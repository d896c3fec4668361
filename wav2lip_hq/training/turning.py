"""Frontal faces turned sideways with a coarse model of a head, as most pictures show people from the front."""

from __future__ import annotations

import cv2
import numpy as np

from ..types import Array

# Lengths in halves of the face's box, which is assumed to reach from hairline to chin.
BULGE = 0.6  # depth of the middle of the face relative to its sides
NOSE, NOSE_DOWN, NOSE_WIDE = 0.3, 0.15, 0.18  # height, distance below the middle, and width of the nose
REACH = (1.0, 1.6)  # distances from the middle of full displacement and of none: hair, background
GRID = 4  # px of the grid on which the displacement is computed
STEEPEST = np.radians(35.0)  # largest yaw; beyond, the displacement would fold


def shift(u: Array, v: Array, yaw: float) -> Array:
    """Horizontal displacement of points (u, v), of any shape, when the head turns by ``yaw`` radians."""
    depth = BULGE * (1 - 0.5 * u**2 - 0.3 * v**2)
    depth = depth + NOSE * np.exp(-(u**2 + (v - NOSE_DOWN) ** 2) / (2 * NOSE_WIDE**2))
    near = np.clip((REACH[1] - np.hypot(u, v)) / (REACH[1] - REACH[0]), 0, 1)
    return np.asarray(near * (u * (np.cos(yaw) - 1) + (depth - BULGE) * np.sin(yaw)))


def turned(image: Array, box: Array, points: Array, yaw: float) -> tuple[Array, Array]:
    """The image (H, W, 3) with the face in ``box`` (4,) turned by ``yaw`` radians, to the right of the image where
    positive (more than STEEPEST is cut), and its landmarks (5, 2). A box stays what it was."""
    yaw = float(np.clip(yaw, -STEEPEST, STEEPEST))
    center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    place = (points - center) / half
    moved = points.copy()
    moved[:, 0] += half[0] * shift(place[:, 0], place[:, 1], yaw)
    height, width = image.shape[:2]
    # The displacement is smooth, so a coarse grid suffices. Boxes count from pixel edges, pixels from centers.
    across, down = -(-width // GRID), -(-height // GRID)
    x, y = (np.arange(n, dtype=np.float32) + 0.5 for n in (across, down))
    u, v = np.meshgrid((x * width / across - center[0]) / half[0], (y * height / down - center[1]) / half[1])
    origin = u
    for _ in range(6):  # fixed-point iteration: the origin of what ends up at u
        origin = u - shift(origin, v, yaw)
    moves = cv2.resize(((origin - u) * half[0]).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x += moves
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)), moved
