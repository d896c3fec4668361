"""How well a mouth fits a sound at each shift between them, for finding who speaks and how late the sound is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import audio
from ..runtime import Runtime
from ..types import Array
from .lipsync import FPS, SAMPLES, SHIFTS, embed
from .offset import SHORTEST, expert_table, sync_crop, sync_network

REACH = SHIFTS  # frames to either side that are tried: 600 ms
WINDOWS = 10  # fewest pairs of picture and sound by which a shift is judged


@dataclass(frozen=True, eq=False)
class Fit:
    """score (2 REACH + 1,): how many standard deviations each shift of the picture, from REACH frames early to REACH
    frames late (25 a second), fits better than the others; NaN where too little of them overlaps."""

    score: Array

    @property
    def shift(self) -> int:
        """Frames by which the picture is late, at the best fit."""
        return int(np.nanargmax(self.score)) - REACH

    @property
    def lead(self) -> float:
        """Score of the best shift."""
        return float(np.nanmax(self.score))

    @property
    def offset_ms(self) -> float:
        """Milliseconds by which the picture is late: the best shift, refined between frames by a parabola through the
        scores of its neighbors."""
        return self.near(self.shift)

    def near(self, shift: int) -> float:
        """Milliseconds of the best fit within a frame of ``shift``."""
        at = int(np.clip(shift + REACH, 0, 2 * REACH))
        around = range(max(at - 1, 0), min(at + 2, 2 * REACH + 1))
        at = max(around, key=lambda n: -np.inf if np.isnan(self.score[n]) else self.score[n])
        part = 0.0
        if 0 < at < 2 * REACH:
            before, here, after = (float(v) for v in self.score[at - 1 : at + 2])
            bend = before - 2 * here + after
            if bend < 0 and here >= max(before, after):
                part = 0.5 * (before - after) / bend
        return (at - REACH + part) * 1000 / FPS

    def around(self, shift: int, frames: int = 1) -> float:
        """Best score within some frames of a shift; NaN where it could not be judged."""
        some = self.score[max(shift + REACH - frames, 0) : max(shift + REACH + frames + 1, 0)]
        return float("nan") if not len(some) or np.isnan(some).all() else float(np.nanmax(some))


def fit(table: Array) -> Fit | None:
    """The fit by a table (N, N) that is larger where a window of the picture (rows) and one of the sound (columns) are
    more alike; None when there are too few.

    The means of rows and columns are subtracted first, as ``offset.peak`` explains.
    """
    matrix = table - table.mean(0, keepdims=True) - table.mean(1, keepdims=True) + table.mean()
    mean = np.full(2 * REACH + 1, np.nan)
    for late in range(-REACH, REACH + 1):  # a late picture shows what was heard earlier: below the diagonal
        if len(matrix) - abs(late) >= WINDOWS:
            mean[late + REACH] = np.diagonal(matrix, -late).mean()
    return None if (~np.isnan(mean)).sum() < REACH else compared(mean)


def compared(mean: Array) -> Fit:
    """The fit by how alike picture and sound are at each shift, (2 REACH + 1,): larger is more, NaN is not known."""
    best = int(np.nanargmax(mean))
    far = mean[~np.isnan(mean) & (np.abs(np.arange(len(mean)) - best) > 2)]
    return Fit((mean - far.mean()) / max(float(far.std()), 1e-6))


class MouthFit:
    """Compares mouths with a sound, by the best sync network installed (``name``; None: there is none).

    wav: the sound, (n,) float32 16 kHz.
    """

    def __init__(self, runtime: Runtime, wav: Array) -> None:
        self.runtime, self.wav = runtime, wav
        self.name = sync_network()

    def crop(self, frame: Array, box: Array) -> Array:
        """What the network is shown of a face with this box (4,) in a frame."""
        return sync_crop(self.name, frame, box)

    def fit(self, crops: Array, begins: float) -> Fit | None:
        """How a mouth, crops (T, S, S, 3) at 25 a second from ``begins`` seconds on, fits the sound; None when it is
        too short or the sound is silent."""
        start = round(begins * audio.RATE)
        wav = self.wav[max(start, 0) : max(start, 0) + len(crops) * SAMPLES]
        if self.name is None or min(len(crops), len(wav) // SAMPLES) < SHORTEST // 2 or audio.is_silent(wav):
            return None
        if self.name == "embedded-expert":
            table = expert_table(crops, wav, self.runtime.model(self.name, "lipsync_expert"))
        else:
            sound = np.round(np.clip(wav, -1, 1) * 32767).astype(np.int16)
            lips, speech = embed(crops, sound, self.runtime.model(self.name, "syncnet_v2"))
            from scipy.spatial.distance import cdist

            table = -np.asarray(cdist(lips, speech))
        return None if table is None else fit(table)
