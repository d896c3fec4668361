"""HQPipeline: a face and speech in, the same footage with the mouth saying the speech out."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from . import audio, config, geometry, source, video
from .engine import Stage, check_wiring, prefetch, run_stages
from .errors import InputError, NoFaceError, OptionError
from .metrics.offset import OffsetMeter
from .runtime import Runtime
from .source import Speech
from .types import Array, Chunk, Report, VideoInfo

Face = str | os.PathLike[str] | Array | Iterable[Array]
Audio = str | os.PathLike[str] | tuple[Array, int]
Progress = Callable[[int, int | None], None]


class HQPipeline:
    """A composition of stages with a runtime.

    preset: name of a preset (see ``wav2lip-hq presets``), path of a YAML file, or a sequence of stages. device: "auto",
    "cpu", "cuda", ...; precision: "auto", "fp32", "bf16", "fp16"; batch_size: faces per micro-batch.

        report = HQPipeline().run(face="talk.mp4", audio="dub.wav", output="out.mp4")

    Models are loaded at the first run and kept. Raises OptionError (unknown preset, stage, option, device), WiringError
    (stages that cannot follow each other).
    """

    def __init__(
        self,
        preset: str | os.PathLike[str] | Sequence[Stage] = "default",
        *,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        if isinstance(preset, (str, os.PathLike)):
            self.stages: tuple[Stage, ...] = tuple(config.load_preset(preset))
        else:
            self.stages = tuple(preset)
        check_wiring(self.stages)
        self.runtime = runtime or Runtime(device, precision, batch_size)

    # ---- composing

    def _with(self, stages: Iterable[Stage]) -> HQPipeline:
        return HQPipeline(tuple(stages), runtime=self.runtime)

    def _index(self, name: str) -> int:
        names = [s.name for s in self.stages]
        if name not in names:
            raise OptionError(f"this pipeline has no stage '{name}'; it has {', '.join(names)}")
        return names.index(name)

    def replace(self, **stages: Stage) -> HQPipeline:
        """A pipeline with stages exchanged by name: ``pipe.replace(restore=Restore("codeformer"))``."""
        changed = list(self.stages)
        for name, stage in stages.items():
            changed[self._index(name)] = stage
        return self._with(changed)

    def insert(self, stage: Stage, *, after: str | None = None, before: str | None = None) -> HQPipeline:
        """A pipeline with one more stage, after or before a named one."""
        if (after is None) == (before is None):
            raise OptionError("insert wants either after=NAME or before=NAME")
        at = self._index(after) + 1 if after is not None else self._index(str(before))
        return self._with([*self.stages[:at], stage, *self.stages[at:]])

    def without(self, *names: str) -> HQPipeline:
        """A pipeline without the named stages."""
        for name in names:
            self._index(name)
        return self._with(s for s in self.stages if s.name not in names)

    def set(self, *settings: str) -> HQPipeline:
        """A pipeline with options changed as on the command line: ``pipe.set("restore.strength=0.5")``."""
        return self._with(config.set_options(self.stages, list(settings)))

    # ---- running

    def load(self) -> None:
        """Load every model now. Raises CheckpointError naming the command that fetches what is missing."""
        for stage in self.stages:
            stage.load(self.runtime)

    def _mel_offset(self, sync_offset: float) -> float:
        """Milliseconds by which a frame's mel window is moved: what the generator was trained with, and the user's."""
        offset = 0.0
        for stage in self.stages:
            ask = getattr(stage, "mel_offset_ms", None)
            if ask is not None:
                offset += float(ask(self.runtime)) + float(getattr(stage, "sync_offset", 0.0) or 0.0)
        return offset + sync_offset

    @contextmanager
    def open(
        self,
        face: Face,
        audio: Audio,
        *,
        extend: str = "loop",
        trim: bool = False,
        sync_offset: float = 0.0,
        fps: float | Fraction | None = None,
        deinterlace: bool = False,
        chunk_size: int | None = None,
        keep: Iterable[str] = (),
    ) -> Iterator[Generator[Chunk, None, None]]:
        """Context manager around a generator of finished chunks: bounded memory, numpy out. Options as in ``run``."""
        speech = load_speech(audio)
        with video.open_video(face, fps=fps, deinterlace=deinterlace) as reader:
            self.load()
            frames = source.schedule(reader, speech.seconds, extend, trim)
            stream = self._stream(frames, speech, sync_offset, chunk_size, keep, {})
            try:
                yield stream
            finally:
                stream.close()

    def _stream(
        self,
        frames: Iterator[source.Frame],
        speech: Speech,
        sync_offset: float,
        chunk_size: int | None,
        keep: Iterable[str],
        clock: dict[str, float],
        watch: Callable[[Iterator[Chunk]], Iterator[Chunk]] | None = None,
    ) -> Generator[Chunk, None, None]:
        made = prefetch(source.chunks(frames, speech, self._mel_offset(sync_offset), chunk_size), depth=2)
        chunks = made if watch is None else watch(made)
        return run_stages(self.stages, chunks, self.runtime, keep=keep, clock=clock)

    def synthesise(
        self,
        frames: Iterator[source.Frame],
        speech: Speech,
        *,
        start: Fraction = Fraction(0),
        sync_offset: float = 0.0,
        clock: dict[str, float] | None = None,
    ) -> Generator[Chunk, None, None]:
        """Finished chunks of frames (seconds, pixels, alpha) in which the speech begins at ``start`` seconds.

        For callers with a timeline of their own; the frames keep their times. Load first. Close the generator.
        """
        moved = ((time - start, frame, alpha) for time, frame, alpha in frames)
        stream = self._stream(moved, speech, sync_offset, None, (), {} if clock is None else clock)
        try:
            for chunk in stream:
                yield replace(chunk, pts=tuple(time + start for time in chunk.pts))
        finally:
            stream.close()

    def run(
        self,
        face: Face,
        audio: Audio,
        output: str | os.PathLike[str],
        on_progress: Progress | None = None,
        *,
        codec: str | None = None,
        crf: int | None = None,
        encoder_preset: str | None = None,
        pix_fmt: str | None = None,
        extend: str = "loop",
        trim: bool = False,
        sync_offset: float = 0.0,
        fps: float | Fraction | None = None,
        deinterlace: bool = False,
        mark: bool = True,
        compare: bool = False,
        chunk_size: int | None = None,
        measure: bool = True,
    ) -> Report:
        """Lip-sync ``face`` to ``audio`` and write ``output``.

        face: video file, still image, folder of images, ``%06d.png`` pattern, array (T, H, W, 3) or iterator of
        frames. audio: any audio or video file, or (samples, rate). output: file (its ending chooses the container) or,
        for a PNG sequence, a folder. codec: h264 (default), hevc, prores_422hq, prores_4444, ffv1, png; crf,
        encoder_preset and pix_fmt override its defaults. extend: what to do when the speech is longer than the
        footage: loop, pingpong, hold (the last frame) or stop. trim: end with the speech instead of keeping the rest
        of the footage untouched. sync_offset: ms; positive lets the mouth follow later sound. fps: of images and
        arrays. deinterlace: rebuild full frames. mark: say in the metadata that the lip movement is synthetic.
        compare: source and result side by side. on_progress(done, total): after every chunk; total may be None.
        measure: measure the audio-video offset of the result when a sync network is installed.

        Nothing is left under the output's name unless the run succeeds. Raises InputError, NoFaceError, OptionError,
        OutputError, CheckpointError, StageError, OutOfMemory.
        """
        began = time.perf_counter()
        inputs = [p for p in (face, audio) if isinstance(p, (str, os.PathLike))]
        codec = video.check_output(output, inputs, codec)
        self.runtime.warnings.clear()
        speech = load_speech(audio)
        if _silent(speech):
            self.runtime.warn("the speech is silent: the mouth will stay closed")
        clock: dict[str, float] = {}
        with video.open_video(face, fps=fps, deinterlace=deinterlace) as reader:
            info = reader.info
            if info.interlaced:
                self.runtime.warn(f"{info.path} is interlaced; use --deinterlace for clean frames")
            self.load()
            total = source.expected(reader, speech.seconds, extend, trim)
            until = sound_end(reader.info, speech, extend)
            size = (2 * info.width, info.height) if compare else None
            tally = _Tally()
            meter = OffsetMeter(self.runtime, speech.wav) if measure else None
            originals: deque[Array] = deque()

            def watch(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
                while True:
                    t0 = time.perf_counter()
                    chunk = next(chunks, None)
                    clock["read"] = clock.get("read", 0.0) + time.perf_counter() - t0
                    if chunk is None:
                        return
                    if compare:
                        originals.append(chunk.frames)
                    yield chunk

            with video.VideoWriter(
                output,
                info,
                codec=codec,
                crf=crf,
                preset=encoder_preset,
                pix_fmt=pix_fmt,
                sound=_sound(audio),
                until=until,
                mark=mark,
                size=size,
            ) as writer:
                frames = source.schedule(reader, speech.seconds, extend, trim)
                stream = self._stream(frames, speech, sync_offset, chunk_size, (), clock, watch)
                try:
                    for chunk in stream:
                        tally.add(chunk)
                        if meter is not None:
                            meter.add(chunk)
                        t0 = time.perf_counter()
                        _write(writer, chunk, originals.popleft() if compare else None)
                        clock["write"] = clock.get("write", 0.0) + time.perf_counter() - t0
                        if on_progress is not None:
                            on_progress(tally.frames, max(total, tally.frames) if total else None)
                finally:
                    stream.close()
                if not tally.faces:
                    raise no_face(info.path or "the footage", "--set detect.threshold=0.3")
                t0 = time.perf_counter()
                writer.close()
                clock["write"] += time.perf_counter() - t0
            if reader.damaged:
                self.runtime.warn(f"{info.path}: {reader.damaged} damaged packets were skipped")
        t0 = time.perf_counter()
        offset = meter.offset_ms() if meter is not None else None
        clock["measure"] = time.perf_counter() - t0
        seconds = time.perf_counter() - began
        clock["total"] = seconds
        return Report(
            output=Path(os.fspath(output)),
            frames=tally.frames,
            duration=tally.end(1 / info.fps),
            fps=tally.frames / seconds,
            faces=tally.faces,
            tracks=len(tally.tracks),
            frames_without_face=tally.empty,
            seconds={k: round(v, 3) for k, v in clock.items()},
            peak_memory=peak_memory(),
            offset_ms=offset,
            warnings=tuple(self.runtime.warnings),
        )

    def measure_sync(self, face: Face, audio: Audio, **options: Any) -> float:
        """The ``sync_offset`` in ms that brings the result's mouth onto the sound: the offset the sync network finds in
        a trial of the first seconds. 0.0 when no sync network is installed or the trial is too short to tell."""
        speech = load_speech(audio)
        meter = OffsetMeter(self.runtime, speech.wav)
        if meter.done:
            self.runtime.warn("no sync network is installed: the offset was not measured")
            return 0.0
        with self.open(face, audio, trim=True, **options) as chunks:
            for chunk in chunks:
                meter.add(chunk)
                if meter.done:
                    break
        return meter.offset_ms() or 0.0

    def preview(self, face: Face, audio: Audio, count: int = 6, **options: Any) -> Array:
        """Contact sheet (H, W, 3) uint8 RGB: ``count`` frames spread over the clip, source above result.

        Takes ``fps``, ``deinterlace`` and ``sync_offset`` as ``run`` does. Costs ``count`` frames, not the whole clip.
        """
        import cv2

        speech = load_speech(audio)
        opening = {k: options[k] for k in ("fps", "deinterlace") if k in options}
        with video.open_video(face, **opening) as reader:
            self.load()
            length = reader.info.duration or speech.seconds
            times = [min(length, speech.seconds) * (2 * n + 1) / (2 * count) for n in range(count)]
            picked: list[source.Frame] = []
            for at in times:
                frames = reader.start_at(Fraction(0) if reader.info.still else at)
                found = next(iter(frames), None)
                if found is not None:
                    picked.append((at if reader.info.still else found[0], found[1], found[2]))
            if not picked:
                raise InputError(f"{reader.info.path}: no frame could be read")
            shift = self._mel_offset(float(options.get("sync_offset", 0.0)))
            made = list(source.chunks(iter(picked), speech, shift, 1))
            done = list(run_stages(self.stages, made, self.runtime))
        height = min(360, reader.info.height)
        rows: list[list[Array]] = [[], []]
        for before, after in zip(made, done, strict=True):
            for row, frame in zip(rows, (before.frames[0], after.frames[0]), strict=True):
                eight = geometry.eight_bits(frame)
                width = max(2, round(frame.shape[1] * height / frame.shape[0]))
                row.append(cv2.resize(eight, (width, height), interpolation=cv2.INTER_AREA))
        return np.vstack([np.hstack(row) for row in rows])


def load_speech(given: Audio) -> Speech:
    """Speech from a file or (samples, rate). Raises InputError."""
    if isinstance(given, tuple):
        import librosa

        samples, rate = given
        wav = audio.check_audio(samples, "the audio array", int(rate))
        if rate != audio.RATE:
            wav = librosa.resample(wav, orig_sr=rate, target_sr=audio.RATE)
        return Speech(wav)
    return Speech(audio.load_audio(given))


def _silent(speech: Speech) -> bool:
    return audio.is_silent(speech.wav)


def _sound(given: Audio) -> video.Sound:
    if isinstance(given, tuple):
        samples, rate = given
        samples = np.asarray(samples)
        if np.issubdtype(samples.dtype, np.integer):
            samples = samples.astype(np.float32) / (1 << (8 * samples.dtype.itemsize - 1))
        if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
            samples = samples.T
        return video.Sound(samples=samples.astype(np.float32), rate=int(rate))
    return video.Sound(path=os.fspath(given))


def no_face(name: str, hint: str) -> NoFaceError:
    """The error of footage without any face. hint: how to look more closely."""
    return NoFaceError(
        f"no face was found anywhere in {name}; is there one at least 20 pixels wide, upright and not in profile? "
        f"Try {hint}"
    )


def sound_end(info: VideoInfo, speech: Speech, extend: str) -> Fraction | None:
    """Where the sound ends with the picture; None = it may run to its own end."""
    if extend == "stop" and info.duration is not None and not info.still:
        return min(info.duration, speech.seconds)
    return None


def _write(writer: video.VideoWriter, chunk: Chunk, original: Array | None) -> None:
    for i, pts in enumerate(chunk.pts):
        frame = chunk.frames[i]
        alpha = None if chunk.alpha is None else chunk.alpha[i]
        if original is not None:
            frame = np.concatenate([original[i], frame], 1)
            alpha = None if alpha is None else np.concatenate([alpha, alpha], 1)
        writer.write(frame, pts, alpha)


class _Tally:
    """Counts for the report."""

    def __init__(self) -> None:
        self.frames = self.faces = self.empty = 0
        self.tracks: set[int] = set()
        self.last: Fraction | None = None
        self.first: Fraction | None = None

    def add(self, chunk: Chunk) -> None:
        self.frames += len(chunk)
        if self.first is None:
            self.first = chunk.pts[0]
        self.last = chunk.pts[-1]
        if chunk.faces is None:
            return
        self.faces += len(chunk.faces)
        if chunk.faces.track is not None:
            self.tracks.update(int(t) for t in chunk.faces.track)
        self.empty += len(chunk) - len(set(chunk.faces.frame.tolist()))

    def end(self, step: Fraction) -> Fraction:
        """Duration shown."""
        if self.first is None or self.last is None:
            return Fraction(0)
        return self.last - self.first + step


def peak_memory() -> int:
    """Bytes of resident memory at this process's highest."""
    try:  # of this program alone; getrusage counts from before it was started, when it still was its parent's copy
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
    except (OSError, StopIteration, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak if sys.platform == "darwin" else peak * 1024)
