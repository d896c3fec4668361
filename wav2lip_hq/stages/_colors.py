"""How far the colors of a made face have drifted from the source: of the skin a smooth field, of the lips a mean."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ..geometry import FFHQ_512
from ..types import Array
from ._coarse import SIGMA, apart, weighted
from ._paste import CANVAS

COLORS, SPREAD = 64, 3.0  # grid of the color field, and its smoothness in cells of 8 px
FEW = 40  # coarse pixels of lips: fewer say nothing about their color
PAINT = 60.0  # 8-bit steps: what lacks more than this is no paint
DARK = 32.0  # 8-bit steps: darker than this, color is noise


@lru_cache(maxsize=1)
def _not_mouth() -> Array:
    """(64, 64) float32: where the skin of the aligned face should look as it did, which leaves out the mouth."""
    out = np.ones((COLORS, COLORS), np.float32)
    unit = COLORS / CANVAS
    (x1, y1), (x2, y2) = FFHQ_512[3], FFHQ_512[4]
    center = (round((x1 + x2) / 2 * unit), round((y1 + y2) / 2 * unit))
    cv2.ellipse(out, center, (round((x2 - x1) * 0.75 * unit), round((x2 - x1) * 0.6 * unit)), 0, 0, 360, 0.02, -1)
    return out


def drift(aligned: Array, made: Array, mask: Array) -> Array:
    """(64, 64, 3) float32 to add to the made face: how far its colors have drifted from the source's, as a smooth
    field known on the skin around the mouth and carried across it."""
    before, after = (
        cv2.resize(x, (COLORS, COLORS), interpolation=cv2.INTER_AREA).astype(np.float32) for x in (aligned, made)
    )
    weight = cv2.resize(mask, (COLORS, COLORS), interpolation=cv2.INTER_AREA).astype(np.float32) / 255 * _not_mouth()
    # A moved jaw is no drift of color: large differences count little.
    weight = weight / (1 + (apart(before, after) / 24) ** 2)
    total = cv2.GaussianBlur(weight, (0, 0), SPREAD) + 1e-3
    return weighted(cv2.GaussianBlur(weighted(before - after, weight), (0, 0), SPREAD), 1 / total)


def lips_lack(coarse: Array, source: Array, lips: Array) -> Array | None:
    """(3,) what the mean color of the lips of ``coarse`` lacks of that in ``source``; None where too few of them show.

    lips: (2, h, w) in [0, 1], where they are in the source and in the coarse picture.
    """
    before, after = (float(x.sum()) for x in lips)
    if min(before, after) < FEW:
        return None
    lack = lips[0].ravel() @ source.reshape(-1, 3) / before - lips[1].ravel() @ coarse.reshape(-1, 3) / after
    return np.asarray(np.clip(lack, -PAINT, PAINT), np.float32)


def painted_lips(coarse: Array, lips: Array, lack: Array) -> Array:
    """``coarse`` with ``lack`` (3,) added where its lips (h, w) are."""
    return np.asarray(coarse + cv2.GaussianBlur(lips, (0, 0), SIGMA)[..., None] * lack)


def violet(image: Array, mask: Array) -> float:
    """By which share, >= 0, blue most exceeds green in ``image`` (h, w, 3) where ``mask`` (h, w) is over 0.5."""
    inside = mask > 0.5
    more = (image[..., 2] - image[..., 1]) / (image[..., 1] + DARK)
    return max(0.0, float(more[inside].max())) if inside.any() else 0.0


def without_violet(coarse: Array, most: float) -> Array:
    """``coarse`` with blue exceeding green by a share of ``most`` at most: a generator that is unsure between
    teeth and shadow paints them violet, which no skin, tooth or unpainted lip is."""
    red, green, blue = cv2.split(coarse)
    return np.asarray(cv2.merge([red, green, cv2.min(blue, green + most * (green + DARK))]))
