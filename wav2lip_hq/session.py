"""Rendering of footage with one or several voices: frames in, chunks with synthesized mouths out, and a tally.

``HQPipeline.run`` and ``open``, previews and batch jobs all use a Session. A frame's result depends on the footage, its
survey and the speech alone: not on chunk sizes, and not on where a rendered span begins.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from . import audio, source
from .engine import Stage, prefetch, run_stages, waited
from .errors import OptionError
from .label import label_text, labeled, too_small
from .run_options import RunOptions
from .runtime import Runtime
from .source import Frame
from .stages import Track, Watermark
from .stages.matte import matte
from .stream import GROWTH, Peekable, flat, given_by, growing, in_own_space, inside, noted, spared, surveyed
from .survey import Survey, SurveyedTrack, plan, survey_footage
from .survey.choice import choose
from .survey.collector import split_stages
from .survey.files import load_person
from .survey.manner import with_manners
from .survey.own_words import OwnWords, own_words
from .survey.shared import choice, described, everybody, speakers_followed
from .survey.speakers import UNSURE, check_sound, heard
from .tally import Tally
from .types import Array, Chunk, Faces, Reason
from .video import VideoReader, stretched
from .voice import Voice

MARGIN = Fraction(60)  # seconds of footage after the end of the speech that are surveyed: more mouths to choose from


class Session:
    """Opened footage with its voices. ``prepare`` first, then any number of ``chunks``.

    tally: of the chunks since ``chunks`` was last called. clock: wall seconds by stage. runtime: with the warnings of
    this run.
    """

    def __init__(
        self,
        reader: VideoReader,
        voices: Sequence[Voice],
        options: RunOptions,
        runtime: Runtime,
        *,
        keep: Iterable[str] = (),
    ) -> None:
        if options.extend == "stretch":
            reader = stretched(reader, max(v.over for v in voices))
        self.reader, self.options = reader, options
        self.voices = tuple(voice.marked(options) for voice in voices)
        self.runtime = runtime.for_run()
        self.keep = tuple(keep)
        self.matted = options.deliver != "result"
        self.clock: dict[str, float] = {}
        self.tally = Tally()
        self.surveys: list[Survey | None] = [None] * len(self.voices)
        self.own = [OwnWords()] * len(self.voices)
        self.person: SurveyedTrack | None = None
        self.plan: plan.Plan | None = None
        self.sync_offset = 0.0  # ms, applied to every voice
        self._label = label_text(options.label)
        self.more = False  # whether the output continues after the last span of ``chunks``

    # ---- before

    def prepare(self, survey: Survey | None = None, on_survey: Callable[[int, int | None], None] | None = None) -> None:
        """Load the networks and survey the footage, unless a survey is given. Raises CheckpointError, OptionError."""
        for voice in self.voices:
            for stage in voice.stages:
                stage.load(self.runtime)
        info = self.reader.info
        if self._label and too_small(self._label, info.width, info.height):
            self.runtime.warn(f"the label can hardly be read: frames of {info.width}x{info.height} are too small")
        if info.interlaced:
            self.runtime.warn(f"{info.path} is interlaced; deinterlace it (--deinterlace) for clean frames")
        for voice in self.voices:
            if audio.is_silent(voice.speech.wav):
                self.runtime.warn(f"{voice.name or 'the audio array'} is silent: the mouth will stay closed")
        if not isinstance(self.options.sync_offset, str):
            self.sync_offset = self.options.sync_offset
        if self.options.person:
            self.person = load_person(self.options.person)
        if self.options.plan:
            self.plan = plan.read(self.options.plan)
        if self._asks_who_speaks and self.plan is None and not self.reader.once:
            check_sound(info)
        if survey is None and not self.reader.once:
            survey = self.survey(on_survey)
        if survey is None and (self.plan is not None or self._asks_who_speaks):
            what = "a shot plan" if self.plan is not None else "track.faces = speaker"
            raise OptionError(
                f"{what} needs a survey: footage that can be read again, and stages that begin with detect and track"
            )
        if survey is not None:
            survey = self._told_who_speaks(survey, on_survey)
            chosen = [self._chosen(survey, voice) for voice in self.voices]
            self.surveys = [*chosen] if self.person is None else [s.told(self.person) for s in chosen]
            if self.options.own_words == "keep":
                each = zip(chosen, self.voices, strict=True)
                self.own = [own_words(self.reader, s, v.speech.wav, v.begins, self.runtime) for s, v in each]

    @property
    def watermarks(self) -> tuple[str, ...]:
        """What the voices' invisible marks say, as hexadecimal digits; () if they leave none."""
        marks = [stage for voice in self.voices for stage in voice.stages if isinstance(stage, Watermark)]
        return tuple(f"{mark.number:08x}" for mark in marks)

    @property
    def scale(self) -> int:
        """How many times as large as the footage the output is."""
        return max(math.prod(stage.magnification for stage in voice.stages) for voice in self.voices)

    @property
    def survey_stages(self) -> tuple[Stage, ...]:
        """The stages that survey the footage for every voice; none if the stages only render."""
        looks = [split_stages(v.stages)[0] for v in self.voices]
        if not all(looks):
            return ()
        stages = looks[0]
        if any(everybody(other) != everybody(stages) for other in looks):
            raise OptionError(
                "the voices need different surveys (detect, track and the other stages of the survey may differ in "
                "track.faces and track.reference alone); dub them one after the other"
            )
        # One survey of all faces serves every voice, a plan, and finding who speaks.
        if len({choice(one) for one in looks}) > 1 or self.options.plan:
            stages = everybody(stages)
        return speakers_followed(stages)

    @property
    def survey_end(self) -> Fraction | None:
        """Time in the footage up to which it is surveyed, in seconds; None = to its end."""
        end, length = self._longest, self.reader.info.duration
        return end + MARGIN if length is not None and length > end + MARGIN else None

    def survey(self, on_survey: Callable[[int, int | None], None] | None = None) -> Survey | None:
        """A survey of the footage as far as the voices need it; None if the stages only render."""
        stages = self.survey_stages
        if not stages:
            return None
        began = time.perf_counter()
        made = survey_footage(
            self.reader,
            stages,
            self.runtime,
            until=self.survey_end,
            chunk_size=self.options.chunk_size,
            clock=self.clock,
            on_progress=on_survey,
            made=described(stages),
        )
        made = with_manners(made, self.voices[0].stages, self.reader.info, self.runtime)
        self.clock["survey"] = time.perf_counter() - began
        return made

    def _chosen(self, survey: Survey, voice: Voice) -> Survey:
        allowed = survey
        if self.plan is not None:
            allowed = plan.apply(self.plan, survey, self.options.plan)
            if len({choice(split_stages(v.stages)[0]) for v in self.voices}) == 1:
                return allowed  # the plan alone says who speaks; otherwise each voice has its face, and the plan when
        for stage in split_stages(voice.stages)[0]:
            if isinstance(stage, Track):
                chosen = choose(survey, stage, self.runtime)
                return chosen if allowed is survey else chosen.both(allowed)
        return allowed

    @property
    def _asks_who_speaks(self) -> bool:
        return any(isinstance(s, Track) and s.faces == "speaker" for v in self.voices for s in v.stages)

    def _told_who_speaks(self, survey: Survey, on_survey: Callable[[int, int | None], None] | None) -> Survey:
        """With who speaks in each shot, if a voice asks for it. Raises OptionError without sound to tell it by."""
        if not self._asks_who_speaks or self.plan is not None:
            return survey
        if survey.speakers is None:
            survey = heard(self.reader, survey, self.runtime, on_survey)
        unsure = [one for one in survey.speakers or () if one.confidence < UNSURE]
        if unsure:
            first = float(survey.times[unsure[0].first])
            self.runtime.warn(
                f"who speaks is not certain in {len(unsure)} of {len(survey.speakers or ())} shots (the first at "
                f"{first:.2f} s); see and correct it: wav2lip-hq survey FACE --plan plan.html"
            )
        return survey

    # ---- rendering

    @property
    def frames(self) -> int | None:
        """About how many frames the output will have; None if the footage's length is unknown."""
        return source.expected(self.reader, self._longest, self.options.extend, self.options.trim)

    @property
    def length(self) -> Fraction | None:
        """About how many seconds the output will last; None if the footage's length is unknown."""
        return None if self.frames is None else self.frames / self.reader.info.fps

    @property
    def _longest(self) -> Fraction:
        return max(v.over for v in self.voices)

    def chunks(self, start: Fraction = Fraction(0), end: Fraction | None = None) -> Generator[Chunk, None, None]:
        """The output's frames from ``start`` to ``end`` seconds, numbered from 0. Close the generator."""
        self.tally, self.more = Tally(), False
        stages = [s for v in self.voices for s in (split_stages(v.stages)[1] if self.surveys[0] else v.stages)]
        before, after = sum(s.context for s in stages), sum(s.lookahead for s in stages)
        frames = self._frames(start, end, before, after)
        for number, voice in enumerate(self.voices):
            last = number == len(self.voices) - 1
            made = self._spoken(frames, number, voice, start, end)
            if not last:
                frames = flat(made)
        if self.whole:
            made = self._finished(made)
        try:
            count = 0
            for chunk in made:
                part = inside(chunk, start, end)
                if part is None:
                    continue
                for pts in part.pts:
                    self.tally.frame(pts)
                yield self._labeled(replace(part, start=count))
                count += len(part)
        finally:
            made.close()

    @property
    def whole(self) -> tuple[Stage, ...]:
        """The stages that work on every frame, after all others and all voices, wherever they were put."""
        return tuple(s for s in self.voices[0].stages if s.whole)

    @property
    def _read_last(self) -> tuple[str, ...]:
        """What these stages want to know of faces."""
        return tuple(n for s in self.whole for n in (*s.reads, *s.optional) if n.startswith("faces."))

    def _labeled(self, chunk: Chunk) -> Chunk:
        """The chunk with the label that people see, in the footage's own color space, too."""
        made = labeled(chunk, self._label)
        return made if made is chunk else in_own_space(made, chunk.frames, self.reader.look)

    def _finished(self, made: Generator[Chunk, None, None]) -> Generator[Chunk, None, None]:
        """The chunks after the stages that work on every frame."""
        before = deque[Array]()
        source, read = noted(made, before), self._read_last
        done = run_stages(self.whole, source, self.runtime, keep=self.keep, clock=self.clock, given=read)
        try:
            for chunk in done:
                yield in_own_space(chunk, before.popleft(), self.reader.look)
        finally:
            done.close()
            made.close()

    def _frames(self, start: Fraction, end: Fraction | None, before: int, after: int) -> Iterator[Frame]:
        """The output's frames from ``before`` frames earlier than ``start`` to ``after`` frames later than ``end``."""
        begin, survey = Fraction(0), self.surveys[0]
        if start > 0 and survey is not None:
            at = int(np.searchsorted(survey.times, float(start))) - before - 1
            if 0 < at < len(survey.times) and float(start) <= survey.times[-1]:
                begin = Fraction(float(survey.times[at])) - Fraction(1, 10**5)
        held: deque[Frame] = deque(maxlen=before)
        for item in source.schedule_from(begin, self.reader, self._longest, self.options.extend, self.options.trim):
            if item.time < start:
                held.append(item)
                continue
            while held:
                yield held.popleft()
            if end is not None and item.time >= end:
                self.more = True
                after -= 1
                if after < 0:
                    return
            yield item

    def _spoken(
        self, frames: Iterator[Frame], number: int, voice: Voice, start: Fraction, end: Fraction | None
    ) -> Generator[Chunk, None, None]:
        """Chunks of all frames. Frames before and after the speech bypass the render stages, here and nowhere else."""
        count = 0

        def counted(chunk: Chunk, idle: Reason | None) -> Chunk:
            nonlocal count
            part = inside(chunk, start, end)
            if part is not None:
                self.tally.note(number, count, part, idle)
                count += len(part)
            return chunk

        waiting = Peekable(frames)
        for chunk in self._idle(waiting.until(voice.begins)):
            yield counted(chunk, Reason.BEFORE)
        made = self._rendered(waiting.until(voice.over), number, voice)
        try:
            for chunk in made:
                yield counted(chunk, None)
        finally:
            made.close()
        for chunk in self._idle(waiting.until(None)):
            yield counted(chunk, Reason.AFTER)

    def _idle(self, frames: Iterator[Frame]) -> Iterator[Chunk]:
        none = np.zeros(0, np.int64)
        faces = Faces(frame=none, track=none, box=np.zeros((0, 4), np.float32))
        for chunk in source.chunks(frames, size=self.options.chunk_size, look=self.reader.look):
            idle = replace(chunk, faces=faces, active=np.zeros(len(chunk), bool))
            yield replace(idle, matte=matte(idle, chunk.matte)) if self.matted else idle

    def _rendered(self, frames: Iterator[Frame], number: int, voice: Voice) -> Generator[Chunk, None, None]:
        """Chunks with the voice's mouths, in the footage's own color space, too."""
        before: deque[Array] = deque()  # frames as the stages got them, of the chunks under way
        keep = (*self.keep, *self._read_last, *(("faces.mask", "faces.to512") if self.matted else ()))
        made = self._staged(frames, number, voice, before, keep)
        try:
            for chunk in made:
                if self.matted:
                    chunk = replace(chunk, matte=matte(chunk, chunk.matte))
                yield chunk if self.reader.look is None else in_own_space(chunk, before.popleft(), self.reader.look)
        finally:
            made.close()

    def _staged(
        self, frames: Iterator[Frame], number: int, voice: Voice, before: deque[Array], keep: tuple[str, ...]
    ) -> Generator[Chunk, None, None]:
        looks, makes = split_stages([s for s in voice.stages if not s.whole])
        offset = voice.mel_offset(self.runtime) + self.sync_offset
        survey, size = self.surveys[number], self.options.chunk_size
        grows = survey is None and bool(looks)
        group = GROWTH if grows else None
        pixels = source.chunks(frames, voice.speech, offset, size, voice.begins, group, self.reader.look)
        cut = pixels if self.reader.look is None else noted(pixels, before)
        if survey is not None:
            known = waited(prefetch(spared(surveyed(cut, survey), self.own[number]), depth=2), self.clock)
            return run_stages(makes, known, self.runtime, keep=keep, clock=self.clock, given=given_by(looks))
        pictures = waited(prefetch(cut, depth=2), self.clock)
        if not looks:
            return run_stages(makes, pictures, self.runtime, keep=keep, clock=self.clock)
        given = given_by(looks)
        found = run_stages(looks, pictures, self.runtime, keep=given, clock=self.clock)
        so_far = growing(found, self.person)
        return run_stages(makes, so_far, self.runtime, keep=keep, clock=self.clock, given=given)
