"""``wav2lip-hq run``, ``survey`` and ``demo``: the commands that work on footage."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from . import options, progress
from .errors import OptionError, OutputError
from .places import check_target
from .run_options import READING, RunOptions

T = TypeVar("T")

PREVIEWS = 100
EXIT_CODES = """exit codes: 0 done, 1 unexpected error, 2 wrong option, 3 unusable input, 4 unusable output,
5 checkpoint missing or damaged, 6 no face found, 7 a stage failed, 8 out of memory,
10 a speech or translation engine is missing or failed (say, dub), 130 interrupted

For many clips, or hours of work: wav2lip-hq batch (docs/batch.md)."""


# ---- arguments


def pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", "-p", default="default", help="preset name or YAML file (default: default)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="STAGE.OPTION=VALUE", help="change an option; see `options`"
    )
    for flag, metavar, text in (
        ("--replace", "NAME=STAGE", "put another stage in place of one: --replace parse=mymodule:Mask"),
        ("--insert-after", "NAME=STAGE", "add a stage after one: --insert-after parse=mymodule:Logo"),
        ("--insert-before", "NAME=STAGE", "add a stage before one"),
        ("--without", "NAME", "leave a stage out"),
    ):
        parser.add_argument(flag, action=_Edit, dest="edits", default=[], metavar=metavar, help=text)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default auto)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16 (default auto)")
    parser.add_argument("--batch-size", type=int, help="faces per micro-batch (default: by device)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


class _Edit(argparse.Action):
    """Collects changes of the pipeline in the order they were given: (flag, text)."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        namespace.edits = [*namespace.edits, (str(option_string), str(values))]


def option_arguments(
    parser: argparse.ArgumentParser,
    kind: type = RunOptions,
    names: Collection[str] = (),
    also: Mapping[str, str] | None = None,
) -> None:
    """One flag for every field of an options dataclass (or those named), as its field describes it. also: further
    flags by field."""
    for one in options.listing(kind):
        if names and one.name not in names:
            continue
        flag = one.name.replace("_", "-")
        text = one.help.replace("%", "%%")
        if one.type == "bool":
            shown = f"--no-{flag}" if one.default else f"--{flag}"
            about = f"turn off: {text}" if one.default else text
            parser.add_argument(shown, dest=one.name, action="store_const", const=not one.default, help=about)
        else:
            allowed = one.allowed.replace("%", "%%")
            about = f"{text} [{allowed}]" if allowed else text
            flags = [f"--{flag}", *([also[one.name]] if also and one.name in also else [])]
            parser.add_argument(*flags, dest=one.name, metavar=(one.unit or flag).upper(), help=about)


def chosen_options(args: argparse.Namespace, kind: type[T]) -> T:
    """An options dataclass from the flags that were given. Raises OptionError."""
    given = {one.name: getattr(args, one.name, None) for one in options.listing(kind)}
    try:
        return options.make(kind, {n: v for n, v in given.items() if v is not None}, label="--")
    except OptionError as error:  # names as they are typed: --sync-offset
        raise OptionError(re.sub(r"^--\w+", lambda name: name[0].replace("_", "-"), str(error))) from error


def add_run(commands: Any) -> None:
    """The command ``run``."""
    run = commands.add_parser(
        "run",
        help="lip-sync footage to speech",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("face", help="video, picture, folder of pictures or pattern like shot/%%06d.png")
    run.add_argument("audio", nargs="?", help="any audio or video file with the speech; left out with --audio")
    run.add_argument("output", nargs="?", help="file to write (.mp4, .mov, ...), or a new folder: png, exr, dpx")
    run.add_argument(
        "--audio",
        dest="voices",
        action="append",
        default=[],
        metavar="WHO=FILE",
        help="one speaker's speech, for several: --audio left=a.wav --audio right=b.wav; left, right, a number "
        "(0 the largest face), at=X,Y, speaker (who speaks in the footage), or a picture of the person",
    )
    pipeline_arguments(run)
    option_arguments(run)
    run.add_argument("--preview", type=int, metavar="N", help="only a contact sheet of N frames: OUTPUT as .png")
    run.add_argument("--explain", type=int, metavar="N", help="afterwards, say why frame N looks as it does")


def add_survey(commands: Any) -> None:
    """The command ``survey``."""
    one = commands.add_parser("survey", help="find and follow the faces of footage; see them, and use that again")
    one.add_argument("face", help="video, folder of pictures or pattern")
    one.add_argument("--out", type=Path, help="file to write (default: FACE.survey.npz)")
    one.add_argument("--sheet", type=Path, help="picture with views of each face (default: FACE.survey.png)")
    one.add_argument(
        "--plan",
        dest="shot_plan",
        type=Path,
        metavar="PAGE",
        help="find who speaks in each shot: an HTML page, and beside it the same as YAML to edit, for run --plan",
    )
    pipeline_arguments(one)
    option_arguments(one, RunOptions, READING)


def add_demo(commands: Any) -> None:
    """The command ``demo``."""
    demo = commands.add_parser("demo", help="footage and a photograph say a new sentence: see that everything works")
    pipeline_arguments(demo)
    demo.add_argument("--out", type=Path, default=Path("build/demo"), help="folder (default build/demo)")


# ---- doing


class Bar:
    """Progress with rate and remaining time: a bar on a terminal, a line now and then in a log."""

    def __init__(self, quiet: bool, label: str) -> None:
        from tqdm import tqdm

        self.bar: Any = tqdm(unit="frame", desc=label, disable=True if quiet else None, dynamic_ncols=True)
        self.lines = None if quiet or not self.bar.disable else progress.Lines(label)

    def __call__(self, done: int, total: int | None) -> None:
        if self.lines is not None:
            self.lines(done, total)
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.lines is not None:
            self.lines.close()
        self.bar.close()


class Bars:
    """One bar for the survey, and after it one for the rendering."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bars: dict[str, Bar] = {}

    def survey(self, done: int, total: int | None) -> None:
        self._at("survey", done, total)

    def render(self, done: int, total: int | None) -> None:
        self._at("render", done, total)

    def _at(self, label: str, done: int, total: int | None) -> None:
        if label not in self.bars:
            self.close()
            self.bars[label] = Bar(self.quiet, label)
        self.bars[label](done, total)

    def close(self) -> None:
        for bar in self.bars.values():
            bar.close()


def pipeline(args: argparse.Namespace) -> Any:
    """The pipeline that the arguments describe. Raises OptionError."""
    from .pipeline import HQPipeline

    pipe = HQPipeline(args.preset, device=args.device, precision=args.precision, batch_size=args.batch_size)
    for flag, text in args.edits:
        pipe = _edited(pipe, flag, text)
    return pipe.set(*args.set) if args.set else pipe


def _edited(pipe: Any, flag: str, text: str) -> Any:
    """The pipeline after one of --replace, --insert-after, --insert-before, --without."""
    from .config import parse_stage

    if flag == "--without":
        return pipe.without(text)
    name, sign, stage = (part.strip() for part in text.partition("="))
    if not name or not stage:
        raise OptionError(f"{flag} wants NAME=STAGE, as in parse=mymodule:Mask, not '{text}'")
    if flag == "--replace":
        return pipe.replace(**{name: parse_stage(stage)})
    return pipe.insert(parse_stage(stage), **{flag.removeprefix("--insert-"): name})


def _speech(args: argparse.Namespace) -> Any:
    """The speech, or one for each speaker; what is left of the positional arguments is the output."""
    if args.voices:
        if args.output is not None or args.audio is None:
            raise OptionError("with --audio WHO=FILE give the footage and the output: run FACE OUTPUT --audio left=...")
        args.output = args.audio
        pairs = [text.partition("=") for text in args.voices]
        speech: dict[str, str] = {}
        for who, sign, path in pairs:
            if who == "at" and "=" in path:  # at=640,360=anna.wav
                pixel, _, path = path.partition("=")
                who = f"at={pixel}"
            if not who or not path:
                raise OptionError(f"--audio wants WHO=FILE, as in left=a.wav, not '{who}{sign}{path}'")
            speech[who] = path
        return speech
    if args.audio is None or args.output is None:
        raise OptionError("give footage, speech and output: run FACE AUDIO OUTPUT")
    return args.audio


def run(args: argparse.Namespace) -> int:
    """``wav2lip-hq run``."""
    speech, chosen = _speech(args), chosen_options(args, RunOptions)
    if args.preview is not None and not 1 <= args.preview <= PREVIEWS:
        raise OptionError(f"--preview wants the number of frames, from 1 to {PREVIEWS}, not {args.preview}")
    if args.explain is not None and args.explain < 0:
        raise OptionError(f"--explain wants the number of a frame, counted from 0, not {args.explain}")
    pipe = pipeline(args)
    if args.preview is not None:
        return _preview(pipe, args, speech, chosen)
    bars = Bars(args.quiet or args.json)
    try:
        report = pipe.run(args.face, speech, args.output, bars.render, on_survey=bars.survey, run=chosen)
    finally:
        bars.close()
    explained = None
    if args.explain is not None:
        try:
            explained = report.explain(args.explain)
        except OptionError as error:  # known only now; the video is there all the same
            explained = str(error)
    print_report(report, args.json, explained)
    return 0


def _preview(pipe: Any, args: argparse.Namespace, speech: Any, chosen: RunOptions) -> int:
    from .video import write_png

    path = Path(args.output).with_suffix(".png")
    check_target(path)
    sheet = pipe.preview(args.face, speech, args.preview, run=chosen)
    write_png(path, sheet)
    print(f"contact sheet, source above result: {path}")
    return 0


def print_report(report: Any, as_json: bool, explained: str | None = None) -> None:
    if as_json:
        row = dataclasses.asdict(report)
        row["output"], row["duration"] = str(report.output), float(report.duration)
        row["stretches"] = [
            {
                "first": s.first,
                "last": s.last,
                "face": s.track,
                "synthesized": s.reason is None,
                "reason": "" if s.reason is None else s.reason.text,
            }
            for s in report.stretches
        ]
        if explained is not None:
            row["explained"] = explained
        print(json.dumps(row))
        return
    offset = "not measured" if report.offset_ms is None else f"{report.offset_ms:+.0f} ms"
    print(
        f"{report.output}: {options.counted(report.frames, 'frame')} ({float(report.duration):.2f} s), "
        f"{options.counted(report.faces, 'face')} in {options.counted(report.tracks, 'track')}, "
        f"{options.counted(report.frames_without_face, 'frame')} without one, {report.fps:.1f} frames/s, "
        f"audio-video offset {offset}, peak memory {report.peak_memory / 2**30:.2f} GiB"
    )
    if report.watermarks:
        print(f"the mouths carry an invisible mark that says {', '.join(report.watermarks)} (--no-watermark: none)")
    else:
        print("the mouths carry no invisible mark (--no-watermark)")
    if report.loudness is not None:
        print(f"loudness of what is heard: {report.loudness:.1f} LUFS")
    if report.sync_offset:
        print(f"the mouth was moved by {report.sync_offset:+.0f} ms against the sound (sync_offset)")
    print(f"provenance: {report.provenance}")
    if explained is not None:
        print(explained)
    for text in report.warnings:
        print(f"warning: {text}", file=sys.stderr)


def survey(args: argparse.Namespace) -> int:
    """``wav2lip-hq survey``: all faces, unless ``--set track.faces`` says otherwise."""
    from . import survey as surveys
    from .survey import sheet
    from .video import write_png

    chosen = chosen_options(args, RunOptions)
    if not any(text.startswith("track.faces") for text in args.set):
        args.set = ["track.faces=all", *args.set]
    pipe = pipeline(args)
    face = Path(args.face)
    stem = face.parent / (face.stem if face.suffix else face.name).replace("%", "")
    out = args.out or Path(f"{stem}.survey.npz")
    picture = args.sheet or Path(f"{stem}.survey.png")
    page, plan = _plan_files(args.shot_plan)
    for path in (out, picture, page, plan):
        if path is not None:
            check_target(path)
    bar = Bar(args.quiet or args.json, "survey")
    try:
        made = pipe.survey(args.face, on_progress=bar, **chosen.reading)
        if page is not None and plan is not None:
            made = pipe.shot_plan(args.face, made, page, plan, on_progress=bar, **chosen.reading)
    finally:
        bar.close()
    surveys.save(made, out)
    write_png(picture, sheet.picture(made))
    rows, empty = sheet.rows(made), sheet.empty_frames(made)
    if args.json:
        facts = {"survey": str(out), "sheet": str(picture), "frames": len(made), "frames_without_face": empty}
        spoken = None if made.speakers is None else [dataclasses.asdict(one) for one in made.speakers]
        print(json.dumps({**facts, "faces": rows, "speakers": spoken, "plan": None if plan is None else str(plan)}))
        return 0
    for row in rows:
        left = "".join(f"; left as it is in {count}: {why}" for why, count in row["left"].items())
        mouths = f"; {row['mouths']} mouths kept" if "mouths" in row else ""
        print(f"face {row['face']}: {row['from']:.2f} to {row['to']:.2f} s, {row['synthesized']} frames{mouths}{left}")
    print(f"{len(made)} frames, {empty} without a face; the faces are shown in {picture}")
    print(f"use it: wav2lip-hq run {args.face} SPEECH OUTPUT --survey {out}")
    if plan is not None:
        print(f"who speaks in each shot is shown in {page}; edit {plan}, then add --plan {plan}")
    return 0


def _plan_files(given: Path | None) -> tuple[Path | None, Path | None]:
    """The shot plan's page and its YAML, whichever of both was named."""
    if given is None:
        return None, None
    if given.suffix.lower() in (".yaml", ".yml"):
        return given.with_suffix(".html"), given
    return given, given.with_suffix(".yaml")


def demo(args: argparse.Namespace) -> int:
    """``wav2lip-hq demo``: real footage, and a photograph, with a sentence that neither has said."""
    from skimage import data

    from .video import write_png

    material = Path(__file__).parent / "_data" / "demo"
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {args.out} cannot be made ({error.strerror})") from error
    photograph = args.out / "astronaut.png"
    write_png(photograph, data.astronaut())
    pipe = pipeline(args)
    for name, face in (("footage", material / "face.mpg"), ("photograph", photograph)):
        output, chosen = args.out / f"{name}.mp4", RunOptions(extend="pingpong")
        bars = Bars(args.quiet or args.json)
        try:
            report = pipe.run(face, material / "speech.wav", output, bars.render, on_survey=bars.survey, run=chosen)
        finally:
            bars.close()
        print_report(report, args.json)
    sheet = args.out / "footage-sheet.png"
    write_png(sheet, pipe.preview(material / "face.mpg", material / "speech.wav", 6, extend="pingpong"))
    if not args.json:
        print(f"watch {args.out / 'footage.mp4'}, and {args.out / 'photograph.mp4'};")
        print(f"frames beside the footage are in {sheet}")
        print(f"footage: GRID corpus, speaker 31, CC BY 4.0 ({material / 'CREDITS.md'})")
    return 0
