"""``wav2lip-hq survey``: find and follow the faces of footage, show them, and save the survey."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from .arguments import chosen_options, option_arguments, pipeline, pipeline_arguments
from .places import check_target
from .run_options import READING, RunOptions
from .terminal import Bar


def add_survey(commands: Any) -> None:
    """The command ``survey``."""
    one = commands.add_parser("survey", help="find and follow the faces of footage; look at them, and reuse that")
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
        mouths += ", manner of speaking learned" if row.get("manner") else ""
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
