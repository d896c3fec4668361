"""Machine, versions and commit that figures belong to."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import wav2lip_hq


def facts() -> dict[str, Any]:
    """Processor, cores, GPU, versions, commit, date."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (x.split(":")[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")), model
        )
    try:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    except OSError:
        commit = ""
    return {
        "machine": f"{model}, {os.cpu_count()} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "wav2lip_hq": wav2lip_hq.__version__,
        "commit": commit,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def sentence() -> str:
    """``facts`` as a line below a table."""
    f = facts()
    gpu = f["gpu"] or "no GPU"
    return (
        f"{f['machine']}, {gpu}; Python {f['python']}, torch {f['torch']}; commit {f['commit']}; {f['date']}; "
        f"load average {f['load']}"
    )
