"""Fitting a spoken line into its time: sped up within limits, run on into the pause, or cut at a word and reported."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

from ..errors import EngineError
from ..types import Array
from .speech import Segment, Spoken, Word, spread

GAP = 0.08  # seconds left free before the next line
FADE = 0.03  # seconds in which a cut line fades


@dataclass(frozen=True)
class Fitted:
    """A line in its time. speed: how much faster than the engine spoke. cut: words left out; "" mostly."""

    spoken: Spoken
    start: float
    speed: float = 1.0
    cut: str = ""

    @property
    def end(self) -> float:
        """When it is over, in seconds."""
        return self.start + self.spoken.seconds

    def segment(self, text: str, speaker: str) -> Segment:
        """The line as subtitles show it: when it is heard, without what was cut."""
        words = tuple(Word(w.text, self.start + w.start, self.start + w.end) for w in self.spoken.words)
        shown = text.removesuffix(self.cut).rstrip() if self.cut else text
        return Segment(self.start, self.end, shown, speaker, words)


def fit(spoken: Spoken, text: str, start: float, end: float, limit: float, fastest: float, spill: float) -> Fitted:
    """A line that has from ``start`` to ``end`` seconds and may run on for ``spill`` seconds, but not beyond ``limit``.

    At its own rate if that fits; else as much faster as it takes, up to ``fastest``; what still does not fit is cut
    after the last word that does.
    """
    room = max(0.2, min(end + spill, limit - GAP) - start)
    if spoken.seconds <= room:
        return Fitted(spoken, start)
    speed = min(fastest, spoken.seconds / room)
    quick = faster(spoken, speed)
    if quick.seconds <= room + 0.02:
        return Fitted(quick, start, speed)
    words = [w for w in quick.words or spread(text, quick.seconds) if w.end <= room]
    until = words[-1].end if words else room
    everything = quick.words or spread(text, quick.seconds)
    left = " ".join(w.text for w in everything[len(words) :])
    count = round(until * quick.rate)
    wav = quick.wav[:count].copy()
    fade = min(len(wav), round(FADE * quick.rate))
    wav[len(wav) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return Fitted(Spoken(wav, quick.rate, tuple(words) if quick.words else ()), start, speed, left)


def slowdown(seconds: float, start: float, end: float, limit: float, fastest: float, spill: float) -> float:
    """How many times longer footage has to last for a line of so many ``seconds`` to fit as ``fit`` fits it; 1 if it
    fits as it is."""
    least = seconds / fastest
    return max(1.0, (least - spill) / (end - start), (least + GAP) / max(limit - start, 0.05))


def faster(spoken: Spoken, speed: float) -> Spoken:
    """Speech at another speed with the same pitch, by ffmpeg's ``atempo``. speed: 0.5 to 100."""
    if abs(speed - 1) < 1e-3:
        return spoken
    try:
        wav = _stretched(spoken.wav, spoken.rate, speed)
    except av.FFmpegError as error:
        raise EngineError(f"speech cannot be made {speed:.2f} times as fast ({error.strerror})") from error
    words = tuple(Word(w.text, w.start / speed, w.end / speed) for w in spoken.words)
    return Spoken(wav, spoken.rate, words)


def _stretched(wav: Array, rate: int, speed: float) -> Array:
    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=rate, layout="mono")
    tempo = graph.add("atempo", f"{speed:.6f}")
    sink = graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wav[None]), format="flt", layout="mono")
    frame.sample_rate = rate
    graph.push(frame)
    graph.push(None)
    parts = []
    while True:
        try:
            parts.append(graph.pull().to_ndarray()[0])
        except (av.BlockingIOError, av.EOFError):
            break
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
