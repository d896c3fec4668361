"""A clip to be dubbed: footage opened with its voices, surveyed, and tried for its offset."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from . import config, video
from .engine import Stage
from .errors import OptionError
from .metrics.offset import OffsetMeter
from .places import PICTURES
from .run_options import RunOptions
from .runtime import Runtime
from .session import Session
from .survey import Survey
from .survey.belonging import given_survey
from .types import Array
from .voice import Audio, Voice, spoken

Face = str | os.PathLike[str] | Array | Iterable[Array]
Progress = Callable[[int, int | None], None]
TRIAL = 8  # seconds of the output in which the offset is measured for sync_offset = "auto"


@contextmanager
def opened(
    face: Face,
    given: Audio | Mapping[Any, Audio],
    stages: Sequence[Stage],
    runtime: Runtime,
    options: RunOptions,
    *,
    keep: Iterable[str] = (),
) -> Iterator[Session]:
    """A session of the footage with its voices; ``prepare`` it before it renders. Raises InputError, OptionError."""
    with video.open_video(face, **options.reading, own=True) as reader:
        yield Session(reader, voices(given, stages, options, reader.info.fps), options, runtime, keep=keep)


def prepare(session: Session, survey: Survey | None = None, on_survey: Progress | None = None) -> None:
    """Load the networks, survey the footage unless a survey is given or named, and find the offset."""
    options = session.options
    if survey is None and options.survey:
        survey = given_survey(options.survey, session.reader.info)
    session.prepare(survey, on_survey)
    if options.sync_offset == "auto":
        session.sync_offset = trial(session)


def voices(
    given: Audio | Mapping[Any, Audio], stages: Sequence[Stage], options: RunOptions, fps: Fraction
) -> list[Voice]:
    """One voice, or one a face."""
    between: dict[str, Any] = {
        "start": options.speech_start,
        "end": options.speech_end,
        "fps": fps,
        "clean": options.clean_speech,
    }
    if not isinstance(given, Mapping):
        return [spoken(given, stages, **between)]
    if not given:
        raise OptionError("no speech was given: audio is a file, samples with their rate, or a mapping of faces")
    return [spoken(sound, config.set_options(stages, who(choice)), **between) for choice, sound in given.items()]


def who(choice: Any) -> list[str]:
    """Settings that choose a face: "left", "right", a picture of the person, or what ``track.faces`` takes."""
    text = {"left": "left-to-right", "right": "right-to-left"}.get(str(choice), str(choice))
    if Path(text).suffix.lower() in PICTURES:
        return ["track.faces=reference", f"track.reference={text}"]
    return [f"track.faces={text}"]


def trial(session: Session) -> float:
    """The offset in ms that the sync network finds in a prepared session's first seconds; 0.0 where it finds none."""
    if session.reader.once:
        raise OptionError('sync_offset = "auto" needs footage that can be read again, not an iterator')
    meter = OffsetMeter(session.runtime, session.voices[0].speech.wav)
    if meter.done:
        session.runtime.warn("no sync network is installed: the offset was not measured")
        return 0.0
    stream = session.chunks(end=Fraction(TRIAL))
    try:
        for chunk in stream:
            meter.add(chunk)
            if meter.done:
                break
    finally:
        stream.close()
    offset = meter.offset_ms()
    if offset is None:
        session.runtime.warn("the offset cannot be measured in the first seconds; none was applied")
    return offset or 0.0
