"""What is heard beside the speech: music and effects under it, its loudness, the footage's own tracks, languages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from . import video
from .errors import OptionError
from .language import long_code
from .run_options import RunOptions
from .types import Array, VideoInfo
from .video import Sound

RATE = 48000
BLOCK = 0.4  # s: the shortest sound that has a loudness (EBU R128's gating block)
PEAK = -1.0  # dBTP: the most a mix may reach (EBU R128)


@dataclass(frozen=True)
class Mix:
    """What an output is given to hear. sound, until: the first track and where it is cut; beside: further tracks;
    loudness: of the first track in LUFS, where it was measured."""

    sound: Sound | None
    until: Fraction | None = None
    beside: tuple[Sound, ...] = ()
    loudness: float | None = None


def finish(
    sound: Sound | None,
    until: Fraction | None,
    info: VideoInfo,
    options: RunOptions,
    *,
    length: Fraction | None,
    warn: Callable[[str], None],
) -> Mix:
    """The mix of a run. sound, until: what ``soundtrack`` says; length: seconds of the output. Raises OptionError and
    InputError."""
    loudness = None
    if sound is not None and (options.bed or options.loudness is not None):
        wave = samples(sound, until)
        if options.bed:
            wave = _under(wave, options, length)
        if options.loudness is not None:
            wave, loudness = _levelled(wave, info, options.loudness, warn)
        else:
            wave = _held(wave, warn)
        sound, until = Sound(samples=wave, rate=RATE), None
    if sound is not None and options.language:
        sound = replace(sound, language=long_code(options.language))
    return Mix(sound, until, _own(info, options, sound, until), loudness)


def samples(sound: Sound, until: Fraction | None = None) -> Array:
    """(n, 2) float32 of a sound at 48 kHz, from time zero of the output to ``until``."""
    if sound.samples is None:
        wave = stereo(sound.path)
    else:
        wave = np.asarray(sound.samples, np.float32)
        wave = wave.reshape(len(wave), -1)
        if sound.rate != RATE:
            import librosa

            wave = librosa.resample(wave, orig_sr=sound.rate, target_sr=RATE, axis=0)
        wave = np.repeat(wave[:, :1], 2, 1) if wave.shape[1] == 1 else wave[:, :2]
    shift = round(sound.delay * RATE)
    wave = np.pad(wave, ((shift, 0), (0, 0))) if shift > 0 else wave[-shift:]
    return np.asarray(wave if until is None else wave[: round(until * RATE)], np.float32)


def stereo(path: str) -> Array:
    """(n, 2) float32 at 48 kHz of a file. One channel is heard from both sides at its own level; FFmpeg would make it
    3 dB quieter."""
    if video.probe_sound(path).channels == 1:
        mono = video.decode_audio(path, RATE)
        return np.repeat(mono[:, None], 2, 1)
    return video.decode_audio(path, RATE, "stereo").reshape(-1, 2)


def _under(wave: Array, options: RunOptions, length: Fraction | None) -> Array:
    """The speech with music and effects, as long as the picture."""
    bed = stereo(options.bed) * np.float32(10 ** (options.bed_gain / 20))
    count = max(len(wave), len(bed)) if length is None else max(len(wave), round(length * RATE))
    mixed = np.zeros((count, 2), np.float32)
    mixed[: len(wave)] += wave
    mixed[: min(count, len(bed))] += bed[:count]
    return mixed


def _levelled(
    wave: Array, info: VideoInfo, wanted: float | str, warn: Callable[[str], None]
) -> tuple[Array, float | None]:
    """The mix at the loudness wanted, as far as its peaks allow, and what that is."""
    found = measured(wave)
    if wanted == "source":
        if not info.has_audio:
            raise OptionError(f"loudness = source: {info.path or 'the footage'} has no sound to match")
        own = samples(Sound(path=info.path, delay=-info.begins), info.duration if info.cut else None)
        target = measured(own)
    else:
        target = float(wanted)
    if found is None or target is None:
        whose = "the mix" if found is None else "the footage's sound"
        warn(f"the loudness was not changed: {whose} is silent, or shorter than {BLOCK} s")
        return _held(wave, warn), found
    gain = target - found
    room = PEAK - true_peak(wave)
    if gain > room:
        warn(f"the loudness is {found + room:.1f} LUFS, not {target:.1f}: more would take peaks above {PEAK:g} dBTP")
        gain = room
    return np.asarray(wave * np.float32(10 ** (gain / 20))), found + gain


def _held(wave: Array, warn: Callable[[str], None]) -> Array:
    """The mix, lowered if it is louder than samples can be."""
    peak = float(np.abs(wave).max(initial=0))
    if peak <= 1:
        return wave
    gain = 10 ** (PEAK / 20) / peak
    warn(f"speech and bed together were too loud: both were lowered by {-20 * np.log10(gain):.1f} dB")
    return np.asarray(wave * np.float32(gain))


def _meter() -> Any:
    try:
        import pyloudnorm
    except ImportError as error:
        raise OptionError("loudness needs pyloudnorm: pip install 'wav2lip-hq[delivery]'") from error
    return pyloudnorm.Meter(RATE)


def measured(wave: Array) -> float | None:
    """Integrated loudness in LUFS (EBU R128, ITU-R BS.1770-4) of (n, 2) at 48 kHz; None for silence and what is too
    short to have one. Raises OptionError where pyloudnorm is missing."""
    meter = _meter()
    if len(wave) <= BLOCK * RATE or not np.any(wave):
        return None
    with np.errstate(divide="ignore"):
        found = float(meter.integrated_loudness(wave.astype(np.float64)))
    return found if np.isfinite(found) else None


def true_peak(wave: Array) -> float:
    """dBTP: the peak between samples too, at four times the rate (ITU-R BS.1770-4, annex 2)."""
    from scipy.signal import resample_poly

    most = 1e-9
    step = 30 * RATE
    for at in range(0, len(wave), step):
        most = max(most, float(np.abs(resample_poly(wave[max(0, at - 64) : at + step + 64], 4, 1, axis=0)).max()))
    return float(20 * np.log10(most))


def _own(info: VideoInfo, options: RunOptions, sound: Sound | None, until: Fraction | None) -> tuple[Sound, ...]:
    """The footage's own tracks, to stand beside the first."""
    if not options.keep_tracks or not info.has_audio or not info.path:
        return ()
    first = 1 if options.sound == "source" and sound is not None and sound.path == info.path else 0
    end = info.duration if info.cut else None
    return tuple(
        Sound(path=info.path, stream=n, delay=-info.begins, until=end, language=language, title=title)
        for n, (language, title) in enumerate(video.audio_tracks(info.path))
        if n >= first
    )
