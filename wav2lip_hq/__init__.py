"""wav2lip_hq: high-resolution lip-sync for real footage.

    from wav2lip_hq import HQPipeline
    HQPipeline().run(face="talk.mp4", audio="dub.wav", output="out.mp4")

Names are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

from .version import VERSION as __version__

if TYPE_CHECKING:
    from .engine import Stage
    from .errors import Wav2LipHQError
    from .pipeline import HQPipeline
    from .runtime import Runtime
    from .stages import Align, Blend, Detect, LipSync, Parse, Restore, Track
    from .types import Chunk, Faces, Report

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submodules=["checkpoints", "jobs", "metrics"],  # with public names of their own
    submod_attrs={
        "engine": ["Stage"],
        "errors": ["Wav2LipHQError"],
        "pipeline": ["HQPipeline"],
        "runtime": ["Runtime"],
        "stages": ["Align", "Blend", "Detect", "LipSync", "Parse", "Restore", "Track"],
        "types": ["Chunk", "Faces", "Report"],
    },
)

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
