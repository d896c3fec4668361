"""Audio streams: decoding to samples, and carrying a driving track into an output file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from numbers import Integral
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from ..errors import InputError, OutOfMemory, refused_memory
from ..types import Array

# container suffix -> audio codecs copied into it without encoding
COPYABLE = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    ".m4v": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"},
    ".avi": {"mp3", "ac3", "pcm_s16le", "pcm_s24le"},
}
ENCODERS = {".mxf": "pcm_s24le", ".mp4": "aac", ".m4v": "aac", ".mov": "pcm_s24le", ".avi": "pcm_s16le", ".mkv": "flac"}
# QuickTime numbers its languages, and FFmpeg knows the numbers by these names.
QUICKTIME = {
    "deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "mkd": "mac",
    "hrv": "hr ", "srp": "sr ",
}  # fmt: skip
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 6: "5.1", 8: "7.1"}
SLOWEST, FASTEST = 2000, 768_000  # samples a second
LONGEST = 12 * 3600  # seconds of sound that are held in memory
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


# Formats that may read files or devices other than the one opened.
POINTING = {
    "hls", "concat", "dash", "imf", "image2", "sdp", "rtsp", "rtp", "sap", "webm_dash_manifest", "vobsub", "avisynth",
    "vapoursynth", "lavfi", "dvdvideo", "tty", "v4l2", "fbdev", "alsa", "pulse", "jack", "oss", "sndio", "x11grab",
    "xcbgrab", "kmsgrab", "iec61883", "libcdio", "decklink", "openal", "libdc1394", "dshow", "gdigrab", "avfoundation",
}  # fmt: skip
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<MPD", b"<?xml")


@cache
def _formats() -> str:
    """Names of all formats that read a single file, separated by commas, as FFmpeg takes them."""
    return ",".join(sorted(av.formats_available - POINTING))


def open_input(path: str | os.PathLike[str], playlists: bool = False) -> Any:
    """av.open for reading, with readable errors. playlists: whether the file may name others to read; never
    from a network."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"a media file is given by its name, not as {path!r:.100}")
    name = os.fspath(path)
    if not os.path.exists(name):
        raise InputError(f"{name} does not exist")
    if os.path.isdir(name):
        raise InputError(f"{name} is a folder, not a media file")
    if not os.access(name, os.R_OK):
        raise InputError(f"{name} cannot be read (permission denied)")
    if not os.path.isfile(name):
        raise InputError(f"{name} is a pipe or a device, not a file; save what comes out of it first")
    try:
        with open(name, "rb") as file:
            head = file.read(500).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror})") from error
    if not head and not os.path.getsize(name):
        raise InputError(f"{name} is empty (0 bytes)")
    if head.startswith(PLAYLISTS) and not playlists:
        raise InputError(f"{name} is a playlist, which names other files to read; if that is meant, add --playlists")
    options = {"protocol_whitelist": "file,crypto,data"}
    if not playlists:
        options["format_whitelist"] = _formats()
    try:
        # "file:" keeps names with colons or percent signs from being read as protocols or patterns.
        return av.open(f"file:{name}", options=options)
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        raise InputError(
            f"{name} is not a media file this build can read, or it is damaged ({short_reason(error)})"
        ) from error


def short_reason(error: BaseException) -> str:
    """FFmpeg's message without error number and file name."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)).split("; ")[0].split(":")[0].strip()


def _name(stream: Any) -> str:
    """Name of the codec, whichever decoder reads it ("mp3", not "mp3float")."""
    return str(getattr(stream.codec_context.codec, "canonical_name", "") or stream.codec_context.name)


def origin(container: Any) -> Fraction:
    """Where the file's clock starts, in seconds: program streams begin at arbitrary times, other files at zero."""
    known = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    start = min(known, default=Fraction(0))
    return start if start > Fraction(1, 4) else Fraction(0)


def check_rate(rate: Any, name: str) -> int:
    """``rate`` as a whole number of samples a second. Raises InputError for rates outside SLOWEST to FASTEST: resampled
    from an absurdly low rate, a few samples would become hours."""
    if isinstance(rate, bool) or not isinstance(rate, Integral) or not SLOWEST <= int(rate) <= FASTEST:
        raise InputError(f"{name}: a rate of {rate!r:.100} samples a second; sound has {SLOWEST} to {FASTEST}")
    return int(rate)


def decode_audio(path: str | os.PathLike[str], rate: int = 16000, layout: str = "mono") -> Array:
    """First audio stream as (n,) float32 at ``rate`` Hz from time zero of the file ((n, 2) for the layout "stereo");
    see ``audio.load_audio``."""
    with open_input(path) as container:
        if not container.streams.audio:
            raise InputError(f"{os.fspath(path)} has no audio stream; give a file that has sound")
        stream = container.streams.audio[0]
        zero = origin(container)
        if stream.codec_context is None:
            raise InputError(f"{os.fspath(path)}: there is no decoder for its sound here")
        check_rate(stream.codec_context.sample_rate, os.fspath(path))
        count = 0
        resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
        parts: list[Array] = []
        first: Fraction | None = None
        try:
            for frame in container.decode(stream):
                if first is None:
                    first = (frame.pts * frame.time_base if frame.pts is not None else zero) - zero
                made = [out.to_ndarray()[0] for out in resampler.resample(frame)]
                count += sum(len(part) for part in made)
                if max(abs(first), Fraction(count, rate)) > LONGEST * (2 if layout == "stereo" else 1):
                    hours = LONGEST // 3600
                    raise InputError(f"{os.fspath(path)}: more than {hours} hours of sound; cut it into parts")
                parts += made
        except InputError:
            raise
        except (av.FFmpegError, ValueError) as error:
            if refused_memory(error):  # nothing is wrong with the file
                raise OutOfMemory(f"not enough memory to decode {os.fspath(path)}") from error
            if not parts:
                raise InputError(f"{os.fspath(path)}: the audio cannot be decoded ({short_reason(error)})") from error
        if first is None:
            raise InputError(f"{os.fspath(path)} has an audio stream of zero length; export the speech again")
        parts += [out.to_ndarray()[0] for out in resampler.resample(None)]
    wav = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    del parts
    if layout == "stereo":
        wav = wav.reshape(-1, 2)
    lead = round(first * rate)
    if not lead:
        return np.asarray(wav, np.float32)
    silence = np.zeros((max(lead, 0), *wav.shape[1:]), np.float32)
    return np.asarray(np.concatenate([silence, wav[max(-lead, 0) :]]), np.float32)


@dataclass(frozen=True)
class Sound:
    """A track to put beside the picture: an audio file (one of its audio streams, shifted by ``delay`` seconds) or
    samples (n,) or (n, channels) float32 at ``rate``. until: seconds of the output at which it is cut; language: three
    letters, ISO 639-2."""

    path: str = ""
    samples: Array | None = None
    rate: int = 0
    delay: Fraction = Fraction(0)
    stream: int = 0
    until: Fraction | None = None
    language: str = ""
    title: str = ""


@dataclass(frozen=True)
class SoundFacts:
    """What an audio stream is."""

    codec: str
    rate: int
    channels: int
    duration: Fraction | None


def probe_sound(path: str | os.PathLike[str]) -> SoundFacts:
    """Codec, rate, channels and duration (seconds) of the first audio stream. Raises InputError."""
    with open_input(path) as container:
        if not container.streams.audio:
            raise InputError(f"{os.fspath(path)} has no audio stream; give a file that has sound")
        stream = container.streams.audio[0]
        context = stream.codec_context
        if context is None:
            raise InputError(f"{os.fspath(path)}: there is no decoder for its sound here")
        duration = stream.duration * stream.time_base if stream.duration else None
        return SoundFacts(_name(stream), context.sample_rate, context.channels, duration)


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
            codec = _name(stream)
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


def audio_tracks(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """(language, title) of each audio stream of a file; "" where it does not say. Raises InputError."""
    with open_input(path) as container:
        known = [stream.metadata for stream in container.streams.audio]
        modern = {old: new for new, old in QUICKTIME.items()}
        said = [(facts.get("language", ""), facts.get("title", "")) for facts in known]
        return [(modern.get(language, language), title) for language, title in said]


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
