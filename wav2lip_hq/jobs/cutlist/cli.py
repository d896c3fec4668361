"""``wav2lip-hq batch import`` and ``batch export``."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...errors import OptionError

FAILED = 9  # exit code: some shots could not be used, as when some jobs failed


def add_arguments(commands: Any) -> None:
    """Add the sub-commands. Imports nothing heavy."""
    one = commands.add_parser("import", help="make a job file from an edit: .edl, .fcpxml, .xml, .aaf, .otio")
    one.add_argument("timeline", type=Path, help="the edit")
    one.add_argument("--out", type=Path, help="job file to write (default: TIMELINE.yaml)")
    one.add_argument(
        "--media", type=Path, action="append", default=[], metavar="FOLDER", help="where the reels are; several times"
    )
    one.add_argument(
        "--speech",
        default="",
        metavar="FILE",
        help="the dub, as long as the timeline, or one file a shot: dub/{name}.wav, with {name}, {reel}, {index} "
        "(default: the timeline's audio tracks that are not the camera's)",
    )
    one.add_argument("--dub-track", default="", metavar="NAME", help="the audio track of the timeline that is the dub")
    one.add_argument("--handles", type=int, default=12, metavar="FRAMES", help="more at either end (default 12)")
    one.add_argument("--rate", help="frames a second that an EDL counts: 25, 23.976 (default: its footage's)")
    one.add_argument("--track", default="", metavar="NAME", help="video track, by name or number (default: the first)")
    one.add_argument(
        "--output", default="out/{index:03}_{name}.mov", help="names of the results (default out/{index:03}_{name}.mov)"
    )
    one.add_argument(
        "--default", action="append", default=[], metavar="FIELD=VALUE", help="field of every job: preset=fast"
    )
    one = commands.add_parser("export", help="write the edit with the results: .otio, .edl, .fcpxml")
    one.add_argument("jobfile", type=Path, help="made by batch import")
    one.add_argument("--timeline", type=Path, required=True, metavar="FILE", help="what to write")
    for parser in (commands.choices["import"], one):
        parser.add_argument("--json", action="store_true")


def main(args: argparse.Namespace) -> int:
    """Run import or export; errors are for the caller to print."""
    from dataclasses import asdict

    made: Any
    if args.what == "export":
        from .exporting import export_timeline

        made = export_timeline(args.jobfile, args.timeline)
    else:
        from .importing import import_timeline

        made = import_timeline(args.timeline, args.out or args.timeline.with_suffix(".yaml"), _wanted(args))
    print(json.dumps(asdict(made), default=str) if args.json else made.text())
    return FAILED if made.problems else 0


def _wanted(args: argparse.Namespace) -> Any:
    from .importing import Wanted

    if not 0 <= args.handles <= 10_000:
        raise OptionError(f"--handles is a number of frames from 0 to 10000, not {args.handles}")
    try:
        rate = Fraction(args.rate) if args.rate else None
        if rate is not None and not 1 <= rate <= 1000:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise OptionError(f"--rate is frames a second, say 25 or 23.976, not '{args.rate}'") from None
    defaults = _defaults(args.default)
    return Wanted(tuple(args.media), args.speech, args.dub_track, args.handles, args.output, rate, args.track, defaults)


def _defaults(given: list[str]) -> dict[str, Any]:
    from ... import documents
    from ...options import suggestion
    from ..jobfile import FIELDS

    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or name not in FIELDS:
            raise OptionError(f"--default takes FIELD=VALUE, as in preset=fast, not '{text}'{suggestion(name, FIELDS)}")
        found[name] = documents.parse(value)
    return found
