"""Footage that is pictures: a still, a folder, a pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ..errors import InputError
from ..types import Array, VideoInfo
from . import pictures, sequences
from .arrays import check_frame, info_of, same_size
from .reader import Frame, VideoReader
from .stills import STILLS, check_size, load_image


def from_images(paths: list[Path], name: str, fps: Fraction, most: float, default_rate: bool) -> VideoReader:
    if not paths:
        raise InputError(f"{name} holds no images ({', '.join(sorted((*STILLS, *pictures.SUFFIXES)))})")
    film = paths[0].suffix.lower() in pictures.SUFFIXES
    info, load = (_film if film else _plain)(paths, name, fps, most)
    if film and default_rate:
        rate = pictures.read_header(paths[0]).fps or fps
        info = replace(info, fps=rate, duration=len(paths) / rate, time_base=1 / rate)
    step = 1 / info.fps

    def make(_: VideoReader, first: int = 0) -> Iterator[Frame]:
        for n in range(first, len(paths)):
            yield (n * step, *load(paths[n]))

    def seek(reader: VideoReader, time: Fraction) -> Iterator[Frame]:
        return make(reader, max(0, int(-(-time // step))))

    return VideoReader(info, make, seek=seek, files=paths)


Load = Callable[[Path], tuple[Array, "Array | None"]]


def _plain(paths: list[Path], name: str, fps: Fraction, most: float) -> tuple[VideoInfo, Load]:
    first = load_image(paths[0], most)

    def load(path: Path) -> tuple[Array, Array | None]:
        return same_size(check_frame(load_image(path, most), str(path)), first, str(path))

    return info_of(first, fps, name, len(paths), codec="images", naming=sequences.naming(paths)), load


def _film(paths: list[Path], name: str, fps: Fraction, most: float) -> tuple[VideoInfo, Load]:
    """EXR and DPX. All headers are read first, so that a picture of another size is found before any work."""
    header = pictures.read_header(paths[0])
    check_size(header.width, header.height, str(paths[0]), most)
    for path in paths[1:]:
        other = pictures.read_header(path)
        if (other.width, other.height) != (header.width, header.height):
            raise InputError(
                f"{path} is {other.width}x{other.height}, the first one {header.width}x{header.height}; all pictures "
                "must have one size"
            )
    if min(header.width, header.height) < 2:
        raise InputError(f"{name}: a frame of {header.width}x{header.height} pixels is too small")
    info = VideoInfo(
        path=name,
        width=header.width,
        height=header.height,
        fps=fps,
        frames=len(paths),
        duration=len(paths) / fps,
        time_base=1 / fps,
        bit_depth=header.depth,
        codec=paths[0].suffix.lower()[1:],
        has_alpha=header.alpha is not None,
        floating=header.floating,
        colorspace=header.colorspace if header.floating else "",
        naming=sequences.naming(paths),
    )
    return info, lambda path: pictures.load_picture(path, header)


def from_still(path: Path, fps: Fraction, most: float) -> VideoReader:
    if path.suffix.lower() in pictures.SUFFIXES:
        info, load = _film([path], str(path), fps, most)
    else:
        info, load = _plain([path], str(path), fps, most)
    frame, alpha = load(path)

    def make(_: VideoReader) -> Iterator[Frame]:
        yield Fraction(0), frame, alpha

    return VideoReader(replace(info, codec="image", still=True, naming=None), make, files=[path])
