"""Voice: one person's speech in the footage, and the stages that render it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from . import audio, video
from .cleaning import clean_speech
from .engine import Stage
from .errors import InputError, OptionError
from .run_options import RunOptions
from .runtime import Runtime
from .source import Speech
from .stages import Watermark
from .timecode import parse_time
from .types import Array
from .watermark import speech_id

Audio = str | os.PathLike[str] | tuple[Array, int]


@dataclass(frozen=True)
class Voice:
    """Speech of one person in the footage: when it begins, and the stages that render it, which also choose the
    face."""

    speech: Speech
    stages: tuple[Stage, ...]
    begins: Fraction = Fraction(0)
    name: str = ""  # of its sound file, for messages
    skipped: Fraction = Fraction(0)  # seconds of its sound before its in point
    cut: bool = False  # whether its sound goes on after its out point

    @property
    def over(self) -> Fraction:
        """Time in the output at which it ends, in seconds."""
        return self.begins + self.speech.seconds

    def marked(self, options: RunOptions) -> Voice:
        """The voice with a last stage that marks its mouths, if that is wanted and no stage does so yet."""
        if not options.watermark or any(isinstance(stage, Watermark) for stage in self.stages):
            return self
        number = int(options.watermark_id, 16) if options.watermark_id else speech_id(self.speech.wav)
        return replace(self, stages=(*self.stages, Watermark(number)))

    def mel_offset(self, runtime: Runtime) -> float:
        """Offset of the frames' mel windows in ms: the one the generator was trained with plus the stage's option."""
        offset = 0.0
        for stage in self.stages:
            ask = getattr(stage, "mel_offset_ms", None)
            if ask is not None:
                offset += float(ask(runtime)) + float(getattr(stage, "sync_offset", 0.0) or 0.0)
        return offset


def spoken(
    given: Audio,
    stages: Sequence[Stage],
    *,
    start: Any = None,
    end: Any = None,
    begins: Fraction = Fraction(0),
    fps: Fraction = video.DEFAULT_FPS,
    clean: str = "off",
) -> Voice:
    """A voice that speaks the part of ``given`` between two times (None: its beginning, its end), from ``begins``
    seconds of the output on. fps: frame rate of timecodes; clean: noise removal, as in ``RunOptions.clean_speech``.
    Raises InputError, OptionError."""
    speech, name = load_speech(given, clean), _name(given)
    first = Fraction(0) if start is None else parse_time(start, fps)
    last = speech.seconds if end is None else parse_time(end, fps)
    if (start, end) != (None, None):
        if end is not None and last <= first:
            raise OptionError(f"{name or 'the audio array'}: the end of the speech ({end}) is not after its start")
        some = speech.wav[round(first * audio.RATE) : round(last * audio.RATE)]
        if len(some) < audio.SHORTEST * audio.RATE:
            raise InputError(
                f"{name or 'the audio array'} is {float(speech.seconds):.2f} s long: there is no speech of "
                f"{audio.SHORTEST} s between {float(first):.2f} s and {float(last):.2f} s"
            )
        speech = Speech(some)
    return Voice(speech, tuple(stages), begins, name, first, end is not None)


def load_speech(given: Audio, clean: str = "off") -> Speech:
    """Speech from a file or (samples, rate). clean: as in ``spoken``. Raises InputError, OptionError."""
    if isinstance(given, tuple):
        import librosa

        if len(given) != 2:
            raise InputError("speech from memory is a pair: samples, and their rate in samples per second")
        samples, rate = given
        wav = audio.check_audio(samples, "the audio array", video.check_rate(rate, "the audio array"))
        if clean != "off":
            return Speech(clean_speech(wav, rate))
        if rate != audio.RATE:
            wav = librosa.resample(wav, orig_sr=rate, target_sr=audio.RATE)
        return Speech(wav)
    return Speech(clean_speech(given) if clean != "off" else audio.load_audio(given))


def _name(given: Audio) -> str:
    return "" if isinstance(given, tuple) else os.fspath(given)
