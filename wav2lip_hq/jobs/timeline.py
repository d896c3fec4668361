"""A job's spans in the footage's own time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from .. import audio
from ..errors import InputError, OptionError
from ..run_options import RunOptions
from ..source import Speech
from ..timecode import parse_time, timecode_seconds
from ..types import VideoInfo
from ..video import VideoReader
from ..voice import Voice, spoken
from .jobfile import Job, Span


@dataclass(frozen=True)
class Placed:
    """A span in seconds, with its speech cut to fit. end is None for a span that is the whole job."""

    span: Span
    end: Fraction | None
    voice: Voice  # without stages


def first_timecode(info: VideoInfo) -> Fraction:
    """Seconds of the first frame's timecode; 0 where there is none."""
    return timecode_seconds(info.timecode, info.fps) if info.timecode else Fraction(0)


def times(job: Job, info: VideoInfo) -> list[tuple[Fraction, Fraction | None]]:
    """(start, end) of each span. Raises OptionError: not a time, out before in, beyond the footage."""
    zero = first_timecode(info) if job.reel else Fraction(0)
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
        voice = spoken(
            span.audio,
            (),
            start=span.speech_start,
            end=span.speech_end,
            begins=start,
            fps=reader.info.fps,
            clean=job.run.clean_speech,
        )
        if end is not None and voice.speech.seconds > end - start:
            speech = Speech(voice.speech.wav[: round((end - start) * audio.RATE)])
            voice = replace(voice, speech=speech, cut=True)
        placed.append(Placed(span, end, voice))
    if not placed:
        raise InputError(f"{job.origin}: nothing to do")
    return placed


def filling(job: Job) -> RunOptions:
    """The job's run options; a reel is as long as it is."""
    return replace(job.run, extend="stop", trim=False) if job.reel else job.run
