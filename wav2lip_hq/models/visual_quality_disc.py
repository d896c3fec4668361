"""The visual-quality discriminator of Wav2Lip's GAN training: does the lower half of a face look real?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import PlainBlock, fold_time


class VisualQualityDisc(nn.Module):
    """Official layout. Works frame by frame."""

    def __init__(self) -> None:
        super().__init__()
        b = PlainBlock
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(b(3, 32, 7, 1, 3)),
                nn.Sequential(b(32, 64, 5, (1, 2), 2), b(64, 64, 5, 1, 2)),  # the half is twice as wide as high
                nn.Sequential(b(64, 128, 5, 2, 2), b(128, 128, 5, 1, 2)),
                nn.Sequential(b(128, 256, 5, 2, 2), b(256, 256, 5, 1, 2)),
                nn.Sequential(b(256, 512, 3, 2, 1), b(512, 512, 3, 1, 1)),
                nn.Sequential(b(512, 512, 3, 2, 1), b(512, 512, 3, 1, 1)),
                nn.Sequential(b(512, 512, 3, 1, 0), b(512, 512, 1, 1, 0)),
            ]
        )
        self.binary_pred = nn.Sequential(nn.Conv2d(512, 1, 1), nn.Sigmoid())

    def forward(self, face: Tensor) -> Tensor:
        """face: (B, 3, T, 96, 96) BGR in [0, 1]. Returns (T*B, 1) probabilities of being real, time-major."""
        half = face[:, :, :, face.shape[3] // 2 :]
        return torch.sigmoid(self._score(half))

    def perceptual_forward(self, face: Tensor) -> Tensor:
        """The generator's adversarial loss: mean cross-entropy of ``face`` (as in forward) with "real". Scalar."""
        score = self._score(face[:, :, :, face.shape[3] // 2 :])
        return nn.functional.binary_cross_entropy_with_logits(score, torch.ones_like(score))

    def _score(self, half: Tensor) -> Tensor:
        x = fold_time(half)
        for block in self.face_encoder_blocks:
            x = block(x)
        return self.binary_pred[0](x).flatten(1)
