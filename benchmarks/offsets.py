"""By how much the mouths of a clip are late, over all that it is made to say.

A few seconds of one speech tell too little: of results that are in sync, one in eight seems to be off by chance. So
what is measured of a clip's speeches is put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wav2lip_hq.metrics.mouthfit import Fit, MouthFit, compared
from wav2lip_hq.metrics.offset import CERTAIN
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.types import Array

from .measure import Crops


class Listener(Crops):
    """Compares a mouth with the speech, wav (n,) float32 16 kHz."""

    def __init__(self, runtime: Runtime, wav: Array) -> None:
        self.fits = MouthFit(runtime, wav)
        super().__init__(self.fits.crop)

    def curve(self) -> list[float | None] | None:
        """``Fit.score``: how well each shift fits, None where it could not be judged, or in place of all."""
        fit = self.fits.fit(np.stack(self.crops), float(self.first)) if self.crops else None
        return None if fit is None else [None if np.isnan(v) else round(float(v), 3) for v in fit.score]


def together(curves: Sequence[Sequence[float | None]]) -> Fit:
    """The fit of a clip by all curves that were measured of it."""
    scores = np.array([[np.nan if v is None else v for v in curve] for curve in curves])
    known = ~np.isnan(scores).all(0)
    mean = np.full(scores.shape[1], np.nan)
    mean[known] = np.nanmean(scores[:, known], 0)
    return compared(mean)


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A line for each method and set-up: how many clips are in sync."""
    out = [["method", "set-up", "within a frame", "in sync to the frame", "told", "clips"]]
    for method, kind in dict.fromkeys((r["method"], r["kind"]) for r in rows if r.get("fit")):
        clips: dict[str, list[Sequence[float | None]]] = {}
        for row in rows:
            if (row["method"], row["kind"]) == (method, kind) and row.get("fit"):
                clips.setdefault(row["clip"], []).append(row["fit"])
        late = [fit.shift for fit in map(together, clips.values()) if fit.lead > CERTAIN]
        counts = sum(abs(n) <= 1 for n in late), sum(n == 0 for n in late), len(late), len(clips)
        out.append([method, kind, *map(str, counts)])
    return out
