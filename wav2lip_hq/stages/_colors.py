"""Color matching of a synthesized face to the source: a smooth field for the skin, a mean for the lips."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ..geometry import FFHQ_512
from ..types import Array
from ._coarse import SIGMA, apart, weighted
from ._paste import CANVAS

COLORS, SPREAD = 64, 3.0  # side of the color field in cells of 8 px, and the Gaussian that smooths it, in cells
FEW = 40  # least coarse pixels of lips for a mean color
PAINT = 60.0  # 8-bit steps: the lips' color is corrected by at most this much
DARK = 32.0  # 8-bit steps added to brightness in ratios of colors: in darker pixels color is mostly noise


@lru_cache(maxsize=1)
def _not_mouth() -> Array:
    """(64, 64) float32 weights of the aligned face: 1 on the skin around the mouth, 0.02 on the mouth."""
    out = np.ones((COLORS, COLORS), np.float32)
    unit = COLORS / CANVAS
    (x1, y1), (x2, y2) = FFHQ_512[3], FFHQ_512[4]
    center = (round((x1 + x2) / 2 * unit), round((y1 + y2) / 2 * unit))
    cv2.ellipse(out, center, (round((x2 - x1) * 0.75 * unit), round((x2 - x1) * 0.6 * unit)), 0, 0, 360, 0.02, -1)
    return out


def drift(aligned: Array, made: Array, mask: Array) -> Array:
    """(64, 64, 3) float32 to add to the synthesized face ``made``: the difference of colors to the source on the skin
    around the mouth, smoothly interpolated across the mouth."""
    before, after = (
        cv2.resize(x, (COLORS, COLORS), interpolation=cv2.INTER_AREA).astype(np.float32) for x in (aligned, made)
    )
    weight = cv2.resize(mask, (COLORS, COLORS), interpolation=cv2.INTER_AREA).astype(np.float32) / 255 * _not_mouth()
    # A moved jaw is not a difference of color: large differences get little weight.
    weight = weight / (1 + (apart(before, after) / 24) ** 2)
    total = cv2.GaussianBlur(weight, (0, 0), SPREAD) + 1e-3
    return weighted(cv2.GaussianBlur(weighted(before - after, weight), (0, 0), SPREAD), 1 / total)


def lips_lack(coarse: Array, source: Array, lips: Array) -> Array | None:
    """(3,) mean color of the lips in ``source`` minus that in ``coarse``; None where too little of them is visible.

    lips: (2, h, w) in [0, 1], the masks of the lips in the source and in the coarse picture.
    """
    before, after = (float(x.sum()) for x in lips)
    if min(before, after) < FEW:
        return None
    lack = lips[0].ravel() @ source.reshape(-1, 3) / before - lips[1].ravel() @ coarse.reshape(-1, 3) / after
    return np.asarray(np.clip(lack, -PAINT, PAINT), np.float32)


def painted_lips(coarse: Array, lips: Array, lack: Array) -> Array:
    """``coarse`` with ``lack`` (3,) added on its lips (mask (h, w))."""
    return np.asarray(coarse + cv2.GaussianBlur(lips, (0, 0), SIGMA)[..., None] * lack)


def violet(image: Array, mask: Array) -> float:
    """The largest relative excess of blue over green, >= 0, in ``image`` (h, w, 3) where ``mask`` (h, w) is over
    0.5."""
    inside = mask > 0.5
    more = (image[..., 2] - image[..., 1]) / (image[..., 1] + DARK)
    return max(0.0, float(more[inside].max())) if inside.any() else 0.0


def without_violet(coarse: Array, most: float) -> Array:
    """``coarse`` with the relative excess of blue over green limited to ``most``: a generator that is unsure between
    teeth and shadow paints violet, a color that neither skin nor teeth nor unpainted lips have."""
    red, green, blue = cv2.split(coarse)
    return np.asarray(cv2.merge([red, green, cv2.min(blue, green + most * (green + DARK))]))
