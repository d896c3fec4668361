"""One timed measurement, in its own process.

A process that has run a preset keeps its memory and its selected kernels, which would distort peak memory and start-up
of the next measurement. ``apart`` starts a new Python; ``measure`` runs in it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from wav2lip_hq import HQPipeline, audio, errors
from wav2lip_hq.errors import StageError, Wav2LipHQError

from .networks import Watch, efficiency, matrix_rate

WARM_UP = 2.0  # seconds of footage, after which all kernels have been selected


@dataclass(frozen=True)
class Job:
    """What to time. ``face`` and ``speech``: files; ``output`` is written and deleted. 0 = the device's own batch."""

    preset: str
    face: str
    speech: str
    output: str
    repeat: int = 3
    precision: str = "auto"
    batch: int = 0
    settings: tuple[str, ...] = ()  # stage.option=value


def apart(job: Job) -> dict[str, Any]:
    """``measure`` in a new process. Raises what that raised."""
    root = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.timed", json.dumps(asdict(job)), str(time.time())]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines()
        raise StageError(
            f"timing '{job.preset}' ended with code {done.returncode}: {said[-1] if said else 'no message'}"
        )
    result: dict[str, Any] = json.loads(lines[-1])
    if "error" in result:
        raise getattr(errors, result["kind"], Wav2LipHQError)(result["error"])
    return result


def measure(job: Job, began: float) -> dict[str, Any]:
    """Time a preset on a clip. began: when the process was started (``time.time()``).

    Start-up is from there until every model is loaded. Then one warm-up on the first seconds, in which the networks'
    arithmetic is counted, then ``repeat`` whole runs; medians, and the slowest and fastest run.
    """
    pipe = HQPipeline(job.preset, precision=job.precision, batch_size=job.batch or None).set(*job.settings)
    pipe.load()
    start_up = time.time() - began
    device = pipe.runtime.device
    options: dict[str, Any] = {"trim": True, "encoder_preset": "veryfast", "own_words": "redo"}
    with Watch(counting=True) as counted:
        pipe.run(
            job.face, (audio.load_audio(job.speech)[: round(WARM_UP * audio.RATE)], audio.RATE), job.output, **options
        )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    runs, watches = [], []
    for _ in range(job.repeat):
        with Watch() as watch:
            runs.append(pipe.run(job.face, job.speech, job.output, **options))
        watches.append(watch)
    Path(job.output).unlink(missing_ok=True)
    frames, totals, rate = runs[0].frames, [r.seconds["total"] for r in runs], [r.fps for r in runs]
    stages = ["read", *dict.fromkeys(stage.name for stage in pipe.stages), "write", "measure"]
    ms = {name: 1000 * statistics.median(r.seconds.get(name, 0.0) for r in runs) / frames for name in stages}
    # Opening files, loading speech and the like, which dominates for short clips.
    ms["other"] = max(0.0, 1000 * statistics.median(totals) / frames - sum(ms.values()))
    rates = {p: matrix_rate(device, p) for p in sorted({cost.precision for cost in watches[-1].costs.values()})}
    return {
        "preset": job.preset,
        "device": str(device),
        "frames": frames,
        "faces": runs[0].faces,
        "start_up_s": round(start_up, 2),
        "fps": round(statistics.median(rate), 2),
        "fps_low": round(min(rate), 2),
        "fps_high": round(max(rate), 2),
        "real_time": round(statistics.median(totals) / float(runs[0].duration), 3),
        "outside": round(statistics.median(1 - w.seconds / t for w, t in zip(watches, totals, strict=True)), 4),
        "peak_mb": runs[-1].peak_memory // 2**20,
        "vram_mb": torch.cuda.max_memory_reserved(device) // 2**20 if device.type == "cuda" else None,
        "ms": {name: round(value, 2) for name, value in ms.items()},
        "networks": efficiency(counted.costs, watches[-1].costs, rates),
        "rates": rates,
    }


if __name__ == "__main__":
    try:
        print(json.dumps(measure(Job(**json.loads(sys.argv[1])), float(sys.argv[2]))))
    except Wav2LipHQError as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}))
