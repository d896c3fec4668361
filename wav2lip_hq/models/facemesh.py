"""MediaPipe's face mesh: 468 points in three dimensions from an upright face (Kartynnik et al. 2019).

The published network, which measures results and labels training data; no stage uses it.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 192
POINTS = 468


class _Block(nn.Module):
    """A depthwise and a pointwise convolution beside a skip path; with stride 2 the skip is pooled and widened."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.widen = stride, outputs - inputs
        self.convs = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, stride, 1 if stride == 1 else 0, groups=inputs),
            nn.Conv2d(inputs, outputs, 1),
        )
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        skip = x
        if self.stride == 2:
            x = F.pad(x, (0, 1, 0, 1))  # TensorFlow's "same": at the right and bottom only
            skip = F.max_pool2d(skip, 2)
        if self.widen:
            skip = F.pad(skip, (0, 0, 0, 0, 0, self.widen))
        return self.act(self.convs(x) + skip)


def _pool(channels: int, outputs: int) -> list[nn.Module]:
    """The end of a head: a 3x3 map to one vector of ``outputs`` numbers."""
    narrow = [nn.Conv2d(channels, 32, 1), nn.PReLU(32)]
    return [*narrow, _Block(32, 32), nn.Conv2d(32, outputs, 3)]


class FaceMesh(nn.Module):
    """forward(x): x (N, 3, 192, 192) RGB in [-1, 1], an upright face with a margin of a quarter of its size on all
    sides. Returns points (N, 468, 3) in pixels of the input (z: the same unit, smaller is nearer) and the logit of
    the probability that there is a face (N,)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2), nn.PReLU(16), _Block(16, 16), _Block(16, 16)]
        for inputs, outputs in ((16, 32), (32, 64), (64, 128), (128, 128)):
            layers += [_Block(inputs, outputs, 2), _Block(outputs, outputs), _Block(outputs, outputs)]
        self.backbone = nn.Sequential(*layers)
        coarse = [_Block(128, 128, 2), _Block(128, 128), _Block(128, 128)]
        self.coord_head = nn.Sequential(*coarse, *_pool(128, 3 * POINTS))
        self.conf_head = nn.Sequential(_Block(128, 128, 2), *_pool(128, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        deep = self.backbone(F.pad(x, (0, 1, 0, 1)))
        return self.coord_head(deep).reshape(-1, POINTS, 3), self.conf_head(deep).reshape(-1)
