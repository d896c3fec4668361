"""``wav2lip-hq avatar``: add, list, show, remove, make."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from .. import arguments, progress, terminal
from ..language import known_code
from ..run_options import RunOptions
from .choices import MakeOptions

# An avatar's video ends with the speech, and has the avatar's survey and note of consent.
MAKE_RUN = {f.name for f in dataclasses.fields(RunOptions)} - {"language", "trim", "survey", "consent", "plan"}


def add_avatar(commands: Any) -> None:
    """The command ``avatar``."""
    one = commands.add_parser("avatar", help="a library of faces, with consent, and what they say about a topic")
    what = one.add_subparsers(dest="what", required=True, metavar="WHAT")

    add = what.add_parser("add", help="keep a face, a video or a photograph, with the note of consent")
    add.add_argument("name", help="letters, digits, - and _")
    add.add_argument("face", type=Path, help="video or photograph")
    add.add_argument("--consent", default="", help="who agreed to what: a sentence, or a file, which is kept, too")
    add.add_argument(
        "--personalize", metavar="WEIGHTS", default="", help="weights made by `personalize`: their name, or a file"
    )
    arguments.pipeline_arguments(add)

    listing = what.add_parser("list", help="all avatars; damaged ones, too")
    listing.add_argument("--json", action="store_true")
    show = what.add_parser("show", help="what is known of one")
    show.add_argument("name")
    show.add_argument("--json", action="store_true")
    remove = what.add_parser("remove", help="remove one with all that is kept of it")
    remove.add_argument("name")

    make = what.add_parser("make", help="a topic or text, said by an avatar: writer, speech, lip-sync, subtitles")
    make.add_argument("name")
    make.add_argument("output")
    make.add_argument("--topic", default="", help="what the text is about")
    make.add_argument("--text", default="", help="what to say: text, SSML, @FILE, or - for stdin")
    make.add_argument("--script", type=Path, help="file of the text, to write or go on from (OUTPUT.script.txt)")
    make.add_argument("--speech", type=Path, help="speech that is there already: a recording, in place of a text")
    make.add_argument("--until", default="", help="stop after write or speak, and look at the files")
    arguments.option_arguments(make, MakeOptions)
    arguments.pipeline_arguments(make)
    arguments.option_arguments(make, RunOptions, MAKE_RUN)

    for command in (add, listing, show, remove, make):
        command.add_argument("--library", type=Path, help="folder of the avatars (default: the user's data folder)")


def avatar(args: argparse.Namespace) -> int:
    """``wav2lip-hq avatar``."""
    from .library import AvatarLibrary

    library = AvatarLibrary(args.library)
    return {"add": _add, "list": _list, "show": _show, "remove": _remove, "make": _make}[args.what](args, library)


def _add(args: argparse.Namespace, library: Any) -> int:
    pipe = arguments.pipeline(args)
    bars = terminal.Bars(args.quiet or args.json)
    try:
        made = library.add(
            args.name, args.face, consent=args.consent, weights=args.personalize, pipeline=pipe, on_progress=bars.survey
        )
    finally:
        bars.close()
    print(json.dumps(made.plain()) if args.json else f"{_line(made)}; kept in {made.folder}")
    return 0


def _list(args: argparse.Namespace, library: Any) -> int:
    found = library.list()
    if args.json:
        print(json.dumps([one.plain() for one in found]))
    elif not found:
        print(f"there are no avatars in {library.folder}; `wav2lip-hq avatar add` keeps one")
    else:
        print("\n".join(_line(one) for one in found))
    return 0


def _show(args: argparse.Namespace, library: Any) -> int:
    one = library.get(args.name)
    if args.json:
        print(json.dumps(one.plain()))
        return 0
    print(_line(one))
    print(f"face: {one.face}")
    print(f"consent: {one.said or 'see the file'} ({one.consent})")
    print(f"weights: {', '.join(f'{task} {path.name}' for task, path in one.weights.items()) or 'none of its own'}")
    return 0


def _remove(args: argparse.Namespace, library: Any) -> int:
    library.remove(args.name)
    print(f"{args.name} was removed")
    return 0


def _make(args: argparse.Namespace, library: Any) -> int:
    chosen = arguments.chosen_options(args, MakeOptions)
    args.language = known_code(chosen.language)
    if args.extend is None:
        args.extend = "pingpong"  # people do not jump
    run = arguments.chosen_options(args, RunOptions)
    from ..voices.cli import read_text
    from .making import make

    quiet = args.quiet or args.json
    pipe = arguments.pipeline(args)
    bars = terminal.Bars(quiet)
    try:
        done = make(
            args.name,
            args.output,
            chosen,
            topic=args.topic,
            text=read_text(args.text),
            script=args.script,
            speech=args.speech,
            until=args.until,
            library=library,
            run=run,
            pipeline=pipe,
            on_step=(lambda text: None) if quiet else progress.say,
            on_survey=bars.survey,
            on_progress=bars.render,
        )
    finally:
        bars.close()
    if args.json:
        print(json.dumps(_facts(done)))
        return 0
    if done.report is not None:
        terminal.print_report(done.report, False)
        length = max(float(done.report.duration), 1e-3)
        print("seconds: " + ", ".join(f"{k} {v:.2f} ({v / length:.3f} x)" for k, v in done.seconds.items()))
    kept = {"script": done.script, "speech": done.speech, "subtitles": ", ".join(map(str, done.subtitles))}
    print("; ".join(f"{name}: {value}" for name, value in kept.items() if value))
    if done.report is None:
        print("correct what you like; the same command without --until goes on (--speech FILE for edited sound)")
    return 0


def _line(one: Any) -> str:
    if one.problem:
        return f"{one.name}: damaged: {one.problem}"
    seconds = f", {one.seconds:.1f} s" if one.seconds else ""
    own = ", weights of its own" if one.weights else ""
    return f"{one.name}: {one.kind}, {one.size[0]}x{one.size[1]}{seconds}, added {one.added[:10]}{own}"


def _facts(done: Any) -> dict[str, Any]:
    report = done.report
    shown = None if report is None else {
        "frames": report.frames, "faces": report.faces, "seconds": float(report.duration),
        "offset_ms": report.offset_ms, "warnings": list(report.warnings),
    }  # fmt: skip
    return {
        "output": None if done.output is None else str(done.output),
        "script": None if done.script is None else str(done.script),
        "speech": None if done.speech is None else str(done.speech),
        "engines": done.engines,
        "seconds": done.seconds,
        "spoken_seconds": done.length,
        "lipsync": shown,
        "subtitles": [str(path) for path in done.subtitles],
    }
