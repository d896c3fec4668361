"""Speech: loading, Wav2Lip's mel spectrogram, each frame's window of it, and speech activity."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import numpy as np

from .errors import InputError
from .types import Array

RATE = 16000  # Hz: sample rate of all speech that networks are given
MEL_RATE = 80  # mel columns a second: RATE / HOP
WINDOW = 16  # mel columns of a generator's window: 0.2 s
PHRASE = 80  # mel columns around a frame that articulation depends on: 1 s
SHORTEST = 0.2  # seconds: the least length of speech, one window
FFT, HOP = 800, 200  # samples
BLOCK = 4000  # mel columns computed at a time
SILENCE = -4.0  # the mel value of digital silence


def load_audio(path: str | os.PathLike[str], rate: int = RATE) -> Array:
    """First audio stream of any audio or video file as mono (n,) float32 in [-1, 1] at ``rate`` Hz.

    Starts at time 0 of the file: a stream that begins later is preceded by silence, so that sound and picture stay in
    sync. Raises InputError naming the file: missing, not media, no audio stream, empty, shorter than 0.2 s,
    not finite.
    """
    from .video import decode_audio  # PyAV takes long to import

    wav = decode_audio(path, rate)
    return check_audio(wav, str(path), rate)


def check_audio(wav: Array, name: str, rate: int = RATE) -> Array:
    """``wav`` as mono float32, or InputError saying what is wrong with ``name``."""
    try:
        wav = np.asarray(wav)
    except ValueError as error:
        raise InputError(f"{name}: audio must be one-dimensional samples ({error})") from error
    if wav.ndim == 2 and wav.size and wav.dtype.kind in "iufb":
        wav = wav.mean(axis=int(np.argmin(wav.shape)))
    if wav.ndim and wav.dtype.kind not in "iufb":
        raise InputError(f"{name}: audio must be samples, that is numbers, not {wav.dtype}")
    if wav.ndim != 1:
        raise InputError(f"{name}: audio must be one-dimensional samples, not an array of shape {wav.shape}")
    if np.issubdtype(wav.dtype, np.integer):
        wav = wav.astype(np.float32) / (1 << (8 * wav.dtype.itemsize - 1))
    wav = wav.astype(np.float32, copy=False)
    if not len(wav):
        raise InputError(f"{name} has an audio stream of zero length; export the speech again")
    if not np.isfinite(wav).all():
        raise InputError(f"{name}: the audio contains samples that are NaN or infinite; export it again")
    if len(wav) < SHORTEST * rate:
        raise InputError(f"{name}: {len(wav) / rate:.3f} s of audio is too short; give at least {SHORTEST} s of speech")
    return wav


def is_silent(wav: Array) -> bool:
    """Whether (n,) float samples never exceed -70 dB of full scale."""
    return not len(wav) or max(float(wav.max()), -float(wav.min())) < 10 ** (-70 / 20)


@cache
def _mel_basis() -> Array:
    import librosa

    return np.asarray(librosa.filters.mel(sr=RATE, n_fft=800, n_mels=80, fmin=55, fmax=7600))


def mel_spectrogram(wav: Array) -> Array:
    """(n,) float32 mono 16 kHz in [-1, 1] -> (80, 1 + n // 200) float32 in [-4, 4], exactly as Wav2Lip's audio.py.

    Pre-emphasis 0.97, STFT 800/200 (Hann, centered), magnitude, 80 mel bands 55 to 7600 Hz, decibels with floor 1e-5,
    reference 20 dB, minimum -100 dB, mapped symmetrically to +-4. Source: Rudrabha/Wav2Lip audio.py and hparams.py.
    """
    import librosa

    wav = np.asarray(wav, np.float32)
    total = 1 + len(wav) // HOP
    out = np.empty((80, total), np.float32)
    for at in range(0, total, BLOCK):  # an hour of speech at once would take gigabytes
        count = min(BLOCK, total - at)
        spectrum = librosa.stft(
            y=_emphasized(wav, at * HOP - FFT // 2, (count - 1) * HOP + FFT),
            n_fft=FFT,
            hop_length=HOP,
            win_length=FFT,
            center=False,
        )
        decibels = 20 * np.log10(np.maximum(1e-5, _mel_basis() @ np.abs(spectrum))) - 20
        out[:, at : at + count] = np.clip(8 * ((decibels + 100) / 100) - 4, -4, 4)
    return out


def _emphasized(wav: Array, start: int, count: int) -> Array:
    """``count`` samples from ``start`` on after pre-emphasis 0.97; zeros beyond the ends."""
    first, last = max(start, 0), min(start + count, len(wav))
    out = np.zeros(count, np.float32)
    if first < last:
        part = out[first - start : last - start]
        part[:] = wav[first:last]
        skip = 1 if first == 0 else 0  # the first sample has none before it
        part[skip:] -= np.float32(0.97) * wav[first + skip - 1 : last - 1]
    return out


def mel_windows(mel: Array, times: Sequence[Fraction | float], offset_ms: float = 0.0) -> Array:
    """(T, 80, 16) float32: for each time in seconds, the 16 columns that start there (plus ``offset_ms``).

    Timing follows the timestamps alone, so no frame rate drifts and no frame is lost at the end; before the beginning
    and after the end there is silence (-4).
    """
    return _windows(mel, times, offset_ms, 0, WINDOW)


def phrases(mel: Array, times: Sequence[Fraction | float], offset_ms: float = 0.0) -> Array:
    """(T, 80, 80) float32: for each time in seconds (plus ``offset_ms``), the second of speech around it.

    Column 40 begins at the time itself; silence (-4) before the beginning and after the end.
    """
    return _windows(mel, times, offset_ms, PHRASE // 2, PHRASE)


def _windows(mel: Array, times: Sequence[Fraction | float], offset_ms: float, before: int, count: int) -> Array:
    """(T, 80, count) columns of the mel from ``before`` columns before each time on."""
    out = np.full((len(times), mel.shape[0], count), SILENCE, np.float32)
    offset = Fraction(offset_ms).limit_denominator(10**6) / 1000
    for n, time in enumerate(times):
        start = math.floor((Fraction(time) + offset) * MEL_RATE) - before
        first, last = max(start, 0), min(start + count, mel.shape[1])
        if first < last:
            out[n, :, first - start : last - start] = mel[:, first:last]
    return out


class SpeechActivity:
    """Speech activity of (n,) float samples over time, by energy.

    The level in 20 ms steps, from 0 at a floor (6 dB above the noise of the quiet parts) to 1 at 8 dB above it, with
    gaps under 120 ms closed (plosives are not pauses) and 80 ms of fade at the edges.
    """

    def __init__(self, wav: Array, rate: int = RATE) -> None:
        from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

        hop = rate // 50
        whole, rest = wav[: len(wav) // hop * hop].reshape(-1, hop), wav[len(wav) // hop * hop :]
        power = np.einsum("ij,ij->i", whole, whole, dtype=np.float32) / hop
        if len(rest) or not len(power):
            power = np.append(power, float((rest.astype(np.float32) ** 2).sum()) / hop)
        self.centers = (np.arange(len(power)) + 0.5) * hop / rate
        level = 10 * np.log10(uniform_filter1d(power, 3, mode="nearest") + 1e-12)
        loud, floor = float(np.percentile(level, 95)), float(np.percentile(level, 5))
        if loud < -65:
            self.active = np.zeros(len(power))
            return
        # Speech without a pause has no quiet parts: nothing within 30 dB of its level is silence.
        low = max(min(floor + 6, loud - 30), loud - 45)
        active = np.clip((level - low) / 8, 0, 1)
        active = minimum_filter1d(maximum_filter1d(active, 7), 7)  # close short gaps
        self.active = uniform_filter1d(maximum_filter1d(active, 3), 5, mode="nearest")

    def at(self, times: Sequence[Fraction | float]) -> Array:
        """(T,) float32 in [0, 1] at times in seconds: 0 in pauses, 1 in speech, 0 beyond the ends."""
        values = np.interp([float(t) for t in times], self.centers, self.active, left=0.0, right=0.0)
        return np.asarray(values, np.float32)

    def ahead(self, times: Sequence[Fraction | float]) -> Array:
        """(T,) float32 seconds from times in seconds to the next speech: 0 within it, infinite after the last."""
        begins = self.centers[self.active >= 0.5]
        at = np.array([float(t) for t in times])
        after = np.append(begins, np.inf)[np.searchsorted(begins, at)]
        return np.where(self.at(times) >= 0.5, 0, after - at).astype(np.float32)


def speech_activity(wav: Array, times: Sequence[Fraction | float], rate: int = RATE) -> Array:
    """(T,) float32 in [0, 1]: how much speech there is around each time in seconds; see ``SpeechActivity``."""
    return SpeechActivity(wav, rate).at(times)
