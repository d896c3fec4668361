"""SyncNet score and TSS, which papers state without a definition; off-sync accuracy; bootstrap intervals.

SyncNet score and TSS appear in the tables of Wav2Lip-HQ (2025) without a formula. The definitions here are this
project's, from the framewise confidences of ``lip_sync_error``: they compare its own runs, not papers.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..types import Array


def syncnet_score(framewise: Array) -> float:
    """Share of frames whose confidence is that of speech in sync: above 1. framewise (N,); in [0, 1], higher is better,
    NaN for none. (1 lies between the framewise confidences of real footage, mostly above 2, and of shifted, below 0.5.)

    >>> syncnet_score(np.array([3.0, 0.2, 5.0, 1.5]))
    0.75
    """
    framewise = np.asarray(framewise, np.float64)
    return float((framewise > 1).mean()) if len(framewise) else float("nan")


def tss(framewise: Array) -> float:
    """Temporal stability of sync: one minus the mean change of the confidence from frame to frame, relative to its
    size.

    1 - mean |c[t + 1] - c[t]| / (2 mean |c|), cut to [0, 1]; higher is steadier, NaN for fewer than two frames or all
    zeros.

    >>> tss(np.array([4.0, 4.0, 4.0]))
    1.0
    """
    c = np.asarray(framewise, np.float64)
    size = 2 * float(np.abs(c).mean()) if len(c) else 0.0
    if len(c) < 2 or size == 0:
        return float("nan")
    return float(np.clip(1 - np.abs(np.diff(c)).mean() / size, 0, 1))


def off_sync_accuracy(in_sync: Array, off_sync: Array, threshold: float = 0.5) -> float:
    """Share of pairs an expert classifies correctly: probabilities (N,) of pairs in sync above ``threshold``, of pairs
    off sync below it, both halves with the same weight (Prajwal et al. 2020, Table 3). In [0, 1], 0.5 = guessing.
    Raises InputError for none.

    >>> off_sync_accuracy(np.array([0.9, 0.4]), np.array([0.1, 0.2]))
    0.75
    """
    if not len(in_sync) or not len(off_sync):
        raise InputError("off-sync accuracy needs pairs in sync and pairs off sync")
    right, wrong = np.asarray(in_sync) > threshold, np.asarray(off_sync) < threshold
    return float((right.mean() + wrong.mean()) / 2)


def bootstrap(values: Array, level: float = 0.95, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of ``values`` (N,), with confidence ``level``; infinite values and NaN
    are left out, (NaN, NaN) for none.

    >>> bootstrap(np.array([2.0, 2.0, np.inf]))
    (2.0, 2.0)
    """
    from scipy import stats

    values = np.asarray(values, np.float64)
    kept = values[np.isfinite(values)]
    if len(kept) < 2:
        only = float(kept[0]) if len(kept) else float("nan")
        return only, only
    found = stats.bootstrap(
        (kept,),
        np.mean,
        confidence_level=level,
        n_resamples=draws,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
