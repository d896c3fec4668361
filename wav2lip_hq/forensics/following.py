"""Does the mouth open as this project's articulation network would have opened it?

People who really speak follow it loosely, a mouth that it moved closely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import audio
from ..types import Array
from .windows import LEAST, Windowed, nothing, step, summed, windowed

if TYPE_CHECKING:
    from ..runtime import Runtime

MODEL = "embedded-articulation"
NAMES = ("follow", "misses")  # correlation of the opening with the network's, where it is best; log of what is left
LAG = 3  # frames by which the sound may be apart
QUICK = 0.36  # seconds
_TOGETHER = 8


def following(runtime: Runtime, wav: Array | None, times: Array, opening: Array) -> Windowed:
    """How closely one face follows the network.

    wav: (n,) float32 at 16 kHz or None; times (N,) seconds and opening (N,), see ``mesh.opening``, NaN where the mouth
    cannot be seen.
    """
    if wav is None or audio.is_silent(wav) or len(times) < LEAST:
        return nothing(len(times), len(NAMES))
    return compared(_opening(runtime, wav, times), times, opening)


def compared(said: Array, times: Array, opening: Array) -> Windowed:
    """The same from what the network said, (N,), of which 0 is a closed mouth.

    Only quick movement counts: the mean of the QUICK around each frame is taken off, and smiles and turns with it.
    """
    width = 2 * round(QUICK / step(times) / 2) + 1
    there = np.isfinite(opening)
    said, opening = (v - _running(v, width) for v in (np.where(there, said, np.nan), opening))
    return windowed(times, lambda span: _told(_best(said, opening, span)))


def _best(said: Array, opening: Array, span: int) -> Array:
    """(N - span + 1,) correlation in each window of ``span`` frames, with the shift of the sound that makes it largest;
    NaN where either hardly moves, or too few frames are known."""
    count = len(said)
    out = np.full(count - span + 1, np.nan)
    for lag in range(-LAG, LAG + 1):
        x, y = said[max(0, -lag) : count - max(0, lag)], opening[max(0, lag) : count - max(0, -lag)]
        size = span - abs(lag)  # frames that a window has in common with itself, shifted
        if size < 1:
            continue
        there = np.isfinite(x) & np.isfinite(y)
        x, y = np.where(there, x, 0), np.where(there, y, 0)
        known, *sums = (summed(v, size) for v in (there, x, y, x * x, y * y, x * y))
        mx, my, xx, yy, xy = (total / np.maximum(known, 1) for total in sums)
        wide, tall = (np.sqrt(np.maximum(v, 0)) for v in (xx - mx * mx, yy - my * my))
        moves = (known >= LEAST) & (wide > 1e-3) & (tall > 1e-4)
        out = np.where(moves, np.fmax(out, (xy - mx * my) / np.where(moves, wide * tall, 1)), out)
    return out


def _running(values: Array, size: int) -> Array:
    """Mean of those of the ``size`` values around each that are known; what lies beyond the ends is not."""
    there = np.isfinite(values)
    padded = [np.pad(v.astype(np.float64), size // 2) for v in (np.where(there, values, 0), there)]
    total, known = (summed(v, size) for v in padded)
    return np.asarray(total / np.maximum(known, 1))


def _told(best: Array) -> Array:
    """(N, len(NAMES)) float32 of correlations (N,)."""
    return np.stack([best, np.log(1.02 - best)], 1).astype(np.float32)


def _opening(runtime: Runtime, wav: Array, times: Array) -> Array:
    """(N,) float64 opening that the network gives each time, closed in pauses as the stage ``articulate`` closes it."""
    import torch

    model = runtime.model(MODEL, "articulation")
    phrases = audio.phrases(audio.mel_spectrogram(wav), times.tolist())
    with torch.inference_mode():
        parts = [model(torch.from_numpy(phrases[i : i + _TOGETHER])) for i in range(0, len(phrases), _TOGETHER)]
    said = torch.cat(parts).float().cpu().numpy()[:, 0].astype(np.float64)
    speaks = audio.speech_activity(wav, times.tolist()).astype(np.float64)
    return np.asarray(said * speaks * speaks * (3 - 2 * speaks))
