"""Pictures: read and written one at a time."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import places
from ..errors import InputError, OutputError
from ..places import check_target
from ..types import Array

STILLS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
MEGAPIXELS = 80.0  # default limit of a frame's size; 8K has 33


def check_size(width: int, height: int, name: str, most: float) -> None:
    """Raise InputError for frames of more than ``most`` megapixels."""
    if width * height > most * 1e6:
        raise InputError(
            f"{name}: frames of {width}x{height} pixels are more than {most:g} megapixels; if that is meant, raise "
            "max_megapixels"
        )


def load_image(path: Path, most: float = MEGAPIXELS) -> Array:
    """(H, W, 3 or 4) uint8 or uint16 RGB(A), turned as its EXIF orientation says. most: megapixels that are decoded.
    Raises InputError."""
    import cv2

    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    if not len(data):
        raise InputError(f"{path} is empty (0 bytes)")
    with _opened(path) as header:  # reads no pixels yet
        width, height = header.size
        check_size(width, height, str(path), most)
    try:
        raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise InputError(f"{path} is not an image this build can read, or it is damaged") from error
    if raw is None:
        raise InputError(f"{path} is not an image this build can read, or it is damaged")
    if raw.dtype == np.uint8:
        return _eight_bits(path)
    if raw.dtype != np.uint16:
        raise InputError(f"{path} holds {raw.dtype} pixels; save it with 8 or 16 bits a channel")
    if raw.ndim == 3 and raw.shape[2] == 4:
        return np.asarray(cv2.cvtColor(raw, cv2.COLOR_BGRA2RGBA))
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), cv2.COLOR_BGR2RGB))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An image opened by Pillow, whose various errors become InputError."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            yield opened
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has more pixels than any picture that is read: {error}") from error
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        why = str(error)[:200]
        raise InputError(f"{path} is not an image this build can read, or it is damaged ({why})") from error


def _eight_bits(path: Path) -> Array:
    from PIL import ImageOps

    with _opened(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        alpha = "A" in upright.getbands() or "transparency" in upright.info
        return np.array(upright.convert("RGBA" if alpha else "RGB"))


def write_png(path: str | os.PathLike[str], image: Array) -> None:
    """Write (H, W, 3) uint8 RGB as PNG, complete or not at all. Raises OutputError."""
    import cv2

    target = Path(os.fspath(path))
    check_target(target)
    done, data = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR))
    temporary = places.beside(target)
    try:
        if not done:
            raise OSError("the picture cannot be encoded")
        temporary.write_bytes(data.tobytes())
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
