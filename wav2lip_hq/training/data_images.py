"""Pictures for the detector, parser and restorer: finding, reading and augmenting them.

Everything random takes a numpy generator, so that a batch is a function of its seed alone. Images are (H, W, 3) uint8
RGB throughout.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..geometry import shrink
from ..places import PICTURES
from ..types import Array

# The loop's threads and torch's already use all processors.
cv2.setNumThreads(1)


def find_images(folders: Iterable[str | Path]) -> list[Path]:
    """Image files under folders (or named one by one), in a stable order. Raises InputError when a place is missing."""
    found: list[Path] = []
    for folder in map(Path, folders):
        if folder.is_file():
            found.append(folder)
            continue
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of images; set data=FOLDER")
        found += sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
    return found


def read_rgb(path: Path, longest: int | None = None) -> Array:
    """An image as (H, W, 3) uint8 RGB, shrunk (area average) so that its longer side is at most ``longest``."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: not a readable image; remove it or fetch it again")
    rgb = np.ascontiguousarray(image[..., ::-1])
    return rgb if longest is None else shrink(rgb, longest)


def tone(image: Array, rng: np.random.Generator, strength: float = 1.0) -> Array:
    """Random light: gain, bias, gamma, color cast, saturation, seldom gray."""
    if strength <= 0:
        return image
    x = (np.arange(256) / 255.0) ** np.exp(rng.normal(0, 0.25 * strength))
    gain = np.exp(rng.normal(0, 0.2 * strength)) * np.exp(rng.normal(0, 0.08 * strength, 3))
    bias = rng.normal(0, 0.06 * strength)
    table = np.clip((x[:, None] * gain + bias) * 255 + 0.5, 0, 255).astype(np.uint8)
    out = cv2.LUT(image, table[:, None, :].transpose(1, 0, 2))
    choice = rng.random()
    if choice < 0.06 * strength:
        gray = cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)
        return np.asarray(np.repeat(gray[..., None], 3, 2))
    if choice < 0.4 * strength:
        gray = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        f = float(np.exp(rng.normal(0, 0.35)))
        out = cv2.addWeighted(out, f, gray, 1 - f, 0)
    return np.asarray(out)


def jpeg(image: Array, quality: int) -> Array:
    """The image after a JPEG round trip."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return cv2.imdecode(data, cv2.IMREAD_COLOR) if ok else image


def spoil(image: Array, rng: np.random.Generator, strength: float = 1.0) -> Array:
    """Random degradations: defocus, motion blur, low resolution, noise, JPEG; each in some of the samples."""
    h, w = image.shape[:2]
    draw = rng.random(5) / max(strength, 1e-6)
    if draw[0] < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0))
    if draw[1] < 0.08:
        length = int(rng.integers(3, 9))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.random() * np.pi
        c, d = (length - 1) / 2, np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
        cv2.line(kernel, (round(c - d[0]), round(c - d[1])), (round(c + d[0]), round(c + d[1])), 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if draw[2] < 0.2:
        f = rng.uniform(0.3, 0.8)
        small = cv2.resize(image, (max(4, round(w * f)), max(4, round(h * f))), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (w, h), interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    if draw[3] < 0.2:
        noise = rng.normal(0, rng.uniform(1, 12), image.shape[:2] + ((3,) if rng.random() < 0.5 else (1,)))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if draw[4] < 0.35:
        image = jpeg(image, int(rng.integers(25, 95)))
    return image


def sheet(tiles: list[list[Array]], gap: int = 2) -> Array:
    """Rows of equally large (H, W, 3) uint8 tiles in one picture."""
    h, w = tiles[0][0].shape[:2]
    columns = max(len(row) for row in tiles)
    out = np.full((len(tiles) * (h + gap) + gap, columns * (w + gap) + gap, 3), 32, np.uint8)
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            y, x = gap + r * (h + gap), gap + c * (w + gap)
            out[y : y + h, x : x + w] = tile
    return out
