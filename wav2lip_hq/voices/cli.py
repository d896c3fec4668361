"""``wav2lip-hq say``, ``dub`` and ``voices``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from .. import arguments, progress, terminal
from ..errors import InputError, OptionError
from ..language import known_code
from ..run_options import RunOptions
from .choices import DubOptions, SayOptions

# A dub keeps the length of its footage, surveys it in its own way and is measured by parts.
# The language of the result's sound track is the one that is spoken.
SAY_RUN = {f.name for f in dataclasses.fields(RunOptions)} - {"language"}
DUB_RUN = SAY_RUN - {"survey", "compare", "measure", "extend", "trim"}
LARGEST = 1 << 20  # bytes of a text


def add_say(commands: Any) -> None:
    """The command ``say``."""
    one = commands.add_parser("say", help="a face says a text: speech engine, then lip-sync, then subtitles")
    one.add_argument("face", help="video, picture, folder of pictures or pattern")
    one.add_argument("text", help="what to say: text, SSML, @FILE, or - for stdin; [pause 0.5s] is a pause")
    one.add_argument("output")
    arguments.option_arguments(one, SayOptions)
    arguments.pipeline_arguments(one)
    arguments.option_arguments(one, RunOptions, SAY_RUN)


def add_dub(commands: Any) -> None:
    """The command ``dub``."""
    one = commands.add_parser("dub", help="footage in another language: transcribe, translate, speak, lip-sync")
    one.add_argument("face", metavar="VIDEO")
    one.add_argument("output")
    one.add_argument("--script", type=Path, help="what is said, to write or continue (default: OUTPUT.script.yaml)")
    one.add_argument("--until", default="", help="stop after listen, translate, speak or mix, and look at the files")
    one.add_argument(
        "--batch", type=Path, metavar="JOBS.YAML", help="do not render, but put that into a job file, for `batch run`"
    )
    arguments.option_arguments(one, DubOptions, also={"source": "--from"})
    arguments.pipeline_arguments(one)
    arguments.option_arguments(one, RunOptions, DUB_RUN)


def add_voices(commands: Any) -> None:
    """The command ``voices``."""
    one = commands.add_parser("voices", help="speech and translation engines: installed or not, languages, license")
    one.add_argument("name", nargs="?", help="a speech engine, to list its voices")
    one.add_argument("--language", default="en", help="of the voices (default en)")
    one.add_argument("--json", action="store_true")


def say(args: argparse.Namespace) -> int:
    """``wav2lip-hq say``."""
    chosen = arguments.chosen_options(args, SayOptions)
    args.language = known_code(chosen.language)
    run = arguments.chosen_options(args, RunOptions)
    text = read_text(args.text)
    from .saying import say as make

    pipe = arguments.pipeline(args)
    bars = terminal.Bars(args.quiet or args.json)
    try:
        done = make(
            args.face,
            text,
            args.output,
            chosen,
            run=run,
            pipeline=pipe,
            on_survey=bars.survey,
            on_progress=bars.render,
        )
    finally:
        bars.close()
    if args.json:
        report = {"output": str(done.report.output), "frames": done.report.frames, "offset_ms": done.report.offset_ms}
        lines = [{"start": s.start, "end": s.end, "text": s.text} for s in done.lines]
        more = {"seconds": done.seconds, "speaking": done.speaking, "subtitles": [str(p) for p in done.subtitles]}
        print(json.dumps({**report, "speaker": done.speaker, "lines": lines, **more}))
        return 0
    print(f"spoken by {done.speaker}: {done.seconds:.1f} s in {done.speaking:.1f} s")
    terminal.print_report(done.report, False)
    if done.subtitles:
        print(f"subtitles: {', '.join(map(str, done.subtitles))}")
    return 0


def dub(args: argparse.Namespace) -> int:
    """``wav2lip-hq dub``."""
    chosen = arguments.chosen_options(args, DubOptions)
    if not chosen.to:
        raise OptionError("say which language to dub into: --to es")
    args.language = known_code(chosen.to)
    run = arguments.chosen_options(args, RunOptions)
    if args.batch is not None and (args.until or args.edits):
        raise OptionError("--batch renders later: without --until, and with stages as a preset (YAML) has them")
    from .dubbing import dub as make

    quiet = args.quiet or args.json
    pipe = arguments.pipeline(args)
    bars = terminal.Bars(quiet)
    try:
        done = make(
            args.face,
            args.output,
            chosen,
            script_path=args.script,
            until="mix" if args.batch is not None else args.until,
            run=run,
            pipeline=pipe,
            on_step=(lambda text: None) if quiet else progress.say,
            on_progress=bars.render,
        )
    finally:
        bars.close()
    if args.batch is not None:
        from .lipsync import add_job

        add_job(args.batch, Path(args.face), Path(args.output), done.passages, done.run, args.preset, args.set)
    for text in done.warnings:
        print(f"warning: {text}", file=sys.stderr)
    if args.json:
        print(json.dumps(_facts(done)))
    elif args.batch is not None:
        print(f"{len(done.passages)} passages in {args.batch}; render: wav2lip-hq batch run {args.batch}")
    elif done.synced is None:
        print(f"the script is in {done.script}; correct it, and run again without --until")
    else:
        offset = "not measured" if done.synced.offset_ms is None else f"{done.synced.offset_ms:+.0f} ms"
        sped = [line.speed for line in done.lines if line.speed > 1]
        print(
            f"{done.output}: {done.synced.frames} frames, {done.synced.faces} faces, {len(done.lines)} lines, "
            f"{len(sped)} of them faster (up to {max(sped, default=1):.2f} times), "
            f"{sum(bool(line.cut) for line in done.lines)} cut, audio-video offset {offset}"
        )
        length = max(done.footage_seconds, 1e-3)
        print("seconds: " + ", ".join(f"{k} {v:.1f} ({v / length:.2f} x)" for k, v in done.seconds.items()))
        print(f"script: {done.script}; subtitles: {', '.join(map(str, done.subtitles)) or 'none'}")
    return 0


def voices(args: argparse.Namespace) -> int:
    """``wav2lip-hq voices``."""
    from . import engines

    if args.name:
        engine = engines.find("speaker", args.name, args.language)
        found = engine.voices(args.language)
        print(json.dumps(list(found)) if args.json else "\n".join(found))
        return 0
    rows = engines.listing()
    if args.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows]))
        return 0
    for kind in engines.KINDS:
        print(f"{kind}s:")
        for row in (r for r in rows if r.kind == kind):
            print(f"  {row.name:13} {'not ready' if row.missing else 'ready':10} {row.about}")
            print(f"  {'':24} license: {row.license}")
            if row.missing:
                told = row.missing if row.install in row.missing else f"{row.missing}; {row.install}"
                print(f"  {'':24} {told}")
            elif row.languages != ("*",):
                print(f"  {'':24} {len(row.languages)} languages: {', '.join(row.languages[:14])}"
                      f"{', ...' if len(row.languages) > 14 else ''}")  # fmt: skip
    return 0


def read_text(given: str) -> str:
    """The text itself, or from a file or stdin. Raises InputError."""
    if given == "-":
        return sys.stdin.read(LARGEST + 1)
    if not given.startswith("@"):
        return given
    try:
        with open(given[1:], "rb") as file:
            return file.read(LARGEST + 1).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the text {given[1:]} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{given[1:]} is not text in UTF-8") from error


def _facts(done: Any) -> dict[str, Any]:
    return {
        "output": None if done.output is None else str(done.output),
        "script": str(done.script),
        "engines": done.engines,
        "seconds": done.seconds,
        "footage_seconds": done.footage_seconds,
        "lines": [{"start": n.start, "end": n.end, "speed": n.speed, "cut": n.cut} for n in done.lines],
        "lipsync": None if done.synced is None else dataclasses.asdict(done.synced),
        "subtitles": [str(path) for path in done.subtitles],
        "warnings": list(done.warnings),
    }
