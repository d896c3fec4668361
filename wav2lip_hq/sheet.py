"""Contact sheets: frames of the footage above the same frames of the result."""

from __future__ import annotations

import cv2
import numpy as np

from . import geometry
from .types import Array


class Sheet:
    """Collects pairs of frames; ``picture`` puts them side by side. height: of each frame, in px, at most."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.columns: list[Array] = []

    def add(self, before: Array, after: Array) -> None:
        """One more pair of frames (H, W, 3) uint8 or uint16 of one size."""
        height = min(self.height, before.shape[0])
        width = max(2, round(before.shape[1] * height / before.shape[0]))
        pair = [
            cv2.resize(geometry.eight_bits(frame), (width, height), interpolation=cv2.INTER_AREA)
            for frame in (before, after)
        ]
        self.columns.append(np.vstack(pair))

    def picture(self) -> Array:
        """(H, W, 3) uint8 RGB."""
        return np.hstack(self.columns)
