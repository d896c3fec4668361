"""Flicker, sharpness, visible seams, and changes outside the mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..errors import InputError
from ..types import Array


def flicker(frames: Sequence[Array]) -> float:
    """Mean energy of the second difference over time of (H, W, C) uint8 frames, which is 0 for steady changes. >= 0,
    lower is steadier; compare with the source's. NaN for fewer than three frames.

    >>> flicker([np.full((2, 2, 3), v, np.uint8) for v in (10, 20, 30)])
    0.0
    """
    if len(frames) < 3:
        return float("nan")
    total = 0.0
    for a, b, c in zip(frames, frames[1:], frames[2:], strict=False):
        total += float(np.mean((a.astype(np.float32) - 2 * b.astype(np.float32) + c) ** 2))
    return total / (len(frames) - 2)


def sharpness(frames: Sequence[Array]) -> float:
    """Mean variance of the Laplacian of the gray pictures (H, W, 3) uint8; >= 0, higher is sharper (noise too). NaN for
    none.

    >>> sharpness([np.full((4, 4, 3), 90, np.uint8)])
    0.0
    """
    if not len(frames):
        return float("nan")
    return float(np.mean([cv2.Laplacian(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var() for f in frames]))


def background_change(frame: Array, source: Array, touched: Array) -> int:
    """Largest difference of two (H, W, 3) frames outside ``touched`` (H, W) bool, which must be 0. Raises InputError
    for different shapes.

    >>> source = np.zeros((2, 2, 3), np.uint8)
    >>> background_change(source + np.uint8(3), source, np.array([[True, True], [False, True]]))
    3
    """
    if frame.shape != source.shape or touched.shape != frame.shape[:2]:
        raise InputError(f"frames and mask differ in shape: {frame.shape}, {source.shape}, {touched.shape}")
    change = np.abs(frame.astype(np.int64) - source).max(2)
    return int(change[~touched].max(initial=0))


def seam(frame: Array, source: Array, mask: Array) -> float:
    """How visible the border of a blended region is: the added gradient there.

    frame, source (H, W, 3) uint8; mask (H, W) in [0, 1], 1 inside. The mean gradient magnitude (of gray, a pixel) in
    the band where the mask rises from 0.02 to 0.98, less the source's; 0 = no more edge than was there, higher is
    worse, may be negative where texture was lost. NaN when the mask has no border.

    >>> flat, mask = np.zeros((8, 8, 3), np.uint8), np.tile(np.linspace(0, 1, 8), (8, 1))
    >>> seam(flat, flat, mask)
    0.0
    """
    band = (mask > 0.02) & (mask < 0.98)
    if not band.any():
        return float("nan")

    def edges(image: Array) -> float:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        gx, gy = cv2.Sobel(gray, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(gray, cv2.CV_32F, 0, 1, scale=0.125)
        return float(np.hypot(gx, gy)[band].mean())

    return edges(frame) - edges(source)
