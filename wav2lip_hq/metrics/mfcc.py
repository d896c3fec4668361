"""MFCC as python_speech_features computes them by default: what SyncNet v2 was trained on."""

from __future__ import annotations

import numpy as np

from ..audio import RATE
from ..types import Array

_TINY = np.finfo(np.float64).eps


def _filters() -> Array:
    """(26, 257) triangular filters between 0 and 8 kHz on the mel scale, corners rounded down to FFT bins."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, 28) / 2595) - 1)
    bins = np.floor(513 * corners / RATE)
    k = np.arange(257)
    out = np.zeros((26, 257))
    for j in range(26):
        low, middle, high = bins[j : j + 3]
        rising, falling = (k >= low) & (k < middle), (k >= middle) & (k < high)
        out[j, rising] = (k[rising] - low) / (middle - low)
        out[j, falling] = (high - k[falling]) / (high - middle)
    return out


def mfcc(samples: Array) -> Array:
    """(n,) 16 kHz samples in int16 units -> (13, T) float64, 100 columns a second.

    25 ms rectangular windows every 10 ms, pre-emphasis 0.97, FFT 512, 26 filters, lifter 22, the first coefficient
    replaced by the log energy (python_speech_features 0.6, ``mfcc`` with its defaults). Empty input gives (13, 0).
    """
    from scipy.fft import dct

    x = np.asarray(samples, np.float64)
    if not len(x):
        return np.zeros((13, 0))
    x = np.append(x[0], x[1:] - 0.97 * x[:-1])
    count = 1 + max(0, -(-(len(x) - 400) // 160))
    x = np.pad(x, (0, (count - 1) * 160 + 400 - len(x)))
    frames = np.lib.stride_tricks.sliding_window_view(x, 400)[::160][:count]
    power = np.abs(np.fft.rfft(frames, 512)) ** 2 / 512
    energy = power.sum(1)
    bands = power @ _filters().T
    energy[energy == 0], bands[bands == 0] = _TINY, _TINY
    out = dct(np.log(bands), type=2, axis=1, norm="ortho")[:, :13]
    out *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    out[:, 0] = np.log(energy)
    return np.asarray(out.T)
