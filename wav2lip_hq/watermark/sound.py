"""The mark in synthesized speech: bands of frequency a little louder or softer, in a pattern that repeats.

Cells of 40 ms and 168 Hz are raised or lowered by GAIN decibels. Gains belong to times and frequencies, not to samples,
so that they stay where sound is resampled or encoded; and they hide under the speech itself. It says nothing but that
it is there.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..types import Array
from .signs import KEY

GAIN = 1.0  # dB
BANDS, STEPS = 40, 64  # cells: of frequency, and of time until the pattern comes again
LOW, HIGH = 300.0, 7000.0  # Hz
CELL = 0.04  # seconds
FINE = 4  # places a cell in time, at which the reader tries to lay the grid
RATE = 16000  # Hz at which it is read
FALSE_ALARM = 1e-4  # how often sound without the mark may be called marked
DEEP = 50.0  # dB below the loudest cells: what is softer is no speech
CLIP = 2.0
_WINDOW = 0.032  # seconds


@dataclass(frozen=True)
class SoundReading:
    """score: how far the pattern stands out, in standard deviations of what it would be by chance; chance: upper bound
    of the probability that unmarked sound scores so high."""

    score: float
    chance: float

    @property
    def marked(self) -> bool:
        """One false alarm in 10,000 unmarked files at most."""
        return self.chance <= FALSE_ALARM


@lru_cache(maxsize=64)
def pattern(key: str = KEY) -> Array:
    """(STEPS, BANDS) float32 of 1 and -1, the same for ever."""
    count = STEPS * BANDS
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(f"{key} sound".encode()).digest(count // 8), np.uint8))
    return np.asarray(bits.reshape(STEPS, BANDS).astype(np.float32) * 2 - 1)


def marked_sound(wav: Array, rate: int, begins: float = 0.0) -> Array:
    """(n,) float32: speech with the mark.

    wav: (n,) float32; rate: in Hz; begins: seconds from where the pattern begins, so that pieces of one track carry one
    pattern.
    """
    import librosa

    if len(wav) < 2:
        return wav
    size = 2 * round(_WINDOW * rate / 2)
    hop = size // 4
    spectrum = librosa.stft(np.asarray(wav, np.float32), n_fft=size, hop_length=hop)
    times = begins + np.arange(spectrum.shape[1]) * hop / rate
    spectrum *= 10 ** (GAIN / 20 * _gains(times, np.fft.rfftfreq(size, 1 / rate)).T)
    out = librosa.istft(spectrum, n_fft=size, hop_length=hop, length=len(wav))
    return np.asarray(np.clip(out, -1, 1), np.float32)


def _gains(times: Array, frequencies: Array) -> Array:
    """(T, F) float32 in [-1, 1]: the pattern at times in seconds and frequencies in Hz, cell edges rounded off."""
    at = times / CELL - 0.5
    first = np.floor(at).astype(int)
    share = _eased(at - first)[:, None]
    rows = pattern()[first % STEPS] * (1 - share) + pattern()[(first + 1) % STEPS] * share
    where = (frequencies - LOW) / (HIGH - LOW) * BANDS - 0.5
    low = np.floor(where).astype(int)
    part = _eased(where - low)[None]
    padded = np.pad(rows, ((0, 0), (1, 1)))  # nothing beyond the bands
    left, right = (np.clip(low + k, 0, BANDS + 1) for k in (1, 2))
    return np.asarray(padded[:, left] * (1 - part) + padded[:, right] * part, np.float32)


def _eased(share: Array) -> Array:
    """From 0 to 1 within the middle half."""
    return np.asarray(np.clip(2 * share - 0.5, 0, 1))


def heard(wav: Array, key: str = KEY) -> SoundReading:
    """Whether sound, (n,) float32 at 16 kHz, carries the mark, wherever in it speech is.

    The sum of any values times signs that have nothing to do with them is bounded as in ``Marks.reading``; so it is for
    each place in time at which the pattern could begin, and how many there are multiplies it.
    """
    folded = views(wav)
    if not len(folded):
        return SoundReading(0.0, 1.0)
    signs = np.stack([np.roll(pattern(key), k, 0).ravel() for k in range(STEPS)])
    score = float((folded.reshape(len(folded), -1) @ signs.T).max())
    tail = 3.18 * 0.5 * math.erfc(score / math.sqrt(2))
    return SoundReading(score, min(1.0, tail * STEPS * FINE))


def views(wav: Array) -> Array:
    """(FINE, STEPS, BANDS) float32: how much louder each cell is than those around it, all times the pattern's length
    apart added up, with the grid laid a little later each time. A view's squares add up to 1. Empty where there is less
    sound than a second."""
    import librosa

    if len(wav) < RATE:
        return np.zeros((0, STEPS, BANDS), np.float32)
    hop = round(CELL * RATE / FINE)
    power = np.abs(librosa.stft(np.asarray(wav, np.float32), n_fft=512, hop_length=hop)) ** 2
    edges = [round(edge) for edge in (np.linspace(LOW, HIGH, BANDS + 1) / (RATE / 512)).tolist()]
    floor = max(float(np.quantile(power, 0.99)) * 10 ** (-DEEP / 10), 1e-12)
    # The mean of logarithms, over a band and the time of a cell: louder moments do not count for more.
    loud = 10 * np.log10(power + floor)
    bands = np.stack([loud[a:b].mean(0) for a, b in zip(edges[:-1], edges[1:], strict=True)], 1)
    sums = np.cumsum(np.pad(bands, ((1, 0), (0, 0))), 0)
    cells = (sums[FINE:] - sums[:-FINE]) / FINE  # from each hop on
    out = []
    for start in range(FINE):
        values = np.pad(cells[start::FINE], 1, mode="edge")
        values = values[1:-1] - 0.5 * (values[:-2] + values[2:])  # beside those before and after
        values = values[:, 1:-1] - 0.5 * (values[:, :-2] + values[:, 2:])  # and those above and below
        limit = CLIP * float(np.median(np.abs(values)))
        values = np.clip(values, -limit, limit)
        values = np.pad(values, ((0, -len(values) % STEPS), (0, 0))).reshape(-1, STEPS, BANDS).sum(0)
        out.append(values / (np.linalg.norm(values) + 1e-12))
    return np.asarray(out, np.float32)
