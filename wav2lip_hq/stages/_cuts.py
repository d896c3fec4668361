"""Detection of hard cuts and interruptions, from thumbnails of consecutive frames.

Cut: the picture changes at once and does not come back. Interruption: it comes back within ``LOOKAHEAD`` frames (a
flash, a black frame). Pans and fast motion change the picture too, but over several frames, so a jump has to stand out
from the differences around it.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from ..types import Array

LOOKAHEAD = 3  # frames after a frame that are seen before it is labeled; also the longest interruption
# Least mean absolute difference of thumbnails (8-bit steps) of a jump. Measured on 44 clips of talking people: within a
# shot mostly under 1, up to 11 in quick motion (and as large in the frames around); between speakers in front of one
# studio wall over 16. Jump cuts (same person, same place) start at 2: those under FLOOR are left to the tracker.
FLOOR = 8.0
RATIO = 4.0  # a jump is larger than the median of the differences around it by this factor
RETURN = 0.4  # the picture has come back when it differs from the one before by less than this share of the jump


def thumbnail(frame: Array) -> Array:
    """(18, 32, 3) float32 in [0, 255] of a frame (H, W, 3) uint8 or uint16.

    Large frames are subsampled before they are averaged: fast, and exact colors do not matter here.
    """
    height, width = frame.shape[:2]
    step = max(1, min(height // 144, width // 256))
    thin = cv2.resize(frame, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_NEAREST)
    small = cv2.resize(thin, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(small / np.float32(257) if frame.dtype == np.uint16 else small)


def difference(a: Array, b: Array) -> float:
    """Mean absolute difference of two thumbnails, 0..255."""
    return float(np.abs(a - b).mean())


class Jumps:
    """Jumps without look-ahead: True for each pushed thumbnail that differs from the one before by more than FLOOR."""

    def __init__(self) -> None:
        self._last: Array | None = None

    def push(self, thumb: Array) -> bool:
        last, self._last = self._last, thumb
        return last is not None and difference(last, thumb) > FLOOR


class CutFinder:
    """Labels frames "same", "cut" or "interruption", LOOKAHEAD frames after their thumbnails were pushed in order."""

    def __init__(self) -> None:
        self._thumbs: deque[Array] = deque()  # those not yet labeled, the oldest first
        self._steps: deque[float] = deque()  # differences between neighbors, of the last 3 labeled frames and on
        self._behind = 0  # how many of _steps belong to labeled frames
        self._base: Array | None = None  # the last frame that was no interruption
        self._away = 0  # frames since then
        self._newest: Array | None = None

    def push(self, thumb: Array) -> list[str]:
        """Take a frame; return the labels that are now certain, of the oldest unlabeled frames."""
        self._steps.append(0.0 if self._newest is None else difference(self._newest, thumb))
        self._newest = thumb
        self._thumbs.append(thumb)
        return [self._label()] if len(self._thumbs) > LOOKAHEAD else []

    def finish(self) -> list[str]:
        """Labels of the frames left when there are no more."""
        out = []
        while self._thumbs:
            out.append(self._label())
        return out

    def _label(self) -> str:
        thumb = self._thumbs.popleft()
        at, steps = self._behind, list(self._steps)
        self._behind += 1
        while self._behind > LOOKAHEAD:
            self._steps.popleft()
            self._behind -= 1
        base = self._base
        label = "same"
        if base is not None:
            jump = difference(base, thumb)
            # Two differences on each side: in a pan they are as large as the jump itself.
            around = steps[max(0, at - 2) : at] + steps[at + 1 : at + 3]
            usual = float(np.median(around)) if around else 0.0
            if jump > max(FLOOR, RATIO * usual if self._away == 0 else 0.0):
                left = LOOKAHEAD - self._away
                back = any(difference(base, later) < RETURN * jump for later in list(self._thumbs)[:left])
                label = "interruption" if back else "cut"
        if label == "interruption":
            self._away += 1
        else:
            self._base, self._away = thumb, 0
        return label
