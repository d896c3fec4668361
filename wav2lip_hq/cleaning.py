"""Voice separation: noise and music are removed from the speech that drives the lips, never from what is heard."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import audio
from .errors import OptionError
from .types import Array

RATE = 48000  # Hz: what RNNoise works at
DELAY = 960  # samples of delay (measured): RNNoise looks ahead two frames of 10 ms


def _library() -> Any:
    try:
        from pyrnnoise import rnnoise
    except (ImportError, OSError) as error:
        raise OptionError("clean_speech = rnnoise needs pyrnnoise: pip install 'wav2lip-hq[voice-clean]'") from error
    return rnnoise


def clean_speech(given: str | os.PathLike[str] | Array, rate: int = 0) -> Array:
    """(n,) float32 at 16 kHz: the voice in a file, or in samples (n,) float32 at ``rate`` Hz.

    By RNNoise (Valin 2018), a recurrent network that estimates the gain of each band of 10 ms of sound from what speech
    is like. As long as what was given, and in time with it. Raises InputError, OptionError."""
    import librosa

    if isinstance(given, np.ndarray):
        wave = librosa.resample(given, orig_sr=rate, target_sr=RATE) if rate != RATE else given
    else:
        wave = audio.load_audio(given, RATE)
    made = librosa.resample(_denoised(wave), orig_sr=RATE, target_sr=audio.RATE)
    count = round(len(wave) * audio.RATE / RATE)
    return np.asarray(np.pad(made, (0, max(0, count - len(made))))[:count], np.float32)


def _denoised(wave: Array) -> Array:
    """(n,) float32 at 48 kHz, the delay taken off."""
    rnnoise = _library()
    size = int(rnnoise.FRAME_SIZE)
    count = -(-(len(wave) + DELAY) // size)
    padded = np.zeros(count * size, np.float32)
    padded[: len(wave)] = np.clip(wave, -1, 1)
    whole = (padded * 32767).astype(np.int16)
    out = np.empty_like(whole)
    state = rnnoise.create()
    try:
        for at in range(0, len(whole), size):
            out[at : at + size] = rnnoise.process_mono_frame(state, whole[at : at + size])[0]
    finally:
        rnnoise.destroy(state)
    return out[DELAY : DELAY + len(wave)].astype(np.float32) / 32767
