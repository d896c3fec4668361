"""PSNR and SSIM against scikit-image, and their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.filters import gaussian
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wav2lip_hq.errors import InputError
from wav2lip_hq.metrics.image import Mean, psnr, ssim


def pictures():
    rng = np.random.default_rng(0)
    image = (gaussian(rng.random((40, 50, 3)), 2, channel_axis=2) * 255).astype(np.uint8)
    return image, np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def test_equal_to_scikit_image():
    a, b = pictures()
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(b, a), abs=1e-6)
    assert ssim(a, b) == pytest.approx(structural_similarity(a, b, channel_axis=2), abs=1e-6)


def test_a_copy_is_perfect_and_blur_costs():
    a, _ = pictures()
    blurred = (gaussian(a, 1.5, channel_axis=2) * 255).astype(np.uint8)
    assert psnr(a, a) == math.inf and ssim(a, a) == pytest.approx(1)
    assert ssim(blurred, a) < 0.999 and psnr(blurred, a) < 60


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 40, 3), np.uint8), np.zeros((40, 50, 3), np.float32), np.zeros((0, 0, 3), np.uint8)]
)
def test_misfits(bad):
    with pytest.raises(InputError):
        psnr(bad, pictures()[0] if bad.size else bad)
    with pytest.raises(InputError):
        ssim(bad, bad if bad.dtype == np.uint8 else pictures()[0])


def test_means_merge():
    one, two = Mean(), Mean()
    one.add(1.0)
    two.add(3.0)
    two.add(math.inf)
    one.merge(two)
    assert one.compute() == 2.0 and one.infinite == 1
    assert math.isnan(Mean().compute())
    with pytest.raises(InputError):
        one.add(math.nan)
