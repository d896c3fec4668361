"""Dense landmarks, head pose and visibility of the mouth, from an upright face: a small network of this project.

A MobileNet-like trunk (Howard et al. 2017) regresses all points. The lips are then refined on fine features: for each
point a heat map is multiplied by a normal distribution around the regressed point, and its mean taken (integral
regression, Sun et al. 2018), so that visible lips are located exactly and hidden ones stay where the face suggests. The
forty points are then projected onto the principal components of lips (active shape models, Cootes et al. 1995), which
removes jitter of single points.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import mesh

SIZE = 128  # px of the square input
_SCALE = 32.0  # px per unit of the regression's output
# Where lips may be in the input: columns and rows in px, multiples of 8 so that three strides cut it alike.
_LEFT, _RIGHT, _TOP, _BOTTOM = 24, 104, 64, 120
_STRIDE = 2  # of the heat maps
SHAPES = 16  # principal components of lips


class _Block(nn.Module):
    """A depthwise and a pointwise convolution, residual where the shape allows it."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.skip = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return F.relu(x + y if self.skip else y)


def _stage(inputs: int, outputs: int, count: int) -> nn.Sequential:
    return nn.Sequential(_Block(inputs, outputs, 2), *[_Block(outputs, outputs) for _ in range(count)])


def _cut(x: Tensor, stride: int) -> Tensor:
    """The part of a feature map where lips may be."""
    return x[:, :, _TOP // stride : _BOTTOM // stride, _LEFT // stride : _RIGHT // stride]


class Landmarks(nn.Module):
    """forward(x): x (N, 3, 128, 128) RGB in [-1, 1], a face set upright by ``stages.landmarks``.

    Returns points (N, mesh.POINTS, 2) in pixels of the input, pose (N, 3) in degrees (yaw, pitch, roll, as
    ``Faces.pose`` but in the input) and the logit that the mouth can be seen (N,).
    """

    lips_mean: Tensor
    lips_basis: Tensor

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.width = width
        first, second, last = 16, 2 * width, 8 * -(-width // 3)
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.stage4, self.stage8 = _stage(first, width, 2), _stage(width, second, 3)
        self.stage16, self.stage32 = _stage(second, last, 3), _stage(last, last, 2)
        self.neck = nn.Sequential(nn.Conv2d(last, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU())
        deep = 48 * (SIZE // 32) ** 2
        self.shape = nn.Sequential(nn.Linear(deep, 96), nn.Linear(96, 2 * mesh.POINTS))
        self.facts = nn.Linear(deep, 4)
        lips = mesh.LIPS.stop - mesh.LIPS.start
        self.lips8, self.lips4 = nn.Conv2d(second, width, 1), nn.Conv2d(width, width, 1)
        self.lips2, self.narrow = nn.Conv2d(first, 32, 1), nn.Conv2d(width, 32, 1)
        self.refine4 = nn.Sequential(_Block(width, width), _Block(width, width))
        self.refine2 = nn.Sequential(_Block(32, 32), nn.Conv2d(32, lips, 1))
        self.register_buffer("lips_mean", torch.zeros(2 * lips))  # px, around their middle
        self.register_buffer("lips_basis", torch.zeros(SHAPES, 2 * lips))  # orthonormal
        self.spread = nn.Parameter(torch.full((lips,), 1.4))  # logarithm of the prior's deviation in px

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The trunk's features (N, D) and the lips' heat maps (N, 40, H, W), the inputs of ``heads``."""
        at2 = self.stem(x)
        at4 = self.stage4(at2)
        at8 = self.stage8(at4)
        deep = self.neck(self.stage32(self.stage16(at8))).flatten(1)
        fine = self.refine4(self.lips4(_cut(at4, 4)) + F.interpolate(self.lips8(_cut(at8, 8)), scale_factor=2.0))
        fine = self.lips2(_cut(at2, 2)) + F.interpolate(self.narrow(fine), scale_factor=2.0)
        return deep, self.refine2(fine)

    def heads(self, deep: Tensor, heat: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(regressed points, refined lips (N, 40, 2), pose, logit of visibility); to be run in float32."""
        points = self.shape(deep).view(-1, mesh.POINTS, 2) * _SCALE + (SIZE - 1) / 2
        facts = self.facts(deep)
        # Twice, the second time around the first: the regressed opening is too small for people it was not trained on.
        lips = self._place(self._place(points[:, mesh.LIPS], heat), heat)
        return points, lips, facts[:, :3] * 30.0, facts[:, 3]

    def _place(self, points: Tensor, heat: Tensor) -> Tensor:
        """(N, 40, 2) means of the heat maps, each times a normal distribution around its regressed point."""
        height, width = heat.shape[2:]
        half = (_STRIDE - 1) / 2
        xs = torch.arange(width, device=heat.device, dtype=heat.dtype) * _STRIDE + (_LEFT + half)
        ys = torch.arange(height, device=heat.device, dtype=heat.dtype) * _STRIDE + (_TOP + half)
        sharp = 0.5 * torch.exp(-2 * self.spread)[:, None]
        far_x = (xs - points[..., :1]).square() * sharp  # (N, 40, W)
        far_y = (ys - points[..., 1:]).square() * sharp
        logits = heat - far_x[:, :, None, :] - far_y[:, :, :, None]
        share = logits.flatten(2).softmax(-1).view_as(logits)
        return self._as_lips(torch.stack([(share.sum(2) * xs).sum(-1), (share.sum(3) * ys).sum(-1)], -1))

    def _as_lips(self, points: Tensor) -> Tensor:
        """Points (N, 40, 2) projected onto the principal components of lips."""
        middle = points.mean(1, keepdim=True)
        free = (points - middle).flatten(1) - self.lips_mean
        return (self.lips_mean + free @ self.lips_basis.T @ self.lips_basis).view_as(points) + middle

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points, lips, pose, logit = self.heads(*self.features(x))
        return torch.cat([points[:, : mesh.LIPS.start], lips, points[:, mesh.LIPS.stop :]], 1), pose, logit
