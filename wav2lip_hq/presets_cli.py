"""``wav2lip-hq presets`` and ``options``: what there is to choose from."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_presets(commands: Any) -> None:
    """The command ``presets``."""
    presets = commands.add_parser("presets", help="compositions of stages, and whether their checkpoints are installed")
    presets.add_argument("--json", action="store_true")


def add_options(commands: Any) -> None:
    """The command ``options``."""
    shown = commands.add_parser("options", help="every option of stages, runs, speech, presets and training tasks")
    shown.add_argument(
        "topic",
        nargs="?",
        default="",
        metavar="TOPIC",
        help="a stage (or mymodule:Class), run, encoder, say, dub, avatar, studio, train, train.generator, a preset, "
        "or restore.strength",
    )
    shown.add_argument("--json", action="store_true")
    shown.add_argument("--markdown", action="store_true", help="as the page docs/options.md")


def preset_rows() -> list[dict[str, Any]]:
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


def presets(args: argparse.Namespace) -> int:
    """``wav2lip-hq presets``."""
    rows = preset_rows()
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


def options(args: argparse.Namespace) -> int:
    """``wav2lip-hq options``."""
    from . import manual

    shown = manual.about(args.topic)
    if args.json:
        print(json.dumps(manual.plain(shown)))
    elif args.markdown:
        print(manual.markdown(shown), end="")
    else:
        print(manual.text(shown))
    return 0
