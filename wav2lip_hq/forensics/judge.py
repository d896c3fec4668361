"""From measurements to a probability: logistic regression, whose weights are in judge.json beside this file.

``python -m benchmarks forensics`` trains it and states its errors on people it has not seen (docs/detect.md).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..types import Array
from .look import MEASURES, SMALL, FaceSeen
from .windows import SPAN

PENALTY = 10.0  # of the weights: they are learned from few people
SHORTEST = 1.5  # seconds of a stretch that is told
FEWEST = 20  # frames: with fewer measured ones there is no verdict
FILE = Path(__file__).with_name("judge.json")
SYNTHETIC, REAL, OPEN = "lip-synced", "real", "cannot tell"


@dataclass(frozen=True)
class Judgment:
    """score: log odds of lip-sync, NaN where nothing can be said; verdict: SYNTHETIC, REAL or OPEN; why: in words,
    "" for REAL; framewise: (N,) float32 log odds of the seconds around each frame, NaN = not measured; stretches:
    (first, last) seconds in which it looks lip-synced."""

    score: float
    verdict: str
    why: str
    framewise: Array
    stretches: tuple[tuple[float, float], ...] = ()


# The kinds of lip-sync, and by what each is recognized. A mouth that was moved is the person's own, as sharp as before,
# but does what the network says; a generated one is another picture, and opens less. Real mouths are between the two,
# so one line does not part them: there are two, and the higher odds count. Too good an agreement with the sound is
# evidence, a bad one is none: footage that was dubbed with another voice alone has it, too.
KINDS = {
    "moved": ("misses", "jitter"),
    "generated": ("sharp_m", "slope_m", "moves_m", "range"),
}
SIGNS = {
    "moved": "the mouth opens just as this project's own network would open it",
    "generated": "the mouth is softer than the face around it, or opens less than people's do",
}


@dataclass(frozen=True)
class Kind:
    """One kind of lip-sync. means, scales, weights: (K,), of the measurements ``uses``, by their place in MEASURES."""

    uses: tuple[int, ...]
    means: Array
    scales: Array
    weights: Array
    bias: float

    def odds(self, measured: Array) -> Array:
        """(N,) log odds of measurements (N, len(MEASURES)). What is NaN says nothing."""
        standard = np.clip((np.asarray(measured, np.float64)[:, self.uses] - self.means) / self.scales, -4, 4)
        return np.asarray(np.nan_to_num(standard) @ self.weights + self.bias)


@dataclass(frozen=True)
class Judge:
    """kinds: see KINDS; above, below: log odds from which footage is called lip-synced, and up to which it is called
    real; facts: how it was trained, and its errors."""

    kinds: dict[str, Kind]
    above: float
    below: float
    facts: dict[str, Any]

    def odds(self, measured: Array) -> Array:
        """(N,) log odds of measurements (N, len(MEASURES)): those of the likeliest kind."""
        return np.asarray(np.max([kind.odds(measured) for kind in self.kinds.values()], 0))

    def framewise(self, measured: Array) -> Array:
        """(N,) float32 log odds around each frame, NaN where nothing was measured; see ``around``."""
        return np.where(np.isfinite(measured).any(1), self.odds(measured), np.nan).astype(np.float32)

    def judge(self, face: FaceSeen) -> Judgment:
        """Judge one face between two cuts."""
        if why := hidden(face):
            return Judgment(float("nan"), OPEN, why, np.full(len(face.times), np.nan, np.float32))
        return self.told(summary(face), around(face), face.times)

    def told(self, whole: Array, each: Array, times: Array) -> Judgment:
        """The same of what was measured over all frames, (len(MEASURES),), and around each, see ``around``."""
        score, framewise = float(self.odds(whole[None])[0]), self.framewise(each)
        parts = _stretches(framewise >= self.above, times)
        if score >= self.above:
            name = max(self.kinds, key=lambda name: float(self.kinds[name].odds(whole[None])[0]))
            return Judgment(score, SYNTHETIC, SIGNS.get(name, ""), framewise, parts)
        if score > self.below:
            return Judgment(score, OPEN, "it looks neither clearly real nor clearly lip-synced", framewise, parts)
        if parts:
            where = ", ".join(f"{first:.1f} to {last:.1f} s" for first, last in parts[:3])
            why = f"it looks real as a whole, but lip-synced from {where}"
            return Judgment(score, OPEN, why, framewise, parts)
        return Judgment(score, REAL, "", framewise)


def around(face: FaceSeen) -> Array:
    """(N, len(MEASURES)) float64: what was measured in the SPAN around each frame; NaN where the mouth cannot be seen,
    and where it rests."""
    picture = _averaged(face.traces, face.times)
    agreed = np.tile(face.agreement.values, (len(picture), 1))
    each = np.column_stack([picture, agreed, face.following.framewise, face.motion.framewise]).astype(np.float64)
    each[~(np.isfinite(face.traces).any(1) & np.isfinite(face.motion.framewise).all(1))] = np.nan
    return each


def hidden(face: FaceSeen) -> str:
    """Why a face cannot be judged, in words; "" if it can."""
    if face.size < SMALL:
        return f"the face is too small ({face.size:.0f} px, {SMALL:.0f} are needed)"
    seen = int(np.isfinite(face.traces).any(1).sum())
    if seen < FEWEST:
        return f"the mouth can be seen in {seen} frames only, {FEWEST} are needed"
    return "" if np.isfinite(face.motion.values).any() else "the mouth hardly moves: nobody speaks here"


def summary(face: FaceSeen) -> Array:
    """(len(MEASURES),) float64: what was measured of a face, averaged over its frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a measurement that no frame has stays NaN
        picture = np.nanmean(face.traces, 0, dtype=np.float64)
    return np.concatenate([picture, face.agreement.values, face.following.values, face.motion.values])


def _averaged(values: Array, times: Array) -> Array:
    """(N, K): each row the mean of those rows in the SPAN around it that were measured."""
    there = np.isfinite(values)
    begin = np.searchsorted(times, times - SPAN / 2)
    end = np.searchsorted(times, times + SPAN / 2, "right")
    total, count = (
        np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(part, 0, dtype=np.float64)])
        for part in (np.where(there, values, 0), there)
    )
    known = count[end] - count[begin]
    return np.where(known > 0, (total[end] - total[begin]) / np.maximum(known, 1), np.nan)


def _stretches(high: Array, times: Array) -> tuple[tuple[float, float], ...]:
    """(first, last) seconds of the runs of frames of at least SHORTEST seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], high.astype(int), [0]])))
    runs = [(float(times[a]), float(times[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return tuple(run for run in runs if run[1] - run[0] >= SHORTEST)


@cache
def installed() -> Judge:
    """The judge that comes with the package."""
    return read(FILE)


def read(path: Path) -> Judge:
    """A judge from its file."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    kinds = {}
    for name, told in raw["kinds"].items():
        rows = told["measures"]
        uses = tuple(MEASURES.index(measure) for measure in rows)
        means, scales, weights = (np.array([row[key] for row in rows.values()]) for key in ("mean", "scale", "weight"))
        kinds[name] = Kind(uses, means, scales, weights, told["bias"])
    return Judge(kinds, raw["above"], raw["below"], raw["facts"])


def write(judge: Judge, path: Path) -> None:
    """The judge as a file that people can read."""
    kinds = {}
    for name, kind in judge.kinds.items():
        rows = zip(kind.uses, kind.means, kind.scales, kind.weights, strict=True)
        measures = {
            MEASURES[i]: {"mean": round(m, 4), "scale": round(s, 4), "weight": round(w, 4)} for i, m, s, w in rows
        }
        kinds[name] = {"measures": measures, "bias": round(kind.bias, 4)}
    told = {"kinds": kinds, "above": round(judge.above, 4), "below": round(judge.below, 4), "facts": judge.facts}
    path.write_text(json.dumps(told, indent=1) + "\n")


def fitted(measured: Array, kinds: Sequence[str]) -> Judge:
    """A judge with a logistic regression for each kind, real footage against it.

    measured: (N, len(MEASURES)), NaN = not measured; kinds: (N,) keys of KINDS, "" for real footage. The thresholds are
    set at zero log odds.
    """
    told = np.array(kinds)
    found = {}
    for name, measures in KINDS.items():
        mine = (told == name) | (told == "")
        uses = tuple(MEASURES.index(measure) for measure in measures)
        found[name] = _regression(np.asarray(measured, np.float64)[mine], told[mine] != "", uses)
    return Judge(found, 0.0, 0.0, {})


def _regression(measured: Array, synthetic: Array, uses: tuple[int, ...]) -> Kind:
    """Logistic regression with balanced classes and a ridge PENALTY, by Newton's method."""
    values = measured[:, uses]
    means, scales = np.nanmean(values, 0), np.nanstd(values, 0) + 1e-6
    x = np.nan_to_num(np.clip((values - means) / scales, -4, 4))
    x = np.column_stack([x, np.ones(len(x))])
    wanted = np.asarray(synthetic, float)
    share = np.where(synthetic, 0.5 / max(wanted.sum(), 1), 0.5 / max((1 - wanted).sum(), 1)) * len(wanted)
    ridge = PENALTY * np.diag([*np.ones(x.shape[1] - 1), 1e-6])
    found = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ found, -30, 30)))
        gradient = x.T @ (share * (p - wanted)) + ridge @ found
        step = np.linalg.solve((x * (share * p * (1 - p))[:, None]).T @ x + ridge, gradient)
        found = found - step
        if np.abs(step).max() < 1e-8:
            break
    return Kind(uses, means, scales, found[:-1], float(found[-1]))
