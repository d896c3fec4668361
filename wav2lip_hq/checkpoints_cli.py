"""``wav2lip-hq checkpoints``: list, fetch, verify and import weights."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def add_checkpoints(commands: Any) -> None:
    """The command ``checkpoints``."""
    points = commands.add_parser("checkpoints", help="list, fetch, verify, import, where")
    what = points.add_subparsers(dest="what", required=True, metavar="WHAT")
    listing = what.add_parser("list", help="known checkpoints, and which are installed")
    listing.add_argument("--json", action="store_true")
    fetch = what.add_parser("fetch", help="download, after showing the license; verified and resumable")
    fetch.add_argument("names", nargs="+")
    fetch.add_argument("--accept", action="store_true", help="accept the license without being asked")
    verify = what.add_parser("verify", help="compare installed files with the known hashes")
    verify.add_argument("name", nargs="?")
    take = what.add_parser("import", help="install a file you already have")
    take.add_argument("file", type=Path)
    take.add_argument(
        "--name", help="which checkpoint it is (default: by its hash or name), or a new name of your own for presets"
    )
    take.add_argument("--arch", help="what kind of network it has to be, say wav2lip or rrdbnet (default: any)")
    what.add_parser("where", help="folders that are searched")


def checkpoints(args: argparse.Namespace) -> int:
    """``wav2lip-hq checkpoints``."""
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
    from .checkpoints import license_text

    print(license_text(entry))
    if not sys.stdin.isatty():
        print("not a terminal: add --accept to accept the license", file=sys.stderr)
        return False
    try:
        return input("accept this license? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _list_checkpoints(as_json: bool) -> None:
    from . import checkpoints

    rows = [
        {
            "name": name,
            "title": entry.title,
            "license": entry.license,
            "commercial": entry.commercial,
            "installed": str(checkpoints.locate(name) or ""),
        }
        for name, entry in checkpoints.registry().entries.items()
    ]
    rows += [
        {
            "name": name,
            "title": "this project's own, shipped with it",
            "license": "see checkpoints/embedded",
            "commercial": "see its card",
            "installed": str(checkpoints.locate(name) or ""),
        }
        for name in checkpoints.EMBEDDED
    ]
    rows += [
        {
            "name": name,
            "title": f"your own {checkpoints.stated_arch(path)}".rstrip(),
            "license": "yours to know",
            "commercial": "unclear",
            "installed": str(path),
        }
        for name, path in checkpoints.own_checkpoints().items()
    ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['name']:28} {'installed' if row['installed'] else '-':10} {row['title']}; {row['license']}")
