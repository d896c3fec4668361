"""Peak memory against the length of the clip: each length in a process of its own."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from skimage import data

from wav2lip_hq.audio import RATE

from . import machine

RUN = """
import json, sys
from wav2lip_hq import HQPipeline
options = {"encoder_preset": "ultrafast", "trim": True, "own_words": "redo"}
report = HQPipeline(sys.argv[4]).run(sys.argv[1], sys.argv[2], sys.argv[3], **options)
print(json.dumps({"frames": report.frames, "fps": report.fps, "peak": report.peak_memory}))
"""


def main(args: argparse.Namespace) -> int:
    """Make a clip of each length, run it, print the table; results.json and .md in ``--out``."""
    args.out.mkdir(parents=True, exist_ok=True)
    width, height = map(int, args.size.split("x"))
    rows: list[dict[str, Any]] = []
    for seconds in args.seconds:
        face, speech = clip(args.out, seconds, width, height)
        result = args.out / "out.mp4"
        command = [sys.executable, "-W", "ignore", "-c", RUN, str(face), str(speech), str(result), args.preset]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        rows.append({"seconds": seconds, **json.loads(done.stdout.splitlines()[-1])})
        print(json.dumps(rows[-1]), flush=True)
        for path in (face, speech, result):
            path.unlink()
    lines = [
        f"Preset `{args.preset}`, {args.size}.",
        "",
        "| seconds | frames | frames/s | peak MB |",
        "|---|---|---|---|",
    ]
    lines += [f"| {r['seconds']:g} | {r['frames']} | {r['fps']:.1f} | {r['peak'] / 2**20:.0f} |" for r in rows]
    if len(rows) > 1:
        lines += ["", f"Longest over shortest: {rows[-1]['peak'] / rows[0]['peak']:.3f}"]
    text = "\n".join([*lines, "", machine.sentence(), ""])
    (args.out / "results.md").write_text(text)
    (args.out / "results.json").write_text(json.dumps({"machine": machine.facts(), "rows": rows}, indent=1))
    print(text)
    return 0


def clip(folder: Path, seconds: float, width: int, height: int) -> tuple[Path, Path]:
    """A photograph that drifts, and a sound of the same length."""
    face, speech = folder / f"face{seconds:g}.mp4", folder / f"speech{seconds:g}.wav"
    photo = data.astronaut()[:400]
    photo = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    with av.open(str(face), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(round(seconds * 25)):
            shift = np.float32([[1, 0, 3 * np.sin(n / 20)], [0, 1, 2 * np.cos(n / 31)]])
            picture = cv2.warpAffine(photo, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    at = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 140 * k * at) / k for k in range(1, 9)) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * at))
    with wave.open(str(speech), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(0.2 * tone, -1, 1) * 32767).astype("<i2").tobytes())
    return face, speech
