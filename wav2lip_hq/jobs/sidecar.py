"""``OUTPUT.json``: enough to reproduce a result, or to audit it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import time
from pathlib import Path
from typing import Any

from .. import __version__
from ..pipeline import HQPipeline
from ..places import write_text
from ..video import NOTICE
from . import identity
from .jobfile import Job
from .part import Rendered
from .store import Store

PACKAGES = ("torch", "numpy", "opencv-python", "av", "librosa", "facexlib", "basicsr", "gfpgan", "realesrgan")


def path_of(output: Path) -> Path:
    """Where a result's sidecar is."""
    return output.with_name(f"{output.name}.json")


def write(
    job: Job, done: Rendered, base: HQPipeline, store: Store, worker: str, metrics: dict[str, float | str]
) -> str:
    """Write the sidecar, atomically; returns the output's SHA-256."""
    digest = store.sha256(job.output)
    facts: dict[str, Any] = {
        "output": {"path": str(job.output), "sha256": digest, "frames": done.frames, "seconds": done.duration},
        "identity": identity.identity(job, base, store),
        "inputs": [{"path": str(p), "sha256": store.sha256(identity.resolve(p))} for p in job.inputs],
        "settings": identity.settings(job),
        "stages": [
            [{"stage": stage.name, **_options(stage)} for stage in pipe.stages]
            for pipe in identity.pipelines(job, base)
        ],
        "checkpoints": identity.weights(job, base, store),
        "synthetic": NOTICE,
        "provenance": done.provenance,
        "consent": None if done.consent is None else done.consent.plain(),
        "faces": {"synthesized": done.faces, "frames_without_face": done.empty},
        "offset_ms": done.offset_ms,
        "loudness": done.loudness,
        "warnings": done.warnings,
        "timings": done.seconds,
        "parts": {"rendered": done.parts - done.reused, "kept_from_before": done.reused},
        "metrics": metrics,
        "made": {
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "worker": worker,
            "host": platform.node(),
            "device": str(base.runtime.device),
            "wav2lip_hq": __version__,
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in PACKAGES},
        },
    }
    target = path_of(job.output)
    write_text(target, json.dumps(facts, indent=1, default=str))
    return digest


def _options(stage: Any) -> dict[str, Any]:
    return {f.name: getattr(stage, f.name) for f in dataclasses.fields(stage)}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
