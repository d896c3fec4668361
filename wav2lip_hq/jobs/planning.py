"""Checks of a job file before hours of rendering, all problems at once, and an estimate of the time it will take."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from .. import audio, delivery, sealing, source, video
from ..engine import run_stages
from ..errors import Wav2LipHQError
from ..options import counted
from ..pipeline import HQPipeline
from ..places import existing
from ..runtime import Runtime
from ..types import VideoInfo
from ..video import VideoReader, stretch
from ..voice import load_speech, spoken
from . import identity, timeline
from .jobfile import Job, read_jobs
from .store import Store

LOOKS = 5  # frames sampled from each span to look for a face
TRIAL = 24  # frames rendered to see how fast this machine is
# Approximate bytes per pixel of output, for the disk space check.
BYTES = {"h264": 0.12, "hevc": 0.08, "prores_422hq": 0.45, "prores_4444": 0.7, "ffv1": 1.6, "png": 1.8}
BYTES |= {"exr": 4, "dpx": 4}


@dataclass(frozen=True)
class Problem:
    """Something wrong with a job. fatal: it would fail; otherwise worth knowing."""

    job: str
    text: str
    fatal: bool = True


@dataclass
class Plan:
    """What a run would do."""

    jobs: int
    pending: int
    frames: int = 0
    seconds: float | None = None  # of work, on one worker; None = no job could be timed
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def fatal(self) -> list[Problem]:
        """Problems that would make jobs fail."""
        return [p for p in self.problems if p.fatal]

    def text(self) -> str:
        """As text for a terminal."""
        lines = [f"{'problem' if p.fatal else 'note'}: {p.job}: {p.text}" for p in self.problems]
        took = "unknown" if self.seconds is None else _hours(self.seconds)
        lines.append(
            f"{counted(self.jobs, 'job')}, {self.pending} to do, {counted(self.frames, 'frame')} to make; on one "
            f"worker about {took}; about {self.bytes / 2**30:.2f} GiB of output; {counted(len(self.fatal), 'problem')}"
        )
        return "\n".join(lines)


def _hours(seconds: float) -> str:
    whole = round(seconds)
    return (
        f"{whole // 3600} h {whole % 3600 // 60:02d} min" if whole >= 3600 else f"{whole // 60} min {whole % 60:02d} s"
    )


def plan(jobfile: Path | str, *, device: str = "auto") -> Plan:
    """Check a job file: files, streams, times, options, checkpoints, faces in sampled frames, names, disk space.

    Raises InputError and OptionError only when the file itself cannot be read.
    """
    jobs, store = read_jobs(jobfile), Store(jobfile)
    runtime = Runtime(device)
    rows = store.all()
    out = Plan(len(jobs), 0)
    _names(jobs, out)
    needed: dict[int, tuple[Path, int]] = {}
    rate: float | None = None
    for job in jobs:
        out.pending += 1
        if job.fault:
            out.problems.append(Problem(job.name, job.fault))
            continue
        try:
            base = HQPipeline(job.preset, runtime=runtime)
            identity.weights(job, base, store)
            sealing.ready(job.run)
            made = identity.identity(job, base, store)
            row = rows.get(job.name)
            if row is not None and row.status == "done" and row.identity == made and job.output.exists():
                out.pending -= 1
                continue
            wanted = delivery.choose_codec(job.run, job.output, job.face)
            codec = video.check_output(job.output, job.inputs, wanted, new_folder=True)
            with video.open_video(job.face, **job.run.reading, own=True) as reader:
                spans = timeline.times(job, reader.info)
                if job.run.deliver == "result":
                    lost = video.lost(reader.info, codec, job.run.pix_fmt)
                    out.problems += [Problem(job.name, text, False) for text in lost]
                frames = _speech(job, reader.info, spans, out)
                out.frames += frames
                _faces(job, base, reader, spans, out)
                size = reader.info.width * reader.info.height * BYTES[codec] * _length(reader.info, frames)
                if rate is None:
                    rate = _trial(job, base)
            out.bytes += round(size)
            place = existing(job.output.parent)
            device_number = place.stat().st_dev
            before = needed.get(device_number, (place, 0))[1]
            needed[device_number] = (place, before + round(size))
        except Wav2LipHQError as error:
            out.problems.append(Problem(job.name, str(error)))
        except OSError as error:
            out.problems.append(Problem(job.name, f"{error.filename or job.face}: {error.strerror or error}"))
        except Exception as error:  # noqa: BLE001 - one bad job must not hide what is wrong with the others
            out.problems.append(Problem(job.name, f"{type(error).__name__}: {error}"))
    for place, size in needed.values():
        free = shutil.disk_usage(place).free
        if 2.2 * size > free:  # the parts and the joined file exist side by side for a moment
            out.problems.append(
                Problem(str(place), f"about {size / 2**30:.1f} GiB of output, only {free / 2**30:.1f} GiB are free")
            )
    if rate:
        out.seconds = out.frames / rate
    return out


def _names(jobs: list[Job], out: Plan) -> None:
    """An output that is another job's input."""
    inputs = {os.path.realpath(path): job for job in jobs for path in job.inputs}
    for job in jobs:
        name = os.path.realpath(job.output)
        if name in inputs and inputs[name] is not job:
            out.problems.append(Problem(job.name, f"the output of {job.origin} is an input of {inputs[name].origin}"))


def _speech(job: Job, info: VideoInfo, spans: list[tuple[Fraction, Fraction | None]], out: Plan) -> int:
    """Frames to be made; notes on the speech. Raises InputError."""
    frames = 0
    for span, (start, end) in zip(job.spans, spans, strict=True):
        voice = spoken(span.audio, (), start=span.speech_start, end=span.speech_end, fps=info.fps)
        wav, seconds = voice.speech.wav, voice.speech.seconds
        if audio.is_silent(wav):
            out.problems.append(Problem(job.name, f"{span.audio} is silent: the mouth will stay closed", False))
        if end is not None and seconds > end - start + Fraction(1, 10):
            text = f"{span.audio} is {float(seconds):.2f} s long and will be cut to {float(end - start):.2f} s"
            out.problems.append(Problem(job.name, text, False))
        if end is None and info.duration is not None and not info.still and seconds > info.duration:
            text = f"the speech is longer than the footage, which will be extended ({job.run.extend})"
            if seconds > info.duration + 1:
                out.problems.append(Problem(job.name, text, False))
        if end is None and job.run.extend == "stretch" and info.duration and seconds > stretch.MOST * info.duration:
            out.problems.append(Problem(job.name, f"it would be stretched more than {stretch.MOST} times (extend)"))
        long = seconds if end is None else min(seconds, end - start)
        if job.run.extend == "stop" and info.duration is not None and not info.still:
            long = min(long, info.duration)
        frames += round(long * info.fps)
    return frames


def _length(info: VideoInfo, frames: int) -> int:
    return frames if info.still or info.frames is None else max(info.frames, frames)


def _faces(
    job: Job,
    base: HQPipeline,
    reader: VideoReader,
    spans: list[tuple[Fraction, Fraction | None]],
    out: Plan,
) -> None:
    """A problem if no face is seen in any sampled frame of a span, a note if several are and none was chosen."""
    info = reader.info
    stages = [s for s in base.stages if s.name == "detect"]
    for span, (start, end) in zip(job.spans, spans, strict=True):
        stop = end if end is not None else (info.duration or start + 1)
        picked: list[source.Frame] = []
        for n in range(LOOKS if not info.still else 1):
            at = start + (stop - start) * Fraction(2 * n + 1, 2 * LOOKS)
            frame = next(iter(reader.start_at(Fraction(0) if info.still else at)), None)
            if frame is not None:
                picked.append(source.Frame(frame[0], frame[1], frame[2], frame[0]))
        seen = []
        for one in picked:
            cut = source.chunks([one], size=1, look=reader.look)
            for chunk in run_stages(stages, cut, base.runtime, keep=("boxes",)):
                boxes = chunk.boxes[0] if chunk.boxes else None
                seen.append(0 if boxes is None else len(boxes))
        where = "" if span.start is None else f" between {span.start} and {span.end}"
        if not any(seen):
            out.problems.append(Problem(job.name, f"no face in {len(seen)} sampled frames{where}"))
        elif max(seen) > 1 and not span.who and "track.faces" not in " ".join(job.set):
            text = f"up to {max(seen)} faces{where} and none was chosen: the largest will speak (set 'who')"
            out.problems.append(Problem(job.name, text, False))


def _trial(job: Job, base: HQPipeline) -> float | None:
    """Frames a second on the job's first frames, survey included, networks loaded."""
    speech = load_speech(job.spans[0].audio)
    with video.open_video(job.face, **job.run.reading, own=True) as reader:
        frames = np.stack([reader.shown(image) for _, image, _ in itertools.islice(iter(reader), TRIAL)])
        rate = float(reader.info.fps)

    def made(count: int) -> int:
        with base.open(frames[:count], (speech.wav[: audio.RATE * 2], audio.RATE), fps=rate, extend="stop") as chunks:
            return sum(len(chunk) for chunk in chunks)

    try:
        made(4)
        began = time.perf_counter()
        count = made(TRIAL)
        return count / max(time.perf_counter() - began, 1e-3)
    except Wav2LipHQError:
        return None
