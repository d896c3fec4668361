"""The nineteen classes of face parsing, their two orders, and reading them from disk.

CelebAMask-HQ (and packs made from it with the official script) numbers them one way, the widely used BiSeNet weights
(79999_iter) another. Networks here use the second, as stages do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..geometry import shrink
from ..places import PICTURES
from ..types import Array

OFFICIAL = (
    "background skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip "
    "hair hat ear_r neck_l neck cloth"
).split()
CLASSES = (
    "background skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip "
    "neck neck_l cloth hair hat"
).split()
IGNORE = 255

FROM_OFFICIAL: Array = np.full(256, IGNORE, np.uint8)
FROM_OFFICIAL[: len(OFFICIAL)] = [CLASSES.index(name) for name in OFFICIAL]
TO_OFFICIAL: Array = np.full(256, IGNORE, np.uint8)
TO_OFFICIAL[: len(CLASSES)] = [OFFICIAL.index(name) for name in CLASSES]

# In a mirror image left and right classes are exchanged.
MIRRORED: Array = np.arange(256, dtype=np.uint8)
for _name in CLASSES:
    if _name.startswith("l_") and _name != "l_lip":
        _left, _right = CLASSES.index(_name), CLASSES.index("r_" + _name[2:])
        MIRRORED[_left], MIRRORED[_right] = _right, _left

Pair = tuple[str, Array, Array]  # name, (H, W, 3) uint8 RGB, (H, W) uint8 labels in CLASSES' order


def mirror(labels: Array) -> Array:
    """A mirrored label map: flipped, with left and right classes exchanged."""
    out: Array = MIRRORED[np.ascontiguousarray(labels[:, ::-1])]
    return out


def load_pairs(
    folder: Path, order: str = "official", longest: int = 384, on_log: Callable[[str], None] = print
) -> list[Pair]:
    """All image-mask pairs of a folder, in order of name, shrunk to ``longest`` px.

    Two layouts: ``images/NAME.jpg`` with ``masks/NAME.png`` (class ids, palette or gray; ``order`` "official" or
    "bisenet"), and CelebAMask-HQ as distributed (``CelebA-HQ-img/N.jpg`` and
    ``CelebAMask-HQ-mask-anno/*/NNNNN_part.png``).
    A pair that cannot be used is reported by file and left out. Raises InputError when nothing is left.
    """
    folder = Path(folder)
    raw = folder / "CelebAMask-HQ-mask-anno"
    if raw.is_dir():
        parts: dict[str, dict[str, Path]] = {}
        for path in sorted(raw.rglob("*_*.png")):
            number, _, part = path.stem.partition("_")
            parts.setdefault(str(int(number)) if number.isdigit() else number, {})[part] = path
        images = _by_stem(folder / "CelebA-HQ-img")
        readers: dict[str, tuple[Path | None, Callable[[], Array]]]
        readers = {name: (images.get(name), _Merged(files)) for name, files in parts.items()}
    elif (folder / "masks").is_dir():
        if order not in ("official", "bisenet"):
            raise InputError(f"unknown class order '{order}'; choose official or bisenet")
        images, table = _by_stem(folder / "images"), FROM_OFFICIAL if order == "official" else None
        masks = _by_stem(folder / "masks")
        readers = {name: (images.get(name), _Indexed(path, table)) for name, path in masks.items()}
    else:
        raise InputError(
            f"{folder}: neither images/ and masks/ nor CelebAMask-HQ-mask-anno/ is in it; set data=FOLDER to another"
        )
    pairs: list[Pair] = []
    for name in sorted(readers):
        image_path, read = readers[name]
        try:
            if image_path is None:
                raise InputError(f"{folder}: no image for mask '{name}'")
            image = cv2.imread(str(image_path), cv2.IMREAD_COLOR)
            if image is None:
                raise InputError(f"{image_path}: not a readable image")
            labels = read()
            if image.shape[0] * labels.shape[1] != image.shape[1] * labels.shape[0]:
                raise InputError(f"{image_path}: {image.shape[1::-1]} does not match its mask's {labels.shape[::-1]}")
            image = shrink(np.ascontiguousarray(image[..., ::-1]), longest)
            labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            pairs.append((name, image, labels))
        except InputError as error:
            on_log(f"left out: {error}")
    if not pairs:
        raise InputError(f"{folder}: no usable pair of image and mask")
    return pairs


def merge(parts: dict[str, Array]) -> Array:
    """One label map from per-part masks (H, W; non-zero inside), painted in the official order, later ones on top."""
    out = np.zeros(next(iter(parts.values())).shape, np.uint8)
    for name in OFFICIAL[1:]:
        if name in parts:
            out[parts[name] > 0] = CLASSES.index(name)
    return out


class _Merged:
    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files

    def __call__(self) -> Array:
        masks: dict[str, Array] = {}
        for name, path in self.files.items():
            mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if mask is None:
                raise InputError(f"{path}: not a readable mask")
            if masks and mask.shape != next(iter(masks.values())).shape:
                raise InputError(f"{path}: {mask.shape[::-1]} where this face's other parts differ in size")
            masks[name] = mask
        return merge(masks)


class _Indexed:
    def __init__(self, path: Path, table: Array | None) -> None:
        self.path, self.table = path, table

    def __call__(self) -> Array:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(self.path) as picture:  # OpenCV returns a palette's colors, not its indices
                labels = np.array(picture)
        except (UnidentifiedImageError, OSError) as error:
            raise InputError(f"{self.path}: not a readable mask ({error})") from error
        if labels.ndim != 2 or labels.dtype != np.uint8 or labels.max(initial=0) >= len(CLASSES):
            raise InputError(f"{self.path}: not a map of class ids 0 to {len(CLASSES) - 1}")
        out: Array = labels if self.table is None else self.table[labels]
        return out


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in PICTURES}
