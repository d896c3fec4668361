"""BiSeNet, the 19-class face parser of 79999_iter.pth, from facexlib's parts; narrower where asked."""

from __future__ import annotations

import torch.nn.functional as F

from .. import compat  # noqa: F401 - before facexlib

# isort: split
from facexlib.parsing.bisenet import (
    AttentionRefinementModule,
    BiSeNet,
    BiSeNetOutput,
    ContextPath,
    ConvBNReLU,
    FeatureFusionModule,
)
from facexlib.parsing.resnet import ResNet18, create_layer_basic
from torch import Tensor, nn

from .blocks import scale_channels


class FaceParser(BiSeNet):
    """facexlib's BiSeNet with a channel multiplier; ``width == 1`` is the official layout, keys never change.

    forward(x, return_feat=False): x (N, 3, H, W) RGB normalized with ImageNet's mean and deviation, H and W multiples
    of 32 for exact strides. Returns logits of three heads, each (N, classes, H, W); the first is the answer.
    """

    def __init__(self, width: float = 1.0, classes: int = 19) -> None:
        super().__init__(classes)
        self.width, self.classes = width, classes
        if width == 1:
            return
        c = {n: scale_channels(n, width) for n in (64, 128, 256, 512)}
        self.cp = _context(c)
        self.ffm = FeatureFusionModule(c[128] + c[128], c[256])
        self.conv_out = BiSeNetOutput(c[256], c[256], classes)
        self.conv_out16 = BiSeNetOutput(c[128], c[64], classes)
        self.conv_out32 = BiSeNetOutput(c[128], c[64], classes)

    def parse(self, x: Tensor) -> Tensor:
        """Logits of the first head alone, (N, classes, H, W): what inference needs, for less work."""
        feat8, context8, _ = self.cp(x)
        out, _ = self.conv_out(self.ffm(feat8, context8))
        return F.interpolate(out, x.shape[2:], mode="bilinear", align_corners=True)


def _context(c: dict[int, int]) -> ContextPath:
    path = ContextPath()
    resnet: nn.Module = ResNet18()
    resnet.conv1 = nn.Conv2d(3, c[64], 7, 2, 3, bias=False)
    resnet.bn1 = nn.BatchNorm2d(c[64])
    resnet.layer1 = create_layer_basic(c[64], c[64], bnum=2, stride=1)
    resnet.layer2 = create_layer_basic(c[64], c[128], bnum=2, stride=2)
    resnet.layer3 = create_layer_basic(c[128], c[256], bnum=2, stride=2)
    resnet.layer4 = create_layer_basic(c[256], c[512], bnum=2, stride=2)
    path.resnet = resnet
    path.arm16 = AttentionRefinementModule(c[256], c[128])
    path.arm32 = AttentionRefinementModule(c[512], c[128])
    path.conv_head32 = ConvBNReLU(c[128], c[128])
    path.conv_head16 = ConvBNReLU(c[128], c[128])
    path.conv_avg = ConvBNReLU(c[512], c[128], ks=1, stride=1, padding=0)
    return path
