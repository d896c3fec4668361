"""Does the mouth open as this project's articulation network would have opened it?

People who really speak follow it loosely (a correlation of 0.57 on average), a mouth that it moved closely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import audio
from ..types import Array

if TYPE_CHECKING:
    from ..runtime import Runtime

MODEL = "embedded-articulation"
NAMES = ("follow", "misses")  # correlation of the opening with the network's, where it is best; log of what is left
LEAST = 20  # frames
LAG = 3  # frames by which the sound may be apart
_TOGETHER = 8


def following(runtime: Runtime, wav: Array | None, times: Array, opening: Array) -> Array:
    """(len(NAMES),) float32, NaN where it cannot be measured.

    wav: (n,) float32 at 16 kHz or None; times (N,) seconds and opening (N,), see ``mesh.opening``, of one face.
    """
    nothing = np.full(len(NAMES), np.nan, np.float32)
    if wav is None or audio.is_silent(wav) or len(times) < LEAST:
        return nothing
    said = _opening(runtime, wav, times)
    if said.std() < 1e-3 or opening.std() < 1e-4:
        return nothing
    found = []
    for lag in range(-LAG, LAG + 1):
        a, b = said[max(0, -lag) : len(said) - max(0, lag)], opening[max(0, lag) : len(opening) - max(0, -lag)]
        if len(a) >= LEAST and a.std() > 1e-3 and b.std() > 1e-4:
            found.append(float(np.corrcoef(a, b)[0, 1]))
    if not found:
        return nothing
    best = max(found)
    return np.array([best, np.log(1.02 - best)], np.float32)


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
