"""``wav2lip-hq demo``: everything at work on footage that comes with the package."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import pipeline, pipeline_arguments
from .errors import OutputError
from .run_options import RunOptions
from .terminal import Bars, print_report


def add_demo(commands: Any) -> None:
    """The command ``demo``."""
    demo = commands.add_parser("demo", help="footage and a photograph say a new sentence: see that everything works")
    pipeline_arguments(demo)
    demo.add_argument("--out", type=Path, default=Path("build/demo"), help="folder (default build/demo)")


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
