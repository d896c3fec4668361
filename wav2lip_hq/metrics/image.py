"""PSNR and SSIM of pictures, as scikit-image defines them, and classes that accumulate them."""

from __future__ import annotations

import math

import numpy as np

from ..errors import InputError
from ..types import Array


def pair(image: Array, reference: Array) -> tuple[Array, Array]:
    """Both as arrays. Raises InputError for pictures of different shape or type, and for empty ones."""
    image, reference = np.asarray(image), np.asarray(reference)
    if image.shape != reference.shape or image.dtype != reference.dtype:
        raise InputError(f"pictures differ: {image.dtype} {image.shape} and {reference.dtype} {reference.shape}")
    if not image.size:
        raise InputError("an empty picture has no quality")
    return image, reference


def psnr(image: Array, reference: Array) -> float:
    """Peak signal-to-noise ratio in dB of (H, W, C) uint8 or uint16; higher is better; inf for equal pictures.

    >>> psnr(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8))
    inf
    """
    image, reference = pair(image, reference)
    error = float(np.mean((image.astype(np.float64) - reference) ** 2))
    peak = float(np.iinfo(image.dtype).max)
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def ssim(image: Array, reference: Array) -> float:
    """Structural similarity of (H, W, C) uint8, at least 7 px a side; in [-1, 1], higher is better, 1 = equal.

    scikit-image's ``structural_similarity`` with its defaults (7 px uniform window), averaged over channels.

    >>> ssim(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8))
    1.0
    """
    from skimage.metrics import structural_similarity

    image, reference = pair(image, reference)
    if min(image.shape[:2]) < 7:
        raise InputError(f"SSIM needs at least 7x7 pixels, got {image.shape[1]}x{image.shape[0]}")
    return float(structural_similarity(image, reference, channel_axis=2, data_range=np.iinfo(image.dtype).max))


class Mean:
    """Mean of figures, in float64; mergeable over workers. Infinite values (equal pictures) are counted separately.

    >>> mean = Mean()
    >>> mean.add(30.0); mean.add(34.0); mean.add(math.inf)
    >>> mean.compute(), mean.infinite
    (32.0, 1)
    """

    def __init__(self) -> None:
        self.total, self.count, self.infinite = 0.0, 0, 0

    def add(self, value: float) -> None:
        """Add a figure. NaN raises InputError."""
        if math.isnan(value):
            raise InputError("a figure is not a number")
        if math.isinf(value):
            self.infinite += 1
        else:
            self.total += value
            self.count += 1

    def merge(self, other: Mean) -> None:
        """Add another worker's figures."""
        self.total += other.total
        self.count += other.count
        self.infinite += other.infinite

    def compute(self) -> float:
        """The mean; inf when every value was; NaN when there was none."""
        if self.count:
            return self.total / self.count
        return math.inf if self.infinite else math.nan
