"""A second sync network, with SyncNet v2's layout and inputs, trained independently of the expert.

It measures the LSE of generated footage, which the generator's own expert must not: another
architecture, another crop (the whole face and some neck at 224 px, raw 0..255), another sound representation (MFCC),
another distance (Euclidean, not cosine; Chung and Zisserman 2016) and another seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import checkpoints, models
from ..metrics.lipsync import MFCC_PER_FRAME, MFCC_WINDOW, center, distances, from_distances, mfcc
from ..types import Array
from . import talking
from .expert import ExpertTask
from .options.talking import JudgeOptions
from .talking import Clip, Look


class JudgeTask(ExpertTask):
    """As the expert's, on faces at 224 px and MFCC."""

    Options = JudgeOptions
    product = "judge"
    monitor = "pair_accuracy"

    def build_model(self) -> None:
        self.modules = {"judge": models.build("syncnet_v2", width=self.width)}
        self._mfcc: dict[str, Array] = {}

    def sound(self, clip: Clip, start: int) -> Array:
        """(1, 13, 20) float32 MFCC window of the frames that start at ``start``."""
        if clip.name not in self._mfcc:
            self._mfcc[clip.name] = mfcc(clip.wav).astype(np.float32)
        whole = self._mfcc[clip.name]
        columns = np.clip(np.arange(MFCC_WINDOW) + MFCC_PER_FRAME * start, 0, whole.shape[1] - 1)
        return whole[None, :, columns]

    def window(self, clip: Clip, start: int, look: Look, rng: np.random.Generator | None) -> tuple[Array, Array]:
        """(3, 5, 224, 224) uint8 BGR and (1, 13, 20) float32."""
        faces = talking.benchmark_crops(clip, np.arange(start, start + talking.WINDOW), look)
        sound = self.sound(clip, start)
        if rng is not None and self.augment:
            # Loudness is in the first coefficient, the spectral envelope in the others; constant over the clip.
            sound = sound + rng.normal(0, 1, (1, 13, 1)).astype(np.float32) * np.array(
                [0.7] + [1.5] * 12, np.float32
            ).reshape(1, 13, 1)
        return faces.transpose(3, 0, 1, 2), sound

    def embed(self, face: Tensor, mel: Tensor, live: bool = True) -> tuple[Tensor, Tensor]:
        """(N, 1024) speech and face embeddings, not normalized."""
        net: Any = self.modules["judge"]
        return net.forward_aud(mel.float()).float(), net.forward_lip(face.float()).float()

    def losses(self, sound: Tensor, face: Tensor, clip: Tensor, start: Tensor) -> dict[str, Tensor]:
        distance = torch.cdist(face, sound)
        same = clip[:, None] == clip[None]
        logits = (-distance / self.temperature).masked_fill(~same, -1e4)
        target = torch.arange(len(distance), device=distance.device)
        contrast = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        # Keeps distances in the range the published network has (about 5 in sync, about 12 out of sync).
        size = (distance.mean() - 10.0).pow(2) / 100
        top = (logits.argmax(1) == target).float().mean()
        return {"loss": contrast + 0.1 * size, "contrast": contrast, "distance": distance.mean(), "top1": top}

    def evaluate(self, clips: list[Clip], device: torch.device, limit: int = 1 << 30) -> dict[str, float]:
        """Shares of pairs ranked correctly and of clips whose offset is found within one frame, mean LSE-D and
        LSE-C."""
        rng = np.random.default_rng(0)
        ranked, total, found, loss = 0.0, 0, 0, 0.0
        lse_d, lse_c = [], []
        clips = clips[:: max(1, len(clips) // limit)]
        for clip in clips:
            starts, sound, face = self._embed_clip(clip, device)
            distance = np.sqrt(((face[:, None] - sound[None]) ** 2).sum(-1))
            n = len(starts)
            shift = rng.integers(1, n, n)
            ranked += float((distance.diagonal() < distance[np.arange(n), (np.arange(n) + shift) % n]).sum())
            logits = -distance / self.temperature
            loss += float((np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)).sum())
            loss -= float(logits.diagonal().sum())
            total += n
            measured = from_distances(center(distances(face, sound)))
            found += abs(measured.offset) <= 1
            lse_d.append(measured.lse_d)
            lse_c.append(measured.lse_c)
        return {
            "val_loss": loss / total,
            "pair_accuracy": ranked / total,
            "offset_within_1": found / len(clips),
            "lse_d": float(np.mean(lse_d)),
            "lse_c": float(np.mean(lse_c)),
        }

    def export(self, path: Path, figures: dict[str, float]) -> None:
        checkpoints.save(
            path,
            self.modules["judge"],
            arch="syncnet_v2",
            options={"width": self.width},
            card={"task": "judge", "figures": figures, "recipe": self.recipe.options},
        )
