"""Sound tracks of an output: copied from their files where the container takes the codec, otherwise encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from ..errors import InputError, refused_memory
from ..types import Array
from .opening import open_input, origin
from .sound import QUICKTIME, Sound, codec_name

# container suffix -> audio codecs copied into it without encoding
COPYABLE = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    ".m4v": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"},
    ".avi": {"mp3", "ac3", "pcm_s16le", "pcm_s24le"},
}
ENCODERS = {".mxf": "pcm_s24le", ".mp4": "aac", ".m4v": "aac", ".mov": "pcm_s24le", ".avi": "pcm_s16le", ".mkv": "flac"}
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 6: "5.1", 8: "7.1"}
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


class Track:
    """Feeds one audio track into an output container, in step with the picture."""

    def __init__(self, output: Any, suffix: str, sound: Sound, until: Fraction | None) -> None:
        self.until = sound.until if until is None else until
        self.source: Any = None
        self._next: Any = None
        if sound.path:
            self.source = open_input(sound.path)
            if not self.source.streams.audio:
                self.source.close()
                raise InputError(f"{sound.path} has no audio stream; give a file that has sound")
            stream = self.source.streams.audio[sound.stream]
            zero = origin(self.source)
            codec = codec_name(stream)
            # Packets cannot be cut: what begins at an in point is encoded again, to the sample.
            if sound.delay >= 0 and (suffix == ".mkv" or codec in COPYABLE.get(suffix, ())):
                self.stream = output.add_stream_from_template(stream)
                self._packets = self._copies(stream, zero - sound.delay)
            else:
                context = stream.codec_context
                # Many WAV files do not say which speaker a channel belongs to; encoders insist.
                layout = LAYOUTS.get(context.channels, context.layout.name)
                rate = context.sample_rate
                self._encode_setup(output, suffix, rate, layout)
                self._packets = self._encodes(self.source.decode(stream), zero - sound.delay)
        else:
            assert sound.samples is not None
            samples = np.asarray(sound.samples, np.float32)
            samples = samples[:, None] if samples.ndim == 1 else samples
            layout = "mono" if samples.shape[1] == 1 else "stereo"
            self._encode_setup(output, suffix, sound.rate, layout)
            self._packets = self._encodes(_frames(samples, sound.rate, layout), -sound.delay)
        if sound.language:
            named = QUICKTIME.get(sound.language, sound.language) if suffix == ".mov" else sound.language
            self.stream.metadata["language"] = named
        if sound.title:
            self.stream.metadata["title"] = sound.title
        self._advance()

    def _encode_setup(self, output: Any, suffix: str, rate: int, layout: str) -> None:
        codec = ENCODERS.get(suffix, "aac")
        if codec == "aac" and rate not in AAC_RATES:
            rate = 48000
        if suffix == ".mxf":
            rate = 48000  # the only one there is
        channels = av.AudioLayout(layout).nb_channels
        # AAC refuses more than 6 bits a sample
        options = {"b": str(channels * min(96_000, 5 * rate))} if codec == "aac" else {}
        self.stream = output.add_stream(codec, rate=rate, layout=layout, options=options)
        formats = {"aac": "fltp", "flac": "s32", "pcm_s24le": "s32", "pcm_s16le": "s16"}
        self.resampler = av.AudioResampler(format=formats[codec], layout=layout, rate=rate)
        self.rate = rate

    def _copies(self, stream: Any, zero: Fraction) -> Iterator[Any]:
        shift = round(zero / stream.time_base)
        for packet in self.source.demux(stream):
            if packet.dts is None or packet.size == 0:
                continue
            if self.until is not None and packet.pts is not None and packet.pts * stream.time_base - zero >= self.until:
                return
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts -= shift
            packet.stream = self.stream
            yield packet

    def _encodes(self, frames: Iterator[Any], zero: Fraction) -> Iterator[Any]:
        end = None if self.until is None else round(self.until * self.rate)
        done = 0

        def resampled() -> Iterator[Any]:
            nonlocal zero
            start: Fraction | None = None
            for frame in frames:
                if start is None:
                    start = (frame.pts * frame.time_base if frame.pts is not None else Fraction(0)) - zero
                    self._lead = round(start * self.rate)
                frame.pts = None
                yield from self.resampler.resample(frame)
            yield from self.resampler.resample(None)

        self._lead = 0
        for frame in resampled():
            if end is not None and self._lead + done >= end:
                break
            count = frame.samples
            if end is not None and self._lead + done + count > end:
                frame = _cut(frame, 0, end - self._lead - done)
            at = self._lead + done
            done += count
            if at + count <= 0:
                continue  # before the in point
            if at < 0:
                frame, at = _cut(frame, -at, count), 0
            frame.pts, frame.time_base = at, Fraction(1, self.rate)
            yield from self.stream.encode(frame)
        yield from self.stream.encode(None)

    def _advance(self) -> None:
        try:
            self._next = next(self._packets, None)
        except av.FFmpegError as error:
            if refused_memory(error):
                raise
            self._next = None  # a damaged end: keep what could be read

    def mux_until(self, output: Any, seconds: Fraction | None) -> None:
        """Write the packets due before ``seconds``, or all that remain."""
        while self._next is not None:
            packet = self._next
            if seconds is not None and packet.dts is not None and packet.dts * packet.time_base > seconds:
                return
            output.mux(packet)
            self._advance()

    def close(self) -> None:
        """Close the source file."""
        if self.source is not None:
            self.source.close()


class Tracks:
    """Several audio tracks of one output; the first is the default track."""

    def __init__(self, output: Any, suffix: str, sounds: Sequence[Sound], until: Fraction | None) -> None:
        self._tracks: list[Track] = []
        try:
            for number, sound in enumerate(sounds):
                track = Track(output, suffix, sound, until if number == 0 else None)
                self._tracks.append(track)
                if len(sounds) > 1:
                    track.stream.disposition = Disposition.default if number == 0 else Disposition(0)
        except BaseException:
            self.close()
            raise

    def mux_until(self, output: Any, seconds: Fraction | None) -> None:
        """Write the packets due before ``seconds``, or all that remain."""
        for track in self._tracks:
            track.mux_until(output, seconds)

    def close(self) -> None:
        """Close the source files."""
        for track in self._tracks:
            track.close()


def _frames(samples: Array, rate: int, layout: str) -> Iterator[Any]:
    for at in range(0, len(samples), 1024):
        block = np.ascontiguousarray(samples[at : at + 1024].T)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        yield frame


def _cut(frame: Any, first: int, last: int) -> Any:
    """Samples ``first`` to ``last`` of a frame."""
    array = frame.to_ndarray()
    per = array.shape[1] // frame.samples
    short = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(array[:, first * per : last * per]), format=frame.format.name, layout=frame.layout.name
    )
    short.sample_rate = frame.sample_rate
    return short
