"""By how much the mouths of a clip are late, over all that it is made to say.

A few seconds of one speech tell too little: of results that are in sync, one in eight seems to be off by chance. So
what is measured of a clip's speeches is put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from wav2lip_hq.metrics.lipsync import FPS
from wav2lip_hq.metrics.mouthfit import Fit, MouthFit
from wav2lip_hq.metrics.offset import CERTAIN
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.types import Array


class Listener:
    """Collects a mouth at 25 frames a second and compares it with the speech, wav (n,) float32 16 kHz."""

    def __init__(self, runtime: Runtime, wav: Array) -> None:
        self.fits = MouthFit(runtime, wav)
        self.first: Fraction | None = None
        self.crops: list[Array] = []

    def add(self, pts: Fraction, frame: Array, box: Array) -> None:
        """A frame (H, W, 3) uint8 with its face's box (4,)."""
        self.first = pts if self.first is None else self.first
        due = float(pts - self.first) * FPS
        if due < len(self.crops) - 0.5:
            return
        crop = self.fits.crop(frame, box)
        while len(self.crops) <= due + 0.5:
            self.crops.append(crop)

    def curve(self) -> list[float | None] | None:
        """``Fit.score``: how well each shift fits, None where it could not be judged, or in place of all."""
        fit = self.fits.fit(np.stack(self.crops), float(self.first)) if self.crops and self.first is not None else None
        return None if fit is None else [None if np.isnan(v) else round(float(v), 3) for v in fit.score]


def together(curves: Sequence[Sequence[float | None]]) -> tuple[int, float]:
    """(frames by which the picture is late, standard deviations by which that shift fits better than others) of what
    was measured of one clip."""
    scores = np.array([[np.nan if v is None else v for v in curve] for curve in curves])
    known = ~np.isnan(scores).all(0)
    mean = np.full(scores.shape[1], np.nan)
    mean[known] = np.nanmean(scores[:, known], 0)
    best = int(np.nanargmax(mean))
    far = mean[known & (np.abs(np.arange(len(mean)) - best) > 2)]
    return Fit(mean).shift, (mean[best] - float(far.mean())) / max(float(far.std()), 1e-6)


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A line for each method and set-up: how many clips are in sync."""
    out = [["method", "set-up", "within a frame", "in sync to the frame", "told", "clips"]]
    for method, kind in dict.fromkeys((r["method"], r["kind"]) for r in rows if r.get("fit")):
        clips: dict[str, list[Sequence[float | None]]] = {}
        for row in rows:
            if (row["method"], row["kind"]) == (method, kind) and row.get("fit"):
                clips.setdefault(row["clip"], []).append(row["fit"])
        late = [shift for shift, lead in map(together, clips.values()) if lead > CERTAIN]
        counts = sum(abs(n) <= 1 for n in late), sum(n == 0 for n in late), len(late), len(clips)
        out.append([method, kind, *map(str, counts)])
    return out
