"""Engines for tests: what they hear, say and translate is known, and they fail when they are told to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wav2lip_hq.errors import EngineError
from wav2lip_hq.voices import Engine, Segment, Spoken, Word

RATE = 16000
LETTER = 0.06  # seconds a letter takes


class Tone(Engine):
    """Says each word as a tone, as long as its letters; "broken" cannot be said."""

    name = "tone"
    spoken: list[tuple[str, str]] = []  # noqa: RUF012 - shared on purpose: tests look at it

    def voices(self, language):
        return ("low", "high", "third")

    def speak(self, text, language, voice=""):
        if "broken" in text:
            raise EngineError("the tone generator is broken")
        Tone.spoken.append((text, voice))
        parts, words, at = [], [], 0.0
        for word in text.split():
            t = np.arange(round(len(word) * LETTER * RATE)) / RATE
            pitch = {"low": 110, "high": 220}.get(voice, 160)
            parts += [0.4 * np.sin(2 * np.pi * pitch * t), np.zeros(round(0.04 * RATE))]
            words.append(Word(word, at, at + len(t) / RATE))
            at += len(t) / RATE + 0.04
        return Spoken(np.concatenate(parts).astype(np.float32), RATE, tuple(words))


class Heard(Engine):
    """Hears two lines, whatever is said."""

    name = "heard"

    def transcribe(self, wav, rate, language):
        assert rate == 16000 and wav.ndim == 1
        return [Segment(0.5, 1.1, "good morning"), Segment(1.5, 2.4, "how are you")]


class Backwards(Engine):
    """Turns each word around; "chaos" cannot be translated."""

    name = "backwards"

    def languages(self):
        return ("en>xx",)

    def translate(self, segments, source, target):
        if any("chaos" in s.text for s in segments):
            raise EngineError("there is no word for chaos")
        return [replace(s, text=" ".join(w[::-1] for w in s.text.split())) for s in segments]


class Nothing:
    """No engine at all."""


class Wordy(Engine):
    """Writes a word for each second: far too few for ``Tone``."""

    name = "wordy"
    asked: list[float] = []  # noqa: RUF012 - shared on purpose: tests look at it

    def write(self, topic, seconds, language):
        Wordy.asked.append(seconds)
        return "" if topic == "nothing" else " ".join([topic] * round(seconds))


class Talk(Engine):
    """Hears two lines that follow each other, of 2.6 s each."""

    name = "talk"

    def transcribe(self, wav, rate, language):
        return [Segment(0.1, 2.7, "good morning"), Segment(2.9, 5.5, "how are you")]


class Recorded(Engine):
    """Says three and a half seconds of the demo's speech, whatever it is to say."""

    name, license = "recorded", "test"

    def languages(self):
        return frozenset({"xx"})

    def voices(self, language):
        return ()

    def speak(self, text, language, voice=""):
        from pathlib import Path

        import wav2lip_hq
        from wav2lip_hq import audio

        path = Path(wav2lip_hq.__file__).parent / "_data" / "demo" / "speech.wav"
        return audio.load_audio(path)[: 7 * audio.RATE // 2], audio.RATE
