"""The result's sound: the driving speech, the footage's own, a mix, or a reel with lines replaced."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from . import video
from .errors import OptionError
from .run_options import RunOptions
from .types import Array, VideoInfo
from .video import Sound, VideoReader
from .voice import Voice

FADE = 0.005  # seconds of cross-fade, against clicks


def soundtrack(
    reader: VideoReader,
    voices: Sequence[Voice],
    options: RunOptions,
    *,
    given: Any = None,
    ends: Sequence[Fraction | None] = (),
) -> tuple[Sound | None, Fraction | None]:
    """(sound, time at which it is cut; None = it runs to its own end).

    given: the speech as it was passed to the run, if not as files. ends: of a reel's voices, the seconds up to which
    each replaces the footage's own sound. Raises OptionError for a reel over footage of unknown length.
    """
    info = reader.info
    if options.sound == "source":
        if not info.has_audio:
            return None, None
        return Sound(path=info.path, delay=-info.begins), info.duration if info.cut else None
    if options.sound != "dub":
        return Sound(path=options.sound), info.duration if not info.still else None
    if any(end is not None for end in ends):
        return _reel(info, voices, ends), None
    until = None
    if options.extend == "stop" and info.duration is not None and not info.still:
        until = min(info.duration, max(v.over for v in voices))
    if voices[0].cut and (until is None or voices[0].over < until):
        until = max(v.over for v in voices)
    sounds = list(given.values()) if isinstance(given, Mapping) else [given]
    if len(voices) > 1:
        return _mixed(voices, sounds), until
    if isinstance(sounds[0], tuple):
        return replace(_samples(*sounds[0]), delay=-voices[0].skipped), until
    path = os.fspath(sounds[0]) if sounds[0] is not None else voices[0].name
    return Sound(path=path, delay=-voices[0].skipped), until


def _samples(samples: Any, rate: int) -> Sound:
    wave = np.asarray(samples)
    if np.issubdtype(wave.dtype, np.integer):
        wave = wave.astype(np.float32) / (1 << (8 * wave.dtype.itemsize - 1))
    if wave.ndim == 2 and wave.shape[0] < wave.shape[1]:
        wave = wave.T
    return Sound(samples=wave.astype(np.float32), rate=int(rate))


def _decoded(voice: Voice, sound: Any, rate: int, layout: str) -> Array:
    """(n, channels) float32 of a voice at ``rate``."""
    if isinstance(sound, tuple):
        import librosa

        found = _samples(*sound)
        assert found.samples is not None
        mono = found.samples.reshape(len(found.samples), -1).mean(1)
        wave = mono if found.rate == rate else librosa.resample(mono, orig_sr=found.rate, target_sr=rate)
        wave = np.repeat(wave[:, None], 2 if layout == "stereo" else 1, 1)
    else:
        wave = video.decode_audio(sound if sound is not None else voice.name, rate, layout)
        wave = wave.reshape(len(wave), -1)
    wave = wave[round(voice.skipped * rate) :]
    return np.asarray(wave[: round(voice.speech.seconds * rate)] if voice.cut else wave)


def _mixed(voices: Sequence[Voice], sounds: Sequence[Any]) -> Sound:
    """The sum of several voices."""
    rate = 48000
    tracks = [_decoded(v, s, rate, "stereo") for v, s in zip(voices, sounds, strict=True)]
    starts = [round(v.begins * rate) for v in voices]
    out = np.zeros((max(a + len(t) for a, t in zip(starts, tracks, strict=True)), 2), np.float32)
    for a, track in zip(starts, tracks, strict=True):
        out[a : a + len(track)] += track
    return Sound(samples=np.clip(out, -1, 1), rate=rate)


def _reel(info: VideoInfo, voices: Sequence[Voice], ends: Sequence[Fraction | None]) -> Sound:
    """The footage's sound with each voice in place of the original between its in and out, as samples."""
    if info.duration is None:
        raise OptionError(
            f"{info.path} has no known length, so its sound cannot be replaced in parts; give 'sound: MIX.wav'"
        )
    facts = video.probe_sound(info.path) if info.has_audio else None
    rate = facts.rate if facts else 48000
    layout = "stereo" if facts and facts.channels > 1 else "mono"
    track = video.decode_audio(info.path, rate, layout) if facts else np.zeros(0, np.float32)
    track = track.reshape(len(track), 2 if layout == "stereo" else 1)[round(info.begins * rate) :]
    track = track[: round(info.duration * rate)] if info.cut else track
    missing = max(0, round(info.duration * rate) - len(track))
    track = np.concatenate([track, np.zeros((missing, track.shape[1]), np.float32)])
    fade = max(1, round(FADE * rate))
    done: list[tuple[Fraction, Fraction]] = []
    for voice, end in zip(voices, ends, strict=True):
        assert end is not None
        a, b = round(voice.begins * rate), min(round(end * rate), len(track))
        speech = _decoded(voice, None, rate, layout)[: b - a]
        new = np.zeros((b - a, track.shape[1]), np.float32)
        new[: len(speech)] = speech
        if any(first < end and last > voice.begins for first, last in done):
            track[a:b] += new  # two people at once
        else:
            at = np.arange(b - a)
            ramp = np.minimum(1, np.minimum(at, at[::-1]) / fade).astype(np.float32)[:, None]
            track[a:b] = track[a:b] * (1 - ramp) + new * ramp
        done.append((voice.begins, end))
    return Sound(samples=np.clip(track, -1, 1), rate=rate)
