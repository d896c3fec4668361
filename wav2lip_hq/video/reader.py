"""Footage in: video files, stills, image sequences, arrays and iterators, one frame at a time."""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from ..errors import InputError, OptionError, OutOfMemory, refused_memory
from ..timecode import is_timecode
from ..types import Array, VideoInfo
from . import color, hdr, pictures, sequences
from .look import BY_TRANSFER, Look, as_float, as_type, find_look
from .sound import open_input, origin, short_reason

Frame = tuple[Fraction, Array, Array | None]  # time in seconds, (H, W, 3) RGB, (H, W) alpha or None
STILLS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
DEFAULT_FPS = Fraction(25)
FASTEST = 1000  # frames per second, the highest accepted
MEGAPIXELS = 80.0  # default limit of a frame's size; 8K has 33


class VideoReader:
    """An opened source: ``info`` and an iterator of (pts, frame, alpha).

    Frames are (H, W, 3) RGB uint8, or uint16 over 0..65535 for sources deeper than 8 bits; alpha is (H, W) of the same
    type, or None. ``pts`` is the exact time in seconds. ``restart()`` begins again (not for one-shot iterators);
    ``damaged`` counts packets that could not be decoded. ``look`` says how pictures in a color space of their own are
    shown; only where they are asked for as they are (``open_video(own=True)``) floats come as float16 or float32.
    ``files`` are a sequence's pictures.
    """

    def __init__(
        self,
        info: VideoInfo,
        make: Callable[[VideoReader], Iterator[Frame]],
        once: bool = False,
        seek: Callable[[VideoReader, Fraction], Iterator[Frame]] | None = None,
        look: Look | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self.info, self.look, self.files = info, look, tuple(files)
        self._make, self._once, self._seek = make, once, seek
        self._frames: Iterator[Frame] | None = None
        self._used = False
        self.damaged = 0

    def shown(self, image: Array) -> Array:
        """A frame as it is shown to people and networks: (H, W, 3) uint8 or uint16."""
        return image if self.look is None else self.look.shown(image)

    @property
    def once(self) -> bool:
        """Whether the frames can be read only once (iterators)."""
        return self._once

    def __iter__(self) -> Iterator[Frame]:
        if self._frames is None:
            if self._used and self._once:
                raise InputError("the frames came from an iterator, which can be read only once; pass an array instead")
            self._used = True
            self._frames = self._make(self)
        return self._frames

    def restart(self) -> None:
        """Begin again at the first frame."""
        self.close()

    def start_at(self, time: Fraction) -> Iterator[Frame]:
        """Frames from the first one at or after ``time`` on, read apart from the main iteration."""
        if self._once:
            raise InputError("frames from an iterator cannot be read again; pass an array or a file instead")
        frames = self._seek(self, time) if self._seek is not None else self._make(self)
        first = next(frames, None)
        if self._seek is not None and (first is None or first[0] > time):
            # A damaged index may lead beyond what was asked for.
            frames = self._make(self)
            first = next(frames, None)
        for frame in itertools.chain([] if first is None else [first], frames):
            if frame[0] >= time:
                yield frame

    def backwards(self, times: Sequence[Fraction], segment: int = 24) -> Iterator[Frame]:
        """The frames at ``times`` (all of the clip's, ascending), last first; holds ``segment`` frames at a time."""
        for end in range(len(times), 0, -segment):
            part = times[max(0, end - segment) : end]
            held: list[Frame] = []
            frames = self.start_at(part[0])
            for frame in frames:
                if frame[0] > part[-1]:
                    break
                held.append(frame)
            if isinstance(frames, Generator):
                frames.close()
            yield from reversed(held)

    def show(self) -> None:
        """From now on give frames as they are shown, which then need no ``look`` any more."""
        make, seek, look = self._make, self._seek, self.look
        assert look is not None

        def shown(frames: Iterator[Frame]) -> Iterator[Frame]:
            for time, image, alpha in frames:
                yield time, look.shown(image), None if alpha is None else as_type(as_float(alpha), np.uint16)

        self.look, self._make = None, lambda reader: shown(make(reader))
        if seek is not None:
            self._seek = lambda reader, time: shown(seek(reader, time))

    def close(self) -> None:
        """Release the file."""
        if self._frames is not None and hasattr(self._frames, "close"):
            self._frames.close()
        self._frames = None

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_whole(
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
) -> VideoReader:
    """Open footage, all of it; arguments as for ``open_video``. Raises InputError, OptionError."""
    reader = _open(source, fps, deinterlace, max_megapixels, playlists)
    reader.look = _look(reader.info, colorspace, ocio, exposure)
    if reader.look is not None:
        reader.info = replace(reader.info, colorspace=reader.look.name)
        if reader.info.floating and not own:
            reader.show()
    return reader


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
        return _array(source, rate)
    if not isinstance(source, (str, os.PathLike)):
        if isinstance(source, bytes) or not isinstance(source, Iterable):
            raise InputError(f"footage is a file, an array or an iterator of frames, not {source!r:.100}")
        return _iterator(iter(source), rate)
    path = Path(os.fspath(source))
    most = max_megapixels
    if os.path.isdir(path):
        found = sequences.of_folder(path, (*STILLS, *pictures.SUFFIXES), pictures.SUFFIXES)
        return _images(found, str(path), rate, most, fps is None)
    if sequences.is_pattern(path) and not os.path.exists(path):
        return _images(sequences.of_pattern(path), str(path), rate, most, fps is None)
    if path.suffix.lower() in (*STILLS, *pictures.SUFFIXES) and os.path.isfile(path):
        return _still(path, rate, most)
    return _file(path, deinterlace, most, playlists)


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


# ---- arrays and images


def _check(frame: Array, name: str) -> tuple[Array, Array | None]:
    try:
        frame = np.asarray(frame)
    except ValueError as error:
        raise InputError(f"{name}: frames must be (H, W, 3) uint8 or uint16 RGB, not {type(frame).__name__}") from error
    if frame.dtype not in (np.uint8, np.uint16) or frame.ndim != 3 or frame.shape[2] not in (3, 4):
        raise InputError(f"{name}: frames must be (H, W, 3) uint8 or uint16 RGB, not {frame.dtype} {frame.shape}")
    if min(frame.shape[:2]) < 2:
        raise InputError(f"{name}: a frame of {frame.shape[1]}x{frame.shape[0]} pixels is too small")
    return np.ascontiguousarray(frame[..., :3]), (frame[..., 3].copy() if frame.shape[2] == 4 else None)


def _info(frame: Array, fps: Fraction, name: str, count: int | None, **more: Any) -> VideoInfo:
    return VideoInfo(
        path=name,
        width=frame.shape[1],
        height=frame.shape[0],
        fps=fps,
        frames=count,
        duration=None if count is None else count / fps,
        time_base=1 / fps,
        bit_depth=8 if frame.dtype == np.uint8 else 16,
        has_alpha=frame.shape[2] == 4,
        **more,
    )


def _array(frames: Array, fps: Fraction) -> VideoReader:
    if frames.ndim != 4 or not len(frames):
        raise InputError(f"an array of frames must be (T, H, W, 3) with T > 0, not {frames.shape}")
    _check(frames[0], "array of frames")

    def make(_: VideoReader) -> Iterator[Frame]:
        for n, frame in enumerate(frames):
            yield (n / fps, *_check(frame, "array of frames"))

    return VideoReader(_info(frames[0], fps, "", len(frames)), make)


def _iterator(frames: Iterator[Array], fps: Fraction) -> VideoReader:
    first = next(frames, None)
    if first is None:
        raise InputError("the iterator of frames is empty")
    _check(first, "iterator of frames")

    def make(_: VideoReader) -> Iterator[Frame]:
        n, frame = 0, first
        while frame is not None:
            yield (n / fps, *_same(_check(frame, "iterator of frames"), first, f"frame {n}"))
            n, frame = n + 1, next(frames, None)  # type: ignore[arg-type]

    return VideoReader(_info(np.asarray(first), fps, "", None), make, once=True)


def _same(pair: tuple[Array, Array | None], first: Array, name: str) -> tuple[Array, Array | None]:
    if pair[0].shape[:2] != np.asarray(first).shape[:2]:
        raise InputError(
            f"{name} is {pair[0].shape[1]}x{pair[0].shape[0]}, the first one {first.shape[1]}x{first.shape[0]}; "
            "all frames must have one size"
        )
    return pair


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


def _images(paths: list[Path], name: str, fps: Fraction, most: float, default_rate: bool) -> VideoReader:
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
        return _same(_check(load_image(path, most), str(path)), first, str(path))

    return _info(first, fps, name, len(paths), codec="images", naming=sequences.naming(paths)), load


def _film(paths: list[Path], name: str, fps: Fraction, most: float) -> tuple[VideoInfo, Load]:
    """EXR and DPX. All headers are read first: a picture of another size is known before any work."""
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


def _still(path: Path, fps: Fraction, most: float) -> VideoReader:
    if path.suffix.lower() in pictures.SUFFIXES:
        info, load = _film([path], str(path), fps, most)
    else:
        info, load = _plain([path], str(path), fps, most)
    frame, alpha = load(path)

    def make(_: VideoReader) -> Iterator[Frame]:
        yield Fraction(0), frame, alpha

    return VideoReader(replace(info, codec="image", still=True, naming=None), make, files=[path])


# ---- video files


def _file(path: Path, deinterlace: bool, most: float, playlists: bool) -> VideoReader:
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
    """For decoders: later frames may say that they are larger. Decoders work in larger blocks than frames are."""
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
