"""Footage, opened: whole, or from an in point to an out point."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import InputError, OptionError
from ..timecode import timecode_frames
from ..types import Array, VideoInfo
from . import pictures, sequences
from .arrays import from_array, from_iterator
from .cut import cut
from .imageset import from_images, from_still
from .look import BY_TRANSFER, Look, find_look
from .movie import from_file
from .reader import DEFAULT_FPS, FASTEST, VideoReader
from .stills import MEGAPIXELS, STILLS


def open_video(
    source: str | os.PathLike[str] | Array | Iterable[Array],
    *,
    fps: float | Fraction | None = None,
    deinterlace: bool = False,
    max_megapixels: float = MEGAPIXELS,
    playlists: bool = False,
    colorspace: str = "auto",
    ocio: str = "",
    exposure: float = 0.0,
    own: bool = False,
    timecode: str | None = None,
    start: object = None,
    end: object = None,
) -> VideoReader:
    """Open footage.

    source: a video file; a still image; a folder of images or a pattern like ``shot/%06d.png``; an array (T, H, W, 3)
    uint8 or uint16, or an iterator of (H, W, 3) frames. fps: rate of images, arrays and iterators (25 if left out);
    files keep their own timestamps. deinterlace: rebuild full frames of interlaced footage. max_megapixels: larger
    frames are refused before they are decoded. playlists: whether a file may name others to read. colorspace, ocio,
    exposure: as in RunOptions. own: give pixels as they are in the file; otherwise floats are given as they are shown.
    timecode: of the first frame, in place of the file's own. start, end: in and out point, as ``timecode.parse_time``
    reads them; the times of the frames begin at 0 with the in point. Raises InputError, OptionError.
    """
    reader = _open(source, fps, deinterlace, max_megapixels, playlists)
    reader.look = _look(reader.info, colorspace, ocio, exposure)
    if reader.look is not None:
        reader.info = replace(reader.info, colorspace=reader.look.name)
        if reader.info.floating and not own:
            reader.show()
    if timecode:
        timecode_frames(timecode, reader.info.fps)  # whether it exists at this rate
        reader.info = replace(reader.info, timecode=timecode)
    return cut(reader, start, end)


def _look(info: VideoInfo, colorspace: str, ocio: str, exposure: float) -> Look | None:
    """How the footage is shown to networks; None if as it is."""
    if colorspace not in ("", "auto"):
        look = find_look(colorspace, ocio, exposure)
        return None if look.encoding == "sdr-video" and not info.floating else look
    if info.floating:
        return find_look(info.colorspace or "lin_rec709", ocio, exposure)
    name = BY_TRANSFER.get(info.color.get("transfer", 0))
    if name is None:
        return None
    try:
        return find_look(name, ocio, exposure)
    except OptionError:  # OpenColorIO is not installed: HDR video is shown as it is, which networks do not mind much
        return None


def _open(
    source: str | os.PathLike[str] | Array | Iterable[Array],
    fps: float | Fraction | None,
    deinterlace: bool,
    max_megapixels: float,
    playlists: bool,
) -> VideoReader:
    rate = _given_rate(fps)
    if isinstance(source, np.ndarray):
        return from_array(source, rate)
    if not isinstance(source, (str, os.PathLike)):
        if isinstance(source, bytes) or not isinstance(source, Iterable):
            raise InputError(f"footage is a file, an array or an iterator of frames, not {source!r:.100}")
        return from_iterator(iter(source), rate)
    path = Path(os.fspath(source))
    most = max_megapixels
    if os.path.isdir(path):
        found = sequences.of_folder(path, (*STILLS, *pictures.SUFFIXES), pictures.SUFFIXES)
        return from_images(found, str(path), rate, most, fps is None)
    if sequences.is_pattern(path) and not os.path.exists(path):
        return from_images(sequences.of_pattern(path), str(path), rate, most, fps is None)
    if path.suffix.lower() in (*STILLS, *pictures.SUFFIXES) and os.path.isfile(path):
        return from_still(path, rate, most)
    return from_file(path, deinterlace, most, playlists)


def _given_rate(fps: float | Fraction | None) -> Fraction:
    if fps is None:
        return DEFAULT_FPS
    try:
        rate = Fraction(fps).limit_denominator(100_000)
    except (TypeError, ValueError, OverflowError) as error:
        raise OptionError(f"fps is a number, not {fps!r:.100}") from error
    if not 0 < rate <= FASTEST:
        raise OptionError(f"fps is more than 0 and at most {FASTEST}, not {fps}")
    return rate
