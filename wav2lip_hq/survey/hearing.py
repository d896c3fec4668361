"""What the articulation network hears in footage's own sound, to be compared with what its mouths do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import audio
from ..metrics.leakage import correlation
from ..metrics.lipsync import FPS
from ..metrics.mouthfit import REACH, Fit, compared
from ..runtime import Runtime
from ..stages.articulate import ARCHITECTURES, Articulate, predict, spoken
from ..types import Array
from .speakers import LONGEST

AT_ONCE = 256  # frames whose phrases, a second of mel each, are in memory
STEP = 0.02  # seconds between predictions that are shifted against a mouth


class Hearing:
    """The predictions of an articulation network for a sound, (n,) float32 16 kHz.

    Attributes: ``activity`` (``audio.SpeechActivity``), ``network`` (SHA-256 of its file).
    """

    def __init__(self, sound: Array, runtime: Runtime, model: str = "") -> None:
        self._runtime, self._model = runtime, model or Articulate().model
        self._mel, self.activity = audio.mel_spectrogram(sound), audio.SpeechActivity(sound)
        self.network = runtime.model(self._model, expect=ARCHITECTURES).sha256

    def coefficients(self, times: Sequence[float]) -> Array:
        """(T, K) float64 at times in seconds."""
        some = (times[first : first + AT_ONCE] for first in range(0, len(times), AT_ONCE))
        return np.concatenate([predict(audio.phrases(self._mel, each), self._model, self._runtime) for each in some])

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
        return compared(np.array([correlation(np.interp(times - s, grid, heard), openings) or 0.0 for s in shifts]))
