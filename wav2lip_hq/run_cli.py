"""``wav2lip-hq run``: footage and speech in, a finished file out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import chosen_options, option_arguments, pipeline, pipeline_arguments
from .errors import OptionError
from .places import check_target
from .run_options import RunOptions
from .terminal import Bars, print_report

PREVIEWS = 100
EXIT_CODES = """exit codes: 0 done, 1 unexpected error, 2 wrong option, 3 unusable input, 4 unusable output,
5 checkpoint missing or damaged, 6 no face found, 7 a stage failed, 8 out of memory,
10 a speech or translation engine is missing or failed (say, dub), 130 interrupted

For many clips, or hours of work: wav2lip-hq batch (docs/batch.md)."""


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
                raise OptionError(f"--audio takes WHO=FILE, as in left=a.wav, not '{who}{sign}{path}'")
            speech[who] = path
        return speech
    if args.audio is None or args.output is None:
        raise OptionError("give footage, speech and output: run FACE AUDIO OUTPUT")
    return args.audio


def run(args: argparse.Namespace) -> int:
    """``wav2lip-hq run``."""
    speech, chosen = _speech(args), chosen_options(args, RunOptions)
    if args.preview is not None and not 1 <= args.preview <= PREVIEWS:
        raise OptionError(f"--preview takes the number of frames, from 1 to {PREVIEWS}, not {args.preview}")
    if args.explain is not None and args.explain < 0:
        raise OptionError(f"--explain takes the number of a frame, counted from 0, not {args.explain}")
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
