"""Footage in a video file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from ..errors import InputError, OutOfMemory, refused_memory
from ..timecode import is_timecode
from ..types import VideoInfo
from . import color, hdr
from .opening import open_input, origin, short_reason
from .reader import DEFAULT_FPS, FASTEST, Frame, VideoReader
from .stills import check_size

STORED = "avi"  # a container that times packets as they are stored, and says nothing of when frames are shown


def from_file(path: Path, deinterlace: bool, most: float, playlists: bool) -> VideoReader:
    name = str(path)
    with open_input(name, playlists) as container:
        indexed = container.format.name != "mpeg"  # program streams have no index: seeking lands anywhere
        if not container.streams.video:
            raise InputError(f"{name} has no video stream; give footage or a picture as the face")
        stream = container.streams.video[0]
        context = stream.codec_context
        zero = origin(container)
        if context is None:
            raise InputError(f"{name}: there is no decoder for its video here")
        check_size(context.width, context.height, name, most)
        context.options = _bounds(most)
        try:
            first = next(container.decode(stream), None)
        except (av.FFmpegError, ValueError) as error:
            raise InputError(f"{name}: the video cannot be decoded, it is damaged ({short_reason(error)})") from error
        if first is None:
            raise InputError(f"{name} holds no decodable video frame; it is truncated or damaged")
        if container.format.name == STORED and first.dts is not None:
            zero += (first.dts - (stream.start_time or 0)) * stream.time_base
        turn = round(first.rotation / 90) * 90 % 360
        rates = (stream.average_rate, stream.guessed_rate, DEFAULT_FPS)
        average = next(r for r in rates if r is not None and 0 < r <= FASTEST)
        base = stream.base_rate or average
        duration = stream.duration * stream.time_base if stream.duration else None
        if duration is None and container.duration:
            duration = Fraction(container.duration, 1_000_000)
        depth = max((c.bits for c in first.format.components), default=8)
        width, height = (first.width, first.height) if turn % 180 == 0 else (first.height, first.width)
        sar = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        frames = stream.frames or (round(duration * average) if duration else None)
        info = VideoInfo(
            path=name,
            width=width,
            height=height,
            fps=Fraction(average),
            frames=frames,
            duration=duration,
            time_base=Fraction(stream.time_base),
            bit_depth=depth,
            codec=context.name,
            pix_fmt=first.format.name,
            rotation=(360 - turn) % 360,
            sample_aspect_ratio=sar if turn % 180 == 0 else 1 / sar,
            color=color.tags(first if hasattr(first, "color_primaries") else context),
            has_audio=bool(container.streams.audio),
            has_alpha="a" in first.format.name.replace("gray", "").replace("palette", "").split("p")[0]
            and first.format.name.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya")),
            interlaced=bool(first.interlaced_frame),
            variable_rate=abs(float(base) / float(average) - 1) > 0.01,
            mastering=hdr.mastering(first),
            timecode=_timecode(container),
        )
        if info.width < 2 or info.height < 2:
            raise InputError(f"{name}: frames of {info.width}x{info.height} pixels are too small")
    info = replace(info, interlaced=info.interlaced and not deinterlace)

    def make(reader: VideoReader) -> Iterator[Frame]:
        return _decode(reader, name, info, zero, turn, deinterlace, most, playlists)

    def seek(reader: VideoReader, time: Fraction) -> Iterator[Frame]:
        return _decode(reader, name, info, zero, turn, deinterlace, most, playlists, time)

    return VideoReader(info, make, seek=seek if indexed else None)


def _timecode(container: Any) -> str:
    """The first frame's timecode as the file states it, "" if it states none."""
    places = [container.metadata, *(s.metadata for s in container.streams)]
    found = (place.get("timecode") or place.get("TIMECODE") or "" for place in places)
    return next((text.strip() for text in found if is_timecode(text)), "")


def _bounds(most: float) -> dict[str, str]:
    """Decoder options that limit the size of later frames too. Decoders pad frames to larger blocks, hence the room."""
    return {"max_pixels": str(round(most * 2e6) + 10**6)}


def _decode(
    reader: VideoReader,
    name: str,
    info: VideoInfo,
    zero: Fraction,
    turn: int,
    deinterlace: bool,
    most: float,
    playlists: bool,
    start: Fraction = Fraction(0),
) -> Iterator[Frame]:
    deep = info.bit_depth > 8
    wanted = ("rgba64le" if deep else "rgba") if info.has_alpha else ("rgb48le" if deep else "rgb24")
    table, span = color.table(info.color, info.height), color.span(info.color, info.pix_fmt)
    rgb = info.pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "pal", "gray"))
    last: Fraction | None = None
    size: tuple[int, int] | None = None
    with open_input(name, playlists) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = _bounds(most)
        stream.thread_type = "AUTO"
        if start > 0:  # to the key frame before it
            container.seek(int((start + zero) / stream.time_base), stream=stream, backward=True)
        for frame in _frames(reader, container, stream, deinterlace):
            if size is None:
                size = (frame.width, frame.height)
            elif (frame.width, frame.height) != size:
                raise InputError(
                    f"{name} changes its resolution from {size[0]}x{size[1]} to {frame.width}x{frame.height} at "
                    f"{float(last or 0):.2f} s; cut it there, or convert it to one size first"
                )
            options: dict[str, Any] = {"src_color_range": ColorRange.JPEG}
            if not rgb:
                options = {"src_colorspace": table, "src_color_range": span}
            converted = frame.reformat(
                format=wanted, interpolation=color.QUALITY, dst_color_range=ColorRange.JPEG, **options
            )
            image = converted.to_ndarray()
            if turn:
                image = np.rot90(image, turn // 90)
            if frame.pts is not None:
                pts = frame.pts * Fraction(frame.time_base) - zero
            else:
                pts = Fraction(0) if last is None else last + 1 / info.fps
            if last is not None and pts <= last:
                pts = last + min(1 / info.fps, Fraction(1, 1000))  # a damaged clock must not run backwards
            last = pts
            alpha = np.ascontiguousarray(image[..., 3]) if info.has_alpha else None
            yield pts, np.ascontiguousarray(image[..., :3]), alpha


def _frames(reader: VideoReader, container: Any, stream: Any, deinterlace: bool) -> Iterator[Any]:
    graph = _bwdif(stream) if deinterlace else None
    good = False
    why: Exception | None = None
    for packet in container.demux(stream):
        try:
            decoded = packet.decode()
        except av.FFmpegError as error:
            if refused_memory(error):  # nothing is wrong with the file
                raise OutOfMemory(f"not enough memory to decode {reader.info.path}") from error
            reader.damaged += 1
            why = error
            continue
        for frame in decoded:
            good = True
            if container.format.name == STORED:
                frame.pts = frame.dts  # frames come in the order in which they are shown
            if graph is None:
                yield frame
                continue
            graph.push(frame)
            yield from _pull(graph)
    if graph is not None:
        graph.push(None)
        yield from _pull(graph)
    if not good:
        raise InputError(f"{reader.info.path} holds no decodable video frame; it is truncated or damaged") from why


def _bwdif(stream: Any) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(template=stream)
    bwdif = graph.add("bwdif", "mode=send_frame:deint=all")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph


def _pull(graph: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
