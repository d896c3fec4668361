"""Coarse (low-pass) pictures of the aligned face, at the resolution of the generator's pixels."""

from __future__ import annotations

import cv2
import numpy as np

from ..types import Array
from ._paste import Area

# A pixel of the generator covers about 5 px of the canvas. Averaging UNIT px, then a Gaussian of SIGMA coarse pixels,
# then enlarging again amounts to a Gaussian of 5 px at a tenth of its cost.
UNIT, SIGMA = 4, 1.15


def cells(area: Area, unit: int) -> Area:
    """The area in a picture whose pixels are ``unit`` px wide."""
    rows, columns = area
    return slice(rows.start // unit, rows.stop // unit), slice(columns.start // unit, columns.stop // unit)


def coarsened(image: Array) -> Array:
    """(h / UNIT, w / UNIT, 3) float32: the low frequencies of the image."""
    small = cv2.resize(image, None, fx=1 / UNIT, fy=1 / UNIT, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), SIGMA))


def enlarged(small: Array, like: Array | None = None) -> Array:
    """A coarse picture at full size, or at the size of ``like``."""
    height, width = (small.shape[0] * UNIT, small.shape[1] * UNIT) if like is None else like.shape[:2]
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def weighted(image: Array, weight: Array) -> Array:
    """image (h, w, C) times weight (h, w); faster than numpy's broadcasting over channels."""
    return np.asarray(cv2.multiply(image, cv2.merge([weight] * image.shape[2])))


def apart(a: Array, b: Array) -> Array:
    """(h, w): the largest absolute difference over the channels of two (h, w, 3) images."""
    red, green, blue = cv2.split(cv2.absdiff(a, b))
    return np.asarray(cv2.max(cv2.max(red, green), blue))
