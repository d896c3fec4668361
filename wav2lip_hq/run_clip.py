"""A run: footage and speech in, a finished file and a report out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import delivery, run_page, sealing, video
from .clip import Face, Progress, opened, prepare
from .engine import Stage
from .machine import peak_memory
from .metrics.offset import OffsetMeter
from .mixing import finish
from .places import check_target, make_folder
from .run_options import RunOptions
from .run_watch import RunWatch
from .runtime import Runtime
from .soundtrack import soundtrack
from .survey import Survey
from .tally import no_face
from .types import Chunk, Report
from .voice import Audio


def run_clip(
    face: Face,
    audio: Audio | Mapping[Any, Audio],
    output: str | os.PathLike[str],
    stages: Sequence[Stage],
    runtime: Runtime,
    chosen: RunOptions,
    *,
    survey: Survey | None = None,
    on_progress: Progress | None = None,
    on_survey: Progress | None = None,
) -> Report:
    """``HQPipeline.run``, with its stages and runtime."""
    began = time.perf_counter()
    wanted = delivery.choose_codec(chosen, output, face)
    sounds = [] if chosen.sound in ("dub", "source") else [chosen.sound]
    inputs = [
        *_paths(face, *(audio.values() if isinstance(audio, Mapping) else [audio])),
        *sounds,
        *([chosen.bed] if chosen.bed else []),
    ]
    codec = video.check_output(output, inputs, wanted)
    if chosen.report:
        check_target(Path(chosen.report))
        make_folder(Path(chosen.report).parent)
    with opened(face, audio, stages, runtime, chosen) as session:
        delivery.check_source(session)
        reader, info, clock = session.reader, session.reader.info, session.clock
        total = session.frames
        sound, until = soundtrack(reader, session.voices, chosen, given=audio)
        mix = finish(sound, until, info, chosen, length=session.length, warn=session.runtime.warn)
        written = delivery.described(session, codec)
        for text in delivery.warnings(session, codec):
            session.runtime.warn(text)
        seal = sealing.prepared(session, output)
        with video.VideoWriter(
            output,
            written,
            codec=codec,
            crf=chosen.crf,
            preset=chosen.encoder_preset,
            pix_fmt=chosen.pix_fmt,
            sound=mix.sound,
            until=mix.until,
            beside=mix.beside,
            mark=not chosen.without_provenance,
            size=(written.width * 2, written.height) if chosen.compare else None,
            finish=sealing.finisher(seal, output),
        ) as writer:  # opened first: what cannot be encoded is known before the footage is surveyed
            prepare(session, survey, on_survey)
            meter = OffsetMeter(session.runtime, session.voices[0].speech.wav) if chosen.measure else None
            stream = session.chunks()
            spoken = round(max(v.over for v in session.voices) * info.fps)
            watch = RunWatch(reader, min(spoken, total or spoken)) if chosen.report else None
            seen = _watched(stream, watch)
            try:
                for chunk, shown in delivery.pictures(seen, session, codec):
                    if meter is not None:
                        meter.add(chunk)
                    t0 = time.perf_counter()
                    for pts, picture in zip(chunk.pts, shown, strict=True):
                        writer.write(picture.pixels, pts, picture.alpha, picture.like)
                    clock["write"] = clock.get("write", 0.0) + time.perf_counter() - t0
                    if on_progress is not None:
                        done = session.tally.frames
                        on_progress(done, max(total, done) if total else None)
            finally:
                stream.close()
            if not session.tally.faces and not any(session.own):
                raise no_face(info.path or "the footage", session.tally.why(), "--set detect.threshold=0.3")
            t0 = time.perf_counter()
            sealing.completed(seal, session, session.tally.frames, session.tally.stretches)
            writer.close()
            clock["write"] += time.perf_counter() - t0
        if reader.damaged:
            session.runtime.warn(f"{info.path}: {reader.damaged} damaged packets were skipped")
        for text in [] if seal is None else seal.warnings:
            session.runtime.warn(text)
    t0 = time.perf_counter()
    offset = meter.offset_ms() if meter is not None else None
    clock["measure"] = time.perf_counter() - t0
    clock["total"] = time.perf_counter() - began
    tally = session.tally
    report = Report(
        output=Path(os.fspath(output)),
        frames=tally.frames,
        duration=tally.end(1 / info.fps),
        fps=tally.frames / clock["total"],
        faces=tally.faces,
        tracks=tally.tracks,
        frames_without_face=tally.empty,
        seconds={k: round(v, 3) for k, v in clock.items()},
        peak_memory=peak_memory(),
        offset_ms=offset,
        warnings=tuple(session.runtime.warnings),
        sync_offset=session.sync_offset,
        loudness=mix.loudness,
        stretches=tally.stretches,
        provenance=sealing.said(seal),
        watermarks=session.watermarks,
    )
    if watch is not None:
        said = ", ".join(Path(voice.name).name or "speech from memory" for voice in session.voices)
        made = [repr(stage) for stage in stages]
        run_page.write(report, watch, Path(chosen.report), face=info.path, speech=said, stages=made)
    return report


def _paths(*given: Any) -> list[str | os.PathLike[str]]:
    return [value for value in given if isinstance(value, (str, os.PathLike))]


def _watched(stream: Iterator[Chunk], watch: RunWatch | None) -> Iterator[Chunk]:
    """The chunks, unchanged, after ``watch`` has looked at them."""
    for chunk in stream:
        if watch is not None:
            watch.add(chunk)
        yield chunk
