"""``python -m benchmarks``: what is measured, and how, is in the three modules beside this one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wav2lip_hq.errors import Wav2LipHQError


def main(argv: list[str] | None = None) -> int:
    """Run a benchmark; returns the exit code."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    quality = commands.add_parser("quality", help="real clips through presets: sync, similarity, flicker, sheets")
    quality.add_argument("--data", type=Path, required=True, nargs="+", help="clips, pictures or folders of them")
    quality.add_argument("--speech", type=Path, help="dub with this; default: each clip's own sound (reconstruction)")
    quality.add_argument("--presets", nargs="+", default=["default"])
    quality.add_argument("--set", action="append", default=[], metavar="STAGE.OPTION=VALUE")
    quality.add_argument("--seconds", type=float, default=4.0, help="of each clip (default 4)")
    quality.add_argument("--out", type=Path, default=Path("build/quality"))
    speed = commands.add_parser("speed", help="milliseconds a frame by stage, and frames a second")
    speed.add_argument("--presets", nargs="+", default=["default", "fast"])
    speed.add_argument("--face", type=Path, help="clip (default: the demo's photograph, moving)")
    speed.add_argument("--seconds", type=float, default=6.0)
    speed.add_argument("--repeat", type=int, default=3)
    speed.add_argument("--out", type=Path, default=Path("build/speed"))
    memory = commands.add_parser("memory", help="peak memory of a 1 minute clip and of a 10 minute clip")
    memory.add_argument("--preset", default="fast")
    memory.add_argument("--seconds", type=float, nargs="+", default=[60.0, 600.0])
    memory.add_argument("--size", default="320x240")
    memory.add_argument("--out", type=Path, default=Path("build/memory"))
    args = parser.parse_args(argv)
    from . import memory as memory_run
    from . import quality as quality_run
    from . import speed as speed_run

    try:
        return {"quality": quality_run.main, "speed": speed_run.main, "memory": memory_run.main}[args.command](args)
    except Wav2LipHQError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
