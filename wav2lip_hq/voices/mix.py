"""The sound of a dub: the footage's own where nobody is dubbed, and the new voices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import mixing, video
from ..errors import InputError
from ..types import Array
from .fit import Fitted, faster
from .narrate import resampled
from .speech import Spoken

RATE = 48000
EDGE = 0.12  # seconds around a line that are taken for speech: it begins and fades softly
FADE = 0.04  # seconds
DUCKED = 10 ** (-18 / 20)
LOUDEST, QUIETEST = 10 ** (12 / 20), 10 ** (-12 / 20)  # how far new voices are brought to the level of the old


def bed(path: str, spans: Sequence[tuple[float, float]], original: str, seconds: float, slower: float = 1.0) -> Array:
    """(n, 2) float32 at 48 kHz: the footage's sound with the speech in ``spans`` (seconds) removed, ducked or kept, or
    "nothing" of it, for a music-and-effects track that ``mixing`` puts in its place. slower: how many times longer it
    lasts than in the footage, at its own pitch; spans and seconds are those of the result."""
    count = round(seconds * RATE)
    if original == "nothing":
        return np.zeros((count, 2), np.float32)
    try:
        track = slowed(mixing.stereo(path), slower)[:count]
    except InputError:  # footage without sound
        track = np.zeros((0, 2), np.float32)
    track = np.concatenate([track, np.zeros((count - len(track), 2), np.float32)])
    if original == "keep":
        return track
    low = DUCKED if original == "duck" else 0.0
    gain = np.ones(count, np.float32)
    ramp = round(FADE * RATE)
    for start, end in spans:
        a, b = max(0, round((start - EDGE) * RATE)), min(count, round((end + EDGE) * RATE))
        shape = np.full(b - a, low, np.float32)
        edge = min(ramp, (b - a) // 2)
        shape[:edge] = np.linspace(1, low, edge, dtype=np.float32)
        shape[b - a - edge :] = np.linspace(low, 1, edge, dtype=np.float32)
        np.minimum(gain[a:b], shape, out=gain[a:b])
    return np.asarray(track * gain[:, None], np.float32)


def slowed(track: Array, slower: float) -> Array:
    """Sound (n, 2) at 48 kHz that lasts so many times longer at the same pitch. Raises EngineError."""
    if slower == 1 or not len(track):
        return track
    sides = [faster(Spoken(np.ascontiguousarray(side), RATE), 1 / slower).wav for side in track.T]
    return np.stack(sides, 1)


def level(path: str, spans: Sequence[tuple[float, float]]) -> float | None:
    """How loud the footage's speech is (root mean square); None without sound or spans."""
    try:
        wav = video.decode_audio(path, 16000)
    except InputError:
        return None
    return _loudness(np.concatenate([wav[round(a * 16000) : round(b * 16000)] for a, b in spans] or [wav[:0]]))


def voices(lines: Sequence[Fitted], start: float, end: float, loudness: float | None) -> Array:
    """(n,) float32 at 48 kHz of lines spoken between ``start`` and ``end`` seconds, at about the level that the
    footage's speech had."""
    out = np.zeros(round(end * RATE) - round(start * RATE), np.float32)
    for line in lines:
        wav = resampled(line.spoken, RATE).wav
        own = _loudness(wav)
        if loudness and own:
            wav = wav * float(np.clip(loudness / own, QUIETEST, LOUDEST))
        at = round(line.start * RATE) - round(start * RATE)
        wav = wav[: max(0, len(out) - at)]
        out[at : at + len(wav)] += wav
    return out


def _loudness(wav: Array) -> float | None:
    """Root mean square of the louder half in 20 ms steps: pauses do not count."""
    steps = wav[: len(wav) // 320 * 320].reshape(-1, 320)
    power = np.sort((steps.astype(np.float64) ** 2).mean(1))[len(steps) // 2 :]
    found = float(np.sqrt(power.mean())) if len(power) else 0.0
    return found if found > 1e-5 else None
