"""Similarity fits and crop sampling. The one place that states pixel-center conventions.

Pixel centers are at integer coordinates, so an image of width W covers [-0.5, W - 0.5]. A matrix is (2, 3) float64 and
maps frame (x, y) to crop (x, y): ``crop = M[:, :2] @ xy + M[:, 2]``.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .types import Array

# Five-point template of FFHQ-aligned 512 px faces (left eye, right eye, nose, mouth corners; image left first), the
# one GFPGAN, CodeFormer and facexlib use (facexlib/utils/face_restoration_helper.py).
FFHQ_512: Array = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ],
    np.float64,
)

# Room around a face's box in the generator's crop: top, bottom, left, right, as shares of its height and width. Wav2Lip
# adds 10 px below, to keep the chin inside; at the faces of about 200 px it was tuned on that is 0.05. Generator, sync
# expert and restorer are trained on such crops.
GENERATOR_PADS = (0.0, 0.05, 0.0, 0.0)


def fit_similarity(source: Array, target: Array) -> Array:
    """Least-squares similarities (rotation, scale, shift; no mirror) taking points onto points.

    source (N, K, 2), target (K, 2) or (N, K, 2), any float dtype, K >= 2. Returns (N, 2, 3) float64.
    The closed form in complex numbers: z' = a z + b.
    """
    src = np.asarray(source, np.float64)
    dst = np.broadcast_to(np.asarray(target, np.float64), src.shape)
    z, w = src[..., 0] + 1j * src[..., 1], dst[..., 0] + 1j * dst[..., 1]
    zm, wm = z.mean(1, keepdims=True), w.mean(1, keepdims=True)
    power = np.maximum((np.abs(z - zm) ** 2).sum(1), 1e-12)
    a = ((w - wm) * np.conj(z - zm)).sum(1) / power
    b = wm[:, 0] - a * zm[:, 0]
    out = np.empty((len(src), 2, 3))
    out[:, 0] = np.stack([a.real, -a.imag, b.real], -1)
    out[:, 1] = np.stack([a.imag, a.real, b.imag], -1)
    return out


def fit_upright(landmarks: Array, template: Array) -> Array:
    """(N, 2, 3) similarities that align faces upright by their five landmarks (N, 5, 2) to a frontal template (5, 2).

    Both hold eyes, nose and corners of the mouth. Rotation is fitted to all five; scale is the smaller of those by the
    distances eye to eye and eyes to mouth, so that a face turned sideways, whose eyes are close together, still fits;
    the middle between eyes and mouth is moved onto the template's.
    """
    points, aim = np.asarray(landmarks, np.float64), np.asarray(template, np.float64)

    def facts(five: Array) -> tuple[Array, Array, Array]:
        eyes, mouth = five[..., :2, :].mean(-2), five[..., 3:, :].mean(-2)
        wide = np.linalg.norm(five[..., 0, :] - five[..., 1, :], axis=-1)
        return (eyes + mouth) / 2, np.linalg.norm(eyes - mouth, axis=-1), wide

    (middle, tall, wide), (to, tall0, wide0) = facts(points), facts(aim)
    fit = fit_similarity(points, aim)[:, :, :2]
    turn = fit / np.maximum(np.hypot(fit[:, 0, 0], fit[:, 1, 0]), 1e-9)[:, None, None]
    linear = turn / np.maximum(np.maximum(tall / tall0, wide / wide0), 1e-6)[:, None, None]
    return np.concatenate([linear, (to - np.einsum("nij,nj->ni", linear, middle))[..., None]], -1)


def apply(matrices: Array, points: Array) -> Array:
    """Points (N, K, 2) transformed by maps (N, 2, 3); float64."""
    m = np.asarray(matrices, np.float64)
    return np.asarray(np.einsum("nij,nkj->nki", m[:, :, :2], np.asarray(points, np.float64)) + m[:, None, :, 2])


def invert(matrices: Array) -> Array:
    """Inverse maps of (..., 2, 3) matrices."""
    m = np.asarray(matrices, np.float64)
    linear = np.linalg.inv(m[..., :2])
    return np.concatenate([linear, -linear @ m[..., 2:]], -1)


def compose(outer: Array, inner: Array) -> Array:
    """(..., 2, 3) matrices of "first ``inner``, then ``outer``"."""
    outer, inner = np.asarray(outer, np.float64), np.asarray(inner, np.float64)
    linear = outer[..., :2] @ inner[..., :2]
    return np.concatenate([linear, outer[..., :2] @ inner[..., 2:] + outer[..., 2:]], -1)


def scaling(factor: float) -> Array:
    """(2, 3) map from an image to its copy enlarged by ``factor``, pixel centers kept in place."""
    shift = (factor - 1) / 2
    return np.array([[factor, 0, shift], [0, factor, shift]], np.float64)


def eight_bits(image: Array) -> Array:
    """uint8 as it is; uint16 (full range) divided by 257 and rounded."""
    return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8) if image.dtype == np.uint16 else image


def shrink(image: Array, longest: int) -> Array:
    """``image`` (H, W, C) with its longer side at most ``longest`` px, area-averaged; never enlarged."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def pad_box(box: Array, pads: Sequence[float]) -> Array:
    """Boxes (N, 4) grown by fractions (top, bottom, left, right) of their own height and width."""
    x1, y1, x2, y2 = np.asarray(box, np.float64).T
    width, height = x2 - x1, y2 - y1
    top, bottom, left, right = pads
    return np.stack([x1 - left * width, y1 - top * height, x2 + right * width, y2 + bottom * height], -1)


def box_to_crop(box: Array, size: int) -> Array:
    """(N, 2, 3) maps that stretch boxes (N, 4) onto a size x size crop, edge to edge."""
    x1, y1, x2, y2 = np.asarray(box, np.float64).T
    sx, sy = size / np.maximum(x2 - x1, 1e-6), size / np.maximum(y2 - y1, 1e-6)
    zero = np.zeros_like(sx)
    # The box edge x1 is the crop's outer edge -0.5.
    return np.stack([np.stack([sx, zero, -0.5 - sx * x1], -1), np.stack([zero, sy, -0.5 - sy * y1], -1)], 1)


def region(matrix: Array, size: int, shape: tuple[int, int], margin: int = 2) -> tuple[int, int, int, int]:
    """The part of a (H, W) frame that a size x size crop covers: x1, y1, x2, y2 as ints, clipped, end exclusive.

    Empty (x2 <= x1 or y2 <= y1) when the crop lies outside the frame.
    """
    edge = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, size - 0.5], [-0.5, size - 0.5]])
    inverse = invert(matrix)
    corners = edge @ inverse[:, :2].T + inverse[:, 2]
    x1, y1 = np.floor(corners.min(0)).astype(int) - margin
    x2, y2 = np.ceil(corners.max(0)).astype(int) + 1 + margin
    height, width = shape
    return max(int(x1), 0), max(int(y1), 0), min(int(x2), width), min(int(y2), height)


def sample(image: Array, matrix: Array, size: int) -> Array:
    """One size x size crop of ``image`` (H, W, C), same dtype; borders replicated.

    Anti-aliased: where the crop is smaller than the source, the source region is first area-averaged to about twice
    the crop's resolution. Linear when shrinking, cubic when enlarging.
    """
    m = np.asarray(matrix, np.float64)
    sx, sy = float(np.hypot(*m[:, 0])), float(np.hypot(*m[:, 1]))
    height, width = image.shape[:2]
    x1, y1, x2, y2 = region(m, size, (height, width), margin=4)
    if x2 - x1 < 2 or y2 - y1 < 2:  # (nearly) outside the image: replicate the nearest border
        x1, y1 = min(max(x1, 0), max(width - 2, 0)), min(max(y1, 0), max(height - 2, 0))
        x2, y2 = max(x2, min(x1 + 2, width)), max(y2, min(y1 + 2, height))
    part = image[y1:y2, x1:x2]
    linear, offset = m[:, :2], m[:, 2] + m[:, :2] @ np.array([x1, y1], np.float64)
    fx, fy = min(1.0, 2 * sx), min(1.0, 2 * sy)
    if fx < 1 or fy < 1:
        w, h = max(2, round(part.shape[1] * fx)), max(2, round(part.shape[0] * fy))
        gx, gy = part.shape[1] / w, part.shape[0] / h
        part = cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA)
        offset = offset + linear @ np.array([(gx - 1) / 2, (gy - 1) / 2])
        linear = linear * np.array([gx, gy])
    how = cv2.INTER_CUBIC if max(sx, sy) > 1 else cv2.INTER_LINEAR
    local = np.concatenate([linear, offset[:, None]], 1)
    out = cv2.warpAffine(part, local, (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out if out.ndim == image.ndim else out[..., None])


def warp(images: Array, index: Array, matrices: Array, size: int) -> Array:
    """Crops (N, size, size, C) of ``images`` (T, H, W, C): crop n is image ``index[n]`` through ``matrices[n]``."""
    out = np.empty((len(index), size, size, images.shape[-1]), images.dtype)
    for n, i in enumerate(index):
        out[n] = sample(images[i], matrices[n], size)
    return out
