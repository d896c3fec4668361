"""EXR and DPX pictures, read and written with OpenImageIO in their own precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, OptionError, OutputError
from ..types import Array
from .look import EXTRA, as_float

SUFFIXES = (".exr", ".dpx")
_TYPES = {"float16": "half", "float32": "float"}  # as OpenImageIO calls them
DPX_NAME = (36, 100)  # bytes of a DPX header in which its file is named: where, and how many
_LOSSLESS = ("zip", "zips", "rle", "none", "piz")


@dataclass(frozen=True)
class Header:
    """The facts that a picture's file states in its header."""

    width: int
    height: int
    depth: int  # bits of a channel
    floating: bool
    rgb: tuple[int, int, int]  # numbers of the channels
    alpha: int | None
    others: tuple[str, ...]  # names of further channels
    part: int  # of a file with several parts, the first with RGB
    parts: int
    colorspace: str  # as far as the file says
    fps: Fraction | None
    offset: tuple[int, int, int, int]  # where the pixels are in the picture: x, y; and its size


def read_header(path: Path) -> Header:
    """Facts of an EXR or DPX file. Raises InputError: damaged, no RGB; OptionError: OpenImageIO is not installed."""
    with _opened(path) as source:
        return _header(path, source)


def load_picture(path: Path, header: Header | None = None) -> tuple[Array, Array | None]:
    """((H, W, 3) RGB, (H, W) alpha or None): uint8, uint16 (the whole range, whatever the depth), float16 or float32.

    header: of the sequence's first picture, which this one has to be like. Raises InputError.
    """
    with _opened(path) as source:
        own = _header(path, source)
        if header is not None and (own.width, own.height) != (header.width, header.height):
            raise InputError(
                f"{path} is {own.width}x{own.height}, the first one {header.width}x{header.height}; all pictures must "
                "have one size"
            )
        kind = _kind(header or own)
        wanted = [*own.rgb, *([] if own.alpha is None else [own.alpha])]
        low, high = min(wanted), max(wanted) + 1
        pixels = source.read_image(own.part, 0, low, high, kind)
        if pixels is None:
            raise InputError(f"{path} is damaged or cut off ({_short(source.geterror())})")
        pixels = pixels.reshape(own.height, own.width, high - low)
        alpha = None if own.alpha is None else np.ascontiguousarray(pixels[..., own.alpha - low])
        return np.ascontiguousarray(pixels[..., [c - low for c in own.rgb]]), alpha


def _kind(header: Header) -> str:
    if header.floating:
        return "half" if header.depth == 16 else "float"
    return "uint8" if header.depth == 8 else "uint16"


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import OpenImageIO as oiio
    except ImportError as error:
        raise OptionError(f"{path.suffix} pictures need OpenImageIO: {EXTRA}") from error
    source = oiio.ImageInput.open(str(path))
    if source is None:
        raise InputError(f"{path} is not a picture that can be read ({_short(oiio.geterror())})")
    try:
        yield source
    finally:
        source.close()


def _header(path: Path, source: Any) -> Header:
    part, parts = 0, 0
    found: tuple[Any, list[str]] | None = None
    while source.seek_subimage(parts, 0):
        spec = source.spec()
        names = [name.upper() for name in spec.channelnames]
        if found is None and {"R", "G", "B"} <= set(names):
            found, part = (spec, names), parts
        parts += 1
    source.geterror()  # that there are no more parts is no error
    if found is None:
        source.seek_subimage(0, 0)
        listed = ", ".join(list(source.spec().channelnames)[:8])
        raise InputError(f"{path} has no RGB channels, only {listed or 'none'}; footage needs R, G and B")
    spec, names = found
    if spec.deep:
        raise InputError(f"{path} is a deep picture; flatten it first")
    rgb = (names.index("R"), names.index("G"), names.index("B"))
    alpha = names.index("A") if "A" in names else None
    name = str(spec.format)
    floating = name in ("half", "float", "double")
    depth = (
        {"half": 16, "float": 32, "double": 32}.get(name)
        or spec.get_int_attribute("oiio:BitsPerSample")
        or (8 * spec.format.size())
    )
    if spec.channelformats:  # each channel has its own
        rgb_formats = {str(spec.channelformats[c]) for c in rgb}
        floating, depth = True, 16 if rgb_formats == {"half"} else 32
    rate = spec.getattribute("FramesPerSecond") or spec.getattribute("dpx:FrameRate")
    return Header(
        spec.width,
        spec.height,
        int(depth),
        floating,
        rgb,
        alpha,
        tuple(str(n) for i, n in enumerate(spec.channelnames) if i not in (*rgb, alpha)),
        part,
        parts,
        _colorspace(spec),
        _rate(rate),
        (spec.x - spec.full_x, spec.y - spec.full_y, spec.full_width, spec.full_height),
    )


def _rate(given: Any) -> Fraction | None:
    try:
        rate = Fraction(int(given[0]), int(given[1])) if isinstance(given, tuple) else Fraction(float(given or 0))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    rate = rate.limit_denominator(1001)
    return rate if 0 < rate <= 1000 else None


def _colorspace(spec: Any) -> str:
    if spec.get_int_attribute("acesImageContainerFlag"):
        return "ACES2065-1"
    return str(spec.get_string_attribute("oiio:ColorSpace"))


# ---- writing


def save_picture(
    path: Path,
    pixels: Array,
    alpha: Array | None = None,
    *,
    depth: int | None = None,
    like: Path | None = None,
    colorspace: str = "",
    notice: str = "",
) -> None:
    """Write an EXR or DPX file, without loss.

    pixels: (H, W, 3), or (H, W) for one channel; uint8, uint16, float16 or float32. In an EXR integers become shares of
    their whole range, exactly. depth: bits of a DPX; like: a picture whose facts and further channels are kept;
    colorspace: what the file says of its pixels; notice: text put into it. Raises OutputError.
    """
    import OpenImageIO as oiio

    exr = path.suffix.lower() == ".exr"
    channels = [pixels[..., None]] if pixels.ndim == 2 else [pixels]
    names = ["Y"] if pixels.ndim == 2 else ["R", "G", "B"]
    if alpha is not None:
        channels.append(alpha[..., None])
        names.append("A")
    image = np.concatenate([_exr(c) if exr else c for c in channels], -1)
    spec = oiio.ImageSpec(image.shape[1], image.shape[0], len(names), _TYPES.get(image.dtype.name, image.dtype.name))
    spec.channelnames = tuple(names)
    if not exr:
        bits = depth or 8 * image.itemsize
        image = in_codes(image, bits)
        spec.attribute("oiio:BitsPerSample", bits)
    if like is not None:
        image = _alike(like, spec, image, names, exr)
    if exr and spec.get_string_attribute("compression").partition(":")[0] not in _LOSSLESS:
        spec.attribute("compression", "zips")
    if colorspace:
        spec.attribute("oiio:ColorSpace", colorspace)
    if notice:
        said = spec.get_string_attribute("ImageDescription")
        spec.attribute("ImageDescription", said if notice in said else f"{said} {notice}".strip())
        if not exr:
            spec.attribute("Copyright", spec.get_string_attribute("Copyright") or notice)
    target = oiio.ImageOutput.create(str(path))
    if target is None or not target.open(str(path), spec):
        raise OutputError(f"{path} cannot be written ({_short((target or oiio).geterror())})")
    done = target.write_image(np.ascontiguousarray(image))
    error = target.geterror()
    if not (target.close() and done):
        raise OutputError(f"{path} cannot be written ({_short(error or target.geterror())})")
    if not exr:  # the header names the file, and the library puts its whole, temporary path there
        with path.open("r+b") as file:
            file.seek(DPX_NAME[0])
            file.write(bytes(DPX_NAME[1]))  # pictures of parts get other names when they are joined


def _exr(pixels: Array) -> Array:
    """float16 or float32 that hold the pixels exactly."""
    if pixels.dtype == np.uint8:
        return as_float(pixels).astype(np.float16)  # 11 bits are enough for 8
    return pixels if pixels.dtype.kind == "f" else as_float(pixels)


def in_codes(image: Array, bits: int) -> Array:
    """uint16 rounded to ``bits`` and spread over the whole range as DPX readers do; what was read from such a file
    stays."""
    if image.dtype != np.uint16 or bits >= 16:
        return image
    most = (1 << bits) - 1
    codes = np.round(image.astype(np.float64) * most / 65535).astype(np.uint32)
    return ((codes << (16 - bits)) | (codes >> (2 * bits - 16))).astype(np.uint16)


def _alike(like: Path, spec: Any, image: Array, names: list[str], exr: bool) -> Array:
    """``image`` with the further channels of ``like``; its facts go into ``spec``."""
    with _opened(like) as source:
        header = _header(like, source)
        source.seek_subimage(header.part, 0)
        given = source.spec()
        same = like.suffix.lower() == (".exr" if exr else ".dpx")
        if (given.width, given.height) == (spec.width, spec.height):
            spec.x, spec.y = given.x, given.y
            spec.full_x, spec.full_y = given.full_x, given.full_y
            spec.full_width, spec.full_height = given.full_width, given.full_height
        for one in given.extra_attribs:
            if one.name.startswith("oiio:") or one.name in ("textureformat", "chunkCount", "tiles", "name", "view"):
                continue
            if same or not one.name.startswith(("openexr:", "dpx:", "compression")):
                spec.attribute(one.name, one.type, one.value)
        kept = [n for n in header.others if exr and same and names[0] == "R"]
        if not kept or (given.width, given.height) != (spec.width, spec.height):
            return image
        everything = source.read_image(header.part, 0, 0, given.nchannels, "float")
        if everything is None:
            raise InputError(f"{like} is damaged or cut off ({_short(source.geterror())})")
        at = [list(given.channelnames).index(n) for n in kept]
        kinds = [str(f) for f in given.channelformats] or [str(given.format)] * given.nchannels
        spec.nchannels += len(kept)
        spec.channelnames = (*names, *kept)
        own = _TYPES.get(image.dtype.name, image.dtype.name)
        import OpenImageIO as oiio

        spec.set_format(oiio.TypeDesc("float"))  # before: it forgets those of single channels
        spec.channelformats = tuple(oiio.TypeDesc(k) for k in [own] * len(names) + [kinds[c] for c in at])
        return np.concatenate([image.astype(np.float32), everything.reshape(*image.shape[:2], -1)[..., at]], -1)


def _short(text: str) -> str:
    return " ".join(str(text).split())[:200] or "no reason given"
