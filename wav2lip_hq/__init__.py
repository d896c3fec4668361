"""wav2lip_hq: high-resolution lip-sync for real footage.

    from wav2lip_hq import HQPipeline
    HQPipeline().run(face="talk.mp4", audio="dub.wav", output="out.mp4")

Names are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import VERSION as __version__

if TYPE_CHECKING:
    from .engine import Stage
    from .errors import Wav2LipHQError
    from .pipeline import HQPipeline
    from .runtime import Runtime
    from .stages import Align, Blend, Detect, LipSync, Parse, Restore, Track
    from .types import Chunk, Faces, Report

_WHERE = {
    "HQPipeline": "pipeline",
    "Stage": "engine",
    "Runtime": "runtime",
    "Wav2LipHQError": "errors",
    **dict.fromkeys(("Align", "Blend", "Detect", "LipSync", "Parse", "Restore", "Track"), "stages"),
    **dict.fromkeys(("Chunk", "Faces", "Report"), "types"),
}

_PACKAGES = ("checkpoints", "jobs", "metrics")  # with public names of their own

__all__ = [
    "Align",
    "Blend",
    "Chunk",
    "Detect",
    "Faces",
    "HQPipeline",
    "LipSync",
    "Parse",
    "Report",
    "Restore",
    "Runtime",
    "Stage",
    "Track",
    "Wav2LipHQError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, *_PACKAGES]
