"""The source's own pixels, moved by optical flow to where a synthesized face shows them."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ..types import Array
from ._coarse import UNIT, apart

SMOOTH = 1.5  # coarse pixels: Gaussian over the flow; neighboring skin moves alike
TOLERANCE = 0.12  # difference, as a share of the mouth's brightness, at which agreement has fallen to 1/e
LEAST = 32  # px: OpenCV's DIS flow crashes on smaller pictures


def motion(made: Array, source: Array) -> Array:
    """(h, w, 2) float32 optical flow: where in ``source`` each pixel of ``made`` is from, in coarse pixels (x, y)."""
    height, width = made.shape[:2]
    more = (0, max(0, LEAST - height), 0, max(0, LEAST - width))
    gray = (
        cv2.copyMakeBorder(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), *more, cv2.BORDER_REPLICATE) for x in (made, source)
    )
    made8, source8 = (x.clip(0, 255).astype(np.uint8) for x in gray)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(made8, source8, None)
    return np.asarray(cv2.GaussianBlur(flow[:height, :width], (0, 0), SMOOTH))


def moved_along(image: Array, flow: Array) -> Array:
    """image (h, w, 3) sampled where the flow (h, w, 2) says."""
    at = cv2.add(flow, _places(*image.shape[:2]))
    return np.asarray(cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


@lru_cache(maxsize=16)
def _places(height: int, width: int) -> Array:
    """(h, w, 2) float32: the (x, y) of every pixel."""
    return np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))


def agreement(coarse: Array, coarse_source: Array, light: float) -> Array:
    """(h, w) float32 in [0, 1]: how well the moved source agrees with the synthesis. light: the mouth's brightness.

    In dark footage a mouth that opens changes by few 8-bit steps, so the tolerance is relative to the light.
    """
    difference = cv2.dilate(apart(coarse, coarse_source), np.ones((3, 3), np.uint8))
    difference = cv2.GaussianBlur(difference, (0, 0), 5 / UNIT)
    return believed(difference, TOLERANCE, light)


def believed(difference: Array, tolerance: float, light: float) -> Array:
    """In [0, 1]: agreement of pictures that differ by so many 8-bit steps. tolerance: as a share of the brightness
    ``light``."""
    return np.asarray(np.exp(-((difference / (tolerance * light + 1)) ** 2)))
