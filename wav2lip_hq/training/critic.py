"""A patch discriminator (critic): do these parts of a mouth look real?

Wav2Lip's visual-quality discriminator gives one score for the whole lower half, and its 14 million weights overfit a
few dozen people. This one is small, has a receptive field of about a mouth's height (PatchGAN, Isola et al. 2017), and
is used for feature matching, too (Wang et al. 2018), which sharpens without inventing detail. Spectral normalization is
left out: with it the critic never learned to tell generated from real faces, which differ too little.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchCritic(nn.Module):
    """(N, 1, h, w) gray pictures in [0, 1] -> (N, 1, h / 4, w / 4) scores (positive: real), features of each layer."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()

        def conv(a: int, b: int, kernel: int, stride: int) -> nn.Module:
            return nn.Conv2d(a, b, kernel, stride, (kernel - 1) // 2)

        self.layers = nn.ModuleList(
            [
                conv(1, width, 3, 1),
                conv(width, 2 * width, 4, 2),
                conv(2 * width, 4 * width, 4, 2),
                conv(4 * width, 4 * width, 3, 1),
            ]
        )
        self.score = conv(4 * width, 1, 3, 1)

    def forward(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, features = picture * 2 - 1, []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss (Lim and Ye 2017) of a critic's scores, scalar."""
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def feature_matching(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean L1 between a critic's features of generated and of real faces, scalar; gradients reach the generated
    ones."""
    return torch.stack([F.l1_loss(a.float(), b.detach().float()) for a, b in zip(fake, real, strict=True)]).mean()
