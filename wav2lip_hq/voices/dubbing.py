"""``dub``: footage in another language. Listen, translate, speak, fit into its time, lip-sync; each step is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import audio, video
from ..errors import EngineError, InputError, OptionError
from ..pipeline import HQPipeline
from ..run_options import RunOptions
from ..survey import footage_hash
from . import engines, mixdown, people, script, subtitles
from .choices import DubOptions
from .dubbed import Dubbed
from .fit import Fitted, fit, slowdown
from .glossary import Glossary
from .lipsync import Passage, Synced, sync
from .narrate import Voicebox
from .script import Line, Role, Script
from .speech import Segment, Spoken, base
from .translating import translated

STEPS = ("listen", "translate", "speak", "mix")


def dub(
    face: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: DubOptions | None = None,
    *,
    script_path: str | os.PathLike[str] | None = None,
    until: str = "",
    run: RunOptions | None = None,
    pipeline: HQPipeline | None = None,
    on_step: Callable[[str], None] = lambda text: None,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Dubbed:
    """Dub ``face`` into another language.

    Args:
        face: A video file with sound.
        output: The dubbed video. Beside it: OUTPUT.script.yaml, OUTPUT.dub with what was made so far, subtitles.
        options: Languages, engines, how lines are fitted.
        script_path: The script to write, or to continue from if it exists (default: OUTPUT.script.yaml).
        until: Stop after "listen", "translate", "speak" or "mix".
        run: How the result is written; ``survey``, ``compare``, ``extend`` and ``trim`` have no meaning here.
        pipeline: How the mouth is made; the preset ``default`` if none is given.
        on_step: Told in a line what is being done.
        on_progress: Frames done, and in all, of the lip-sync.

    Returns:
        What was made, and of what.

    Raises:
        OptionError: No language to dub into, an option that does not exist.
        EngineError: No engine for a language, or one failed; what was finished is kept, and the same call continues.
        InputError: Footage without speech, a script that cannot be used; and what ``HQPipeline.run`` raises.
    """
    work = _Work(Path(face), Path(output), options or DubOptions(), run or RunOptions(), script_path, until)
    work.say = on_step
    work.check()
    pipeline = pipeline or HQPipeline()
    text = work.translated(work.listened(pipeline))
    if until in STEPS[:2]:
        return work.result(None)
    lines = work.spoken(text)
    if until == "speak":
        return work.result(None, lines)
    found = work.mixed(text, lines)
    if until:
        return work.result(None, lines, found)
    return work.result(work.rendered(found, pipeline, on_progress), lines, found)


class _Work:
    """One dub, step by step."""

    def __init__(
        self, face: Path, output: Path, options: DubOptions, run: RunOptions, script_path: Any, until: str
    ) -> None:
        self.face, self.output, self.options, self.run, self.until = face, output, options, run, until
        self.path = Path(script_path) if script_path else output.with_name(f"{output.name}.script.yaml")
        self.folder = output.with_name(f"{output.name}.dub")
        self.say: Callable[[str], None] = lambda text: None
        self.seconds: dict[str, float] = {}
        self.engines: dict[str, str] = {}
        self.warnings: list[str] = []
        self.length, self.slower = 0.0, 1.0  # seconds of the footage, and how many times longer it is shown
        self.heard = self.folder / "mix.wav"
        self.shown: list[Path] = []
        self.known: Script | None = None
        self.glossary: Glossary | None = None
        self.listener: Any = None
        self.translator: Any = None
        self.speaker: Any = None

    # ---- before

    def check(self) -> None:
        """What is wrong with files, languages and engines, before anything is made."""
        chosen = self.options
        if self.until and self.until not in STEPS:
            raise OptionError(f"until is {', '.join(STEPS)}, not '{self.until}'")
        if not chosen.to:
            raise OptionError("say which language to dub into: --to es")
        odd = next((name for name in ("survey", "compare") if getattr(self.run, name)), None)
        if odd is not None:
            raise OptionError(
                f"a dub has no option '{odd}': it makes a survey of its own, and a video without the source"
            )
        video.check_output(self.output, [self.face], self.run.codec)
        with video.open_video(str(self.face), **self.run.reading) as reader:
            info = reader.info
            if info.still or info.duration is None or not self.face.is_file():
                raise InputError(f"{self.face} is not a video of known length; use `say` to make a picture speak")
            self.length = float(info.duration)
        self.footage = footage_hash(self.face)
        self.known = script.read(self.path) if self.path.exists() else None
        if self.known is not None:
            self._belongs(self.known)
        elif not info.has_audio:
            raise InputError(f"{self.face} has no sound to transcribe; write {self.path} yourself, or use `say`")
        self.source = (self.known.source if self.known else "") or chosen.source
        self.glossary = Glossary(chosen.glossary) if chosen.glossary else None
        if self.known is None:
            self.listener = engines.find("listener", chosen.listener, self.source)
        if self.until != "listen" and self._untranslated(self.known) and base(self.source) != base(chosen.to):
            self.translator = self._translator()
        if self.until not in STEPS[:2]:
            self.speaker = engines.find("speaker", chosen.speaker, chosen.to)

    def _belongs(self, known: Script) -> None:
        if known.footage and self.footage and known.footage != self.footage:
            raise InputError(f"the script {self.path} is of other footage than {self.face}; name another with --script")
        if known.to and base(known.to) != base(self.options.to):
            raise InputError(
                f"the script {self.path} is for '{known.to}', not '{self.options.to}'; name another with --script"
            )
        late = next((n for n, line in enumerate(known.lines, 1) if line.start >= self.length), None)
        if late is not None:
            raise InputError(f"{self.path}: line {late} begins after the end of the footage ({self.length:.2f} s)")
        odd = next((name for name in known.speakers if name not in known.names), None)
        if odd is not None:
            self.warnings.append(f"{self.path}: speaker '{odd}' says nothing")

    def _untranslated(self, known: Script | None) -> bool:
        return known is None or any(line.translation is None and line.text for line in known.lines)

    def _translator(self) -> Any:
        """The engine; None where the glossary translates by itself: asked to, or nothing else knows the languages."""
        name = self.options.translator
        if name == "glossary" and self.glossary is not None:
            return None
        try:
            return engines.find("translator", name, self.source, self.options.to)
        except EngineError as error:
            if self.glossary is not None and name == "auto":
                return None
            hint = f"--until listen writes {self.path}, where you can translate the lines yourself"
            raise EngineError(f"{error}; {hint}") from error

    # ---- steps

    def listened(self, pipeline: HQPipeline) -> Script:
        """The script: the one that is there, or what the listener hears."""
        if self.known is not None:
            self.say(f"script: {self.path} is there, {len(self.known.lines)} lines; continuing from it")
            return replace(self.known, to=self.options.to, source=self.source)
        began = time.perf_counter()
        self.engines["listener"] = engines.label(self.listener)
        self.say(f"listen: {self.engines['listener']}")
        wav = audio.load_audio(self.face)
        try:
            heard: Sequence[Segment] = self.listener.transcribe(wav, audio.RATE, self.source)
        except EngineError as error:
            raise EngineError(f"listening to {self.face}: {error}") from error
        lines = [
            Line(s.start, min(s.end, self.length), " ".join(s.text.split()), None, s.speaker or script.FIRST)
            for s in heard
            if s.text.strip() and s.start < min(s.end, self.length)
        ]
        if not lines:
            raise InputError(f"no speech was recognized in {self.face}; write {self.path} yourself (docs/dub.md)")
        roles = {n.speaker: Role() for n in lines}
        if self.options.speakers == "seen":
            self.say("who speaks: survey of all faces")
            lines, roles, unsure = people.assigned(self.face, lines, pipeline, self.run.reading)
            self.warnings += unsure
        made = Script(self.source, self.options.to, tuple(lines), roles, self.footage)
        made.save(self.path, self.face.name)
        self.seconds["listen"] = time.perf_counter() - began
        return made

    def translated(self, text: Script) -> Script:
        """With a translation of each line; the script is written again now and then."""
        if self.until == "listen" or all(line.translation is not None for line in text.lines):
            return text
        began = time.perf_counter()
        engine = self.translator or self.glossary
        self.engines["translator"] = engines.label(engine) if engine else ""
        self.say(f"translate: {self.engines['translator'] or 'the same language'}, into {self.options.to}")
        done = translated(text, self.translator, self.glossary, lambda made: made.save(self.path, self.face.name))
        self.seconds["translate"] = time.perf_counter() - began
        return done

    def spoken(self, text: Script) -> list[tuple[Line, Fitted]]:
        """Each line, spoken and fitted into its time."""
        began = time.perf_counter()
        chosen = self.options
        box = Voicebox(self.speaker, chosen.to, self.folder / "lines")
        self.engines["speaker"] = box.label
        lines = [line for line in text.lines if line.translation]
        if not lines:
            raise InputError(f"{self.path} has nothing to say: every translation is empty")
        cast, unlike = text.cast(self.speaker.voices(chosen.to), chosen.voice)
        self.warnings += unlike
        self.say(f"speak: {box.label}, {len(lines)} lines, " + ", ".join(f"{k}: {v}" for k, v in cast.items()))
        said: list[Spoken] = []
        for number, line in enumerate(lines, 1):
            try:
                said.append(box.speak(line.translation or "", cast[line.speaker]))
            except EngineError as error:
                raise EngineError(
                    f"line {number} of {len(lines)}, at {line.start:.2f} s: {error}; {number - 1} lines are kept: the "
                    "same command continues there"
                ) from error
        made = self.fitted(lines, said)
        self.seconds["speak"] = time.perf_counter() - began
        return made

    def fitted(self, lines: list[Line], said: list[Spoken]) -> list[tuple[Line, Fitted]]:
        """Lines with what is heard of them, in the time that the footage lasts."""
        chosen = self.options
        limits = [min([self.length, *(o.start for o in lines[n:] if o.speaker == line.speaker)][:2])
                  for n, line in enumerate(lines, 1)]  # fmt: skip
        if chosen.overlong == "slow":
            wanted = (
                slowdown(one.seconds, line.start, min(line.end, limit), limit, chosen.fastest, chosen.spill)
                for one, line, limit in zip(said, lines, limits, strict=True)
            )
            self.slower = min(chosen.slowest, max(wanted))
            if self.slower > 1:
                self.say(f"slow: the footage lasts {self.slower:.2f} times as long, {self.length * self.slower:.2f} s")
        made: list[tuple[Line, Fitted]] = []
        for number, (line, one, limit) in enumerate(zip(lines, said, limits, strict=True), 1):
            line, limit, text = line.later(self.slower), limit * self.slower, line.translation or ""
            done = fit(one, text, line.start, min(line.end, limit), limit, chosen.fastest, chosen.spill)
            if done.cut:
                told = f"line {number}, at {line.start:.2f} s, is too long: '{done.cut}' was left out"
                if chosen.overlong == "refuse":
                    raise InputError(f"{self.path}: {told.replace('was left out', 'does not fit')}; shorten it")
                self.warnings.append(f"{told}; shorten it in {self.path}")
            made.append((line, done))
        return made

    def mixed(self, text: Script, lines: list[tuple[Line, Fitted]]) -> list[Passage]:
        """The sound, in files: what is heard, and what drives each passage."""
        began = time.perf_counter()
        original = "nothing" if self.run.bed else self.options.original  # music and effects go in its place
        marked = self.run.watermark
        found = mixdown.mixed(
            self.face, text, lines, self.length, self.slower, original, self.folder, self.heard, marked
        )
        cues = [fitted.segment(line.translation or "", line.speaker) for line, fitted in lines]
        self.shown = subtitles.write(cues, self.output, self.options.subtitles, self.options.to)
        original_lines = [line.later(self.slower).segment for line in text.lines]
        self.shown += subtitles.write(original_lines, self.output, self.options.subtitles, text.source)
        self.seconds["mix"] = time.perf_counter() - began
        return found

    @property
    def settings(self) -> RunOptions:
        """The options of the run, with the mix that is heard."""
        run = replace(self.run, extend="stretch") if self.slower > 1 else self.run
        return replace(run, sound=str(self.heard)) if run.sound == "dub" else run

    def rendered(
        self, found: list[Passage], pipeline: HQPipeline, on_progress: Callable[[int, int | None], None]
    ) -> Synced:
        """The picture."""
        began = time.perf_counter()
        spoken = sum(p.end - p.start for p in found)
        self.say(f"lip-sync: {len(found)} passages, {spoken:.1f} s of {self.length * self.slower:.1f} s")
        done = sync(self.face, self.output, found, self.settings, pipeline, self.folder, on_progress)
        self.seconds["lip-sync"] = time.perf_counter() - began
        self.warnings += done.warnings
        return done

    def result(
        self, synced: Synced | None, lines: Sequence[tuple[Line, Fitted]] = (), found: Sequence[Passage] = ()
    ) -> Dubbed:
        """What was done."""
        return Dubbed(
            None if synced is None else self.output,
            self.path,
            tuple(fitted for _, fitted in lines),
            {name: round(value, 3) for name, value in self.seconds.items()},
            self.engines,
            self.length * self.slower,
            synced,
            tuple(self.shown),
            tuple(self.warnings),
            tuple(found),
            self.settings if found else self.run,
        )
