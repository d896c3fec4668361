"""``avatar make``: a topic becomes a text, the text speech, and a face of the library says it; each step is a file."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import video
from ..errors import EngineError, InputError, OptionError
from ..pipeline import HQPipeline
from ..places import make_folder, write_text
from ..run_options import RunOptions
from ..stages import Movement
from ..types import Report
from ..voices import engines, markup, saying, subtitles
from ..voices.narrate import save
from ..voices.speech import Spoken
from ..watermark import marked_sound
from .choices import MakeOptions
from .library import Avatar, AvatarLibrary

STEPS = ("write", "speak")
FITS = (0.8, 1.25)  # of the length wanted: a text that a voice says in less or more is written once more
LARGEST = 1 << 20  # bytes of a text
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Made:
    """What ``make`` did. script: the text's file. speech: the sound's. seconds: of each step. length: seconds of
    speech. report: of the lip-sync; None if it stopped before. engines: writer and speaker, with their versions."""

    script: Path | None
    speech: Path | None
    output: Path | None = None
    report: Report | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    length: float = 0.0
    subtitles: tuple[Path, ...] = ()


def make(
    avatar: Avatar | str,
    output: str | os.PathLike[str],
    options: MakeOptions | None = None,
    *,
    topic: str = "",
    text: str = "",
    script: str | os.PathLike[str] | None = None,
    speech: str | os.PathLike[str] | None = None,
    until: str = "",
    library: AvatarLibrary | None = None,
    run: RunOptions | None = None,
    pipeline: HQPipeline | None = None,
    on_step: Callable[[str], None] = lambda text: None,
    on_survey: Progress | None = None,
    on_progress: Progress | None = None,
) -> Made:
    """Let an avatar speak.

    Args:
        avatar: One of the library, or its name.
        output: The video. Beside it: OUTPUT.script.txt, OUTPUT.speech.wav, subtitles, and OUTPUT.avatar with
            spoken sentences, which may be deleted at any time.
        options: Length, writer, language, speech engine, voice.
        topic: What the text is about; it is written to ``script``, unless that is there: then it goes on from it.
        text: The text itself, in place of a topic: plain or SSML.
        script: File of the text (default: OUTPUT.script.txt).
        speech: Sound that is there already, in place of a text: a recording, or OUTPUT.speech.wav, edited.
        until: Stop after "write" or "speak".
        library: Where ``avatar`` is looked up and its survey kept (default: the user's).
        run: As for ``HQPipeline.run``; the note of consent is the avatar's, and it ends with the speech.
        pipeline: How the mouth is made; the preset ``default`` if none is given.
        on_step: Told in a line what is being done.
        on_survey: As for ``HQPipeline.run``.
        on_progress: As for ``HQPipeline.run``.

    Returns:
        What was made.

    Raises:
        OptionError: Neither a topic nor a text, or both.
        InputError: No such avatar, a script that cannot be read, nothing to say.
        EngineError: No engine for the language, or it failed; what was finished is kept, and the same call goes on.
    """
    chosen, run, target = options or MakeOptions(), run or RunOptions(), Path(os.fspath(output))
    library = library or AvatarLibrary()
    avatar = library.get(avatar) if isinstance(avatar, str) else avatar
    if until and until not in STEPS:
        raise OptionError(f"until is {' or '.join(STEPS)}, not '{until}'")
    written = Path(script) if script else target.with_name(f"{target.name}.script.txt")
    _one_source(topic, text, script, speech)
    heard = [] if speech is None else [os.fspath(speech)]
    video.check_output(target, [str(avatar.face), *heard], run.codec)
    work = _Work(avatar, target, chosen, written, on_step, run.watermark)
    if speech is None:
        said = work.text(topic, text)
        if until == "write":
            return work.made(None)
        lines, sound = work.spoken(said)
        if work.engines.get("writer") and not FITS[0] < work.length / chosen.seconds < FITS[1]:
            on_step(f"write: {work.length:.1f} s of speech, not {chosen.seconds:g}; once more")
            lines, sound = work.spoken(work.written_about(topic, chosen.seconds**2 / work.length))
    else:
        lines, sound = (), Path(speech)
    if until:
        return work.made(sound)
    pipe = alive(personal(pipeline or HQPipeline(), avatar), avatar, chosen.movement)
    on_step(f"survey and lip-sync: {avatar.name}, {avatar.kind}")
    began = time.perf_counter()
    survey = library.survey(avatar, pipe, on_survey)
    work.seconds["survey"] = time.perf_counter() - began
    began = time.perf_counter()
    changed = replace(run, consent=str(avatar.consent), trim=True, survey="")
    report = pipe.run(avatar.face, sound, target, on_progress, survey=survey, run=changed)
    work.seconds["lip-sync"] = time.perf_counter() - began
    shown = subtitles.write(lines, target, chosen.subtitles) if lines else []
    return work.made(sound, report, tuple(shown))


def personal(pipeline: HQPipeline, avatar: Avatar) -> HQPipeline:
    """The pipeline with the weights of the avatar where it has stages for them."""
    stages = {stage.name for stage in pipeline.stages}
    for task, stage in (("generator", "lipsync"), ("restorer", "restore")):
        if task in avatar.weights and stage in stages:
            pipeline = pipeline.set(f"{stage}.model={avatar.weights[task]}")
    return pipeline


def alive(pipeline: HQPipeline, avatar: Avatar, amount: float) -> HQPipeline:
    """The pipeline with a movement of the head, if the avatar is a photograph, and unless there is one already."""
    names = [stage.name for stage in pipeline.stages]
    if avatar.kind != "photograph" or not amount or "movement" in names or not {"landmarks", "blend"} <= {*names}:
        return pipeline
    return pipeline.insert(Movement(amount), after="blend")


def _one_source(topic: str, text: str, script: Any, speech: Any) -> None:
    given = [name for name, value in (("topic", topic), ("text", text), ("speech", speech)) if value]
    if len(given) > 1 or (script and (text or speech)):
        raise OptionError(f"give one of topic, text, script and speech, not {' and '.join(given)}")
    if not given and not script:
        raise OptionError("say what it is to say: topic, text, script or speech")


class _Work:
    """One video, step by step."""

    def __init__(
        self,
        avatar: Avatar,
        target: Path,
        options: MakeOptions,
        script: Path,
        say: Callable[[str], None],
        marked: bool,
    ) -> None:
        self.marked = marked  # whether the voice carries the inaudible mark
        self.avatar, self.target, self.options, self.script, self.say = avatar, target, options, script, say
        self.folder = target.with_name(f"{target.name}.avatar")
        self.sound = target.with_name(f"{target.name}.speech.wav")
        self.seconds: dict[str, float] = {}
        self.engines: dict[str, str] = {}
        self.length = 0.0
        self.written = False  # whether the text is in the script

    def text(self, topic: str, given: str) -> str:
        """What is to be said: given, written before, or written now. It is in a file afterwards."""
        if given:
            markup.pieces(given)  # what cannot be said is known before anything is made
            return given
        self.written = True
        if self.script.exists():
            known = _read(self.script)
            if not topic or self._same(topic, known):
                self.say(f"script: {self.script} is there; going on from it")
                return known
        elif not topic:
            raise InputError(f"there is no script {self.script}; write it, or give a topic")
        return self.written_about(topic, self.options.seconds)

    def written_about(self, topic: str, seconds: float) -> str:
        """A text that the writer takes to be so long, in the script's file."""
        engine = engines.find("writer", self.options.writer, self.options.language)
        self.engines["writer"] = engines.label(engine)
        self.say(f"write: {self.engines['writer']}, {seconds:.0f} s about '{topic[:60]}'")
        began = time.perf_counter()
        made = engine.write(topic, seconds, self.options.language)
        self.seconds["write"] = self.seconds.get("write", 0.0) + time.perf_counter() - began
        if not isinstance(made, str) or not made.strip():
            raise EngineError(f"the writer {self.engines['writer']} wrote nothing about '{topic[:60]}'")
        made = made.strip()[:LARGEST] + "\n"
        write_text(self.script, made)
        make_folder(self.folder)
        write_text(self.folder / "script.json", json.dumps([self._asked(topic), _digest(made)]))
        return made

    def _asked(self, topic: str) -> list[Any]:
        return [" ".join(topic.split()), self.options.seconds, self.options.language, self.options.writer]

    def _same(self, topic: str, known: str) -> bool:
        """Whether the script there is the one of this topic, edited or not. Raises InputError where somebody edited
        one of another topic: it would be lost, or the wrong one spoken."""
        try:
            before, digest = json.loads((self.folder / "script.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # written by hand
            return True
        if before == self._asked(topic):
            return True
        if digest != _digest(known):
            raise InputError(
                f"{self.script} was written about another topic ({str(before[0])[:60]}) and edited since; remove it, "
                "or name another with --script"
            )
        return False

    def spoken(self, text: str) -> tuple[tuple[Any, ...], Path]:
        """The text as a file of sound, and its lines with their times."""
        said = saying.speech(text, self.options, self.folder)
        self.engines["speaker"] = said.speaker
        self.say(f"speak: {said.speaker}, {said.seconds:.1f} s")
        self.seconds["speak"] = self.seconds.get("speak", 0.0) + said.speaking
        self.length = said.seconds
        wave = marked_sound(said.wave, said.rate) if self.marked else said.wave
        save(Spoken(wave, said.rate), self.sound)
        return said.lines, self.sound

    def made(self, sound: Path | None, report: Report | None = None, shown: tuple[Path, ...] = ()) -> Made:
        """What was done."""
        seconds = {name: round(value, 3) for name, value in self.seconds.items()}
        script = self.script if self.written else None
        output = None if report is None else self.target
        return Made(script, sound, output, report, seconds, self.engines, self.length, shown)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the script {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8") from error
