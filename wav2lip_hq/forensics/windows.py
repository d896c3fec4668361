"""One measurement over a whole cut, and over the seconds around each of its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..types import Array

SPAN = 2.0  # seconds around a frame
LEAST = 20  # frames; fewer tell nothing


@dataclass(frozen=True)
class Windowed:
    """values: (K,) float32 over the whole cut, NaN where it cannot be measured; framewise: (N, K) float32, over the
    SPAN around each frame."""

    values: Array
    framewise: Array


def windowed(times: Array, measure: Callable[[int], Array]) -> Windowed:
    """times: (N,) seconds, N >= LEAST; measure: a number of frames -> (N - frames + 1, K), what each window of so many
    shows."""
    count = len(times)
    span = min(count, max(LEAST, round(SPAN / step(times))))
    framewise = measure(span)[np.clip(np.arange(count) - span // 2, 0, count - span)]
    return Windowed(measure(count)[0], framewise)


def nothing(frames: int, measures: int) -> Windowed:
    """Nothing could be measured."""
    return Windowed(np.full(measures, np.nan, np.float32), np.full((frames, measures), np.nan, np.float32))


def step(times: Array) -> float:
    """Seconds from frame to frame."""
    return max(float(np.median(np.diff(times))), 1e-3)


def summed(values: Array, size: int) -> Array:
    """Sums over each window of ``size`` values."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(total[size:] - total[:-size])
