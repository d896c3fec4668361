"""Building blocks of the audio-visual networks, and the rule that scales channel counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def scale_channels(channels: int, width: float) -> int:
    """Channel count of a layer that officially has ``channels``, in a network of relative ``width``.

    Multiples of 8 keep vector units busy; 8 is the least. ``width == 1`` returns ``channels`` itself.
    """
    if width == 1:
        return channels
    return max(8, round(channels * width / 8) * 8)


class ConvBlock(nn.Module):
    """Convolution, batch norm, (+ input), ReLU. Keys: ``conv_block.0`` convolution, ``conv_block.1`` norm."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int | tuple[int, int] = 1,
        padding: int = 1,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv_block(x)
        return torch.relu(out + x if self.residual else out)


class GatedBlock(ConvBlock):
    """A 3x3 residual block with squeeze and excitation (Hu et al. 2018). Keys: ConvBlock's and ``gate.0``,
    ``gate.2``."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__(channels, channels, residual=True)
        hidden = max(4, channels // reduction)
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv_block(x)
        return torch.relu(out * self.gate(out.mean((2, 3)))[:, :, None, None] + x)


class SpeechAttention(nn.Module):
    """Residual cross-attention from the positions of a face map (queries) to those of a speech map (keys, values).

    The output projection starts at zero, so that adding the block to a trained generator changes nothing at first.
    """

    def __init__(self, face: int, speech: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(face)
        self.attention = nn.MultiheadAttention(face, heads, kdim=speech, vdim=speech, batch_first=True)
        nn.init.zeros_(self.attention.out_proj.weight)
        nn.init.zeros_(self.attention.out_proj.bias)

    def forward(self, face: Tensor, speech: Tensor) -> Tensor:
        """face (N, C, H, W), speech (N, D, h, w) -> (N, C, H, W)."""
        query, key = face.flatten(2).transpose(1, 2), speech.flatten(2).transpose(1, 2)
        attended, _ = self.attention(self.norm(query), key, key, need_weights=False)
        return face + attended.transpose(1, 2).unflatten(2, face.shape[2:])


class UpBlock(nn.Module):
    """Transposed convolution, batch norm, ReLU; same keys as ConvBlock."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 2, padding: int = 1) -> None:
        super().__init__()
        extra = 1 if stride == 2 else 0  # so that the size exactly doubles
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, extra), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv_block(x))


class PlainBlock(nn.Module):
    """Convolution and leaky ReLU without a norm (the discriminator's block). Key: ``conv_block.0``."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int | tuple[int, int] = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.leaky_relu(self.conv_block(x), 0.01)


def residual_blocks(channels: int, count: int, gated: bool = False) -> list[nn.Module]:
    """``count`` 3x3 residual blocks."""
    if gated:
        return [GatedBlock(channels) for _ in range(count)]
    return [ConvBlock(channels, channels, residual=True) for _ in range(count)]


def fold_time(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (T*B, C, H, W), time-major: all of the batch's first frames, then all second frames, ..."""
    return x.transpose(1, 2).transpose(0, 1).flatten(0, 1)
