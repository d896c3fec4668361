"""HQPipeline: footage of a face and speech in, the same footage with the mouth saying the speech out."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import config, options, video
from .clip import Face, Progress, opened, prepare, trial
from .engine import Stage, check_wiring
from .errors import InputError, OptionError
from .metrics.offset import sync_network
from .run_clip import run_clip
from .run_options import RunOptions, run_options
from .runtime import Runtime
from .session import Session
from .sheet import Sheet
from .stages import Track
from .survey import Survey, footage_hash, survey_footage
from .survey.belonging import between
from .survey.collector import split_stages
from .survey.manner import with_manners
from .survey.shared import described, speakers_followed
from .survey.speakers import check_sound, heard
from .types import Array, Chunk, Report
from .voice import Audio


class HQPipeline:
    """A composition of stages with a runtime.

        report = HQPipeline().run(face="talk.mp4", audio="dub.wav", output="out.mp4")

    Models are loaded at the first run and kept.

    Args:
        preset: Name of a preset (see ``wav2lip-hq presets``), path of a YAML file, or a sequence of stages.
        device: "auto", "cpu", "cuda", "cuda:1", ...
        precision: "auto", "fp32", "bf16", "fp16".
        batch_size: Faces per micro-batch; None = by device.
        runtime: One to share with other pipelines, in place of these three.

    Raises:
        OptionError: Unknown preset, stage, option, device.
        WiringError: Stages that cannot follow each other.
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
            self.stages = tuple(preset) if isinstance(preset, Iterable) else ()
            if not all(isinstance(s, Stage) for s in self.stages) or not isinstance(preset, Iterable):
                raise OptionError(f"a preset is a name, a file or a sequence of stages, not {options.shown(preset)}")
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
        """A pipeline with stages exchanged by name: ``pipe.replace(restore=Restore("codeformer"))``.

        Raises:
            OptionError: There is no stage of that name.
        """
        changed = list(self.stages)
        for name, stage in stages.items():
            changed[self._index(name)] = stage
        return self._with(changed)

    def insert(self, stage: Stage, *, after: str | None = None, before: str | None = None) -> HQPipeline:
        """A pipeline with one more stage, after or before a named one."""
        if (after is None) == (before is None):
            raise OptionError("insert takes either after=NAME or before=NAME")
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

    def survey(self, face: Face, *, on_progress: Progress | None = None, **changes: Any) -> Survey:
        """Survey footage, as ``run`` does before it renders: to look at, edit, save and reuse.

        Follow all faces (``set("track.faces=all")``) to choose among them afterwards; with ``track.faces=speaker`` all
        are followed, and who speaks is found and kept in ``Survey.speakers``.

        Args:
            face: Footage as for ``run``.
            on_progress: Called with (frames done, frames in all or None).
            changes: ``fps`` and ``deinterlace`` as in ``run``.

        Raises:
            OptionError: Footage that can be read only once, or stages that do not begin with detect and track.
        """
        chosen = run_options(None, changes)
        with video.open_video(face, **chosen.reading, own=True) as reader:
            stages = split_stages(self.stages)[0]
            speaks = any(isinstance(s, Track) and s.faces == "speaker" for s in stages)
            stages = speakers_followed(stages)
            if not stages or reader.once:
                raise OptionError(
                    "a survey needs footage that can be read again, and stages that begin with detect and track"
                )
            if speaks:
                check_sound(reader.info)
            for stage in stages:
                stage.load(self.runtime)
            made = survey_footage(
                reader, stages, self.runtime, chunk_size=chosen.chunk_size, on_progress=on_progress,
                made=described(stages),
            )  # fmt: skip
            made = with_manners(made, self.stages, reader.info, self.runtime)
            if speaks:
                made = heard(reader, made, self.runtime, on_progress, all_shots=True)
            info = reader.info
        if info.cut:
            made = replace(made, made={**made.made, "between": between(info)})
        return replace(made, footage=footage_hash(info.path) if info.path else "")

    def shot_plan(
        self,
        face: Face,
        survey: Survey,
        page: str | os.PathLike[str],
        plan: str | os.PathLike[str],
        *,
        on_progress: Progress | None = None,
        **changes: Any,
    ) -> Survey:
        """Write who speaks in each shot: a page to look at and a YAML file to edit, for ``run(..., plan=PLAN)``.

        Args:
            face: Footage as for ``survey``.
            survey: Its survey, of all faces. Who speaks is measured, unless it is known, or there is no sound to tell
                it by; then the face seen longest is named, with a confidence of 0.
            page: HTML file.
            plan: YAML file.
            on_progress: Called with (frames done, frames in all or None).
            changes: As for ``survey``.

        Returns:
            The survey with what was measured.

        Raises:
            InputError: Nobody is seen in the footage.
        """
        from .survey import plan as plans
        from .survey import plan_page

        with video.open_video(face, **run_options(None, changes).reading) as reader:
            name = reader.info.path
            if not survey.numbers:
                raise InputError(f"{name or 'the footage'}: no face was found, so there is nothing to plan")
            if survey.speakers is None and reader.info.has_audio and sync_network() is not None:
                survey = heard(reader, survey, self.runtime, on_progress, all_shots=True)
            made = plans.planned(survey, name)
            plan_page.write(made, survey, reader, Path(page), Path(plan).name)
            plans.write(made, Path(plan))
        return survey

    @contextmanager
    def open(
        self,
        face: Face,
        audio: Audio | Mapping[Any, Audio],
        *,
        survey: Survey | None = None,
        keep: Iterable[str] = (),
        run: RunOptions | None = None,
        **changes: Any,
    ) -> Iterator[Generator[Chunk, None, None]]:
        """Context manager around a generator of finished chunks: bounded memory, numpy out.

        Args:
            face: Footage as for ``run``.
            audio: Speech as for ``run``.
            survey: One made before.
            keep: Further fields to leave in the chunks, say "faces.mask".
            run: As in ``run``.
            changes: As in ``run``.
        """
        chosen = run_options(run, changes)
        with opened(face, audio, self.stages, self.runtime, chosen, keep=keep) as session:
            prepare(session, survey)
            stream = session.chunks()
            try:
                yield stream
            finally:
                stream.close()

    def run(
        self,
        face: Face,
        audio: Audio | Mapping[Any, Audio],
        output: str | os.PathLike[str],
        on_progress: Progress | None = None,
        *,
        survey: Survey | None = None,
        on_survey: Progress | None = None,
        run: RunOptions | None = None,
        **changes: Any,
    ) -> Report:
        """Lip-sync ``face`` to ``audio`` and write ``output``. Nothing is left under its name unless that succeeds.

        Args:
            face: Video file, still image, folder of images, ``%06d.png`` pattern, array (T, H, W, 3) of uint8 or
                uint16 RGB, or iterator of frames.
            audio: Any audio or video file, or (samples, rate); for several speakers a mapping from faces to theirs:
                ``{"left": a, "right": b}``, with "left", "right" or any choice that ``track.faces`` takes.
            output: File (its ending chooses the container) or, for a PNG sequence, a folder.
            on_progress: Called after every chunk with (frames done, frames in all or None).
            survey: One made before (``survey``), perhaps edited.
            on_survey: As on_progress, while the footage is surveyed, which comes first.
            run: Options of the run as a whole.
            changes: Options of the run by name: ``crf=18``, ``trim=True``.

        Returns:
            What was done: frames, faces, times, warnings, and why frames were left as they are.

        Raises:
            InputError: Footage or speech that cannot be used.
            NoFaceError: No mouth was made in any frame.
            OptionError: An option that does not exist, or a value it cannot have.
            OutputError: The output cannot be written.
            CheckpointError: Weights are missing, damaged or not what they should be; the message says what to do.
            StageError: A stage failed.
            OutOfMemory: Not even one face at a time fits.
        """
        return run_clip(
            face,
            audio,
            output,
            self.stages,
            self.runtime,
            run_options(run, changes),
            survey=survey,
            on_progress=on_progress,
            on_survey=on_survey,
        )

    def measure_sync(self, face: Face, audio: Audio, **changes: Any) -> float:
        """The ``sync_offset`` in ms that brings the result's mouth in sync: the offset the sync network measures in a
        trial run of the first seconds. 0.0 when no sync network is installed or the trial is too short."""
        with opened(
            face, audio, self.stages, self.runtime, run_options(None, {**changes, "sync_offset": 0.0})
        ) as session:
            prepare(session)
            return trial(session)

    def trial(self, session: Session) -> float:
        """The offset of a prepared session's first seconds; see ``measure_sync``."""
        return trial(session)

    def preview(
        self,
        face: Face,
        audio: Audio | Mapping[Any, Audio],
        count: int = 6,
        *,
        survey: Survey | None = None,
        run: RunOptions | None = None,
        **changes: Any,
    ) -> Array:
        """A contact sheet: frames spread over the speech, source above result, each as ``run`` makes it.

        Costs a survey and some frames, not the whole clip.

        Args:
            face: Footage as for ``run``, but no iterator.
            audio: Speech as for ``run``.
            count: How many frames.
            survey: One made before.
            run: As in ``run``.
            changes: As in ``run``.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        sheet = Sheet(360)
        with opened(face, audio, self.stages, self.runtime, run_options(run, changes)) as session:
            prepare(session, survey)
            if session.reader.once:
                raise OptionError("a preview needs footage that can be read again, not an iterator")
            info = session.reader.info
            length = session.voices[0].over if info.still or info.duration is None else info.duration
            length = min(length, max(v.over for v in session.voices))
            for n in range(count):
                at = length * (2 * n + 1) / (2 * count)
                stream = session.chunks(at, at + 2 / info.fps)
                try:
                    chunk = next(stream, None)
                finally:
                    stream.close()
                if chunk is not None and chunk.source_pts is not None:
                    original = next(iter(session.reader.start_at(chunk.source_pts[0])))
                    sheet.add(session.reader.shown(original[1]), chunk.frames[0])
        if not sheet.columns:
            raise InputError(f"{info.path}: no frame could be read")
        return sheet.picture()
