"""``wav2lip-hq provenance`` and ``wav2lip-hq identity``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from .errors import OptionError

NOT_KNOWN = 11  # exit code
SHOWN = 8  # at most so many entries of a list (stretches, models) are printed


def add_provenance(commands: Any) -> None:
    """The command ``provenance``."""
    one = commands.add_parser(
        "provenance",
        help="show and verify the signed manifest of a file",
        epilog="exit codes: 0 intact and by a signer you trust or yourself; 11 anything else: untrusted, invalid, "
        "tampered, stripped, none, no file found; 3 not a file that could have a manifest",
    )
    one.add_argument("file", type=Path, help="video, picture, or folder of PNG, EXR or DPX pictures")
    one.add_argument(
        "--trust",
        type=Path,
        action="append",
        default=[],
        metavar="PEM",
        help="root certificates that you trust; may be given several times",
    )
    one.add_argument("--json", action="store_true", help="everything that was found, as JSON")
    one.add_argument(
        "--find",
        metavar="ID",
        help="list the files below the folder FILE whose manifests name this invisible mark (`wav2lip-hq detect` reads "
        "it from files that lost their manifest)",
    )


def add_identity(commands: Any) -> None:
    """The command ``identity``."""
    one = commands.add_parser("identity", help="who signs results: see, make, replace; a timestamp server")
    one.add_argument("--new", action="store_true", help="make a new one; the present one is kept beside it")
    one.add_argument("--name", default="", help="the name in a new one; nobody checks it")
    one.add_argument("--certificates", type=Path, metavar="PEM", help="sign with these, the signer's first")
    one.add_argument("--key", type=Path, metavar="PEM", help="their key, not encrypted")
    one.add_argument("--timestamp", metavar="URL", help="timestamp server (RFC 3161) to be asked at each signing; off")
    one.add_argument(
        "--export", type=Path, metavar="PEM", help="write the root certificate, for others to trust (--trust)"
    )
    one.add_argument("--json", action="store_true")


def provenance(args: argparse.Namespace) -> int:
    """``wav2lip-hq provenance``."""
    from .provenance import certificates
    from .provenance.identity import read_file
    from .provenance.reading import read

    anchors = [one for path in args.trust for one in certificates.anchors(read_file(path), str(path))]
    if args.find is not None:
        return _find(args, anchors)
    found = read(args.file, anchors)
    if args.json:
        print(json.dumps({**dataclasses.asdict(found), "meaning": found.meaning, "known": found.known}))
    else:
        for line in _lines(found):
            print("".join(c if c.isprintable() else "?" for c in line))  # a file's own words steer no terminal
    return 0 if found.known else NOT_KNOWN


def _find(args: argparse.Namespace, anchors: list[str]) -> int:
    from .provenance.finding import find

    every = find(args.find, args.file, anchors)
    if args.json:
        print(json.dumps([{**dataclasses.asdict(found), "meaning": found.meaning} for found in every]))
    for line in [] if args.json else [_lines(found)[0] for found in every]:
        print("".join(c if c.isprintable() else "?" for c in line))
    if not every:
        print(f"no manifest below {args.file} names the mark {args.find}", file=sys.stderr)
    return 0 if every else NOT_KNOWN


def identity(args: argparse.Namespace) -> int:
    """``wav2lip-hq identity``."""
    from . import places
    from .provenance.identity import install, load_identity, renew, set_timestamp

    if (args.certificates is None) != (args.key is None):
        raise OptionError("--certificates and --key belong together")
    if args.certificates is not None and args.new or args.name and not args.new:
        raise OptionError("--name goes with --new, and --new makes certificates: do not give both them and others")
    if args.certificates is not None:
        who = install(args.certificates, args.key)
    else:
        who = renew(args.name) if args.new else load_identity()
    if args.timestamp is not None:
        who = dataclasses.replace(set_timestamp(args.timestamp), made=who.made)
    if args.export is not None:
        places.check_target(args.export)
        places.write_text(args.export, who.chain.root)
    facts = {
        "name": who.chain.name,
        "folder": str(who.folder),
        "self_signed": who.own,
        "algorithm": who.chain.algorithm,
        "valid_until": f"{who.chain.until:%Y-%m-%d}",
        "timestamp_server": who.timestamp,
        "made_now": who.made,
        "warning": who.warning,
    }
    if args.json:
        print(json.dumps(facts))
        return 0
    kind = "self-signed: intact results are seen as such, but others do not know the signer" if who.own else "installed"
    print(f"{who.chain.name} ({kind})")
    print(f"  in {who.folder}, {who.chain.algorithm}, valid until {facts['valid_until']}")
    print(f"  timestamp server: {who.timestamp or 'none, so results state no time'}")
    for text in (who.warning, f"the root certificate is in {args.export}" if args.export else ""):
        if text:
            print(f"  {text}")
    return 0


def _lines(found: Any) -> list[str]:
    """What was found, for a person."""
    count = f" ({found.files} pictures)" if found.files > 1 else ""
    lines = [": ".join([f"{found.file}{count}", found.state, found.meaning, *found.problems[:1]])]
    lines += [f"  {text}" for text in found.problems[1:]]
    if not found.made_by and not found.signer:
        return lines
    time = found.time or "no time is vouched for"
    if found.time and not found.time_trusted:
        time += ", says a timestamp server that you have not named as trusted"
    lines.append(f"  signed by   {found.signer} ({found.organization}), {time}")
    lines.append(f"  made by     {found.made_by}; {', '.join(found.actions)}; {found.source_type}")
    lines.append(f"  manifest    {found.where}")
    own = {"none": "without a manifest of its own", "intact": "its own manifest is kept, intact"}
    for one in found.ingredients:
        lines.append(f"  {one.relation:11} {one.name}, {own.get(one.state, f'its own manifest was {one.state}')}")
    said = found.synthesis
    if not isinstance(said, dict) or not said:
        return lines
    if found.marks:
        lines.append(f"  mark        {', '.join(found.marks)}")
    rows = _rows(said.get("synthesized"))
    if rows:
        spans = [f"face {r.get('face')} in frames {r.get('first')} to {r.get('last')}" for r in rows[:SHOWN]]
        more = f", and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        lines.append(f"  synthesized {', '.join(spans)}{more}, of {said.get('frames')} frames")
    for row in _rows(said.get("models"))[:SHOWN]:
        lines.append(f"  model       {row.get('name')} {str(row.get('sha256'))[:16]}")
    consent = said.get("consent")
    if isinstance(consent, dict):
        whole = f"{consent.get('name', '')} {str(consent.get('sha256', ''))[:16]}".strip()
        lines.append(f"  consent     {' '.join(filter(None, [whole, str(consent.get('text', ''))]))}")
    if said.get("visible_label"):
        lines.append(f"  label       {said['visible_label']}")
    return lines


def _rows(value: Any) -> list[dict[str, Any]]:
    """The dictionaries of a list that a file holds, whatever else there is."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
