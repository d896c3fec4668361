"""``python -m benchmarks``: each command is the module of its name beside this one."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from wav2lip_hq.errors import Wav2LipHQError

FRECHET = ("auto", "inception", "parser", "none")
PROTOCOLS = ("reconstruction", "pairs", "dubbed", "random", "tts", "leakage")
SETUPS = ("matched", "mismatched", "silent", "covered")
SWEEPS = ("length", "resolution", "batch", "precision", "faces")
CHAINS = ("wav2lip-hq", "gfpgan")


def main(argv: list[str] | None = None) -> int:
    """Run a benchmark; returns the exit code."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    quality = commands.add_parser("quality", help="judge presets, or finished videos of any tool")
    quality.add_argument("--data", type=Path, required=True, nargs="+", help="clips, pictures or folders of them")
    quality.add_argument("--protocol", choices=PROTOCOLS, help="default: reconstruction; random with --speech")
    quality.add_argument("--speech", type=Path, help="speech for every clip, in place of its own")
    quality.add_argument("--pairs", type=Path, help="list of speech and footage, names relative to --data")
    quality.add_argument("--presets", nargs="*", default=[], help="presets, or `source` for the footage as it is")
    quality.add_argument(
        "--predictions", nargs="+", default=[], metavar="[NAME=]DIR", help="finished videos: NAME.mp4 for each clip"
    )
    quality.add_argument("--set", action="append", default=[], metavar="STAGE.OPTION=VALUE")
    quality.add_argument("--seconds", type=float, default=10.0, help="of each clip (default 10)")
    quality.add_argument("--frechet", choices=FRECHET, default="auto", help="features of the Frechet distance")
    quality.add_argument("--identity", type=Path, help="ONNX face embedding (112 px, ArcFace alignment)")
    quality.add_argument("--trials", metavar="LIST", help="leakage: quick, full, or a list like leakage.yaml here")
    quality.add_argument("--setups", nargs="+", choices=SETUPS, default=SETUPS[:3], help="leakage: which speech")
    quality.add_argument("--clips", type=int, metavar="N", help="leakage: the first N clips only")
    quality.add_argument("--lse", action="store_true", help="leakage: measure LSE and the offset, too")
    quality.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    quality.add_argument(
        "--out", type=Path, default=Path("build/quality"), help="results; an interrupted run continues"
    )
    pairs = commands.add_parser("pairs", help="make a fixed list of speech and footage, as the papers use")
    pairs.add_argument("--data", type=Path, required=True, help="folder of clips")
    pairs.add_argument("--count", type=int, default=100)
    pairs.add_argument("--seed", type=int, default=0)
    pairs.add_argument("--out", type=Path, default=Path("pairs.txt"))
    sanity = commands.add_parser("sanity", help="check the metrics on late, blurred, frozen and copied footage")
    sanity.add_argument("--data", type=Path, required=True, help="a clip in sync, three seconds or more")
    sanity.add_argument("--late", type=int, default=5, help="frames by which the sound is moved (default 5)")
    sanity.add_argument("--seconds", type=float, default=6.0)
    sanity.add_argument("--out", type=Path, default=Path("build/sanity"))
    speed = commands.add_parser(
        "speed", help="milliseconds per frame by stage, frames per second, and the peers' chain"
    )
    speed.add_argument("--presets", nargs="*", default=["default", "fast"], help="nothing after it: no presets")
    speed.add_argument("--face", type=Path, help="clip (default: the demo's photograph, moving)")
    speed.add_argument("--seconds", type=float, default=6.0, help="of each made clip (default 6)")
    speed.add_argument("--repeat", type=int, default=3)
    speed.add_argument("--out", type=Path, default=Path("build/speed"))
    speed.add_argument("--no-plot", action="store_true", help="tables only")
    speed.add_argument("--sweep", nargs="+", default=[], choices=SWEEPS, help="made clips against these")
    speed.add_argument("--sweep-preset", default="default")
    speed.add_argument("--lengths", type=float, nargs="+", default=[10.0, 60.0, 600.0], metavar="SECONDS")
    speed.add_argument("--resolutions", nargs="+", default=["640x480", "1920x1080", "3840x2160"], metavar="WxH")
    speed.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16], metavar="N")
    speed.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16", "fp16"])
    speed.add_argument("--faces", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    speed.add_argument("--against", choices=["chain"], help="the packages' own chain, restorers with random weights")
    speed.add_argument("--chain-compositions", nargs="+", default=CHAINS, choices=CHAINS)
    speed.add_argument("--chain-seconds", type=float, default=0.4, help="RRDBNet takes seconds a frame on a CPU")
    speed.add_argument("--chain-size", default="640x480", metavar="WxH")
    memory = commands.add_parser("memory", help="peak memory of a 1 minute clip and of a 10 minute clip")
    memory.add_argument("--preset", default="fast")
    memory.add_argument("--seconds", type=float, nargs="+", default=[60.0, 600.0])
    memory.add_argument("--size", default="320x240")
    memory.add_argument("--out", type=Path, default=Path("build/memory"))
    exact = commands.add_parser(
        "exact", help="patches, mattes and offsets laid over the footage; faces of 1,000 px in 4K"
    )
    exact.add_argument("--face", type=Path, required=True, help="clip of which every kind of footage is made")
    exact.add_argument("--speech", type=Path, required=True)
    exact.add_argument("--photos", type=Path, nargs="*", default=[], help="large photographs of faces, for 4K")
    exact.add_argument("--preset", default="fast")
    exact.add_argument("--out", type=Path, default=Path("build/exact"))
    marks = commands.add_parser("marks", help="the invisible mark: survival, visibility, false alarms")
    marks.add_argument("--data", type=Path, required=True, nargs="+", help="clips of people, or folders of them")
    marks.add_argument("--clips", type=int, default=40, help="marked and unmarked (default 40)")
    marks.add_argument("--attacked", type=int, default=40, help="of these, with every attack (default 40)")
    marks.add_argument("--seconds", type=float, default=3.0, help="of each clip (default 3)")
    marks.add_argument("--keys", type=int, default=2500, help="random keys that each unmarked clip is read with")
    marks.add_argument("--out", type=Path, default=Path("build/marks"))
    judge = commands.add_parser("forensics", help="train the judge of `wav2lip-hq detect`; its ROC on unseen people")
    judge.add_argument(
        "--clips", type=Path, nargs="+", help="real clips, or folders of them, to make videos of; default: those in OUT"
    )
    judge.add_argument("--people", type=int, help="how many (default: all)")
    judge.add_argument("--seconds", type=float, default=3.0, help="of each clip, at most (default 3)")
    judge.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    judge.add_argument("--held-back", action="store_true", help="judge the people held back, too: the design is final")
    judge.add_argument("--install", action="store_true", help="write the judge into the package")
    judge.add_argument("--out", type=Path, default=Path("build/forensics"))
    args = parser.parse_args(argv)
    try:
        name = "leakage" if getattr(args, "protocol", None) == "leakage" else args.command
        module = import_module(f".{name}", __package__)
        return int(module.main(args))
    except Wav2LipHQError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
