"""The footage's own sound, and where another one is the same."""

from __future__ import annotations

import numpy as np

from .. import audio
from ..types import Array, VideoInfo

COARSE = 4  # sounds are compared at a fourth of their rate: what codecs, filters and resampling leave alone
BLOCK, HOP = 0.5, 0.25  # seconds: what is compared at a time
LATE = 0.04  # seconds by which one may be late: encoders' delays, which move no mouth by more than a frame
ALIKE = 0.9  # correlation of two blocks from which they are the same recording
QUIET = 0.02  # blocks that are less loud than this share of the loud ones tell nothing
LOUD = 95  # percentile of the loudness of blocks that counts as loud


def own_sound(info: VideoInfo) -> Array:
    """(n,) float32 16 kHz: the sound of footage from its first frame on. Raises InputError."""
    return audio.load_audio(info.path)[round(info.begins * audio.RATE) :]


def same_sound(sound: Array, other: Array) -> list[tuple[float, float]]:
    """Where two sounds (n,), (m,) at 16 kHz that begin together are the same recording, as (start, end) in seconds.

    Loudness, polarity, encoding and a little noise make no difference. Pauses count where the sound beside them is the
    same; two recordings that are both silent are not the same.
    """
    from scipy.signal import resample_poly  # scipy takes long to import

    count = min(len(sound), len(other)) // COARSE
    if audio.is_silent(sound) or audio.is_silent(other) or count < BLOCK * audio.RATE / COARSE:
        return []
    a, b = (resample_poly(x, 1, COARSE).astype(np.float32) for x in (sound, other))
    rate = audio.RATE // COARSE
    size, hop, late = round(BLOCK * rate), round(HOP * rate), round(LATE * rate)
    starts = range(0, count - size + 1, hop)
    loud = [np.array([_loudness(x[s : s + size]) for s in starts]) for x in (a, b)]
    quiet = np.all([level < QUIET * np.percentile(level, LOUD) for level in loud], 0)
    same = np.array([_alike(a[s : s + size], b[max(s - late, 0) : s + size + late]) >= ALIKE for s in starts])
    spans: list[tuple[float, float]] = []
    for first, last in _runs(same | quiet):
        told = np.flatnonzero(same[first : last + 1] & ~quiet[first : last + 1]) + first
        if not len(told):
            continue
        # A pause between what is the same and what is not belongs to what is not.
        begin = 0.0 if first == 0 else starts[told[0]] / rate
        end = count / rate if last == len(same) - 1 else (starts[told[-1]] + size) / rate
        spans.append((begin, end))
    return spans


def _loudness(block: Array) -> float:
    return float(np.sqrt(np.mean(np.square(block, dtype=np.float64))))


def _alike(block: Array, around: Array) -> float:
    """The largest correlation of a block with any part of ``around``."""
    from scipy.signal import correlate

    if len(around) < len(block):
        return 0.0
    ones = np.ones(len(block), np.float32)
    energy = correlate(around * around, ones, "valid", "fft").clip(1e-12)
    norm = float(np.linalg.norm(block)) * np.sqrt(energy)
    return float(np.max(np.abs(correlate(around, block, "valid", "fft")) / np.maximum(norm, 1e-12)))


def _runs(flags: Array) -> list[tuple[int, int]]:
    """(first, last) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
