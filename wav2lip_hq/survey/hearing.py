"""What the articulation network hears in footage's own sound, to be compared with what its mouths do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import audio
from ..metrics.lipsync import FPS
from ..metrics.mouthfit import REACH, Fit, compared
from ..runtime import Runtime
from ..stages.articulate import ARCHITECTURES, TOGETHER, Articulate, spoken
from ..types import Array

AT_ONCE = 256  # frames whose phrases, a second of mel each, are in memory
STEP = 0.02  # seconds between predictions that are shifted against a mouth
LONGEST = 20 * FPS  # most frames of a mouth that are compared


class Hearing:
    """The predictions of an articulation network for a sound, (n,) float32 16 kHz.

    Attributes: ``activity`` (``audio.SpeechActivity``), ``network`` (SHA-256 of its file).
    """

    def __init__(self, sound: Array, runtime: Runtime, model: str = "") -> None:
        self._runtime, self._mel = runtime, audio.mel_spectrogram(sound)
        self._model = runtime.model(model or Articulate().model, expect=ARCHITECTURES)
        self.activity, self.network = audio.SpeechActivity(sound), self._model.sha256

    def coefficients(self, times: Sequence[float]) -> Array:
        """(T, K) float64 at times in seconds."""
        parts = []
        for first in range(0, len(times), AT_ONCE):
            phrase = audio.phrases(self._mel, times[first : first + AT_ONCE])
            parts.append(self._runtime.map(lambda x: self._model(x), phrase, batch=TOGETHER))
        return np.concatenate(parts).astype(np.float64)

    def fit(self, times: Array, openings: Array) -> Fit:
        """How well the openings (T,) of a mouth at ``times`` (T,), in seconds and in order, fit the sound at each
        shift, where there is most speech."""
        count = np.append(0, np.cumsum(self.activity.at(times.tolist())))
        first = int(np.argmax(count[LONGEST:] - count[:-LONGEST])) if len(times) > LONGEST else 0
        times, openings = times[first : first + LONGEST], openings[first : first + LONGEST]
        grid = np.arange(times[0] - REACH / FPS, times[-1] + REACH / FPS + STEP, STEP)
        near = np.searchsorted(times, grid + REACH / FPS + STEP) > np.searchsorted(times, grid - REACH / FPS - STEP)
        grid = grid[near]  # not where the mouth is not seen, for minutes perhaps
        heard = self.coefficients(grid.tolist())[:, 0] * spoken(self.activity.at(grid.tolist()), None)
        # A picture that is late shows what was heard earlier.
        shifts = np.arange(-REACH, REACH + 1) / FPS
        return compared(np.array([correlation(np.interp(times - s, grid, heard), openings) for s in shifts]))


def correlation(a: Array, b: Array) -> float:
    """Of two series (T,); 0 where one does not vary."""
    if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
