"""Does the mouth follow the speech or the original footage? Leak, agreement, silent closure, LipLeak.

All figures are computed from openings over time (see ``mouth``), (T,) float, NaN where no face was detected. A figure
that is undefined is None, never NaN.

Leak, agreement and closure are this project's own; the set-ups (matched, mismatched and silent speech) are those of
Yaman et al. 2025 (arXiv 2511.08613), LipLeak is KeySync's (2025).
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..types import Array
from .mouth import CLOSED_MARGIN, STILL

ENOUGH = 10  # least common frames for a correlation


def correlation(a: Array, b: Array) -> float | None:
    """Pearson's correlation of two openings (T,), over the frames seen in both; in [-1, 1].

    For a mouth that does not move it is undefined, and 0 here: a frozen mouth neither leaks nor agrees (``still`` tells
    it from one that moves differently). None for fewer than 10 common frames. Raises InputError for different lengths.

    >>> moving = np.sin(np.arange(50.0))
    >>> correlation(moving, 2 * moving + 1), correlation(moving, np.ones(50)), correlation(moving[:5], moving[:5])
    (1.0, 0.0, None)
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"expected openings of the same frames, not {a.shape} and {b.shape}")
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < ENOUGH:
        return None
    if a.std() < STILL or b.std() < STILL:
        return 0.0
    return float(np.clip(np.round(np.corrcoef(a, b)[0, 1], 9), -1, 1))


def lagged(a: Array, b: Array, most: int = 1) -> tuple[float, int] | None:
    """The largest correlation when ``b`` may be up to ``most`` frames early or late, and the lag: positive when ``b``
    is late. None where ``correlation`` is None at all lags.

    A mouth that is right but a frame late is not wrong. Report this figure beside the one without a lag, not in its
    place.

    >>> moving = np.sin(np.arange(60.0))
    >>> lagged(moving[1:], moving[:-1])
    (1.0, 1)
    """
    best: tuple[float, int] | None = None
    length = min(len(a), len(b))
    for lag in sorted(range(-most, most + 1), key=abs):
        early, late = (a, b) if lag >= 0 else (b, a)
        value = correlation(early[: length - abs(lag)], late[abs(lag) : length])
        if value is not None and (best is None or value > best[0]):
            best = value, lag
    return best


def still(openings: Array) -> bool:
    """Whether a mouth does not move at all (standard deviation below STILL): its correlations are undefined."""
    values = np.asarray(openings, np.float64)
    values = values[np.isfinite(values)]
    return not len(values) or float(values.std()) < STILL


def closure(openings: Array, closed: float) -> float | None:
    """Share of frames whose opening is at most ``closed`` + 0.01; in [0, 1]. Under silent speech higher is better
    (silent closure). closed: the closed level of the source. None when no frame was seen.

    >>> closure(np.array([0.02, 0.03, 0.2, np.nan]), 0.02)
    0.6666666666666666
    """
    values = np.asarray(openings, np.float64)
    values = values[np.isfinite(values)]
    return float((values <= closed + CLOSED_MARGIN + 1e-9).mean()) if len(values) else None


def lip_leak(openings: Array, source: Array, closed: float) -> float | None:
    """LipLeak (KeySync 2025): under silent speech, share of the frames in which the footage speaks whose mouth is open
    in the result; in [0, 1], lower is better.

    openings, source (T,) of the same frames. The footage speaks where its own mouth is open, that is, above ``closed``
    + 0.01; so is a result's. None where it never does.

    >>> lip_leak(np.array([0.02, 0.2, 0.02, 0.02]), np.array([0.02, 0.2, 0.3, 0.02]), 0.02)
    0.5
    """
    made, real = np.asarray(openings, np.float64), np.asarray(source, np.float64)
    speaks = np.isfinite(made) & np.isfinite(real) & (real > closed + CLOSED_MARGIN)
    return float((made[speaks] > closed + CLOSED_MARGIN).mean()) if speaks.any() else None


def amplitude(openings: Array, source: Array) -> float | None:
    """Standard deviation of a result's openings over that of the person's own footage; 1 is as lively as the person.
    None where the footage's mouth does not move or too few frames were seen."""
    made, real = (np.asarray(x, np.float64) for x in (openings, source))
    made, real = made[np.isfinite(made)], real[np.isfinite(real)]
    if len(made) < ENOUGH or len(real) < ENOUGH or real.std() < STILL:
        return None
    return float(made.std() / real.std())
