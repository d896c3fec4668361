"""How a head moves while somebody talks: a smooth path of its own, the same for every time, and blinks.

The path is a sum of slow waves, not a recording; it is about as large as what this project's landmarks measure in five
sentences of the GRID corpus (CC BY 4.0), whose clips are too short to be repeated: in 3 s, a standard deviation of 0.6
to 0.7 degrees of yaw, 0.6 to 0.8 of pitch, 0.2 to 1.1 of roll.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Degrees of yaw, pitch and roll: (amplitude, Hz, phase) of waves whose periods have no common multiple.
_YAW = ((1.5, 0.11, 0.3), (0.9, 0.29, 2.1), (0.45, 0.53, 4.0), (0.2, 1.03, 1.2))
_PITCH = ((0.8, 0.13, 1.1), (0.7, 0.37, 3.3), (0.4, 0.71, 0.4), (0.2, 1.31, 5.2))
_ROLL = ((0.55, 0.09, 2.6), (0.4, 0.23, 0.9), (0.2, 0.61, 3.7))
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
    at = seconds + 37.0 * who
    yaw, pitch, roll = (
        grown * sum(a * math.sin(math.tau * f * at + p) for a, f, p in w) for w in (_YAW, _PITCH, _ROLL)
    )
    return Sway(yaw, pitch, roll, lids(seconds, who))


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
