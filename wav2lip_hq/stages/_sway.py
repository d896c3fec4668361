"""How a head moves while somebody talks, as recorded, and blinks.

The path is that of ``_data/head_motion.csv``: eight sentences of the GRID corpus (CC BY 4.0), 24 s, over and over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

RECORDED = Path(__file__).parents[1] / "_data" / "head_motion.csv"
HZ = 5  # of the recording
BEGINS = 0.8  # seconds in which the movement grows from the photograph's own pose
_CLOSES, _OPENS = 0.10, 0.20  # seconds of a blink
_EVERY = 3.6  # seconds between blinks, on average


@dataclass(frozen=True)
class Sway:
    """Where a head is at a time. yaw, pitch, roll: degrees from the photograph's own pose, as in ``Faces.pose``. lids:
    0 = open, 1 = closed."""

    yaw: float
    pitch: float
    roll: float
    lids: float


def sway(seconds: float, who: int = 0) -> Sway:
    """The path at a time. who: a number; two people do not move together."""
    grown = min(1.0, max(0.0, seconds / BEGINS))
    grown = grown * grown * (3 - 2 * grown)
    yaw, pitch, roll = (grown * float(angle) for angle in _recorded()(seconds + 7.3 * who))
    return Sway(yaw, pitch, roll, lids(seconds, who))


@lru_cache(maxsize=1)
def _recorded() -> Any:
    """Seconds -> (3,) degrees of yaw, pitch and roll, repeated without a seam."""
    from scipy.interpolate import CubicSpline

    angles = np.loadtxt(RECORDED, delimiter=",")
    angles = np.concatenate([angles, angles[:1]])
    return CubicSpline(np.arange(len(angles)) / HZ, angles, bc_type="periodic", extrapolate="periodic")


def lids(seconds: float, who: int = 0) -> float:
    """How far the eyes are closed: a blink in each stretch of ``_EVERY`` seconds, somewhere in it."""
    number = math.floor(seconds / _EVERY)
    least = 0.0
    for n in (number - 1, number):
        if n < 0:
            continue
        when = _EVERY * (n + 0.15 + 0.7 * float(np.random.default_rng((n, who)).random()))
        since = seconds - when
        if 0 <= since < _CLOSES:
            least = max(least, since / _CLOSES)
        elif _CLOSES <= since < _CLOSES + _OPENS:
            least = max(least, 1 - (since - _CLOSES) / _OPENS)
    return least * least * (3 - 2 * least)
