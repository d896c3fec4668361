"""One job, part by part: each part is rendered, kept and verified; then all are joined without encoding again.

A part is some seconds of output. The footage is surveyed once, so a part shows the pixels that an undisturbed run of
the whole clip has there, on whatever machine it is made: a job that was killed and continued gives the same file."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from .. import delivery, sealing, video
from .. import survey as surveys
from ..errors import InputError, OutputError
from ..metrics.offset import OffsetMeter
from ..mixing import Mix, finish
from ..pipeline import HQPipeline
from ..places import make_folder, write_text
from ..provenance import read_consent
from ..session import Session
from ..sheet import Sheet
from ..soundtrack import soundtrack
from ..survey import Survey, footage_hash
from ..survey.belonging import given_survey
from ..survey.shared import described, networks
from ..tally import no_face
from ..types import Stretch
from ..video import VideoWriter
from ..voice import Voice
from . import timeline
from .identity import pipelines, resolve
from .jobfile import Job
from .part import Part, Rendered, Stopped, content_hash

SHEET = 4  # frames of the first part on the contact sheet, SHEET_STEP seconds apart
SHEET_STEP = Fraction(3, 4)


def render(
    job: Job,
    base: HQPipeline,
    folder: Path,
    *,
    on_frames: Callable[[int, int | None], None] = lambda done, total: None,
    on_survey: Callable[[int, int | None], None] = lambda done, total: None,
    on_kept: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
    stop_now: Callable[[], bool] = lambda: False,
    digest: Callable[[Path], str] = footage_hash,
) -> Rendered:
    """Make ``job.output``. folder: where its parts are kept until it is complete; finished ones there are used, and
    surveys of footage are kept beside it, for other jobs with the same footage.

    on_frames(done, total): called from time to time; on_survey: likewise, before. on_kept(): called when a part was
    made that need not be made again. stop: polled before each part; stop_now: polled while frames are made. digest:
    SHA-256 of an input. Raises Stopped, and what ``HQPipeline.run`` raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.part*"):  # of a killed run
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    make_folder(job.output.parent)
    codec = video.check_output(job.output, job.inputs, delivery.choose_codec(job.run, job.output, job.face))
    with video.open_video(job.face, **job.run.reading, own=True) as reader:
        spans = timeline.place(job, reader)
        voices = [
            replace(placed.voice, stages=pipe.stages) for placed, pipe in zip(spans, pipelines(job, base), strict=True)
        ]
        session = Session(reader, voices, timeline.filling(job), base.runtime)
        consent, seal = read_consent(job.run.consent), sealing.prepared(session, job.output)

        reader = session.reader  # perhaps stretched

        def check_stop(done: int, total: int | None) -> None:
            if stop_now():
                raise Stopped

        def surveyed(done: int, total: int | None) -> None:
            check_stop(done, total)
            on_survey(done, total)

        session.prepare(_survey(session, job, folder.parent / "surveys", surveyed))
        session.sync_offset = _sync_offset(session, job, base, folder)
        for text in delivery.warnings(session, codec):
            session.runtime.warn(text)
        total = session.frames
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
                measured = any(p.offset_ms is not None for p in parts)

                def report(count: int, before: int = done) -> None:
                    check_stop(count, total)
                    on_frames(before + count, total)

                bounds = (number * step, (number + 1) * step)
                part = _part(session, job, codec, bounds, number, folder, not measured, report)
                on_kept()
            parts.append(part)
            done += part.frames
            on_frames(done, total)
        faces = sum(p.faces for p in parts)
        if not faces and not any(session.own):
            raise no_face(job.face, next((p.why for p in parts if p.why), ""), "set: [detect.threshold=0.3]")
        began = time.perf_counter()
        kept = [(folder / p.file, p.zero) for p in parts if p.frames]
        mix = Mix(None)
        if not video.CODECS[codec].sequence:
            sound, until = soundtrack(reader, voices, job.run, given=_files(voices), ends=[p.end for p in spans])
            long = Fraction(done) / reader.info.fps
            mix = finish(sound, until, reader.info, job.run, length=long, warn=session.runtime.warn)
        sealing.completed(seal, session, done, _stretches(parts), digest)
        frames = video.join_videos(
            kept,
            job.output,
            sound=mix.sound,
            until=mix.until,
            beside=mix.beside,
            mark=not job.run.without_provenance,
            timecode=reader.info.timecode,
            finish=sealing.finisher(seal, job.output),
        )
        for text in [] if seal is None else seal.warnings:
            session.runtime.warn(text)
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
            list(session.runtime.warnings),
            float(Fraction(frames) / reader.info.fps),
            sealing.said(seal),
            consent,
            next(iter(sorted(folder.glob("sheet.png"))), None),
            loudness=mix.loudness,
        )


def _files(voices: list[Voice]) -> dict[int, str]:
    return {n: voice.name for n, voice in enumerate(voices)}


def _stretches(parts: list[Part]) -> list[Stretch]:
    """Those of all parts, numbered from the output's first frame."""
    out: list[Stretch] = []
    before = 0
    for part in parts:
        out += [replace(s, first=s.first + before, last=s.last + before) for s in part.stretches]
        before += part.frames
    return out


def _survey(session: Session, job: Job, folder: Path, on_frames: Callable[[int, int | None], None]) -> Survey | None:
    """The footage's survey: the job's own, or another job's or an earlier attempt's where there is one, else made now
    and kept."""
    if job.run.survey:
        return given_survey(job.run.survey, session.reader.info)
    stages = session.survey_stages
    if not stages:
        return None
    weights = networks(stages, session.voices[0].stages, session.runtime)
    footage = surveys.footage_hash(resolve(Path(job.face)))
    info = session.reader.info
    between = (info.begins, info.duration, info.slowed) if info.cut or info.slowed != 1 else None
    reading = (job.run.fps, job.run.deinterlace, session.survey_end, between)
    facts = json.dumps([footage, described(stages), weights, reading], sort_keys=True, default=str)
    path = folder / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.npz"
    if path.exists():
        try:
            return surveys.load(path)
        except InputError:  # half a file of a full disk: make it again
            path.unlink(missing_ok=True)
    made = session.survey(on_frames)
    if made is not None:
        folder.mkdir(parents=True, exist_ok=True)
        surveys.save(made, path)
    return made


def _sync_offset(session: Session, job: Job, base: HQPipeline, folder: Path) -> float:
    """The offset of all parts; one that has to be measured is measured once."""
    if not isinstance(job.run.sync_offset, str):
        return job.run.sync_offset
    note = folder / "sync_offset.json"
    if note.exists():
        return float(json.loads(note.read_text(encoding="utf-8")))
    offset = base.trial(session)
    write_text(note, json.dumps(offset))
    return offset


def _part(
    session: Session,
    job: Job,
    codec: str,
    bounds: tuple[Fraction, Fraction],
    number: int,
    folder: Path,
    measure: bool,
    said: Callable[[int], None],
) -> Part:
    """Render the frames shown in [bounds), write them and their facts."""
    start, end = bounds
    suffix = "" if video.CODECS[codec].sequence else job.output.suffix
    target = folder / f"part-{number:05d}{suffix}"
    shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
    before = dict(session.clock)
    one = len(session.voices) == 1 and session.voices[0].begins == 0
    meter = OffsetMeter(session.runtime, session.voices[0].speech.wav) if measure and one else None
    options = job.run
    writer = VideoWriter(
        target,
        delivery.described(session, codec),
        codec=codec,
        crf=options.crf,
        preset=options.encoder_preset,
        pix_fmt=options.pix_fmt,
        mark=not options.without_provenance and video.CODECS[codec].sequence,  # files are marked when they are joined
    )
    zero: Fraction | None = None
    sheet = Sheet(180) if number == 0 else None
    began = time.perf_counter()
    stream = session.chunks(start, end)
    try:
        with writer:
            for chunk, made in delivery.pictures(stream, session, codec):
                if meter is not None:
                    meter.add(chunk)
                for i, pts in enumerate(chunk.pts):
                    if zero is None:
                        zero = video.clock_start(job.output, pts)
                    writer.write(made[i].pixels, pts - zero, made[i].alpha, made[i].like)
                    if sheet is not None and len(sheet.columns) < SHEET and pts >= len(sheet.columns) * SHEET_STEP:
                        assert chunk.source_pts is not None
                        original = next(iter(session.reader.start_at(chunk.source_pts[i])))
                        sheet.add(session.reader.shown(original[1]), chunk.frames[i])
                said(session.tally.frames)
    finally:
        stream.close()
    tally = session.tally
    if not tally.frames:
        target.rmdir() if target.is_dir() else target.unlink(missing_ok=True)
    if sheet is not None and sheet.columns:
        video.write_png(folder / "sheet.png", sheet.picture())
    clock = {name: value - before.get(name, 0.0) for name, value in session.clock.items()}
    clock["part"] = time.perf_counter() - began
    part = Part(
        number,
        target.name if tally.frames else "",
        content_hash(target) if tally.frames else "",
        start if zero is None else zero,
        tally.frames,
        tally.faces,
        tally.empty,
        tally.why(),
        meter.offset_ms() if meter is not None else None,
        not session.more,
        {k: round(v, 3) for k, v in clock.items()},
        tally.stretches,
    )
    write_text(folder / f"part-{number:05d}.json", part.text())
    return part
