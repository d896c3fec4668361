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
    pieces = markup.pieces(text)
    files = [face] if isinstance(face, (str, os.PathLike)) else []
    video.check_output(target, files, run.codec)
    engine = engines.find("speaker", chosen.speaker, chosen.language)
    folder = target.with_name(f"{target.name}.voice")
    began = time.perf_counter()
    box = Voicebox(engine, chosen.language, folder)
    spoken, lines = narrate(pieces, box, chosen.voice)
    speaking = time.perf_counter() - began
    wave = framed(spoken, chosen.lead, chosen.tail)
    wave = marked_sound(wave, spoken.rate) if run.watermark else wave
    report = (pipeline or HQPipeline()).run(
        face, (wave, spoken.rate), target, on_progress, on_survey=on_survey, run=run
    )
    moved = [shifted(line, chosen.lead) for line in lines]
    files_made = subtitles.write(moved, target, chosen.subtitles)
    shutil.rmtree(folder, ignore_errors=True)
    return Said(report, tuple(moved), box.label, spoken.seconds, speaking, tuple(files_made))


def framed(spoken: Spoken, lead: float, tail: float) -> Array:
    """Speech with silence before and after it, (n,) float32."""
    before, after = (np.zeros(round(s * spoken.rate), np.float32) for s in (lead, tail))
    return np.concatenate([before, spoken.wav, after])


def shifted(line: Segment, by: float) -> Segment:
    """A line ``by`` seconds later."""
    words = tuple(Word(w.text, w.start + by, w.end + by) for w in line.words)
    return replace(line, start=line.start + by, end=line.end + by, words=words)
