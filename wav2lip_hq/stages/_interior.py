"""The interior of a mouth that was never seen open, and what is measured in coarse cells around it."""

from __future__ import annotations

import cv2
import numpy as np

from ..types import Array
from ._coarse import UNIT
from ._paste import Area
from ._warp import INNER, LOWER_INNER, OUTER, UPPER_INNER, outlined

# The synthetic interior, RGB relative to the lips' color: the dark, the tongue; and the width of their border.
DARK, TONGUE, HOLLOW = (0.16, 0.10, 0.10), (0.55, 0.42, 0.44), 0.3
# Its upper teeth: RGB relative to the skin's color; in widths of the mouth how far they reach below the lip and to the
# sides, and the opening at which they are fully lit.
WHITE, LONG, BROAD, LIT = (0.75, 0.86, 0.88), 0.10, 0.4, 0.16


def sampled(picture: Array, covers: Area, field: Array, area: Area) -> Array:
    """(h, w, C): a coarse picture of the part ``covers`` of the canvas, moved by ``field``."""
    rows, columns = (np.arange(s.start, s.stop, UNIT, dtype=np.float32) for s in area)
    x = (columns[None] + field[..., 0] - covers[1].start) / UNIT
    y = (rows[:, None] + field[..., 1] - covers[0].start) / UNIT
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def depth(skin: Array, target: Array, area: Area) -> Array:
    """(h, w, 3) float32 for each coarse cell of ``area``: a synthetic interior, for a mouth never seen open.

    Dark, with a tongue below and teeth behind the upper lip, all soft, in the light and tint of the lips.
    """
    mouth = small(INNER, target, area)
    outer = small(OUTER, target, area)
    lips = mean_color(skin, np.maximum(outer - cv2.dilate(mouth, np.ones((3, 3))), 0))
    upper, lower = target[UPPER_INNER], target[LOWER_INNER]
    wide = max(float(upper[-1, 0] - upper[0, 0]), 1.0)
    rows, columns = (np.arange(s.start, s.stop, UNIT) + (UNIT - 1) / 2 for s in area)
    top, bottom = (np.interp(columns, line[:, 0], line[:, 1]) for line in (upper, lower))
    below, above = rows[:, None] - top, bottom - rows[:, None]  # px from the lips
    middle = np.exp(-(((columns - (upper[0, 0] + upper[-1, 0]) / 2) / (BROAD * wide)) ** 4))
    tongue = np.clip(1 - above / (HOLLOW * wide), 0, 1) ** 2 * middle
    teeth = 1 / (1 + np.exp((below - LONG * wide) / (0.025 * wide))) * middle
    teeth *= np.clip((below + 3) / (0.06 * wide), 0.45, 1)  # the lip's shadow
    teeth *= min(1.0, 0.3 + float(np.hypot(*(lower - upper).T).mean()) / (LIT * wide))
    dark, pink = np.array(DARK, np.float32), np.array(TONGUE, np.float32)
    tone = lips * (dark + tongue[..., None] * (pink - dark))
    white = mean_color(skin, 1 - cv2.dilate(outer, np.ones((3, 3)))) * np.array(WHITE, np.float32)
    return np.asarray(tone + teeth[..., None] * (white - tone), np.float32)


def mean_color(image: Array, weight: Array) -> Array:
    """(C,) float32: the mean color where there is weight."""
    weight = weight + np.float32(1e-4)
    return np.asarray((image * weight[..., None]).sum((0, 1)) / weight.sum(), np.float32)


def small(rows: list[int], target: Array, area: Area) -> Array:
    """(h, w) float32: the inside of a contour of the lips, in coarse cells."""
    return shrunk(outlined(rows, target, area))


def shrunk(shape: Array) -> Array:
    """A picture of the canvas in coarse cells."""
    return np.asarray(cv2.resize(shape, None, fx=1 / UNIT, fy=1 / UNIT, interpolation=cv2.INTER_AREA))
