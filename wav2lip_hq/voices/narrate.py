"""Long texts, sentence by sentence: what was spoken is kept, so that after a failure the rest continues there."""

from __future__ import annotations

import hashlib
import json
import re
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError, OutputError
from ..places import beside, make_folder, write_text
from ..types import Array
from . import engines
from .markup import Piece
from .speech import Segment, Spoken, Word

SHORTEST, LONGEST = 30, 400  # characters of what is spoken at a time
QUIET = 0.003  # of full scale: quieter samples at either end are not counted as speech
KEPT = 0.03  # seconds kept around speech
_END = re.compile(r"(?<=[.!?…。！？])[\"'»”)]*\s+|(?<=[。！？])")


class Voicebox:
    """A speech engine with a folder in which its sentences are kept by a hash of what they depend on."""

    def __init__(self, engine: Any, language: str, folder: Path) -> None:
        self.engine, self.language, self.folder = engine, language, folder
        self.label = engines.label(engine)
        self.made = self.kept = 0  # sentences spoken now, and before

    def speak(self, text: str, voice: str = "") -> Spoken:
        """One sentence, without the silence around it. Raises EngineError, OutputError."""
        facts = json.dumps([self.label, self.language, voice, text, 1])
        path = self.folder / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.wav"
        known = _load(path)
        if known is not None:
            self.kept += 1
            return known
        found = self.engine.speak(text, self.language, voice)
        spoken = _trimmed(_checked(found, self.label, text))
        make_folder(self.folder)
        save(spoken, path)
        self.made += 1
        return _load(path) or spoken  # rounded to 16 bits, as it will be the next time


def narrate(
    pieces: Sequence[Piece], box: Voicebox, voice: str = "", on_sentence: Callable[[int, int], None] | None = None
) -> tuple[Spoken, list[Segment]]:
    """Pieces as one sound, and the sentences with their times and words. on_sentence(done, all).

    Raises EngineError that says how far it came.
    """
    parts: list[tuple[str, float]] = []
    for piece in pieces:
        said = sentences(piece.text)
        parts += [(s, 0.15) for s in said[:-1]] + [(said[-1] if said else "", piece.pause)]
    sounds: list[Spoken] = []
    lines: list[Segment] = []
    rate, at = 0, 0.0
    pauses: list[float] = []
    for number, (text, pause) in enumerate(parts):
        pauses.append(pause)
        if not text:
            sounds.append(Spoken(np.zeros(0, np.float32), rate))
            at += pause
            continue
        try:
            one = box.speak(text, voice)
        except EngineError as error:
            where = f"sentence {number + 1} of {len(parts)}"
            kept = f"{number} before it are kept: the same command continues there"
            raise EngineError(f"{where}: {error}; {kept}") from error
        rate = rate or one.rate
        one = resampled(one, rate)
        words = tuple(Word(w.text, at + w.start, at + w.end) for w in one.words)
        lines.append(Segment(at, at + one.seconds, text, words=words))
        sounds.append(one)
        at += one.seconds + pause
        if on_sentence is not None:
            on_sentence(number + 1, len(parts))
    joined: list[Array] = []
    for sound, pause in zip(sounds, pauses, strict=True):
        joined += [sound.wav, np.zeros(round(pause * rate), np.float32)]
    return Spoken(np.concatenate(joined), rate, tuple(w for line in lines for w in line.words)), lines


def sentences(text: str) -> list[str]:
    """A text in sentences; short ones stay with the one before, and very long ones are divided at commas."""
    made: list[str] = []
    for sentence in (s.strip() for s in _END.split(text)):
        if not sentence:
            continue
        if made and len(made[-1]) < SHORTEST:
            made[-1] += f" {sentence}"
        else:
            made.append(sentence)
    return [part for sentence in made for part in _divided(sentence)]


def _divided(sentence: str) -> list[str]:
    if len(sentence) <= LONGEST:
        return [sentence]
    at = max(sentence.rfind(mark, SHORTEST, LONGEST) for mark in (", ", "; ", ": ", "，", "、"))
    at = at if at > 0 else sentence.rfind(" ", SHORTEST, LONGEST)
    at = at if at > 0 else LONGEST - 1
    return [sentence[: at + 1].strip(), *_divided(sentence[at + 1 :].strip())]


def resampled(spoken: Spoken, rate: int) -> Spoken:
    """Speech at another rate."""
    if spoken.rate == rate:
        return spoken
    import librosa

    wav = librosa.resample(spoken.wav, orig_sr=spoken.rate, target_sr=rate)
    return Spoken(wav.astype(np.float32), rate, spoken.words)


def save(spoken: Spoken, path: Path) -> None:
    """Write a WAV file of 16 bits, and its words beside it. Raises OutputError."""
    temporary = beside(path)
    try:
        if spoken.words:
            write_text(path.with_suffix(".json"), json.dumps([[w.text, w.start, w.end] for w in spoken.words]))
        with wave.open(str(temporary), "wb") as out:
            out.setnchannels(1 if spoken.wav.ndim == 1 else spoken.wav.shape[1])
            out.setsampwidth(2)
            out.setframerate(spoken.rate)
            out.writeframes((np.clip(spoken.wav, -1, 1) * 32767).astype("<i2").tobytes())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _load(path: Path) -> Spoken | None:
    """What was kept, or None if it is not there or damaged."""
    try:
        with wave.open(str(path), "rb") as file:
            data, rate = file.readframes(file.getnframes()), file.getframerate()
        beside_it = path.with_suffix(".json")
        rows = json.loads(beside_it.read_text(encoding="utf-8")) if beside_it.exists() else []
        wav = np.frombuffer(data, "<i2").astype(np.float32) / 32767
        return Spoken(wav, rate, tuple(Word(str(t), float(a), float(b)) for t, a, b in rows)) if len(wav) else None
    except (OSError, EOFError, ValueError, TypeError, wave.Error):
        return None


def _checked(found: Any, label: str, text: str) -> Spoken:
    """An engine's output, checked: engines may be third-party code. Raises EngineError."""
    shown = text if len(text) < 60 else f"{text[:57]}..."
    try:
        wav, rate, *more = found
        samples = np.asarray(wav, np.float32)
        words = tuple(more[0]) if more and more[0] else ()
        rate = int(rate)
    except (TypeError, ValueError) as error:
        raise EngineError(f"{label} gave no samples and rate for '{shown}'") from error
    if samples.ndim != 1 or not np.isfinite(samples).all() or not 2000 <= rate <= 400_000:
        raise EngineError(f"{label} gave sound that cannot be used for '{shown}'")
    if not (np.abs(samples) > QUIET).any():
        raise EngineError(f"{label} gave silence for '{shown}'; does it know the script of this language?")
    return Spoken(np.clip(samples, -1, 1), rate, words)


def _trimmed(spoken: Spoken) -> Spoken:
    loud: Array = np.flatnonzero(np.abs(spoken.wav) > QUIET)
    margin = round(KEPT * spoken.rate)
    a, b = max(0, int(loud[0]) - margin), min(len(spoken.wav), int(loud[-1]) + margin)
    shift, length = a / spoken.rate, (b - a) / spoken.rate
    words = tuple(Word(w.text, max(0.0, w.start - shift), min(length, max(0.0, w.end - shift))) for w in spoken.words)
    return Spoken(spoken.wav[a:b], spoken.rate, words)
