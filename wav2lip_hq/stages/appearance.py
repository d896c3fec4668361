"""A simple embedding of a face's appearance, for picking one person among a few.

It is not a face recognition network: histograms of gradients and colors of the aligned face are enough to distinguish
the people in one clip, not to identify anybody. For that, set Track's ``embedding`` to a recognition network: a
callable from (N, 112, 112, 3) uint8 RGB crops aligned by ``crops`` to (N, D) vectors.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .. import geometry
from ..types import Array

Embedding = Callable[[Array], Array]

SIDE = 112
# The middle 320 px of the FFHQ canvas, which the face fills: close to ArcFace's alignment.
CROP_TEMPLATE: Array = (geometry.FFHQ_512 - 96) * (SIDE / 320)


def crops(image: Array, landmarks: Array) -> Array:
    """(N, 112, 112, 3) uint8 aligned crops of image (H, W, 3) uint8 or uint16 by landmarks (N, 5, 2)."""
    matrices = geometry.fit_similarity(landmarks, CROP_TEMPLATE)
    return geometry.eight_bits(geometry.warp(image[None], np.zeros(len(matrices), np.int64), matrices, SIDE))


def appearance(faces: Array) -> Array:
    """(N, D) float32 vectors of faces (N, 112, 112, 3) uint8 RGB: gradient directions in 7 x 7 cells (HOG), and
    colors."""
    return np.stack([_describe(face) for face in faces]) if len(faces) else np.zeros((0, 1), np.float32)


def _describe(face: Array) -> Array:
    gray = cv2.GaussianBlur(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    dx, dy = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    strength = np.hypot(dx, dy)
    # Unsigned directions in 8 bins, each cell normalized against light and contrast.
    which = np.minimum((np.mod(np.arctan2(dy, dx), np.pi) * (8 / np.pi)).astype(int), 7)
    edges = np.stack([np.where(which == k, strength, 0).reshape(7, 16, 7, 16).sum((1, 3)) for k in range(8)], -1)
    edges = np.sqrt(edges / (edges.sum(-1, keepdims=True) + 50 * 16))
    lab = cv2.cvtColor(face, cv2.COLOR_RGB2LAB).astype(np.float32)
    color = cv2.resize(lab, (7, 7), interpolation=cv2.INTER_AREA) - 128
    color *= np.array([0.3, 1.0, 1.0], np.float32)  # lightness depends on the lamp more than on the person
    shape = edges[:, 1:6].ravel()  # without the sides, where the background shows
    parts = ((0.8, shape - shape.mean()), (0.6, color.ravel()))
    return np.concatenate([weight * p / (np.linalg.norm(p) + 1e-6) for weight, p in parts]).astype(np.float32)


def similarity(a: Array, b: Array) -> float:
    """Cosine similarity of two vectors, in [-1, 1]."""
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9))
