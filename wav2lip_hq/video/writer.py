"""Footage out: encoded on a thread of its own, under a temporary name until it is complete."""

from __future__ import annotations

import errno
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from .. import places
from ..errors import OptionError, OutputError, Wav2LipHQError
from ..places import check_target, existing
from ..timecode import later_timecode
from ..types import Array, VideoInfo
from . import color, hdr, pictures
from .notice import NOTICE, commented
from .sequences import Naming
from .sound import Sound, Tracks

X264_THREADS = 8
TIMECODED = (".mov", ".mp4", ".m4v", ".mxf", ".mkv")
ALPHA = ("yuva", "bgra", "gbra")  # how names of pixel formats with transparency begin


@dataclass(frozen=True)
class Codec:
    """How to encode: encoder, its default options, pixel formats by (deep, alpha), file name endings it fits."""

    encoder: str
    options: dict[str, str]
    formats: dict[tuple[bool, bool], str]
    suffixes: tuple[str, ...]
    crf: int | None = None  # visually lossless default

    @property
    def sequence(self) -> bool:
        """Whether it is a folder of pictures, one a frame."""
        return not self.encoder


def _formats(plain: str, deep: str, alpha: str = "", deep_alpha: str = "") -> dict[tuple[bool, bool], str]:
    return {
        (False, False): plain,
        (True, False): deep,
        (False, True): alpha or plain,
        (True, True): deep_alpha or alpha or deep,
    }


CODECS: dict[str, Codec] = {
    "h264": Codec(
        "libx264",
        {"preset": "medium"},
        _formats("yuv420p", "yuv420p10le"),
        (".mp4", ".mov", ".mkv", ".m4v", ".avi"),
        14,
    ),
    "hevc": Codec(
        "libx265",
        {"preset": "medium", "x265-params": "log-level=error"},
        _formats("yuv420p", "yuv420p10le"),
        (".mp4", ".mov", ".mkv", ".m4v"),
        16,
    ),
    "prores_422hq": Codec(
        "prores_ks",
        {"profile": "3", "vendor": "apl0"},
        _formats("yuv422p10le", "yuv422p10le"),
        (".mov", ".mkv", ".mxf"),
    ),
    "prores_4444": Codec(
        "prores_ks",
        {"profile": "4", "vendor": "apl0"},
        _formats("yuv444p10le", "yuv444p10le", "yuva444p10le", "yuva444p10le"),
        (".mov", ".mkv"),
    ),
    "ffv1": Codec("ffv1", {"level": "3"}, _formats("bgr0", "gbrp16le", "bgra", "gbrap16le"), (".mkv", ".avi", ".mov")),
    "png": Codec("", {}, {}, ()),
    "exr": Codec("", {}, {}, ()),
    "dpx": Codec("", {}, {}, ()),
}


def pick_codec(name: str | None, path: Path) -> str:
    """``name``, or what the output's ending suggests. Raises OptionError for unknown names and misfits."""
    suffix = path.suffix.lower()
    if name is None:
        name = "png" if suffix == "" else "h264"
    if name not in CODECS:
        raise OptionError(f"unknown codec '{name}'; choose {', '.join(CODECS)}")
    fits = CODECS[name].suffixes
    if CODECS[name].sequence:
        if suffix:
            raise OptionError(f"{path}: {name} pictures are written into a folder; give a name without an ending")
    elif suffix not in fits:
        raise OptionError(f"{path}: {name} goes into {', '.join(fits)}, not '{suffix or 'a name without an ending'}'")
    return name


def check_output(
    path: str | os.PathLike[str],
    inputs: Iterable[str | os.PathLike[str]],
    codec: str | None,
    *,
    new_folder: bool = False,
) -> str:
    """Check an output before work starts; returns the codec's name. new_folder: the folder will be made.

    Raises OptionError (unknown codec, wrong ending) and OutputError (no such folder, read-only, disk full, equal to an
    input, a folder in the way).
    """
    if not isinstance(path, (str, os.PathLike)):
        raise OutputError(f"the output is a file's name, not {path!r:.100}")
    target = Path(os.fspath(path))
    name = pick_codec(codec, target)
    check_target(target)
    folder = existing(target.absolute().parent) if new_folder else target.absolute().parent
    if not os.path.isdir(folder):
        raise OutputError(f"{folder} does not exist; create the folder first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} is not writable; choose another folder for the output")
    sequence = CODECS[name].sequence
    if not sequence and target.is_dir():
        raise OutputError(f"{target} is a folder; give a file name")
    if sequence and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{target} exists and is not an empty folder; choose another name")
    for given in inputs:
        source = Path(os.fspath(given))
        if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
            raise OutputError(f"{target} is also an input; writing it would destroy the source, choose another name")
    if shutil.disk_usage(folder).free < 16 << 20:
        full = OutputError(f"the disk of {folder} is full (less than 16 MB free)")
        full.errno = errno.ENOSPC
        raise full
    return name


def lost(info: VideoInfo, codec: str, pix_fmt: str | None = None) -> list[str]:
    """What of the footage a codec cannot hold: one line each, for a person."""
    name, kind = info.path or "the footage", CODECS[codec]
    chosen = pix_fmt or kind.formats.get((info.bit_depth > 8, info.has_alpha), "")
    how = f"{codec} as {pix_fmt}" if pix_fmt else codec
    out = []
    if info.has_alpha and not kind.sequence and not chosen.startswith(ALPHA):
        out.append(f"the transparency of {name} is lost: {how} has none (prores_4444, ffv1, png, exr and dpx have)")
    if info.floating and codec != "exr":
        out.append(f"the range of {name} is lost: {how} gets a picture for displays (sRGB); exr keeps it")
    if info.mastering and not hdr.parameters(info.mastering, kind.encoder):
        out.append(f"the mastering display of {name} is lost: {how} does not tell it (hevc and h264 do)")
    return out


def container_options(suffix: str) -> dict[str, str]:
    """How a container is written: one that streams where it can, without random numbers in its header."""
    if suffix in (".mp4", ".mov", ".m4v"):
        return {"movflags": "+faststart+write_colr"}
    return {"fflags": "+bitexact"} if suffix == ".mkv" else {}


def keep_timecode(container: Any, suffix: str, timecode: str, fps: Fraction) -> None:
    """State the first frame's timecode in a container that is being written: MOV and MP4 make a track of it, MXF
    counts by it, Matroska has a tag. One that does not exist at the rate is left out."""
    if timecode and suffix in TIMECODED and later_timecode(timecode, fps, Fraction(0)):
        container.metadata["timecode"] = timecode


class VideoWriter:
    """Writes frames with their own timestamps. A context manager: leaving it normally completes the file, leaving it by
    an exception removes everything.

    path: ending chooses the container; info: of the source, for color tags, aspect ratio, time base and depth;
    codec: key of CODECS or None; crf, preset, pix_fmt override its defaults; sound: track to put beside; until: end of
    the track in seconds; beside: further tracks; mark: write the notice that the lip movement is synthetic into the
    metadata; finish: called with the complete file, or folder, before it gets its name: to sign it, say. Raises
    OptionError and OutputError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        info: VideoInfo,
        *,
        codec: str | None = None,
        crf: int | None = None,
        preset: str | None = None,
        pix_fmt: str | None = None,
        sound: Sound | None = None,
        until: Fraction | None = None,
        beside: Sequence[Sound] = (),
        mark: bool = True,
        size: tuple[int, int] | None = None,
        finish: Callable[[Path], None] | None = None,
    ) -> None:
        self.path = Path(os.fspath(path))
        self.codec = check_output(self.path, [], codec)
        self.info = info
        self._mark, self._finish = mark, finish
        self._naming = info.naming if isinstance(info.naming, Naming) else Naming()
        self.width, self.height = size or (info.width, info.height)
        self._temporary = places.beside(self.path)
        self.written = 0
        self.last_pts: Fraction | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._track: Tracks | None = None
        self._container: Any = None
        self._queue: queue.Queue[tuple[Array, Fraction, Array | None, Path | None] | None] = queue.Queue(maxsize=8)
        self._thread = threading.Thread(target=self._work, name="encode", daemon=True)
        try:
            if CODECS[self.codec].sequence:
                self._temporary.mkdir()
            else:
                self._open(crf, preset, pix_fmt, [*([] if sound is None else [sound]), *beside], until, mark)
            self._thread.start()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._remove()
            if isinstance(error, Wav2LipHQError):
                raise
            raise OutputError(f"{self.path} cannot be written as {self.codec}: {error}") from error
        except BaseException:
            self._remove()
            raise

    def _open(
        self,
        crf: int | None,
        preset: str | None,
        pix_fmt: str | None,
        sounds: Sequence[Sound],
        until: Fraction | None,
        mark: bool,
    ) -> None:
        codec, info = CODECS[self.codec], self.info
        suffix = self.path.suffix.lower()
        deep = info.bit_depth > 8
        self.pix_fmt = pix_fmt or codec.formats[deep, info.has_alpha]
        if self.pix_fmt.startswith("yuv420") and (self.width % 2 or self.height % 2):
            self.pix_fmt = self.pix_fmt.replace("420", "444")  # 4:2:0 cannot hold an odd size
        options = dict(codec.options)
        if preset:
            options["preset"] = preset
        if crf is not None or codec.crf is not None:
            options["crf"] = str(codec.crf if crf is None else crf)
        if codec.encoder == "libx264":
            # The same frames are to give the same file, on any machine. x264's macroblock tree, where it is written for
            # AVX, reads memory beyond the last block of a row that nobody has written (the file follows
            # MALLOC_PERTURB_); in its portable form it does not. How many threads there are decides how frames are cut
            # up, so that is not left to the number of processors.
            options["x264-params"] = "cpu-independent=1"
        if told := hdr.parameters(info.mastering, codec.encoder):
            key = codec.encoder.removeprefix("lib") + "-params"
            options[key] = ":".join([*filter(None, [options.get(key)]), *(f"{n}={v}" for n, v in told.items())])
        self._container = av.open(f"file:{self._temporary}", "w", options=container_options(suffix))
        if mark:
            self._container.metadata["comment"] = NOTICE
        keep_timecode(self._container, suffix, info.timecode, info.fps)
        stream = self._container.add_stream(codec.encoder, rate=info.fps.limit_denominator(65535), options=options)
        context = stream.codec_context
        stream.width, stream.height = self.width, self.height
        try:
            stream.pix_fmt = self.pix_fmt
        except ValueError as error:
            raise OptionError(f"unknown pixel format '{self.pix_fmt}'") from error
        context.time_base = stream.time_base = self._clock(info)
        context.thread_count = X264_THREADS if codec.encoder == "libx264" else 0
        context.sample_aspect_ratio = info.sample_aspect_ratio
        tags = info.color
        rgb = self.pix_fmt.startswith(("bgr", "gbr", "rgb"))
        if "primaries" in tags:
            context.color_primaries = tags["primaries"]
        if "transfer" in tags:
            context.color_trc = tags["transfer"]
        if not rgb:
            if "matrix" in tags and tags["matrix"] != 0:
                context.colorspace = tags["matrix"]
            self._span = color.span(tags, info.pix_fmt)
            context.color_range = int(self._span)
        self._table = color.table(tags, self.height)
        self._rgb = rgb
        self._stream = stream
        if sounds:
            self._track = Tracks(self._container, suffix, sounds, until)
        self._container.start_encoding()  # an encoder's error comes here, not at the first frame

    @staticmethod
    def _clock(info: VideoInfo) -> Fraction:
        """A time base in which every source timestamp is exact, with a denominator containers can hold."""
        base = info.time_base if info.time_base > 0 else 1 / info.fps
        if base.denominator > 1_000_000:
            return Fraction(1, 90_000)
        return Fraction(1, base.denominator) if base.numerator != 1 else base

    # ---- frames

    def write(self, frame: Array, pts: Fraction, alpha: Array | None = None, like: Path | None = None) -> None:
        """Queue a frame (H, W, 3), or (H, W) for one channel, uint8 or uint16 (or floats, for exr) with its time in
        seconds. like: the footage's own picture, whose facts an EXR or DPX file keeps. Raises OutputError of earlier
        frames."""
        if self._error is not None:
            self._fail()
        if frame.shape[:2] != (self.height, self.width):
            raise OutputError(
                f"{self.path}: frame of {frame.shape[1]}x{frame.shape[0]}, not {self.width}x{self.height}"
            )
        while True:
            try:
                self._queue.put((frame, pts, alpha, like), timeout=0.2)
                return
            except queue.Full:
                if self._error is not None:
                    self._fail()

    def _work(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if self._error is not None:
                continue
            try:
                self._encode(*item)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self._error = error

    def _encode(self, frame: Array, pts: Fraction, alpha: Array | None, like: Path | None) -> None:
        self.written += 1
        self.last_pts = pts
        if CODECS[self.codec].sequence:
            self._picture(frame, alpha, like)
            return
        if frame.ndim == 2:
            frame = np.repeat(frame[..., None], 3, -1)
        deep = frame.dtype == np.uint16
        if alpha is not None and self.pix_fmt.startswith(ALPHA):
            frame = np.concatenate([frame, alpha[..., None]], -1)
            layout = "rgba64le" if deep else "rgba"
        else:
            layout = "rgb48le" if deep else "rgb24"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=layout)
        options: dict[str, Any] = {"dst_color_range": ColorRange.JPEG}  # or RGB with alpha would lose bits
        if not self._rgb:
            options = {"dst_colorspace": self._table, "dst_color_range": self._span}
        picture = picture.reformat(
            format=self.pix_fmt, interpolation=color.QUALITY, src_color_range=ColorRange.JPEG, **options
        )
        picture.time_base = self._stream.codec_context.time_base
        picture.pts = round(pts / picture.time_base)
        if self._track is not None:
            self._track.mux_until(self._container, pts)
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def _picture(self, frame: Array, alpha: Array | None, like: Path | None) -> None:
        target = self._temporary / self._naming.name(self.written - 1, f".{self.codec}")
        if self.codec == "png":
            target.write_bytes(self._png(frame, alpha))
            return
        if self.codec == "dpx" and frame.dtype.kind == "f":
            raise OutputError(f"{self.path}: DPX holds integers, and this is floats; choose exr")
        pictures.save_picture(
            target,
            frame,
            alpha,
            depth=self._depth(frame),
            like=like,
            colorspace=self.info.colorspace,
            notice=NOTICE if self._mark else "",
        )

    def _depth(self, frame: Array) -> int:
        """Bits of a DPX."""
        if frame.dtype == np.uint8:
            return 8
        return self.info.bit_depth if self.info.bit_depth in (10, 12) else 16

    def _png(self, frame: Array, alpha: Array | None) -> bytes:
        import cv2

        image = frame if frame.ndim == 2 else frame[..., ::-1]
        if alpha is not None:
            image = np.concatenate([image, alpha[..., None]], -1)
        done, data = cv2.imencode(".png", np.ascontiguousarray(image))
        if not done:
            raise OutputError(f"{self.path}: frame {self.written - 1} cannot be stored as PNG")
        picture = data.tobytes()
        return commented(picture) if self._mark else picture

    # ---- the end

    def _fail(self) -> None:
        error = self._error
        self.abort()
        if isinstance(error, OutputError):
            raise error
        raise OutputError(f"{self.path} could not be written: {error}") from error

    def _finish_thread(self) -> None:
        if self._thread.is_alive():
            while True:
                try:
                    self._queue.put(None, timeout=0.2)
                    break
                except queue.Full:
                    continue
            self._thread.join()

    def close(self) -> None:
        """Flush, complete the file and give it its name. Raises OutputError; then nothing is left behind."""
        if self._ended:
            return
        self._finish_thread()
        if self._error is not None:
            self._fail()
        try:
            if self._container is not None:
                for packet in self._stream.encode(None):
                    if self.codec == "hevc" and self.written < 3:
                        packet.dts = packet.pts  # x265 leaves it undefined until its reordering has begun
                    self._container.mux(packet)
                if self._track is not None:
                    self._track.mux_until(self._container, None)
                self._container.close()
                if self._track is not None:
                    self._track.close()
                with self._temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            if self._finish is not None:
                self._finish(self._temporary)
            if CODECS[self.codec].sequence and self.path.is_dir():
                self.path.rmdir()
            os.replace(self._temporary, self.path)
        except BaseException as error:
            self._error = error
            self._fail()
        self._ended = True

    def abort(self) -> None:
        """Stop and remove what was written."""
        if self._ended:
            return
        self._ended = True
        self._error = self._error or RuntimeError("aborted")
        self._finish_thread()
        try:
            if self._container is not None:
                self._container.close()
        except Exception:  # noqa: BLE001, S110 - the file is thrown away in any case
            pass
        if self._track is not None:
            self._track.close()
        self._remove()

    def _remove(self) -> None:
        if self._temporary.is_dir():
            shutil.rmtree(self._temporary, ignore_errors=True)
        else:
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def available(name: str) -> bool:
    """Whether this build of PyAV has the encoder of a codec."""
    encoder = CODECS[name].encoder
    if not encoder:
        return True
    try:
        av.codec.Codec(encoder, "w")
    except (ValueError, av.FFmpegError):
        return False
    return True


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
