"""Footage, opened: whole, or from an in point to an out point."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from ..timecode import timecode_frames
from ..types import Array
from .cut import cut
from .reader import MEGAPIXELS, VideoReader, open_whole


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
    reader = open_whole(
        source,
        fps=fps,
        deinterlace=deinterlace,
        max_megapixels=max_megapixels,
        playlists=playlists,
        colorspace=colorspace,
        ocio=ocio,
        exposure=exposure,
        own=own,
    )
    if timecode:
        timecode_frames(timecode, reader.info.fps)  # whether it exists at this rate
        reader.info = replace(reader.info, timecode=timecode)
    return cut(reader, start, end)
