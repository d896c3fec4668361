"""Augmentation: beards and mustaches drawn on faces, because the training footage shows few."""

from __future__ import annotations

import cv2
import numpy as np

from .. import mesh
from ..types import Array

_BELOW_NOSE = mesh.at(98, 97, 2, 326, 327)
_BROWS = mesh.at(105, 66, 296, 334)
_CHEEKS = mesh.at(205, 425)
_LOWER_RING = mesh.OUTER_LIPS.start + np.array([10, *range(11, 20), 0])  # right corner, below the lip, left corner
_UPPER_RING = mesh.OUTER_LIPS.start + np.arange(11)


def bearded(crop: Array, points: Array, rng: np.random.Generator) -> Array:
    """The crop (H, W, 3) uint8 of a face with points (POINTS, 2) px, with random facial hair: stubble or a beard, on
    the upper lip, the chin or the whole jaw. Lips stay free, except that hair may hang over the upper lip's edge."""
    height, width = crop.shape[:2]
    eyes = float(mesh.eye_distance(points))
    where = _region(points, eyes, (height, width), rng)
    soft = cv2.GaussianBlur(where, (0, 0), eyes * rng.uniform(0.02, 0.07)) / 255.0
    lips = np.zeros((height, width), np.uint8)
    ring = points[mesh.OUTER_LIPS].copy()
    hang = rng.uniform(-0.1, 0.35) if rng.random() < 0.7 else 0.0
    upper, inner = ring[1:10], points[mesh.INNER_LIPS][1:10]
    ring[1:10] = upper + hang * (inner - upper)
    cv2.fillPoly(lips, [np.round(ring * 8).astype(np.int32)], 255, cv2.LINE_AA, 3)
    inside = np.zeros_like(lips)
    cv2.fillPoly(inside, [np.round(points[mesh.INNER_LIPS] * 8).astype(np.int32)], 255, cv2.LINE_AA, 3)
    free = 1 - np.maximum(cv2.GaussianBlur(lips, (0, 0), max(0.4, eyes * 0.008)), inside) / 255.0
    # Hair: noise with a directional blur.
    length = max(2.0, eyes * rng.uniform(0.03, 0.16))
    hairs = _strokes((height, width), length, float(rng.normal(0, 25)), rng)
    patches = cv2.resize(rng.normal(0, 1, (7, 7)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    dense = rng.uniform(0.15, 0.45) if rng.random() < 0.3 else rng.uniform(0.5, 1.1)
    alpha = np.clip(dense + rng.uniform(0.1, 0.35) * hairs + 0.12 * patches, 0, 0.97) * soft * free
    shade = 1 + rng.uniform(0.1, 0.4) * _strokes((height, width), length, float(rng.normal(0, 25)), rng)
    color = _color(crop, points, rng) * shade[..., None].clip(0.3, 2.2)
    return np.asarray(np.clip(crop * (1 - alpha[..., None]) + color * alpha[..., None], 0, 255).astype(np.uint8))


def _region(points: Array, eyes: float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """(H, W) uint8 mask of the hair: upper lip, chin, both, or up the jaw to the ears."""
    out = np.zeros(shape, np.uint8)
    kind = rng.choice(["mustache", "chin", "ring", "full"], p=[0.2, 0.1, 0.25, 0.45])
    left, right = points[mesh.OUTER_LIPS.start], points[mesh.OUTER_LIPS.start + 10]
    if kind != "chin":
        nose = points[_BELOW_NOSE] + (0, eyes * rng.uniform(0, 0.06))
        aside = eyes * rng.uniform(0, 0.12)
        down = eyes * rng.uniform(-0.03, 0.12)
        corners = [np.stack([corner]) for corner in (right + (aside, down), left + (-aside, down))]
        _fill(out, np.concatenate([nose, corners[0], points[_UPPER_RING[::-1]], corners[1]]))
    jaw = points[mesh.JAW]
    if kind in ("chin", "ring"):
        middle = len(jaw) // 2
        wide = int(rng.integers(2, 5))
        low = jaw[middle - wide : middle + wide + 1] + (0, eyes * rng.uniform(0, 0.12))
        _fill(out, np.concatenate([low, [right], points[_LOWER_RING], [left]] if kind == "ring" else
                                  [low, points[_LOWER_RING][2:-2] + (0, eyes * rng.uniform(0, 0.08))]))  # fmt: skip
    if kind == "full":
        ears = int(rng.integers(1, 4))
        low = jaw[ears : len(jaw) - ears] + (0, eyes * rng.uniform(0, 0.15))
        cheeks = points[_CHEEKS] + (0, eyes * rng.uniform(0.05, 0.4))
        _fill(out, np.concatenate([low, [cheeks[1]], [right], points[_LOWER_RING], [left], [cheeks[0]]]))
    return out


def _fill(mask: Array, outline: Array) -> None:
    cv2.fillPoly(mask, [np.round(outline * 8).astype(np.int32)], 255, cv2.LINE_AA, 3)


def _strokes(shape: tuple[int, int], length: float, degrees: float, rng: np.random.Generator) -> Array:
    """(H, W) noise of standard deviation 1 with a motion blur of ``length`` px, ``degrees`` off the vertical."""
    side = int(length) | 1
    kernel = np.zeros((side + 2, side + 2), np.float32)
    center, reach = (side + 1) / 2, (length - 1) / 2
    step = np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))]) * reach
    ends = [np.round((center + s * step) * 16).astype(int).tolist() for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    out = cv2.filter2D(rng.standard_normal(shape, np.float32), -1, kernel / max(kernel.sum(), 1e-6))
    return np.asarray(out / max(float(out.std()), 1e-6))


def _color(crop: Array, points: Array, rng: np.random.Generator) -> Array:
    """(3,) RGB of the hair: the color of the brows, or a natural hair color at the brightness of the face."""
    x, y = points[_BROWS[int(rng.integers(len(_BROWS)))]].astype(int)
    x, y = int(np.clip(x, 4, crop.shape[1] - 5)), int(np.clip(y, 4, crop.shape[0] - 5))
    patch = crop[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).astype(np.float64)
    brow = patch[np.argsort(patch.sum(1))[: len(patch) // 3]].mean(0)
    if rng.random() < 0.5:
        return np.asarray(brow * rng.uniform(0.6, 1.2))
    kinds = [(25, 20, 18), (60, 42, 30), (110, 65, 40), (140, 110, 80), (120, 118, 115), (190, 188, 185)]
    chosen = np.array(kinds[int(rng.choice(len(kinds), p=[0.3, 0.25, 0.1, 0.1, 0.15, 0.1]))], np.float64)
    x, y = np.clip(points[_CHEEKS[0]].astype(int), 4, (crop.shape[1] - 5, crop.shape[0] - 5))
    light = crop[y - 3 : y + 4, x - 3 : x + 4].mean() / 150
    return np.asarray(chosen * np.clip(light, 0.2, 1.4) * rng.uniform(0.7, 1.2))
