"""The command line: ``wav2lip-hq run | survey | sync | say | dub | avatar | batch | train | ...``, see ``--help``.

Nothing heavy is imported before it is needed: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import __version__, boundary, color_cli, detect_cli, machine, provenance_cli, run_cli, synccheck_cli
from .avatars import cli as avatars_cli
from .errors import OutOfMemory
from .jobs import cli as jobs_cli
from .studio import cli as studio_cli
from .training import cli as training_cli
from .voices import cli as voices_cli

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
    "c2pa-python",
    "cryptography",
)
LEAST = 17 * 10**8  # bytes of address space: with less no run was seen to come to its first frame


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser("wav2lip-hq", description="High-resolution lip-sync for real footage.")
    parser.add_argument("--version", action="version", version=f"wav2lip-hq {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run_cli.add_run(commands)
    run_cli.add_survey(commands)
    run_cli.add_demo(commands)
    detect_cli.add_detect(commands)
    voices_cli.add_say(commands)
    voices_cli.add_dub(commands)
    voices_cli.add_voices(commands)
    avatars_cli.add_avatar(commands)
    synccheck_cli.add_sync(commands)
    studio_cli.add_studio(commands)

    presets = commands.add_parser("presets", help="compositions of stages, and whether their checkpoints are installed")
    presets.add_argument("--json", action="store_true")

    shown = commands.add_parser("options", help="every option of stages, runs, speech, presets and training tasks")
    shown.add_argument(
        "topic",
        nargs="?",
        default="",
        metavar="TOPIC",
        help="a stage (or mymodule:Class), run, encoder, say, dub, avatar, studio, train, train.generator, a preset, "
        "restore.strength",
    )
    shown.add_argument("--json", action="store_true")
    shown.add_argument("--markdown", action="store_true", help="as the page docs/options.md")

    points = commands.add_parser("checkpoints", help="list, fetch, verify, import, where")
    what = points.add_subparsers(dest="what", required=True, metavar="WHAT")
    listing = what.add_parser("list", help="what there is and what is installed")
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

    color_cli.add_colorspaces(commands)

    doctor = commands.add_parser("doctor", help="versions, devices, codecs, checkpoints, what is missing")
    doctor.add_argument("--json", action="store_true")

    provenance_cli.add_provenance(commands)
    provenance_cli.add_identity(commands)
    jobs_cli.add_arguments(commands.add_parser("batch", help="many shots unattended: plan, run, status, retry, report"))
    training_cli.add_arguments(commands.add_parser("train", help="prepare data, train, personalize"))
    person = commands.add_parser("personalize", help="fine-tune generator and restorer on one person's footage")
    training_cli.add_personalize(person)
    _add_debug(parser)
    return parser


def _add_debug(parser: argparse.ArgumentParser) -> None:
    """--debug is accepted anywhere: people add it to the end of the last command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
                _add_debug(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = build_parser().parse_args(argv)

    def work() -> int:
        _check_memory(args)
        handler = {
            "run": run_cli.run,
            "survey": run_cli.survey,
            "demo": run_cli.demo,
            "detect": detect_cli.detect,
            "say": voices_cli.say,
            "dub": voices_cli.dub,
            "voices": voices_cli.voices,
            "avatar": avatars_cli.avatar,
            "sync": synccheck_cli.sync,
            "studio": studio_cli.studio,
            "presets": _presets,
            "options": _options,
            "checkpoints": _checkpoints,
            "colorspaces": color_cli.colorspaces,
            "doctor": _doctor,
            "provenance": provenance_cli.provenance,
            "identity": provenance_cli.identity,
            "batch": jobs_cli.main,
            "train": training_cli.main,
            "personalize": training_cli.personalize_main,
        }[args.command]
        return int(handler(args))

    return boundary.guarded(work, args.debug, last=argv is None)


def _check_memory(args: argparse.Namespace) -> None:
    """Refuse to begin what cannot get anywhere under ``ulimit -v``. Raises OutOfMemory."""
    limit = machine.address_space()
    if (
        limit is None
        or limit >= LEAST
        or args.command not in ("run", "survey", "demo", "batch", "train", "personalize")
    ):
        return
    if args.command != "batch" or args.what in ("plan", "run"):
        raise OutOfMemory(
            f"this process may have {limit / 10**9:.1f} GB of address space (ulimit -v); the smallest footage takes "
            f"more than {LEAST / 10**9:.1f} GB: raise the limit"
        )


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
            print(f"{'':23} {_needs(missing)}")
    return 0


def _needs(missing: list[str]) -> str:
    """How to get checkpoints that are not installed."""
    from . import checkpoints

    lost = [name for name in missing if name in checkpoints.EMBEDDED]
    others = [name for name in missing if name not in checkpoints.EMBEDDED]
    parts = [f"needs: wav2lip-hq checkpoints fetch {' '.join(others)}"] if others else []
    if lost:
        parts.append(f"missing from this installation, which they are a part of (reinstall it): {', '.join(lost)}")
    return "; ".join(parts)


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
