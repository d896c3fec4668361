"""``wav2lip-hq sync FILE...``: is the sound in sync with the mouths? Measured without synthesis; ``--fix`` moves it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .errors import OptionError, Wav2LipHQError, told
from .places import check_target, write_text

FAILED = 9  # exit code: some files could not be measured


def add_sync(commands: Any) -> None:
    """The command ``sync``."""
    one = commands.add_parser("sync", help="by how much picture and sound of files are apart; --fix moves the sound")
    one.add_argument("files", nargs="+", type=Path, metavar="FILE", help="videos with sound")
    one.add_argument("--json", action="store_true", help="print what was measured as JSON")
    one.add_argument("--csv", type=Path, metavar="FILE", help="also write a row a shot as CSV")
    one.add_argument("--html", type=Path, metavar="FILE", help="also write a page with faces and offsets")
    one.add_argument(
        "--fix", action="store_true", help="write NAME.fixed.* with the sound in sync; packets are copied, not encoded"
    )
    one.add_argument("--out", type=Path, metavar="FOLDER", help="where --fix writes (default: beside each file)")
    one.add_argument(
        "--without-provenance", action="store_true", help="--fix does not carry a file's signed manifest on"
    )
    one.add_argument("--tolerance", type=float, metavar="MS", help="what counts as in sync (default 60)")
    one.add_argument("--preset", "-p", default="fast", help="whose detect and track find the faces (default: fast)")
    one.add_argument(
        "--set", action="append", default=[], metavar="STAGE.OPTION=VALUE", help="change an option of detect or track"
    )
    one.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default auto)")
    one.add_argument("--quiet", action="store_true", help="no progress bar")


def sync(args: argparse.Namespace) -> int:
    """``wav2lip-hq sync``."""
    if args.tolerance is not None and not 0 < args.tolerance <= 600:
        raise OptionError(f"--tolerance is a time between 0 and 600 ms, not {args.tolerance:g}")
    if args.out is not None and not args.fix:
        raise OptionError("--out says where --fix writes; add --fix")
    for path in (args.csv, args.html):
        if path is not None:
            check_target(path)
    from . import synccheck, synccheck_page
    from .pipeline import HQPipeline
    from .terminal import Bar
    from .video import shifted_name

    pipe = HQPipeline(args.preset, device=args.device)
    if args.set:
        pipe = pipe.set(*args.set)
    tolerance = synccheck.TOLERANCE if args.tolerance is None else args.tolerance
    found: list[synccheck.SyncCheck] = []
    failed: list[tuple[Path, str]] = []
    written: dict[str, str] = {}
    for path in args.files:
        bar = Bar(args.quiet or args.json, path.name)
        try:
            one = synccheck.check(path, pipe, tolerance_ms=tolerance, on_progress=bar)
        except Wav2LipHQError as error:
            if len(args.files) == 1:
                raise
            failed.append((path, str(error)))
            print(f"wav2lip-hq: {told(error)[0]}", file=sys.stderr)
            continue
        finally:
            bar.close()
        found.append(one)
        if not args.json:
            print("\n".join(synccheck_page.lines(one)))
        if args.fix and one.fixable:
            fixed = synccheck.fix(one, shifted_name(path, args.out), provenance=not args.without_provenance)
            written[str(path)] = str(fixed.path)
            for what in fixed.lost:
                print(f"warning: {fixed.path}: {what}", file=sys.stderr)
            if not args.json:
                print(f"  sound moved by {one.offset_ms:+.0f} ms, nothing encoded: {fixed.path}")
                if fixed.provenance:
                    print(f"  its manifest is kept within a new one, {fixed.provenance}")
        elif args.fix and not args.json:
            print(f"  nothing to move: {one.verdict}")
    if args.json:
        rows = [{**synccheck_page.plain(one), "fixed": written.get(str(one.path))} for one in found]
        print(json.dumps(rows + [{"file": str(path), "error": why} for path, why in failed]))
    if args.csv is not None:
        write_text(args.csv, synccheck_page.table(found))
    if args.html is not None:
        synccheck_page.write_page(found, failed, args.html)
    return FAILED if failed else 0
