"""How a mouth moves by itself, whatever is heard: how far it opens, and how steady its width is."""

from __future__ import annotations

import numpy as np

from ..types import Array
from .windows import LEAST, Windowed, nothing, summed, windowed

NAMES = ("range", "jitter")  # logarithms; see ``motion``
STILL = 0.007  # spread of the opening, in eye distances, below which nobody speaks
LEAST_RANGE = 0.015  # of the same: a mouth that opens less than that tells no more


def motion(times: Array, opening: Array, width: Array) -> Windowed:
    """range: spread of the opening, of which generated mouths have less; jitter: how much the width changes its mind
    from frame to frame, over its spread. Both NaN where the mouth is STILL.

    times: (N,) seconds; opening, width: (N,) in eye distances, see ``mesh``, NaN where the mouth cannot be seen.
    """
    if len(times) < LEAST:
        return nothing(len(times), len(NAMES))
    return windowed(times, lambda span: _measured(opening, width, span))


def _measured(opening: Array, width: Array, span: int) -> Array:
    """(N - span + 1, len(NAMES)) float32 of each window of ``span`` frames."""
    turns = np.full(len(width), np.nan)
    turns[1:-1] = np.abs(np.diff(width, 2))
    tall, wide = _spread(opening, span), _spread(width, span)
    known = summed(np.isfinite(turns), span)
    turning = summed(np.nan_to_num(turns), span) / np.maximum(known, 1)
    told = np.log(np.stack([np.maximum(tall, LEAST_RANGE), (turning + 1e-4) / (wide + 1e-4)], 1))
    told[(known < LEAST - 2) | ~(tall >= STILL)] = np.nan
    return np.asarray(told, np.float32)


def _spread(values: Array, span: int) -> Array:
    """(N - span + 1,) standard deviation in each window; NaN where fewer than LEAST values are known."""
    there = np.isfinite(values)
    middle = float(values[there].mean()) if there.any() else 0.0
    values = np.where(there, values - middle, 0)
    known = summed(there, span)
    mean, square = (summed(v, span) / np.maximum(known, 1) for v in (values, values**2))
    return np.where(known >= LEAST, np.sqrt(np.maximum(square - mean**2, 0)), np.nan)
