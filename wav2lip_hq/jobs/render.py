"""One job, part by part: each part is rendered, kept and verified; then all are joined without encoding again.

A part is some seconds of output. It is rendered with a second of footage before and after it that is thrown away, so
that tracks, smoothing and detail settle as they would in an uninterrupted run; which seconds a part covers depends on
the job alone. So a job that was killed and continued gives the same file as one that was not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .. import audio, geometry, video
from ..errors import OptionError, OutputError
from ..metrics.offset import OffsetMeter
from ..pipeline import HQPipeline, no_face, sound_end
from ..source import Frame, expected, schedule_from
from ..types import Array, Chunk, VideoInfo
from ..video import Sound, VideoReader, VideoWriter
from . import timeline
from .identity import pipelines
from .jobfile import Job
from .timeline import Placed

LEAD = Fraction(1)  # seconds of footage around a part that are rendered and thrown away


class Stopped(Exception):
    """Somebody asked for the job to stop."""


@dataclass
class Part:
    """What is known of a finished part; stored beside it."""

    number: int
    file: str
    sha256: str
    zero: Fraction  # seconds of the output at which its clock begins
    frames: int
    faces: int
    empty: int  # frames without a face where one was wanted
    offset_ms: float | None
    last: bool  # nothing comes after it
    seconds: dict[str, float]

    def text(self) -> str:
        return json.dumps({**self.__dict__, "zero": str(self.zero)})

    @staticmethod
    def read(path: Path) -> Part | None:
        """A part whose file is whole, or None."""
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            facts["zero"] = Fraction(facts["zero"])
            part = Part(**facts)
            return part if _digest(path.parent / part.file) == part.sha256 else None
        except (OSError, ValueError, TypeError, KeyError):
            return None


@dataclass
class Rendered:
    """What a finished job was."""

    output: Path
    frames: int
    faces: int
    empty: int
    parts: int
    reused: int
    offset_ms: float | None
    seconds: dict[str, float]
    warnings: list[str]
    duration: float
    sheet: Path | None = None
    rest: dict[str, Any] = field(default_factory=dict)


def _digest(path: Path) -> str:
    if path.is_dir():
        inside = hashlib.sha256()
        for item in sorted(path.iterdir()):
            inside.update(f"{item.name}\0{_digest(item)}\n".encode())
        return inside.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def render(
    job: Job,
    base: HQPipeline,
    folder: Path,
    *,
    on_frames: Callable[[int, int | None], None] = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
    stop_now: Callable[[], bool] = lambda: False,
) -> Rendered:
    """Make ``job.output``. folder: where its parts are kept until it is complete; finished ones there are used.

    on_frames(done, total): from time to time. stop: asked after each part; stop_now: asked often. Raises Stopped, and
    what ``HQPipeline.run`` raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.part*"):  # of a killed run
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    codec = video.check_output(job.output, job.inputs, job.codec)
    base.runtime.warnings.clear()
    with video.open_video(job.face, fps=job.fps, deinterlace=job.deinterlace) as reader:
        spans = timeline.place(job, reader)
        pipes = pipelines(job, base)
        for pipe in pipes:
            pipe.load()
        info = reader.info
        _warn(base, info, spans)
        total = expected(reader, max(p.over for p in spans), *_filling(job))
        parts: list[Part] = []
        reused = done = 0
        step = Fraction(job.part_seconds).limit_denominator(1000)
        while not parts or not parts[-1].last:
            number = len(parts)
            part = Part.read(folder / f"part-{number:05d}.json")
            if part is not None:
                reused += 1
            else:
                if stop():
                    raise Stopped
                bounds = (number * step, (number + 1) * step)
                measured = any(p.offset_ms is not None for p in parts)

                def said(count: int, before: int = done) -> None:
                    if stop_now():
                        raise Stopped
                    on_frames(before + count, total)

                part = _part(job, reader, spans, pipes, codec, bounds, number, folder, not measured, said)
            parts.append(part)
            done += part.frames
            on_frames(done, total)
        faces = sum(p.faces for p in parts)
        if not faces:
            raise no_face(job.face, "set: [detect.threshold=0.3]")
        began = time.perf_counter()
        kept = [(folder / p.file, p.zero) for p in parts if p.frames]
        sound, until = _sound(job, reader, spans)
        frames = video.join_videos(kept, job.output, sound=sound, until=until, mark=job.mark)
        if frames != done:
            raise OutputError(f"{job.output}: {frames} frames were joined of {done} rendered; render it again")
        seconds: dict[str, float] = {"join": round(time.perf_counter() - began, 3)}
        for p in parts:
            for name, value in p.seconds.items():
                seconds[name] = round(seconds.get(name, 0.0) + value, 3)
        return Rendered(
            job.output,
            frames,
            faces,
            sum(p.empty for p in parts),
            len(parts),
            reused,
            next((p.offset_ms for p in parts if p.offset_ms is not None), None),
            seconds,
            list(base.runtime.warnings),
            float(Fraction(frames) / info.fps),
            next(iter(sorted(folder.glob("sheet.png"))), None),
        )


def _warn(base: HQPipeline, info: VideoInfo, spans: list[Placed]) -> None:
    if info.interlaced:
        base.runtime.warn(f"{info.path} is interlaced; set deinterlace: true for clean frames")
    for placed in spans:
        if audio.is_silent(placed.speech.wav):
            base.runtime.warn(f"{placed.span.audio} is silent: the mouth will stay closed")


def _part(
    job: Job,
    reader: VideoReader,
    spans: list[Placed],
    pipes: list[HQPipeline],
    codec: str,
    bounds: tuple[Fraction, Fraction],
    number: int,
    folder: Path,
    measure: bool,
    said: Callable[[int], None],
) -> Part:
    """Render the frames shown in [bounds), write them and their facts."""
    start, end = bounds
    suffix = "" if codec == "png" else job.output.suffix
    target = folder / f"part-{number:05d}{suffix}"
    shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
    count = Count()
    clock: dict[str, float] = {}
    meter = OffsetMeter(pipes[0].runtime, spans[0].speech.wav) if measure and len(spans) == 1 else None
    before: deque[tuple[Fraction, Array]] | None = deque() if number == 0 else None
    reader.restart()
    stream = _frames(job, reader, spans, pipes, (start, end), count, clock, meter, before)
    writer = VideoWriter(
        target,
        reader.info,
        codec=codec,
        crf=job.crf,
        preset=job.encoder_preset,
        pix_fmt=job.pix_fmt,
        mark=False,
    )
    zero: Fraction | None = None
    sheet: list[Array] = []
    written, more = 0, False
    began = time.perf_counter()
    try:
        with writer:
            for pts, frame, alpha in stream:
                if pts >= end:
                    more = True
                    break
                if pts < start:
                    continue
                if zero is None:
                    zero = video.clock_start(job.output, pts)
                writer.write(frame, pts - zero, alpha)
                written += 1
                if before is not None:
                    _thumbnail(before, pts, frame, sheet)
                if written % 8 == 0:
                    said(written)
    finally:
        stream.close()
    if not written:
        target.rmdir() if target.is_dir() else target.unlink(missing_ok=True)
    if sheet:
        video.write_png(folder / "sheet.png", np.hstack(sheet))
    clock["part"] = time.perf_counter() - began
    offset = meter.offset_ms() if meter is not None else None
    part = Part(
        number,
        target.name if written else "",
        _digest(target) if written else "",
        start if zero is None else zero,
        written,
        count.faces,
        count.empty,
        offset,
        not more,
        {k: round(v, 3) for k, v in clock.items()},
    )
    note = folder / f"part-{number:05d}.json"
    temporary = note.with_suffix(".new")
    temporary.write_text(part.text(), encoding="utf-8")
    os.replace(temporary, note)
    return part


def _filling(job: Job) -> tuple[str, bool]:
    """(extend, trim): a reel is as long as it is."""
    return ("stop", False) if job.reel else (job.extend, job.trim)


@dataclass
class Count:
    """Faces made, and frames that had none."""

    faces: int = 0
    empty: int = 0


def _frames(
    job: Job,
    reader: VideoReader,
    spans: list[Placed],
    pipes: list[HQPipeline],
    bounds: tuple[Fraction, Fraction],
    count: Count,
    clock: dict[str, float],
    meter: OffsetMeter | None,
    before: deque[tuple[Fraction, Array]] | None,
) -> Generator[Frame, None, None]:
    """The job's frames from a little before ``bounds`` on, every span's mouths made."""
    start, end = bounds
    longest = max(p.over for p in spans)

    def window() -> Iterator[Frame]:
        for item in schedule_from(max(start - LEAD, Fraction(0)), reader, longest, *_filling(job)):
            if item[0] >= end + LEAD:
                return
            if before is not None and item[0] < end:
                before.append((item[0], item[1]))
                while len(before) > 400:
                    before.popleft()
            yield item

    frames: Iterator[Frame] = window()
    for number, (placed, pipe) in enumerate(zip(spans, pipes, strict=True)):
        seen = meter if number == 0 else None
        frames = _spoken(frames, placed, pipe, job.sync_offset, bounds, count, clock, seen)
    yield from frames


def _spoken(
    frames: Iterator[Frame],
    placed: Placed,
    pipe: HQPipeline,
    sync_offset: float,
    bounds: tuple[Fraction, Fraction],
    count: Count,
    clock: dict[str, float],
    meter: OffsetMeter | None,
) -> Generator[Frame, None, None]:
    """``frames`` with one span's mouths; what lies well before and after it passes by untouched."""
    first: Frame | None = None
    after: list[Frame] = []
    for item in frames:
        if item[0] >= placed.start - LEAD:
            first = item
            break
        yield item
    if first is None:
        return

    def inside() -> Iterator[Frame]:
        item: Frame | None = first
        while item is not None:
            if item[0] >= placed.over + LEAD:
                after.append(item)
                return
            yield item
            item = next(frames, None)

    if first[0] >= placed.over + LEAD:
        yield first
        yield from frames
        return
    made = pipe.synthesise(inside(), placed.speech, start=placed.start, sync_offset=sync_offset, clock=clock)
    try:
        for chunk in made:
            _count(chunk, placed, bounds, count)
            if meter is not None and bounds[0] <= chunk.pts[0] and chunk.pts[-1] < bounds[1]:
                meter.add(chunk)
            for i, pts in enumerate(chunk.pts):
                yield pts, chunk.frames[i], None if chunk.alpha is None else chunk.alpha[i]
    finally:
        made.close()
    yield from after
    yield from frames


def _count(chunk: Chunk, placed: Placed, bounds: tuple[Fraction, Fraction], count: Count) -> None:
    wanted = {
        i for i, pts in enumerate(chunk.pts) if bounds[0] <= pts < bounds[1] and placed.start <= pts < placed.over
    }
    seen = [int(i) for i in chunk.faces.frame] if chunk.faces is not None else []
    count.faces += sum(i in wanted for i in seen)
    count.empty += len(wanted - set(seen))


def _thumbnail(before: deque[tuple[Fraction, Array]], pts: Fraction, frame: Array, sheet: list[Array]) -> None:
    """Before above after, for a few frames of the first part."""
    import cv2

    while before and before[0][0] < pts:
        before.popleft()
    if len(sheet) >= 4 or pts < len(sheet) * Fraction(3, 4) or not before or before[0][0] != pts:
        return
    pair = []
    for image in (before[0][1], frame):
        eight = geometry.eight_bits(image)
        width = max(2, round(eight.shape[1] * 180 / eight.shape[0]))
        pair.append(cv2.resize(eight, (width, 180), interpolation=cv2.INTER_AREA))
    sheet.append(np.vstack(pair))


# ---- sound


def _sound(job: Job, reader: VideoReader, spans: list[Placed]) -> tuple[Sound | None, Fraction | None]:
    """What is heard, and where it ends with the picture."""
    info = reader.info
    if job.codec == "png" or job.output.suffix == "":
        return None, None
    if job.sound == "source":
        return (Sound(path=job.face), None) if info.has_audio else (None, None)
    if job.sound != "dub":
        return Sound(path=job.sound), info.duration if not info.still else None
    if not job.reel:
        return Sound(path=str(spans[0].span.audio)), sound_end(info, spans[0].speech, job.extend)
    return _dubbed(job, info, spans), None


def _dubbed(job: Job, info: VideoInfo, spans: list[Placed]) -> Sound:
    """The reel's sound with each span's speech in place of the original between its in and out, as samples."""
    if info.duration is None:
        raise OptionError(f"{job.origin}: the footage does not say how long it is; give 'sound: MIX.wav'")
    facts = video.probe_sound(job.face) if info.has_audio else None
    rate = facts.rate if facts else 48000
    layout = "stereo" if facts and facts.channels > 1 else "mono"
    track = video.decode_audio(job.face, rate, layout) if facts else np.zeros(0, np.float32)
    track = track.reshape(len(track), -1)
    missing = max(0, round(info.duration * rate) - len(track))
    track = np.concatenate([track, np.zeros((missing, track.shape[1]), np.float32)])
    fade = max(1, round(0.005 * rate))  # a hard cut in a sound clicks
    for number, placed in enumerate(spans):
        assert placed.end is not None
        a, b = round(placed.start * rate), min(round(placed.end * rate), len(track))
        speech = video.decode_audio(placed.span.audio, rate, layout)[: b - a]
        new = np.zeros((b - a, track.shape[1]), np.float32)
        new[: len(speech)] = speech.reshape(len(speech), -1)
        if any(p.start < placed.end and (p.end or 0) > placed.start for p in spans[:number]):
            track[a:b] += new  # two people at once: both are heard
            continue
        at = np.arange(b - a)
        ramp = np.minimum(1, np.minimum(at, at[::-1]) / fade).astype(np.float32)[:, None]
        track[a:b] = track[a:b] * (1 - ramp) + new * ramp
    return Sound(samples=np.clip(track, -1, 1), rate=rate)
