"""Pixel-center conventions, similarity fits and anti-aliased crops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wav2lip_hq import geometry as g


def random_similarity(rng):
    angle, scale = rng.uniform(-1, 1), rng.uniform(0.3, 3)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, rng.uniform(-50, 50)], [s, c, rng.uniform(-50, 50)]])


def test_fit_similarity_recovers_the_transform():
    rng = np.random.default_rng(0)
    for _ in range(20):
        m = random_similarity(rng)
        points = rng.uniform(0, 100, (5, 2))
        target = points @ m[:, :2].T + m[:, 2]
        assert np.allclose(g.fit_similarity(points[None], target)[0], m, atol=1e-9)


def test_fit_similarity_never_mirrors():
    points = np.array([[0, 0], [1, 0], [1, 1.0]])
    fit = g.fit_similarity(points[None], points * [-1, 1])[0]
    assert np.linalg.det(fit[:, :2]) >= 0


def test_invert_and_compose():
    rng = np.random.default_rng(1)
    a, b = np.stack([random_similarity(rng) for _ in range(4)]), np.stack([random_similarity(rng) for _ in range(4)])
    eye = np.broadcast_to(np.eye(2, 3), (4, 2, 3))
    assert np.allclose(g.compose(a, g.invert(a)), eye)
    xy = rng.normal(size=2)
    one = g.compose(a, b)[0]
    step = b[0][:, :2] @ xy + b[0][:, 2]
    assert np.allclose(one[:, :2] @ xy + one[:, 2], a[0][:, :2] @ step + a[0][:, 2])


def test_box_to_crop_maps_edges_to_edges():
    m = g.box_to_crop(np.array([[10.0, 20.0, 58.0, 92.0]]), 96)[0]
    assert np.allclose(m[:, :2] @ [10, 20] + m[:, 2], -0.5)
    assert np.allclose(m[:, :2] @ [58, 92] + m[:, 2], 95.5)


def test_scaling_keeps_pixel_centers():
    """The middle of an image stays its middle, and the outer edge its edge."""
    m = g.scaling(4.0)
    assert np.allclose(m[:, :2] @ [47.5, 47.5] + m[:, 2], 191.5)
    assert np.allclose(m[:, :2] @ [-0.5, -0.5] + m[:, 2], -0.5)


def test_pad_box_grows_by_fractions():
    assert np.allclose(g.pad_box(np.array([[0.0, 0, 100, 200]]), (0.1, 0.2, 0.3, 0.4)), [[-30, -20, 140, 240]])


def test_sample_identity_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(g.sample(image, np.eye(2, 3), 64), image)


def test_sample_shift_by_whole_pixels_is_exact():
    image = np.random.default_rng(0).integers(0, 65536, (80, 90, 3), dtype=np.uint16)
    m = np.array([[1.0, 0, -7], [0, 1, -5]])
    assert np.array_equal(g.sample(image, m, 64), image[5:69, 7:71])


def test_shrinking_is_anti_aliased():
    """A one-pixel checkerboard shrinks to flat gray; plain bilinear sampling would give moire."""
    y, x = np.mgrid[:512, :512]
    board = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    for scale in (0.13, 0.21, 0.37):
        m = np.array([[scale, 0, 0.3], [0, scale, 0.2]])
        crop = g.sample(board, m, int(512 * scale) - 2)
        assert abs(float(crop.mean()) - 127.5) < 2 and crop.std() < 12


@pytest.mark.parametrize(("scale", "sigma"), [(0.2, 14.0), (0.5, 14.0), (1.0, 11.0), (2.5, 4.0)])
def test_positions_survive_every_scale(scale, sigma):
    """A blob's center lands where the matrix says, to a tenth of a crop pixel."""
    image = np.zeros((400, 400, 3), np.uint8)
    y, x = np.mgrid[:400, :400]
    blob = 255 * np.exp(-((x - 200.3) ** 2 + (y - 190.6) ** 2) / (2 * sigma**2))
    image[:] = blob[..., None].round().astype(np.uint8)
    size = 96
    m = np.array([[scale, 0.0, 48 - scale * 203], [0.0, scale, 44 - scale * 188]])
    crop = g.sample(image, m, size)[..., 0].astype(float)
    wide = int(np.ceil(4 * sigma * scale))
    want = m[:, :2] @ [200.3, 190.6] + m[:, 2]
    x1, x2 = int(want[0]) - wide, int(want[0]) + wide + 1
    assert 0 <= x1 and x2 <= size, "the blob fits into the crop"
    yy, xx = np.mgrid[:size, :size]
    part = crop[:, x1:x2]
    assert abs((part * xx[:, x1:x2]).sum() / part.sum() - want[0]) < 0.1
    assert abs((part * yy[:, x1:x2]).sum() / part.sum() - want[1]) < 0.1


def test_outside_the_frame_the_border_is_repeated():
    image = np.zeros((50, 50, 3), np.uint8)
    image[:, 0] = 200
    image[:, 1:] = 100
    m = np.array([[1.0, 0, 30], [0, 1, 0]])
    crop = g.sample(image, m, 50)
    assert (crop[:, :30] == 200).all() and (crop[:, 31:] == 100).all()
    far = np.array([[1.0, 0, 3000], [0, 1, 3000]])
    assert g.sample(image, far, 32).shape == (32, 32, 3)


def test_region_covers_the_crop_and_is_clipped():
    m = g.box_to_crop(np.array([[-20.0, 10, 40, 70]]), 96)[0]
    x1, y1, x2, y2 = g.region(m, 96, (60, 60))
    assert (x1, x2, y2) == (0, 43, 60) and y1 <= 10
    outside = g.box_to_crop(np.array([[100.0, 100, 140, 140]]), 96)[0]
    x1, y1, x2, y2 = g.region(outside, 96, (60, 60))
    assert x2 <= x1 or y2 <= y1


def test_sample_agrees_with_opencv_where_nothing_is_shrunk():
    image = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    m = np.array([[0.9, -0.2, 10], [0.2, 0.9, -15]])
    want = cv2.warpAffine(image, m, (96, 96), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(g.sample(image, m, 96).astype(int) - want).max() <= 2


def test_template_is_upright():
    left, right, nose, *_ = g.FFHQ_512
    assert left[0] < right[0] and nose[1] > left[1]
