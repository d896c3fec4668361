"""Augmentation of speech in the mel spectrogram: voices, rooms and microphones that the footage does not have.

Mels are Wav2Lip's: (80, M) float32 in [-4, 4], 12.5 dB per unit. Cheap, for no waveform is resynthesized.
"""

from __future__ import annotations

import numpy as np

from ..types import Array

DB = 12.5  # a mel unit in decibels


def warp(mel: Array, pitch: float, speed: float) -> Array:
    """Formants moved up (pitch > 1) and speech sped up (speed > 1): (80, M) -> (80, about M / speed)."""
    bands, columns = mel.shape
    out = mel
    if pitch != 1:
        at = np.clip(np.arange(bands) / pitch, 0, bands - 1)
        low = np.minimum(at.astype(int), bands - 2)
        part = (at - low)[:, None]
        out = out[low] * (1 - part) + out[low + 1] * part
    if speed != 1:
        at = np.clip(np.arange(round(columns / speed)) * speed, 0, columns - 1)
        first = np.minimum(at.astype(int), columns - 2)
        out = out[:, first] * (1 - (at - first)) + out[:, first + 1] * (at - first)
    return np.asarray(out, np.float32)


def noise(shape: tuple[int, int], level: float, rng: np.random.Generator) -> Array:
    """Noise with a random smooth spectrum: (80, M) mel around ``level``."""
    color = _curve(shape[0], rng, 1.0) + np.linspace(0.4, -0.4, shape[0]) * rng.normal(1, 1)
    grain = np.log10(np.maximum(rng.gamma(2.0, 0.5, shape), 1e-3)) * 10 / DB  # statistics of a noise spectrogram
    return np.asarray(level + color[:, None] + grain, np.float32)


def vary(mel: Array, rng: np.random.Generator, strength: float = 1.0) -> Array:
    """Random gain, equalization, reverberation, noise, masked bands, band limit: (80, M) -> (80, M)."""
    if strength <= 0:
        return mel
    out = mel + np.float32(rng.normal(0, 0.5 * strength)) + _curve(len(mel), rng, 0.3 * strength)[:, None]
    if rng.random() < 0.3:
        out = add(out, echo(out, rng.uniform(0.1, 0.5), rng.uniform(-16, -4)))
    if rng.random() < 0.5:
        loud = float(np.percentile(out.mean(0), 90))
        out = add(out, noise((out.shape[0], out.shape[1]), loud - rng.uniform(6, 40) / DB, rng))
    for _ in range(int(rng.integers(0, 3))):  # masked bands (SpecAugment, Park et al. 2019)
        first, count = int(rng.integers(0, 76)), int(rng.integers(2, 11))
        out = out.copy()
        out[first : first + count] = float(rng.uniform(-4, -1))
    if rng.random() < 0.15:  # a telephone, a poor codec
        out = out.copy()
        out[int(rng.integers(45, 76)) :] = -4
    return np.asarray(np.clip(out, -4, 4), np.float32)


def echo(mel: Array, seconds: float, level: float) -> Array:
    """Reverberation that decays by 60 dB in ``seconds``; level: in dB relative to the direct sound."""
    power = 10 ** (mel * (DB / 10))
    decay = 10 ** (-6 / (seconds * 80))
    out = np.empty_like(power)
    held = np.zeros(len(mel))
    for j in range(mel.shape[1]):
        out[:, j] = held
        held = (held + power[:, j] * (1 - decay)) * decay
    return np.asarray(10 / DB * np.log10(np.maximum(out, 1e-12)) + level / DB, np.float32)


def add(a: Array, b: Array) -> Array:
    """The mel of two sounds at once: their powers add."""
    return np.asarray(np.logaddexp(a * (DB / 10 * np.log(10)), b * (DB / 10 * np.log(10))) * (10 / DB / np.log(10)))


def _curve(bands: int, rng: np.random.Generator, size: float) -> Array:
    """A smooth random curve over the bands."""
    x = np.linspace(0, np.pi, bands)
    return np.asarray(sum(rng.normal(0, size / n) * np.cos(n * x) for n in (1, 2, 3, 4)), np.float32)
