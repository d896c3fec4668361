"""HQPipeline: footage of a face and speech in, the same footage with the mouth saying the speech out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from . import audio, config, delivery, options, run_page, sealing, video
from .cleaning import clean_speech
from .engine import Stage, check_wiring
from .errors import InputError, NoFaceError, OptionError
from .machine import peak_memory
from .metrics.offset import OffsetMeter, sync_network
from .mixing import finish
from .places import PICTURES, check_target, make_folder
from .run_options import RunOptions
from .run_watch import RunWatch
from .runtime import Runtime
from .session import Session, Voice, described, speakers_followed
from .sheet import Sheet
from .soundtrack import soundtrack
from .source import Speech
from .stages import Track
from .survey import Survey, footage_hash, survey_footage
from .survey import load as load_survey
from .survey.collector import split_stages
from .survey.speakers import check_sound, heard
from .timecode import parse_time
from .types import Array, Chunk, Reason, Report, VideoInfo

Face = str | os.PathLike[str] | Array | Iterable[Array]
Audio = str | os.PathLike[str] | tuple[Array, int]
Progress = Callable[[int, int | None], None]
TRIAL = 8  # seconds of the output in which the offset is measured for sync_offset = "auto"


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
        chosen = _options(None, changes)
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
            if speaks:
                made = heard(reader, made, self.runtime, on_progress, all_shots=True)
            info = reader.info
        if info.cut:
            made = replace(made, made={**made.made, "between": _between(info)})
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

        with video.open_video(face, **_options(None, changes).reading) as reader:
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
        chosen = _options(run, changes)
        with self._session(face, audio, chosen, survey, keep=keep) as session:
            stream = session.chunks()
            try:
                yield stream
            finally:
                stream.close()

    @contextmanager
    def _session(
        self,
        face: Face,
        given: Audio | Mapping[Any, Audio],
        chosen: RunOptions,
        survey: Survey | None = None,
        *,
        keep: Iterable[str] = (),
        on_survey: Progress | None = None,
        prepared: bool = True,
    ) -> Iterator[Session]:
        """prepared: whether it may be rendered at once; otherwise ``_prepare`` is for the caller to call."""
        with video.open_video(face, **chosen.reading, own=True) as reader:
            session = Session(reader, self._voices(given, chosen, reader.info.fps), chosen, self.runtime, keep=keep)
            if prepared:
                self._prepare(session, survey, on_survey)
            yield session

    def _prepare(self, session: Session, survey: Survey | None, on_survey: Progress | None) -> None:
        chosen = session.options
        if survey is None and chosen.survey:
            survey = given_survey(chosen.survey, session.reader.info)
        session.prepare(survey, on_survey)
        if chosen.sync_offset == "auto":
            session.sync_offset = self.trial(session)

    def _voices(self, given: Audio | Mapping[Any, Audio], chosen: RunOptions, fps: Fraction) -> list[Voice]:
        """One voice, or one a face."""
        between: dict[str, Any] = {
            "start": chosen.speech_start,
            "end": chosen.speech_end,
            "fps": fps,
            "clean": chosen.clean_speech,
        }
        if not isinstance(given, Mapping):
            return [spoken(given, self.stages, **between)]
        if not given:
            raise OptionError("no speech was given: audio is a file, samples with their rate, or a mapping of faces")
        return [
            spoken(sound, config.set_options(self.stages, who(choice)), **between) for choice, sound in given.items()
        ]

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
        chosen = _options(run, changes)
        began = time.perf_counter()
        wanted = delivery.choose_codec(chosen, output, face)
        sounds = [] if chosen.sound in ("dub", "source") else [chosen.sound]
        inputs = [*_paths(face, *_sounds(audio)), *sounds, *([chosen.bed] if chosen.bed else [])]
        codec = video.check_output(output, inputs, wanted)
        if chosen.report:
            check_target(Path(chosen.report))
            make_folder(Path(chosen.report).parent)
        with self._session(face, audio, chosen, prepared=False) as session:
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
                self._prepare(session, survey, on_survey)
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
                if not session.tally.faces:
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
            made = [repr(stage) for stage in self.stages]
            run_page.write(report, watch, Path(chosen.report), face=info.path, speech=said, stages=made)
        return report

    def measure_sync(self, face: Face, audio: Audio, **changes: Any) -> float:
        """The ``sync_offset`` in ms that brings the result's mouth onto the sound: the offset the sync network finds in
        a trial of the first seconds. 0.0 when no sync network is installed or the trial is too short."""
        with self._session(face, audio, _options(None, {**changes, "sync_offset": 0.0})) as session:
            return self.trial(session)

    def trial(self, session: Session) -> float:
        """The offset of a prepared session's first seconds; see ``measure_sync``."""
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
        with self._session(face, audio, _options(run, changes), survey) as session:
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


def _options(run: RunOptions | None, changes: dict[str, Any]) -> RunOptions:
    """Run options with changes by name. Raises OptionError."""
    options.known(RunOptions, changes, "run")
    if isinstance(changes.get("fps"), Fraction):
        changes = {**changes, "fps": float(changes["fps"])}
    return replace(run or RunOptions(), **changes)


def who(choice: Any) -> list[str]:
    """Settings that choose a face: "left", "right", a picture of the person, or what ``track.faces`` takes."""
    text = {"left": "left-to-right", "right": "right-to-left"}.get(str(choice), str(choice))
    if Path(text).suffix.lower() in PICTURES:
        return ["track.faces=reference", f"track.reference={text}"]
    return [f"track.faces={text}"]


def belongs(survey: Survey, path: str, name: str) -> None:
    """Raise InputError if the survey is of other footage than ``path``."""
    if survey.footage and path and (found := footage_hash(path)) and found != survey.footage:
        raise InputError(f"the survey {name} is of other footage than {path}, or that has changed since; make it again")


def given_survey(name: str, info: VideoInfo) -> Survey:
    """A saved survey, for footage that it has to be of. Raises InputError, OptionError; see ``fitting``."""
    survey = load_survey(name)
    belongs(survey, info.path, name)
    return fitting(survey, info, name)


def _between(info: VideoInfo) -> list[float]:
    """In point and length of footage in seconds, as a survey keeps them."""
    return [float(info.begins), float(info.duration or 0)]


def fitting(survey: Survey, info: VideoInfo, name: str) -> Survey:
    """The survey in the footage's own time: as it is, or the part of one of the whole file that lies between in and out
    point. Raises InputError where it was made of another piece, OptionError for stretched footage."""
    if info.slowed != 1:
        raise OptionError(f"the survey {name} is of the footage as it is, not stretched; leave it out")
    made, wanted = survey.made.get("between"), _between(info) if info.cut else None
    if made == wanted:
        return survey
    if made is None:
        return survey.within(info.begins, None if info.duration is None else info.begins + info.duration)
    raise InputError(
        f"the survey {name} is of {made[1]:.2f} s from {made[0]:.2f} s on; survey the whole, or this piece"
    )


def _sounds(given: Audio | Mapping[Any, Audio]) -> list[Audio]:
    return list(given.values()) if isinstance(given, Mapping) else [given]


def _paths(*given: Any) -> list[str | os.PathLike[str]]:
    return [value for value in given if isinstance(value, (str, os.PathLike))]


def _name(given: Audio) -> str:
    return "" if isinstance(given, tuple) else os.fspath(given)


def _watched(stream: Iterator[Chunk], watch: RunWatch | None) -> Iterator[Chunk]:
    """Chunks as they are, after somebody has looked at them."""
    for chunk in stream:
        if watch is not None:
            watch.add(chunk)
        yield chunk


def load_speech(given: Audio, clean: str = "off") -> Speech:
    """Speech from a file or (samples, rate). clean: as in ``spoken``. Raises InputError, OptionError."""
    if isinstance(given, tuple):
        import librosa

        if len(given) != 2:
            raise InputError("speech from memory is a pair: samples, and how many there are in a second")
        samples, rate = given
        wav = audio.check_audio(samples, "the audio array", video.check_rate(rate, "the audio array"))
        if clean != "off":
            return Speech(clean_speech(wav, rate))
        if rate != audio.RATE:
            wav = librosa.resample(wav, orig_sr=rate, target_sr=audio.RATE)
        return Speech(wav)
    return Speech(clean_speech(given) if clean != "off" else audio.load_audio(given))


def spoken(
    given: Audio,
    stages: Sequence[Stage],
    *,
    start: Any = None,
    end: Any = None,
    begins: Fraction = Fraction(0),
    fps: Fraction = video.DEFAULT_FPS,
    clean: str = "off",
) -> Voice:
    """A voice that says what lies between two times of ``given`` (None: its beginning, its end), from ``begins``
    seconds of the output on. fps: what timecodes count; clean: what takes noise from it (``RunOptions.clean_speech``).
    Raises InputError, OptionError."""
    speech, name = load_speech(given, clean), _name(given)
    first = Fraction(0) if start is None else parse_time(start, fps)
    last = speech.seconds if end is None else parse_time(end, fps)
    if (start, end) != (None, None):
        if end is not None and last <= first:
            raise OptionError(f"{name or 'the audio array'}: the end of the speech ({end}) is not after its start")
        some = speech.wav[round(first * audio.RATE) : round(last * audio.RATE)]
        if len(some) < audio.SHORTEST * audio.RATE:
            raise InputError(
                f"{name or 'the audio array'} is {float(speech.seconds):.2f} s long: there is no speech of "
                f"{audio.SHORTEST} s between {float(first):.2f} s and {float(last):.2f} s"
            )
        speech = Speech(some)
    return Voice(speech, tuple(stages), begins, name, first, end is not None)


def no_face(name: str, why: str, hint: str) -> NoFaceError:
    """The error of footage in which no mouth could be synthesized. why: the reasons with their counts; hint: how to
    detect more."""
    if why and not why.startswith(Reason.NOT_DETECTED.text):
        return NoFaceError(f"no mouth was synthesized in {name}: {why}")
    return NoFaceError(
        f"no face was found anywhere in {name}; is there one at least 20 pixels wide, upright and not in profile? "
        f"Try {hint}"
    )
