"""Quality figures.

    from wav2lip_hq.metrics import lip_sync_error, psnr, ssim

Lip-sync: ``lip_sync_error`` (LSE-D, LSE-C, offset), ``syncnet_score``, ``tss``, ``off_sync_accuracy``. Pictures:
``psnr``, ``ssim``, ``Lpips``, ``FrechetDistance``, ``fid``. Faces: ``landmark_distance``, ``identity_similarity``.
Video: ``flicker``, ``sharpness``, ``seam``, ``background_change``. Confidence intervals: ``bootstrap``. Each docstring
says what it takes, which direction is better and where it comes from. Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import bootstrap, off_sync_accuracy, syncnet_score, tss
    from .face import identity_similarity, landmark_distance, onnx_embedding
    from .frechet import FrechetDistance, fid
    from .image import Mean, psnr, ssim
    from .lipsync import LipSyncError, benchmark_box, lip_sync_error
    from .motion import background_change, flicker, seam, sharpness
    from .perceptual import Lpips

_WHERE = {
    **dict.fromkeys(("bootstrap", "off_sync_accuracy", "syncnet_score", "tss"), "agreement"),
    **dict.fromkeys(("identity_similarity", "landmark_distance", "onnx_embedding"), "face"),
    **dict.fromkeys(("FrechetDistance", "fid"), "frechet"),
    **dict.fromkeys(("Mean", "psnr", "ssim"), "image"),
    **dict.fromkeys(("LipSyncError", "benchmark_box", "lip_sync_error"), "lipsync"),
    **dict.fromkeys(("background_change", "flicker", "seam", "sharpness"), "motion"),
    "Lpips": "perceptual",
}

__all__ = [
    "FrechetDistance",
    "LipSyncError",
    "Lpips",
    "Mean",
    "background_change",
    "benchmark_box",
    "bootstrap",
    "fid",
    "flicker",
    "identity_similarity",
    "landmark_distance",
    "lip_sync_error",
    "off_sync_accuracy",
    "onnx_embedding",
    "psnr",
    "seam",
    "sharpness",
    "ssim",
    "syncnet_score",
    "tss",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
