"""Speech -> articulation: a person-independent mouth shape, as coefficients (see ``wav2lip_hq.articulation``).

A temporal convolution network over the mel; the coefficients of a frame depend on the second of speech around it. What
the coefficients mean (neutral face, basis) and their calibration are buffers beside the weights, so that one file holds
all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..mesh import POINTS

BANDS = 80  # of the mel
KNOTS = 24  # of the calibration curve
# Weights of what is predicted 25 ms before, at and 25 ms after a frame. Each is predicted for itself, and some of what
# differs is noise: lips would tremble (docs/training.md).
CALM = (0.25, 0.5, 0.25)


class _Block(nn.Module):
    """Residual block with a dilated convolution without padding, which shortens the sequence at both ends."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, kernel, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.norm = nn.GroupNorm(1, channels, affine=True)
        self.drop = nn.Dropout(0.3)
        self.cut = (kernel - 1) * dilation // 2

    def forward(self, x: Tensor) -> Tensor:
        skip = x[..., self.cut : x.shape[-1] - self.cut]
        return skip + self.mix(self.drop(F.gelu(self.conv(_normed(self.norm, x)))))


def _normed(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """Normalization over channels at each time step alone, so that a part of a sequence gives the same by itself."""
    x = x.float()
    mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
    return (x - mean) * torch.rsqrt(var + 1e-5) * norm.weight[:, None] + norm.bias[:, None]


class Articulation(nn.Module):
    """forward(phrase): (N, 80, 80) mel in [-4, 4], column 40 begins at the frame's time. Returns (N, K) coefficients,
    calibrated to the distribution of real ones."""

    neutral: Tensor  # (POINTS, 3), the mean person's body, mouth closed
    basis: Tensor  # (K, POINTS, 3)
    unit: Tensor  # (2,): the mean person's spread and closed opening, over the eye distance
    scale: Tensor  # (K,)
    curve: Tensor  # (2, KNOTS): opening as predicted -> as it is in footage, both increasing

    def __init__(self, width: int = 128, coefficients: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv1d(BANDS, width, 6, stride=2)  # 40 time steps a second from here on
        self.blocks = nn.ModuleList(_Block(width, 5, d) for d in (1, 2, 3, 3))
        self.last = nn.Conv1d(width, coefficients, 1)
        self.register_buffer("neutral", torch.zeros(POINTS, 3))
        self.register_buffer("basis", torch.zeros(coefficients, POINTS, 3))
        self.register_buffer("unit", torch.tensor([0.04, 0.015]))
        self.register_buffer("scale", torch.ones(coefficients))
        self.register_buffer("curve", torch.linspace(0, 4, KNOTS).repeat(2, 1))

    def sequence(self, mel: Tensor) -> Tensor:
        """(N, 80, M) mel -> (N, K, M // 2 - 39) raw coefficients: number j follows from columns 2 j to 2 j + 79."""
        x = self.first(mel * 0.5)
        for block in self.blocks:
            x = block(x)
        return F.avg_pool1d(self.last(x), 2, 1)

    def calibrated(self, raw: Tensor) -> Tensor:
        """(N, K) raw coefficients -> calibrated: the opening by a monotonic curve, the others by a factor each."""
        start, goal = self.curve.float()
        x = raw[:, 0].clamp(start[0], start[-1]).contiguous()
        k = torch.searchsorted(start.contiguous(), x).clamp(1, KNOTS - 1)
        part = (x - start[k - 1]) / (start[k] - start[k - 1]).clamp(min=1e-6)
        opening = goal[k - 1] + part * (goal[k] - goal[k - 1])
        return torch.cat([opening[:, None], raw[:, 1:] * self.scale[1:]], 1)

    def forward(self, phrase: Tensor, raw: bool = False) -> Tensor:
        if raw:  # as it is trained: a whole sequence
            return self.sequence(phrase)
        around = self.sequence(F.pad(phrase, (2, 2), mode="replicate"))  # 25 ms are two columns
        return self.calibrated((around * around.new_tensor(CALM)).sum(-1))
