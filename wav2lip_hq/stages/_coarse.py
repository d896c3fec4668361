"""Coarse pictures of the aligned face: what the generator's pixels can tell, and what blending does with it."""

from __future__ import annotations

import cv2
import numpy as np

from ..types import Array
from ._paste import Area

# The coarse picture is what the generator's pixels, 5 px here, can tell. Averaging UNIT px, a Gaussian of SIGMA and
# enlarging again amount to a Gaussian of 5 px at a tenth of its cost.
UNIT, SIGMA = 4, 1.15


def cells(area: Area, unit: int) -> Area:
    """The area in a picture whose pixels are ``unit`` px wide."""
    rows, columns = area
    return slice(rows.start // unit, rows.stop // unit), slice(columns.start // unit, columns.stop // unit)


def coarsened(image: Array) -> Array:
    """(h / UNIT, w / UNIT, 3) float32: the image without detail."""
    small = cv2.resize(image, None, fx=1 / UNIT, fy=1 / UNIT, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), SIGMA))


def enlarged(small: Array, like: Array | None = None) -> Array:
    """A coarse picture at full size, or at the size of ``like``."""
    height, width = (small.shape[0] * UNIT, small.shape[1] * UNIT) if like is None else like.shape[:2]
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def weighted(image: Array, weight: Array) -> Array:
    """image (h, w, C) times weight (h, w); numpy would go through the channels one by one."""
    return np.asarray(cv2.multiply(image, cv2.merge([weight] * image.shape[2])))


def apart(a: Array, b: Array) -> Array:
    """(h, w): the largest difference of a channel between (h, w, 3) images."""
    red, green, blue = cv2.split(cv2.absdiff(a, b))
    return np.asarray(cv2.max(cv2.max(red, green), blue))
