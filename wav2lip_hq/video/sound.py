"""Audio streams: their facts, and decoding to samples."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from typing import Any

import av
import numpy as np

from ..errors import InputError, OutOfMemory, refused_memory
from ..types import Array
from .opening import open_input, origin, short_reason

# QuickTime numbers its languages, and FFmpeg knows the numbers by these names.
QUICKTIME = {
    "deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "mkd": "mac",
    "hrv": "hr ", "srp": "sr ",
}  # fmt: skip
SLOWEST, FASTEST = 2000, 768_000  # samples a second
LONGEST = 12 * 3600  # seconds of sound that are held in memory


def codec_name(stream: Any) -> str:
    """Name of the codec, whichever decoder reads it ("mp3", not "mp3float")."""
    return str(getattr(stream.codec_context.codec, "canonical_name", "") or stream.codec_context.name)


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
        return SoundFacts(codec_name(stream), context.sample_rate, context.channels, duration)


def audio_tracks(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """(language, title) of each audio stream of a file; "" where it does not say. Raises InputError."""
    with open_input(path) as container:
        known = [stream.metadata for stream in container.streams.audio]
        modern = {old: new for new, old in QUICKTIME.items()}
        said = [(facts.get("language", ""), facts.get("title", "")) for facts in known]
        return [(modern.get(language, language), title) for language, title in said]
