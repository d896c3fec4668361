"""A job's spans in the footage's own time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av

from .. import audio
from ..errors import InputError, OptionError
from ..pipeline import load_speech
from ..run_options import RunOptions
from ..source import Speech
from ..types import VideoInfo
from ..video import VideoReader
from .jobfile import Job, Span
from .timecode import parse_time, timecode_seconds


@dataclass(frozen=True)
class Placed:
    """A span in seconds, with its speech cut to fit. end is None for a span that is the whole job."""

    span: Span
    start: Fraction
    end: Fraction | None
    speech: Speech

    @property
    def over(self) -> Fraction:
        """When its speech ends."""
        return self.start + self.speech.seconds


def first_timecode(job: Job, info: VideoInfo) -> Fraction:
    """Seconds of the first frame's timecode: the job's, else the file's, else 0."""
    text = job.timecode or _stored(info.path)
    return timecode_seconds(text, info.fps) if text else Fraction(0)


def _stored(path: str) -> str:
    if not path or not Path(path).is_file():
        return ""
    try:
        with av.open(f"file:{path}") as container:
            places = [container.metadata, *(s.metadata for s in container.streams)]
            return next((m["timecode"] for m in places if m.get("timecode")), "")
    except (av.FFmpegError, ValueError):
        return ""


def times(job: Job, info: VideoInfo) -> list[tuple[Fraction, Fraction | None]]:
    """(start, end) of each span. Raises OptionError: not a time, out before in, beyond the footage."""
    zero = first_timecode(job, info) if job.reel else Fraction(0)
    out: list[tuple[Fraction, Fraction | None]] = []
    for span in job.spans:
        if span.start is None:
            out.append((Fraction(0), None))
            continue
        start, end = (parse_time(t, info.fps, zero) for t in (span.start, span.end))
        if end <= start:
            raise OptionError(f"{job.origin}: out ({span.end}) is not after in ({span.start})")
        if info.duration is not None and start >= info.duration:
            raise OptionError(
                f"{job.origin}: in ({span.start}) lies beyond the footage, which is {float(info.duration):.2f} s long"
            )
        out.append((start, end))
    return out


def place(job: Job, reader: VideoReader) -> list[Placed]:
    """All spans with their speech loaded. Raises InputError, OptionError."""
    placed = []
    for span, (start, end) in zip(job.spans, times(job, reader.info), strict=True):
        speech = load_speech(span.audio)
        if end is not None and speech.seconds > end - start:
            speech = Speech(speech.wav[: round((end - start) * audio.RATE)])
        placed.append(Placed(span, start, end, speech))
    if not placed:
        raise InputError(f"{job.origin}: nothing to do")
    return placed


def filling(job: Job) -> RunOptions:
    """The job's run options; a reel is as long as it is."""
    return replace(job.run, extend="stop", trim=False) if job.reel else job.run
