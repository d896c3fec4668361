"""The lip-sync expert (SyncNet color of Wav2Lip): do these frames and this speech belong together?"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBlock, residual_blocks, scale_channels

EMBEDDING = 512


class LipsyncExpert(nn.Module):
    """Official layout for ``width == 1`` and ``frames == 5``. Embeddings always have 512 dimensions."""

    def __init__(self, width: float = 1.0, frames: int = 5) -> None:
        super().__init__()
        self.width, self.frames = width, frames
        c = {n: scale_channels(n, width) for n in (32, 64, 128, 256, 512)}
        self.face_encoder = nn.Sequential(
            ConvBlock(3 * frames, c[32], 7, 1, 3),
            ConvBlock(c[32], c[64], 5, (1, 2), 1),
            *residual_blocks(c[64], 2),
            ConvBlock(c[64], c[128], 3, 2, 1),
            *residual_blocks(c[128], 3),
            ConvBlock(c[128], c[256], 3, 2, 1),
            *residual_blocks(c[256], 2),
            ConvBlock(c[256], c[512], 3, 2, 1),
            *residual_blocks(c[512], 2),
            ConvBlock(c[512], c[512], 3, 2, 1),
            ConvBlock(c[512], c[512], 3, 1, 0),
            ConvBlock(c[512], EMBEDDING, 1, 1, 0),
        )
        self.audio_encoder = nn.Sequential(
            ConvBlock(1, c[32]),
            *residual_blocks(c[32], 2),
            ConvBlock(c[32], c[64], 3, (3, 1), 1),
            *residual_blocks(c[64], 2),
            ConvBlock(c[64], c[128], 3, 3, 1),
            *residual_blocks(c[128], 2),
            ConvBlock(c[128], c[256], 3, (3, 2), 1),
            *residual_blocks(c[256], 2),
            ConvBlock(c[256], c[512], 3, 1, 0),
            ConvBlock(c[512], EMBEDDING, 1, 1, 0),
        )

    def forward(self, audio: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of unit length, audio first.

        audio: (N, 1, 80, 16) mel in [-4, 4]. face: (N, 3 * frames, 48, 96) BGR in [0, 1], the lower halves of
        consecutive 96 px frames, oldest first. Returns two (N, 512); their dot product is in [0, 1] (ReLU outputs).
        """
        return _unit(self.audio_encoder(audio)), _unit(self.face_encoder(face))


def _unit(x: Tensor) -> Tensor:
    # In float32: the squares of half-precision activations can overflow.
    return F.normalize(x.flatten(1).float(), dim=1).to(x.dtype)
