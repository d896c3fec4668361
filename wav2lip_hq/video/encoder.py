"""Encoding: one video stream and its sound tracks in a container."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from ..errors import OptionError
from ..types import Array, VideoInfo
from . import color, hdr
from .codecs import ALPHA, CODECS, container_options, keep_timecode
from .notice import NOTICE
from .sound import Sound
from .tracks import Tracks

X264_THREADS = 8


class Encoder:
    """A video file that is being written to ``target``; arguments as for ``VideoWriter``. suffix: the ending of the
    file's final name."""

    def __init__(
        self,
        target: Path,
        suffix: str,
        info: VideoInfo,
        size: tuple[int, int],
        codec: str,
        *,
        crf: int | None,
        preset: str | None,
        pix_fmt: str | None,
        sounds: Sequence[Sound],
        until: Fraction | None,
        mark: bool,
    ) -> None:
        self.codec = codec
        self._written = 0
        self._tick: int | None = None  # time of the last frame
        self._track: Tracks | None = None
        (width, height), kind = size, CODECS[codec]
        deep = info.bit_depth > 8
        self.pix_fmt = pix_fmt or kind.formats[deep, info.has_alpha]
        if self.pix_fmt.startswith("yuv420") and (width % 2 or height % 2):
            self.pix_fmt = self.pix_fmt.replace("420", "444")  # 4:2:0 cannot hold an odd size
        options = dict(kind.options)
        if preset:
            options["preset"] = preset
        if crf is not None or kind.crf is not None:
            options["crf"] = str(kind.crf if crf is None else crf)
        if kind.encoder == "libx264":
            # The same frames must give the same file on any machine. The AVX version of x264's macroblock tree reads
            # uninitialized memory beyond the last block of a row (the file changes with MALLOC_PERTURB_); the portable
            # version does not. The number of threads decides how frames are split, so it is fixed too.
            options["x264-params"] = "cpu-independent=1"
        if told := hdr.parameters(info.mastering, kind.encoder):
            key = kind.encoder.removeprefix("lib") + "-params"
            options[key] = ":".join([*filter(None, [options.get(key)]), *(f"{n}={v}" for n, v in told.items())])
        opened: Any = av.open(f"file:{target}", "w", options=container_options(suffix))
        self._container = opened
        if mark:
            self._container.metadata["comment"] = NOTICE
        keep_timecode(self._container, suffix, info.timecode, info.fps)
        stream = self._container.add_stream(kind.encoder, rate=info.fps.limit_denominator(65535), options=options)
        context = stream.codec_context
        stream.width, stream.height = width, height
        try:
            stream.pix_fmt = self.pix_fmt
        except ValueError as error:
            raise OptionError(f"unknown pixel format '{self.pix_fmt}'") from error
        context.time_base = stream.time_base = _clock(info)
        context.thread_count = X264_THREADS if kind.encoder == "libx264" else 0
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
        self._table = color.table(tags, height)
        self._rgb = rgb
        self._stream = stream
        if sounds:
            self._track = Tracks(self._container, suffix, sounds, until)
        self._container.start_encoding()  # an encoder's error comes here, not at the first frame

    def add(self, frame: Array, pts: Fraction, alpha: Array | None) -> None:
        """Encode a frame (H, W, 3) or (H, W), uint8 or uint16, shown at ``pts`` seconds."""
        self._written += 1
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
        tick = round(pts / picture.time_base)
        # Two frames at one time cannot be written.
        self._tick = picture.pts = tick if self._tick is None else max(tick, self._tick + 1)
        if self._track is not None:
            self._track.mux_until(self._container, pts)
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def end(self) -> None:
        """Flush the encoder and write the rest of the sound; the file is complete then."""
        for packet in self._stream.encode(None):
            if self.codec == "hevc" and self._written < 3:
                packet.dts = packet.pts  # x265 leaves it undefined until its reordering has begun
            self._container.mux(packet)
        if self._track is not None:
            self._track.mux_until(self._container, None)
        self._container.close()
        if self._track is not None:
            self._track.close()

    def abort(self) -> None:
        """Close the files without completing them."""
        try:
            self._container.close()
        except Exception:  # noqa: BLE001, S110 - the file is thrown away in any case
            pass
        if self._track is not None:
            self._track.close()


def _clock(info: VideoInfo) -> Fraction:
    """A time base in which every source timestamp is exact, with a denominator containers can hold."""
    base = info.time_base if info.time_base > 0 else 1 / info.fps
    if base.denominator > 1_000_000:
        return Fraction(1, 90_000)
    return Fraction(1, base.denominator) if base.numerator != 1 else base
