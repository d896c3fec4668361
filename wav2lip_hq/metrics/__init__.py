"""Quality figures.

    from wav2lip_hq.metrics import lip_sync_error, psnr, ssim

Lip-sync: ``lip_sync_error`` (LSE-D, LSE-C, offset), ``syncnet_score``, ``tss``, ``off_sync_accuracy``. Pictures:
``psnr``, ``ssim``, ``Lpips``, ``FrechetDistance``, ``fid``. Faces: ``landmark_distance``, ``identity_similarity``.
Video: ``flicker``, ``sharpness``, ``seam``, ``background_change``. Confidence intervals: ``bootstrap``. Each docstring
says what it takes, which direction is better and where it comes from. Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .agreement import bootstrap, off_sync_accuracy, syncnet_score, tss
    from .face import identity_similarity, landmark_distance, onnx_embedding
    from .frechet import FrechetDistance, fid
    from .image import Mean, psnr, ssim
    from .lipsync import LipSyncError, benchmark_box, lip_sync_error
    from .motion import background_change, flicker, seam, sharpness
    from .perceptual import Lpips

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "agreement": ["bootstrap", "off_sync_accuracy", "syncnet_score", "tss"],
        "face": ["identity_similarity", "landmark_distance", "onnx_embedding"],
        "frechet": ["FrechetDistance", "fid"],
        "image": ["Mean", "psnr", "ssim"],
        "lipsync": ["LipSyncError", "benchmark_box", "lip_sync_error"],
        "motion": ["background_change", "flicker", "seam", "sharpness"],
        "perceptual": ["Lpips"],
    },
)

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
