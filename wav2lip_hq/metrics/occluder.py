"""The occluder test: a synthetic object is composited over the mouth of a clip; does a tool paint over it?

This project's own measure; no published one was found. Hand and microphone are drawn, so that their exact pixels are
known. The clip is dubbed with its own words: where the occluder is opaque nothing may change, around it no seam may be
visible, and the rest of the mouth should look as before.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ..errors import InputError
from ..types import Array
from .mouth import eye_distance
from .paint import mouth_region

KINDS = ("hand", "microphone")
RING = 16  # px: width of the ring around the occluder
MOST_DB = 100.0  # dB: upper limit of PSNR


def draw(kind: str, size: int = 256) -> Array:
    """(size, size, 4) uint8 RGBA picture of a ``hand`` (fingers up) or a ``microphone`` (held from below). Raises
    InputError for another kind."""
    if kind not in KINDS:
        raise InputError(f"an occluder is one of {', '.join(KINDS)}, not '{kind}'")
    over = 4  # supersampling, for soft edges
    color = np.zeros((size * over, size * over, 3), np.float32)
    alpha = np.zeros((size * over, size * over), np.uint8)
    (_hand if kind == "hand" else _microphone)(color, alpha)
    grain = np.random.default_rng(0).normal(0, 5, color.shape[:2])[..., None]
    rgba = np.dstack([np.clip(color + grain, 0, 255), alpha]).astype(np.float32)
    small = cv2.resize(rgba, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(np.round(small).astype(np.uint8))


def _capsule(
    color: Array, alpha: Array, a: tuple[float, float], b: tuple[float, float], radius: float, tint: Array
) -> None:
    """A capsule from ``a`` to ``b`` (in sides of the picture), darker toward its sides."""
    side = len(alpha)
    y, x = np.mgrid[0:side, 0:side] / side
    along = np.subtract(b, a)
    t = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(float(along @ along), 1e-9), 0, 1)
    near = np.hypot(x - a[0] - t * along[0], y - a[1] - t * along[1]) / radius
    inside = near < 1
    color[inside] = (tint * (1 - 0.35 * near[..., None] ** 2))[inside]
    alpha[inside] = 255


def _hand(color: Array, alpha: Array) -> None:
    skin = np.array([205.0, 150.0, 120.0])
    _capsule(color, alpha, (0.5, 0.95), (0.5, 0.62), 0.24, skin)
    _capsule(color, alpha, (0.66, 0.75), (0.9, 0.5), 0.075, skin)
    for x, top in ((0.31, 0.2), (0.43, 0.1), (0.56, 0.12), (0.68, 0.22)):
        _capsule(color, alpha, (x, 0.6), (x + 0.08 * (x - 0.5), top), 0.074, skin)


def _microphone(color: Array, alpha: Array) -> None:
    _capsule(color, alpha, (0.5, 0.4), (0.56, 1.1), 0.11, np.array([45.0, 45.0, 50.0]))
    _capsule(color, alpha, (0.5, 0.27), (0.5, 0.29), 0.22, np.array([125.0, 125.0, 130.0]))
    side = len(alpha)
    for at in np.arange(0.07, 0.5, 0.035):  # the wire basket
        rows = slice(round(at * side), round((at + 0.008) * side))
        color[rows][alpha[rows] > 0] *= 0.6


def place(mesh: Array, frame: int, fps: float, shape: tuple[int, int], rgba: Array) -> Array:
    """(H, W, 4) uint8: the occluder over the mouth of one mesh (468, 2 or 3) in a picture of ``shape`` (H, W).

    About 1.3 eye distances wide, upright with the face, swaying sideways over two seconds by half an eye distance, so
    that it covers all of the mouth at one time and part of it at others.
    """
    points = np.asarray(mesh, np.float64)[:, :2]
    eyes = float(eye_distance(points[None])[0])
    down = points[152] - points[10]
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    right = np.array([down[1], -down[0]])
    sway = 0.5 * eyes * math.sin(math.pi * frame / fps)
    middle = points[[13, 14]].mean(0) + right * sway
    scale = 1.3 * eyes / rgba.shape[1]
    linear = np.stack([right, down], 1) * scale
    anchor = np.array([0.5, 0.33]) * rgba.shape[1]  # of the occluder: what lies over the mouth
    matrix = np.concatenate([linear, (middle - linear @ anchor)[:, None]], 1)
    soft = rgba.astype(np.float32)
    soft[..., :3] *= soft[..., 3:] / 255  # premultiplied: no dark rim
    out = cv2.warpAffine(soft, matrix, shape[::-1], flags=cv2.INTER_AREA)
    out[..., :3] /= np.maximum(out[..., 3:], 1) / 255
    return np.asarray(np.round(np.clip(out, 0, 255)).astype(np.uint8))


def composite(frame: Array, rgba: Array) -> Array:
    """(H, W, 3) uint8: an RGBA picture (H, W, 4) over a frame. Raises InputError for different sizes."""
    if frame.shape[:2] != rgba.shape[:2]:
        raise InputError(f"frame and occluder differ in size: {frame.shape} and {rgba.shape}")
    weight = rgba[..., 3:].astype(np.float32) / 255
    return np.asarray(np.round(frame * (1 - weight) + rgba[..., :3] * weight).astype(np.uint8))


class Covered:
    """Collects what a result changed on and around an occluder.

    ``covered``: largest change in 8-bit steps where the occluder is opaque, 0 is right, lower is better. ``ring``: PSNR
    in dB in the 16 px around it, higher is better. ``beside``: PSNR in dB of the mouth's region that is not covered,
    higher is better. PSNR is cut at 100 dB; None where there were no such pixels. A finished video's codec changes
    pixels, too: compare with the row of the covered clip encoded anew.
    """

    def __init__(self) -> None:
        self.largest: int | None = None
        self.error, self.pixels = np.zeros(2), np.zeros(2)

    def add(self, frame: Array, covered: Array, alpha: Array, mesh: Array) -> None:
        """Add a frame of the result and of the covered clip, (H, W, 3) uint8, the occluder's alpha (H, W) uint8 and
        the mesh (468, 2 or 3) of the face below it. Raises InputError for different shapes."""
        if frame.shape != covered.shape or alpha.shape != frame.shape[:2]:
            raise InputError(f"frames and occluder differ in shape: {frame.shape}, {covered.shape}, {alpha.shape}")
        change = np.abs(frame.astype(np.int32) - covered)
        opaque = alpha == 255
        if opaque.any():
            self.largest = max(self.largest or 0, int(change[opaque].max()))
        some = (alpha > 0).astype(np.uint8)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING + 1, 2 * RING + 1))
        regions = [(cv2.dilate(some, kernel) > 0) & (some == 0)]
        if np.isfinite(mesh).all():
            regions.append(mouth_region(mesh, alpha.shape) & (some == 0))
        for n, where in enumerate(regions):
            self.error[n] += float((change[where] ** 2).sum())
            self.pixels[n] += 3 * int(where.sum())

    def merge(self, other: Covered) -> None:
        """Add another part's frames."""
        largest = [x for x in (self.largest, other.largest) if x is not None]
        self.largest = max(largest) if largest else None
        self.error += other.error
        self.pixels += other.pixels

    def compute(self) -> dict[str, float | None]:
        """``covered``, ``ring`` and ``beside``."""
        ring, beside = (_psnr(e, n) for e, n in zip(self.error, self.pixels, strict=True))
        return {"covered": None if self.largest is None else float(self.largest), "ring": ring, "beside": beside}


def _psnr(error: float, pixels: float) -> float | None:
    if not pixels:
        return None
    return MOST_DB if error == 0 else min(MOST_DB, 10 * math.log10(255**2 * pixels / error))
