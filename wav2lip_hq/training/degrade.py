"""Degradation of sharp faces to a restorer's input: a quarter of the size, and as imperfect as real inputs.

The kernels are Real-ESRGAN's (basicsr's functions: Gaussian, generalized Gaussian, sinc); the mixture is milder. The
input of this pipeline's restorer is not a picture from the web but the generator's 96 px output: rather soft, hardly
noisy, rarely compressed. A share stays clean, so that a sharp input is not sharpened again.
"""

from __future__ import annotations

import cv2
import numpy as np

from .. import compat  # noqa: F401 - before basicsr
from ..types import Array
from .data_images import jpeg
from .options.pictures import DEGRADATIONS

KINDS = DEGRADATIONS


def kernel(rng: np.random.Generator, sigma: tuple[float, float]) -> Array:
    """A (21, 21) float32 blur kernel of random kind; sigma: range of standard deviations in px."""
    from basicsr.data.degradations import bivariate_Gaussian, bivariate_generalized_Gaussian, circular_lowpass_kernel

    kind = rng.random()
    if kind < 0.1:
        with np.errstate(invalid="ignore"):  # 0 / 0 at the center, which it then sets
            return np.asarray(circular_lowpass_kernel(rng.uniform(np.pi / 3, np.pi), 21), np.float32)
    x, y = rng.uniform(*sigma, 2)
    isotropic = bool(rng.random() < 0.5)
    theta = rng.uniform(-np.pi, np.pi)
    if kind < 0.3:
        out = bivariate_generalized_Gaussian(21, x, y, theta, rng.uniform(0.7, 2.5), isotropic=isotropic)
    else:
        out = bivariate_Gaussian(21, x, y, theta, isotropic=isotropic)
    return np.asarray(out, np.float32)


def reduce(image: Array, size: tuple[int, int], how: str) -> Array:
    """The image (H, W, 3) uint8 at (width, height) ``size``: "bicubic" (anti-aliased, as Pillow does it) or "area"."""
    if how == "area":
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def enlarge(image: Array, size: tuple[int, int], how: str = "bicubic") -> Array:
    """Classical upscaling, the baseline: "bicubic" or "lanczos"."""
    from PIL import Image

    filters = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
    return np.asarray(Image.fromarray(image).resize(size, filters[how]))


def _noisy(image: Array, rng: np.random.Generator, strength: float) -> Array:
    noise = rng.normal(0, strength, image.shape[:2] + ((3,) if rng.random() < 0.6 else (1,)))
    if rng.random() < 0.4:  # grain coarser than a pixel
        noise = cv2.GaussianBlur(noise, (0, 0), 0.8).reshape(noise.shape) * 1.8
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def degrade(image: Array, rng: np.random.Generator, kind: str, scale: int = 4) -> Array:
    """(H, W, 3) uint8 -> (H / scale, W / scale, 3) uint8; ``kind`` is one of KINDS."""
    h, w = image.shape[0] // scale, image.shape[1] // scale
    how = "bicubic" if rng.random() < 0.6 else "area"
    if kind == "clean":
        return reduce(image, (w, h), how)
    if kind == "generator":
        # The generator's output has less detail than its resolution: soft, at times as if upscaled, with faint noise.
        small = reduce(image, (w, h), how)
        if rng.random() < 0.5:
            f = rng.uniform(0.55, 0.95)
            small = cv2.resize(small, (max(4, round(w * f)), max(4, round(h * f))), interpolation=cv2.INTER_AREA)
            small = cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)
        else:
            small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.35, 0.9))
        return _noisy(small, rng, rng.uniform(0.3, 2.0)) if rng.random() < 0.6 else small
    heavy = kind == "heavy"
    blurred = cv2.filter2D(
        image, -1, kernel(rng, (0.6, 5.0) if heavy else (0.3, 2.0)), borderType=cv2.BORDER_REFLECT_101
    )
    small = reduce(blurred, (w, h), how)
    if rng.random() < 0.6:
        small = _noisy(small, rng, rng.uniform(1, 12 if heavy else 4))
    if rng.random() < 0.5:
        small = jpeg(small, int(rng.integers(40, 90) if heavy else rng.integers(75, 97)))
    return small
