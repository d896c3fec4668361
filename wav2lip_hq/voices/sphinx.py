"""PocketSphinx: a small recognizer of American English whose model is inside its package."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import EngineError
from ..types import Array
from . import activity
from .speech import Engine, Segment, Word, base

RATE = 16000
STEP = 0.01  # seconds of one of the recognizer's frames
LONGEST = 9.0  # seconds: longer lines are divided where the longest pause is
PAUSE = 0.12  # seconds between words at which a line may be divided


class Sphinx(Engine):
    """Speech recognition by PocketSphinx, line by line between pauses, with the times of words."""

    name = "pocketsphinx"
    about = "PocketSphinx: small recognizer, gives times of words; expect to correct its text"
    license = "BSD-2-Clause"
    install = "pip install 'wav2lip-hq[voice]'"

    def missing(self) -> str:
        """Why it cannot be used."""
        return "" if importlib.util.find_spec("pocketsphinx") else f"not installed: {self.install}"

    def version(self) -> str:
        """Of the package."""
        return importlib.metadata.version("pocketsphinx")

    def languages(self) -> tuple[str, ...]:
        """That of the model inside."""
        return ("en", "en-US") if importlib.util.find_spec("pocketsphinx") else ()

    def transcribe(self, wav: Array, rate: int, language: str) -> list[Segment]:
        """See ``Listener.transcribe``."""
        if base(language) != "en":
            raise EngineError(f"pocketsphinx knows English only, not '{language}'")
        import librosa
        import pocketsphinx

        wav = wav if rate == RATE else librosa.resample(wav, orig_sr=rate, target_sr=RATE)
        pocketsphinx.set_loglevel("FATAL")
        decoder = pocketsphinx.Decoder(samprate=RATE, bestpath=True)
        lines: list[Segment] = []
        for start, end in activity.spans(wav, RATE):
            words = _words(decoder, wav[round(start * RATE) : round(end * RATE)], start)
            parts = [_line(part) for part in _divided(words)]
            if parts:  # sound that was not recognized as a word belongs to the line, too
                parts[0] = replace(parts[0], start=round(min(parts[0].start, start + activity.PAD), 3))
                parts[-1] = replace(parts[-1], end=round(max(parts[-1].end, end - activity.PAD), 3))
            lines += parts
        return lines


def _words(decoder: Any, wav: Array, start: float) -> list[Word]:
    samples = np.clip(wav * 32767, -32768, 32767).astype("<i2").tobytes()
    decoder.start_utt()
    decoder.process_raw(samples, no_search=False, full_utt=True)
    decoder.end_utt()
    words = []
    for part in decoder.seg() or ():
        if part.word.startswith(("<", "[", "+")):  # silence, noise
            continue
        text = re.sub(r"\(\d+\)$", "", part.word)  # another pronunciation of the same word
        words.append(Word(text, start + part.start_frame * STEP, start + (part.end_frame + 1) * STEP))
    return words


def _divided(words: list[Word]) -> list[list[Word]]:
    """Lines of at most LONGEST seconds, divided at their longest pauses."""
    if not words or words[-1].end - words[0].start <= LONGEST:
        return [words] if words else []
    gaps = [(b.start - a.end, n) for n, (a, b) in enumerate(zip(words, words[1:], strict=False), 1)]
    inner = [g for g in gaps if words[g[1]].start - words[0].start > 1 and words[-1].end - words[g[1]].start > 1]
    longest, at = max(inner, default=(0.0, 0))
    if longest < PAUSE:  # no pause: in the middle
        middle = (words[0].start + words[-1].end) / 2
        at = min(range(1, len(words)), key=lambda n: abs(words[n].start - middle), default=0)
    if not at:
        return [words]
    return _divided(words[:at]) + _divided(words[at:])


def _line(words: list[Word]) -> Segment:
    text = re.sub(r"\bi\b", "I", " ".join(word.text for word in words))  # it writes no capitals
    text = text[:1].upper() + text[1:]
    return Segment(round(words[0].start, 3), round(words[-1].end, 3), text, words=tuple(words))
