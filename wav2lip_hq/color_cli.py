"""The command ``colorspaces``: the names that ``--colorspace`` accepts."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_colorspaces(commands: Any) -> None:
    """The command ``colorspaces``."""
    one = commands.add_parser("colorspaces", help="color spaces that --colorspace knows")
    one.add_argument("--ocio", default="", metavar="FILE", help="an OpenColorIO config (default: the built-in one)")
    one.add_argument("--json", action="store_true")


def colorspaces(args: argparse.Namespace) -> int:
    """``wav2lip-hq colorspaces``."""
    from .video import spaces

    found = spaces(args.ocio)
    if args.json:
        print(json.dumps([{"name": n, "encoding": e, "aliases": a} for n, e, a in found]))
        return 0
    for name, encoding, aliases in found:
        print(f"{name:<36} {encoding:<15} {', '.join(aliases[:2])}")
    return 0
