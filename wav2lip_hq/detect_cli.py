"""``wav2lip-hq detect``: is this video lip-synced?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_detect(commands: Any) -> None:
    """The command ``detect``."""
    parser = commands.add_parser(
        "detect",
        help="is a video lip-synced? its mark, its manifest, and how it looks",
        epilog='It says "cannot tell" rather than guess; what it can and cannot know: docs/detect.md.',
    )
    parser.add_argument("file", type=Path, help="a video with a face")
    parser.add_argument("--report", type=Path, metavar="PAGE.html", help="write a page with a heat map over time")
    parser.add_argument("--seconds", type=float, help="look at the first seconds only")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default auto)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def detect(args: argparse.Namespace) -> int:
    """Run the command."""
    from . import forensics
    from .forensics import page
    from .places import check_target
    from .runtime import Runtime

    if args.report is not None:
        check_target(args.report)
    found = forensics.detect(args.file, Runtime(args.device), seconds=args.seconds)
    if args.report is not None:
        page.report(found, args.report)
    if args.json:
        print(json.dumps(found.plain()))
        return 0
    print(f"{args.file}: {found.verdict}")
    if found.manifest:
        print(f"  manifest  {found.manifest}")
    if found.voice is not None and found.voice.marked:
        print(f"  voice     synthesized by wav2lip_hq: the mark in the sound was found (score {found.voice.score:.1f})")
    for face in found.faces:
        print(f"  face {face.track}, {face.first:.2f} to {face.last:.2f} s, {len(face.times)} frames")
        said = f"found: it says {face.mark.number:08x}" if face.mark.marked else "not found"
        print(f"    mark    {said} (score {face.mark.score:.1f}, by chance {face.mark.chance:.0e})")
        why = f": {face.judgment.why}" if face.judgment.why else ""
        odds = f" (log odds {face.judgment.score:.1f})" if face.judgment.score == face.judgment.score else ""
        print(f"    picture and sound    {face.judgment.verdict}{why}{odds}")
    if ids := sorted({f"{face.mark.number:08x}" for face in found.faces if face.mark.marked}):
        print(f"  the manifest that names this mark: wav2lip-hq provenance FOLDER --find {ids[0]}")
    if stated := forensics.judge.installed().facts.get("stated"):
        print(f"  {stated}")
    return 0
