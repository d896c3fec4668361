"""A critic that looks at patches: does this piece of a mouth look photographed?

Wav2Lip's visual-quality discriminator gives one verdict on the whole lower half and has 14 million weights to learn a
few dozen people by heart with. This one is small, sees about a mouth's height at a time (PatchGAN, Isola et al. 2017),
and lends its inner pictures to the generator: matching those of the real face (Wang et al. 2018) sharpens without
inventing. Spectral normalization was tried and left out: real and made faces differ so little that a critic kept from
growing steep never learned to tell them apart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchCritic(nn.Module):
    """(N, 1, h, w) gray pictures in [0, 1] -> (N, 1, h / 4, w / 4) scores (positive: real), the layers before."""

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
        x, seen = picture * 2 - 1, []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            seen.append(x)
        return self.score(x), seen


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss (Lim and Ye 2017) of a critic's scores, scalar."""
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def likeness(fake: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean L1 between a critic's inner pictures of made and of real faces, scalar; gradients reach the made ones."""
    return torch.stack([F.l1_loss(a.float(), b.detach().float()) for a, b in zip(fake, real, strict=True)]).mean()
