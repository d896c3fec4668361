"""Where the time goes: milliseconds a frame by stage, and frames a second from end to end.

Each figure is the median of ``--repeat`` runs after one warm-up; models are loaded before the clock starts (start-up is
told apart). Ratios hold within one run of this command only: other machines, and this one when it is busy, differ.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from wav2lip_hq import HQPipeline
from wav2lip_hq.errors import CheckpointError

from . import machine
from .memory import clip


def main(args: argparse.Namespace) -> int:
    """Time the presets; results.json and .md in ``--out``."""
    args.out.mkdir(parents=True, exist_ok=True)
    made, speech = clip(args.out, args.seconds, 640, 480)
    face = args.face or made
    rows: list[dict[str, Any]] = []
    for preset in args.presets:
        began = time.perf_counter()
        pipe = HQPipeline(preset)
        try:
            pipe.load()
        except CheckpointError as error:
            print(f"{preset}: left out, {str(error).splitlines()[0]}")
            continue
        start_up = time.perf_counter() - began
        runs = []
        for _ in range(args.repeat + 1):
            runs.append(pipe.run(face, speech, args.out / "out.mp4", trim=True, encoder_preset="veryfast"))
        runs = runs[1:]
        frames = runs[0].frames
        stages = [s.name for s in pipe.stages]
        names = ["read", *dict.fromkeys(stages), "write", "measure"]
        ms = {n: 1000 * statistics.median(r.seconds.get(n, 0.0) for r in runs) / frames for n in names}
        rate = [r.fps for r in runs]
        rows.append(
            {
                "preset": preset,
                "frames": frames,
                "start_up_s": round(start_up, 2),
                "fps": round(statistics.median(rate), 2),
                "fps_low": round(min(rate), 2),
                "fps_high": round(max(rate), 2),
                "peak_mb": runs[-1].peak_memory // 2**20,
                "ms": {k: round(v, 2) for k, v in ms.items()},
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    lines = []
    for row in rows:
        total = sum(row["ms"].values())
        lines += [
            f"**{row['preset']}**: {row['fps']} frames/s ({row['fps_low']} to {row['fps_high']}), start-up "
            f"{row['start_up_s']} s, peak {row['peak_mb']} MB",
            "",
            "| stage | ms a frame | share |",
            "|---|---|---|",
            *(f"| {k} | {v} | {100 * v / total:.0f} % |" for k, v in row["ms"].items()),
            "",
        ]
    text = "\n".join([*lines, machine.sentence(), ""])
    (args.out / "results.md").write_text(text)
    (args.out / "results.json").write_text(json.dumps({"machine": machine.facts(), "rows": rows}, indent=1))
    print(text)
    return 0
