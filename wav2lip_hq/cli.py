"""The command line: ``wav2lip-hq run | demo | batch | presets | options | checkpoints | doctor | train``.

Nothing heavy is imported before it is needed: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import __version__
from .errors import Wav2LipHQError
from .jobs import cli as jobs_cli
from .training import cli as training_cli

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python",
    "av",
    "librosa",
    "basicsr",
    "facexlib",
    "gfpgan",
    "realesrgan",
    "scikit-image",
    "safetensors",
)
EXIT_CODES = """exit codes: 0 done, 2 wrong option, 3 unusable input, 4 unusable output, 5 checkpoint missing or
damaged, 6 no face found, 7 a stage failed, 8 out of memory, 130 interrupted"""


def _run_options(parser: argparse.ArgumentParser) -> None:
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


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser("wav2lip-hq", description="High-resolution lip-sync for real footage.")
    parser.add_argument("--version", action="version", version=f"wav2lip-hq {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="lip-sync footage to speech",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("face", help="video, picture, folder of pictures or pattern like shot/%%06d.png")
    run.add_argument("audio", help="any audio or video file with the speech")
    run.add_argument("output", help="file to write (.mp4, .mov, .mkv, ...), or a new folder for --codec png")
    _run_options(run)
    run.add_argument("--codec", help="h264 (default), hevc, prores_422hq, prores_4444, ffv1, png")
    run.add_argument("--crf", type=int, help="quality of h264 and hevc; lower is better (default: visually lossless)")
    run.add_argument("--encoder-preset", help="speed of h264 and hevc, ultrafast ... veryslow (default medium)")
    run.add_argument("--pix-fmt", help="pixel format, say yuv422p10le (default: by codec and source)")
    run.add_argument("--extend", default="loop", help="speech longer than footage: loop, pingpong, hold, stop")
    run.add_argument("--trim", action="store_true", help="end with the speech (default: keep the rest untouched)")
    run.add_argument(
        "--sync-offset", default="0", metavar="MS", help="let the mouth follow later sound by this much; auto measures"
    )
    run.add_argument("--fps", type=float, help="frame rate of pictures (default 25)")
    run.add_argument("--deinterlace", action="store_true", help="rebuild full frames of interlaced footage")
    run.add_argument("--compare", action="store_true", help="write source and result side by side")
    run.add_argument("--preview", type=int, metavar="N", help="only a contact sheet of N frames: OUTPUT as .png")
    run.add_argument("--no-mark", action="store_true", help="no notice of synthesis in the metadata")

    demo = commands.add_parser("demo", help="a real face, a spoken sentence: see that everything works")
    _run_options(demo)
    demo.add_argument("--out", type=Path, default=Path("build/demo"), help="folder (default build/demo)")

    presets = commands.add_parser("presets", help="compositions of stages, and whether their checkpoints are installed")
    presets.add_argument("--json", action="store_true")

    shown = commands.add_parser("options", help="every option of stages, runs, encoder, presets and training tasks")
    shown.add_argument(
        "topic",
        nargs="?",
        default="",
        metavar="TOPIC",
        help="a stage (also mymodule:Class), run, encoder, train, train.generator, a preset, or restore.strength",
    )
    shown.add_argument("--json", action="store_true")
    shown.add_argument("--markdown", action="store_true", help="as the page docs/options.md")

    points = commands.add_parser("checkpoints", help="list, fetch, verify, import, where")
    what = points.add_subparsers(dest="what", required=True, metavar="WHAT")
    listing = what.add_parser("list", help="what there is and what is installed")
    listing.add_argument("--json", action="store_true")
    fetch = what.add_parser("fetch", help="download, after showing the licence; verified and resumable")
    fetch.add_argument("names", nargs="+")
    fetch.add_argument("--accept", action="store_true", help="accept the licence without being asked")
    verify = what.add_parser("verify", help="compare installed files with the known hashes")
    verify.add_argument("name", nargs="?")
    take = what.add_parser("import", help="install a file you already have")
    take.add_argument("file", type=Path)
    take.add_argument(
        "--name", help="which checkpoint it is (default: by its hash or name), or a new name of your own for presets"
    )
    take.add_argument("--arch", help="what kind of network it has to be, say wav2lip or rrdbnet (default: any)")
    what.add_parser("where", help="folders that are searched")

    doctor = commands.add_parser("doctor", help="versions, devices, codecs, checkpoints, what is missing")
    doctor.add_argument("--json", action="store_true")

    jobs_cli.add_arguments(commands.add_parser("batch", help="many shots unattended: plan, run, status, retry, report"))
    training_cli.add_arguments(commands.add_parser("train", help="prepare data, train, personalise"))
    person = commands.add_parser("personalize", help="fine-tune generator and restorer on one person's footage")
    training_cli.add_personalize(person)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        handler = {
            "run": _run,
            "demo": _demo,
            "presets": _presets,
            "options": _options,
            "checkpoints": _checkpoints,
            "doctor": _doctor,
            "batch": jobs_cli.main,
            "train": training_cli.main,
            "personalize": training_cli.personalize_main,
        }[args.command]
        return handler(args)
    except Wav2LipHQError as error:
        if args.debug:
            raise
        print(f"wav2lip-hq: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("wav2lip-hq: interrupted; nothing was left under the output's name", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `wav2lip-hq checkpoints list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + getattr(signal, "SIGPIPE", 13)


# ---- run


class _Bar:
    """Progress with rate and remaining time."""

    def __init__(self, quiet: bool) -> None:
        from tqdm import tqdm

        self.bar: Any = tqdm(unit="frame", disable=True if quiet else None, dynamic_ncols=True)

    def __call__(self, done: int, total: int | None) -> None:
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        self.bar.close()


def _pipeline(args: argparse.Namespace) -> Any:
    from .pipeline import HQPipeline

    pipe = HQPipeline(args.preset, device=args.device, precision=args.precision, batch_size=args.batch_size)
    for flag, text in args.edits:
        pipe = _edited(pipe, flag, text)
    return pipe.set(*args.set) if args.set else pipe


def _edited(pipe: Any, flag: str, text: str) -> Any:
    """The pipeline after one of --replace, --insert-after, --insert-before, --without."""
    from .config import parse_stage
    from .errors import OptionError

    if flag == "--without":
        return pipe.without(text)
    name, sign, stage = (part.strip() for part in text.partition("="))
    if not name or not stage:
        raise OptionError(f"{flag} wants NAME=STAGE, as in parse=mymodule:Mask, not '{text}'")
    if flag == "--replace":
        return pipe.replace(**{name: parse_stage(stage)})
    return pipe.insert(parse_stage(stage), **{flag.removeprefix("--insert-"): name})


def _offset(pipe: Any, args: argparse.Namespace) -> float:
    from .errors import OptionError

    if args.sync_offset == "auto":
        return float(pipe.measure_sync(args.face, args.audio, fps=args.fps, deinterlace=args.deinterlace))
    try:
        return float(args.sync_offset)
    except ValueError as error:
        raise OptionError(f"--sync-offset wants milliseconds or auto, not '{args.sync_offset}'") from error


def _run(args: argparse.Namespace) -> int:
    pipe = _pipeline(args)
    offset = _offset(pipe, args)
    if args.preview is not None:
        return _preview(pipe, args, offset)
    bar = _Bar(args.quiet or args.json)
    try:
        report = pipe.run(
            args.face,
            args.audio,
            args.output,
            bar,
            codec=args.codec,
            crf=args.crf,
            encoder_preset=args.encoder_preset,
            pix_fmt=args.pix_fmt,
            extend=args.extend,
            trim=args.trim,
            sync_offset=offset,
            fps=args.fps,
            deinterlace=args.deinterlace,
            mark=not args.no_mark,
            compare=args.compare,
        )
    finally:
        bar.close()
    _print_report(report, args.json)
    return 0


def _preview(pipe: Any, args: argparse.Namespace, offset: float) -> int:
    from .errors import OptionError
    from .video import write_png

    if args.preview < 1:
        raise OptionError("--preview wants the number of frames")
    sheet = pipe.preview(
        args.face, args.audio, args.preview, fps=args.fps, deinterlace=args.deinterlace, sync_offset=offset
    )
    path = Path(args.output).with_suffix(".png")
    write_png(path, sheet)
    print(f"contact sheet, source above result: {path}")
    return 0


def _print_report(report: Any, as_json: bool) -> None:
    if as_json:
        row = dataclasses.asdict(report)
        row["output"], row["duration"] = str(report.output), float(report.duration)
        print(json.dumps(row))
        return
    offset = "not measured" if report.offset_ms is None else f"{report.offset_ms:+.0f} ms"
    print(
        f"{report.output}: {report.frames} frames ({float(report.duration):.2f} s), {report.faces} faces in "
        f"{report.tracks} tracks, {report.frames_without_face} frames without one, {report.fps:.1f} frames/s, "
        f"audio-video offset {offset}, peak memory {report.peak_memory / 2**30:.2f} GiB"
    )
    for text in report.warnings:
        print(f"warning: {text}", file=sys.stderr)


def _demo(args: argparse.Namespace) -> int:
    from skimage import data

    from .video import write_png

    speech = Path(__file__).parent / "_data" / "demo" / "speech.wav"
    args.out.mkdir(parents=True, exist_ok=True)
    face, output = args.out / "astronaut.png", args.out / "astronaut.mp4"
    write_png(face, data.astronaut())
    pipe = _pipeline(args)
    bar = _Bar(args.quiet or args.json)
    try:
        report = pipe.run(face, speech, output, bar)
    finally:
        bar.close()
    write_png(args.out / "astronaut-sheet.png", pipe.preview(face, speech, 6))
    _print_report(report, args.json)
    if not args.json:
        print(f"watch {output}; the frames beside the photograph are in {args.out / 'astronaut-sheet.png'}")
    return 0


# ---- presets, checkpoints, doctor


def _preset_rows() -> list[dict[str, Any]]:
    from . import checkpoints, config

    rows = []
    for name in config.preset_names():
        preset = config.read_preset(name)
        needed = {m: checkpoints.locate(m) is not None for s in preset.stages for m in s.models}
        rows.append(
            {
                "preset": name,
                "description": preset.description,
                "stages": [s.name for s in preset.stages],
                "checkpoints": needed,
                "ready": all(needed.values()),
            }
        )
    return rows


def _presets(args: argparse.Namespace) -> int:
    rows = _preset_rows()
    if args.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row['preset']:12} {'ready' if row['ready'] else 'not ready':10} {row['description']}")
        print(f"{'':23} {' > '.join(row['stages'])}")
        missing = [name for name, there in row["checkpoints"].items() if not there]
        if missing:
            print(f"{'':23} needs: wav2lip-hq checkpoints fetch {' '.join(missing)}")
    return 0


def _options(args: argparse.Namespace) -> int:
    from . import manual

    shown = manual.about(args.topic)
    if args.json:
        print(json.dumps(manual.plain(shown)))
    elif args.markdown:
        print(manual.markdown(shown), end="")
    else:
        print(manual.text(shown))
    return 0


def _checkpoints(args: argparse.Namespace) -> int:
    from . import checkpoints

    if args.what == "where":
        for folder in checkpoints.where():
            print(folder)
    elif args.what == "list":
        _list_checkpoints(args.json)
    elif args.what == "fetch":
        for name in args.names:
            path = checkpoints.fetch(name, accept=True if args.accept else _ask, say=print)
            print(f"{name}: {path}")
    elif args.what == "import":
        entry, path = checkpoints.import_file(args.file, args.name, say=print, arch=args.arch)
        print(f"{entry.name}: {path}")
    elif args.what == "verify":
        checks = checkpoints.verify(args.name)
        for check in checks:
            print(f"{check.name:28} {check.state:10} {check.detail or check.path or ''}")
        return 5 if any(check.state == "damaged" for check in checks) else 0
    return 0


def _ask(entry: Any) -> bool:
    from .checkpoints import licence_text

    print(licence_text(entry))
    if not sys.stdin.isatty():
        print("not a terminal: add --accept to accept the licence", file=sys.stderr)
        return False
    return input("accept this licence? [y/N] ").strip().lower() in ("y", "yes")


def _list_checkpoints(as_json: bool) -> None:
    from . import checkpoints

    rows = [
        {
            "name": name,
            "title": entry.title,
            "licence": entry.licence,
            "commercial": entry.commercial,
            "installed": str(checkpoints.locate(name) or ""),
        }
        for name, entry in checkpoints.registry().entries.items()
    ]
    rows += [
        {
            "name": name,
            "title": "this project's own, shipped with it",
            "licence": "see checkpoints/embedded",
            "commercial": "see its card",
            "installed": str(checkpoints.locate(name) or ""),
        }
        for name in checkpoints.EMBEDDED
    ]
    rows += [
        {
            "name": name,
            "title": f"your own {checkpoints.stated_arch(path)}".rstrip(),
            "licence": "yours to know",
            "commercial": "unclear",
            "installed": str(path),
        }
        for name, path in checkpoints.own_checkpoints().items()
    ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['name']:28} {'installed' if row['installed'] else '-':10} {row['title']}; {row['licence']}")


def _doctor(args: argparse.Namespace) -> int:
    import importlib.metadata as metadata
    import platform

    import torch

    from . import checkpoints
    from .video import CODECS, available

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "missing"
    facts: dict[str, Any] = {
        "wav2lip_hq": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "versions": versions,
        "devices": ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))],
        "cpu_bf16": bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()),
        "codecs": {name: available(name) for name in CODECS},
        "presets": {row["preset"]: row["ready"] for row in _preset_rows()},
        "embedded": {name: checkpoints.locate(name) is not None for name in checkpoints.EMBEDDED},
    }
    if args.json:
        print(json.dumps(facts))
    else:
        for key, value in facts.items():
            if isinstance(value, dict):
                print(f"{key}:")
                for name, item in value.items():
                    shown = {True: "yes", False: "no"}.get(item, item) if isinstance(item, bool) else item
                    print(f"  {name:18} {shown}")
            else:
                print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    return 0 if all(v != "missing" for v in versions.values()) and facts["presets"]["default"] else 1


if __name__ == "__main__":
    sys.exit(main())
