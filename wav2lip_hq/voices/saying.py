"""``say``: a text becomes speech, and a face says it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import video
from ..pipeline import HQPipeline
from ..run_options import RunOptions
from ..types import Array, Report
from ..watermark import marked_sound
from . import engines, markup, subtitles
from .choices import SayOptions
from .narrate import Voicebox, narrate
from .speech import Segment, Spoken, Word


@dataclass(frozen=True)
class Said:
    """What ``say`` did. report: of the lip-sync. lines: sentences with their times in the output, in seconds."""

    report: Report
    lines: tuple[Segment, ...]
    speaker: str  # engine and version
    seconds: float  # of speech
    speaking: float  # seconds it took to speak
    subtitles: tuple[Path, ...]


@dataclass(frozen=True)
class Speech:
    """A text as sound. wave: (n,) float32 in [-1, 1]. lines: sentences with their times in it. speaker: engine and
    version. seconds: of speech in it. speaking: seconds it took."""

    wave: Array
    rate: int
    lines: tuple[Segment, ...]
    speaker: str
    seconds: float
    speaking: float


def speech(text: str, options: SayOptions, folder: Path) -> Speech:
    """Speak ``text`` (plain or SSML); its sentences are kept in ``folder``, for the next time.

    Raises:
        InputError: Nothing to say, SSML that cannot be read.
        EngineError: No engine for the language, or it failed in the middle; what was spoken is kept.
    """
    pieces = markup.pieces(text)
    box = Voicebox(engines.find("speaker", options.speaker, options.language), options.language, folder)
    began = time.perf_counter()
    spoken, lines = narrate(pieces, box, options.voice)
    took = time.perf_counter() - began
    wave = framed(spoken, options.lead, options.tail)
    moved = tuple(shifted(line, options.lead) for line in lines)
    return Speech(wave, spoken.rate, moved, box.label, spoken.seconds, took)


def say(
    face: Any,
    text: str,
    output: str | os.PathLike[str],
    options: SayOptions | None = None,
    *,
    run: RunOptions | None = None,
    pipeline: HQPipeline | None = None,
    on_survey: Callable[[int, int | None], None] | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Said:
    """Make ``face`` say ``text``.

    Args:
        face: Footage as for ``HQPipeline.run``.
        text: Plain text or SSML; see ``markup``.
        output: The video. Subtitles are written beside it.
        options: Language, engine, voice.
        run: As for ``HQPipeline.run``.
        pipeline: How the mouth is made; the preset ``default`` if none is given.
        on_survey: As for ``HQPipeline.run``.
        on_progress: As for ``HQPipeline.run``.

    Returns:
        What was said and when, and the report of the lip-sync.

    Raises:
        InputError: Nothing to say, SSML that cannot be read, and what ``HQPipeline.run`` raises.
        EngineError: No engine for the language, or it failed. Sentences spoken before are kept in OUTPUT.voice.
    """
    chosen, run = options or SayOptions(), run or RunOptions()
    target = Path(os.fspath(output))
    markup.pieces(text)  # what cannot be said is known before anything is made
    files = [face] if isinstance(face, (str, os.PathLike)) else []
    video.check_output(target, files, run.codec)
    folder = target.with_name(f"{target.name}.voice")
    said = speech(text, chosen, folder)
    wave = marked_sound(said.wave, said.rate) if run.watermark else said.wave
    report = (pipeline or HQPipeline()).run(face, (wave, said.rate), target, on_progress, on_survey=on_survey, run=run)
    made = subtitles.write(said.lines, target, chosen.subtitles)
    shutil.rmtree(folder, ignore_errors=True)
    return Said(report, said.lines, said.speaker, said.seconds, said.speaking, tuple(made))


def framed(spoken: Spoken, lead: float, tail: float) -> Array:
    """Speech with silence before and after it, (n,) float32."""
    before, after = (np.zeros(round(s * spoken.rate), np.float32) for s in (lead, tail))
    return np.concatenate([before, spoken.wav, after])


def shifted(line: Segment, by: float) -> Segment:
    """A line ``by`` seconds later."""
    words = tuple(Word(w.text, w.start + by, w.end + by) for w in line.words)
    return replace(line, start=line.start + by, end=line.end + by, words=words)
