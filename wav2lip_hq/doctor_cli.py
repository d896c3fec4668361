"""``wav2lip-hq doctor``: versions, devices, codecs, checkpoints, and what is missing."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from .presets_cli import preset_rows
from .version import VERSION

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


def add_doctor(commands: Any) -> None:
    """The command ``doctor``."""
    one = commands.add_parser("doctor", help="versions, devices, codecs, checkpoints, what is missing")
    one.add_argument("--json", action="store_true")


def doctor(args: argparse.Namespace) -> int:
    """``wav2lip-hq doctor``."""
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
        "wav2lip_hq": VERSION,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "versions": versions,
        "devices": ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))],
        "cpu_bf16": bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()),
        "codecs": {name: available(name) for name in CODECS},
        "presets": {row["preset"]: row["ready"] for row in preset_rows()},
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
