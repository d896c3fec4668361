"""CodeFormer: restores an aligned 512 px face by predicting codes of a learned dictionary of face parts.

Written from the paper (Zhou et al., NeurIPS 2022) and the published state-dict layout; the official weights are under
S-Lab License 1.0 (non-commercial).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE = 64
MULTIPLIERS = (1, 2, 2, 4, 4, 8)  # channels at 512, 256, 128, 64, 32, 16 px, in units of BASE
LATENT = 256
EMBED = 512
GROUPS = 32


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


class ResBlock(nn.Module):
    """Two 3x3 convolutions, each after a group norm and swish, around a skip."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = _norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm2 = _norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        if inputs != outputs:
            self.conv_out = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(F.silu(self.norm1(x)))
        out = self.conv2(F.silu(self.norm2(out)))
        return out + (self.conv_out(x) if hasattr(self, "conv_out") else x)


class AttnBlock(nn.Module):
    """Single-head self-attention over all positions of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return x + self.proj_out(out.unflatten(2, x.shape[2:]))


class Downsample(nn.Module):
    """Stride-2 convolution padded on the right and bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 2, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest-neighbor doubling, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Encoder(nn.Module):
    """512 px image to the 16 px latent map. ``taps``: side -> index of the last block at that side."""

    def __init__(self) -> None:
        super().__init__()
        channels = [BASE * m for m in MULTIPLIERS]
        blocks: list[nn.Module] = [nn.Conv2d(3, BASE, 3, 1, 1)]
        self.taps: dict[int, int] = {}
        inputs = BASE
        for level, outputs in enumerate(channels):
            lowest = level == len(channels) - 1
            for _ in range(2):
                blocks.append(ResBlock(inputs, outputs))
                inputs = outputs
                if lowest:
                    blocks.append(AttnBlock(outputs))
            if not lowest:
                self.taps[512 >> level] = len(blocks) - 1
                blocks.append(Downsample(outputs))
        blocks += [ResBlock(inputs, inputs), AttnBlock(inputs), ResBlock(inputs, inputs)]
        blocks += [_norm(inputs), nn.Conv2d(inputs, LATENT, 3, 1, 1)]
        self.blocks = nn.ModuleList(blocks)


class Generator(nn.Module):
    """16 px latent map to the 512 px image. ``taps``: side -> index of the block after which features are fused."""

    def __init__(self) -> None:
        super().__init__()
        channels = [BASE * m for m in MULTIPLIERS]
        inputs = channels[-1]
        blocks: list[nn.Module] = [nn.Conv2d(LATENT, inputs, 3, 1, 1)]
        blocks += [ResBlock(inputs, inputs), AttnBlock(inputs), ResBlock(inputs, inputs)]
        self.taps: dict[int, int] = {}
        for level in reversed(range(len(channels))):
            lowest = level == len(channels) - 1
            for repeat in range(2):
                blocks.append(ResBlock(inputs, channels[level]))
                inputs = channels[level]
                if lowest:
                    blocks.append(AttnBlock(inputs))
                if repeat == 0:  # encoder features enter between the two blocks of a level
                    self.taps[512 >> level] = len(blocks) - 1
            if level:
                blocks.append(Upsample(inputs))
        blocks += [_norm(inputs), nn.Conv2d(inputs, 3, 3, 1, 1)]
        self.blocks = nn.ModuleList(blocks)


class Quantize(nn.Module):
    """The dictionary of codes."""

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, LATENT)


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and feed-forward; positions are added to queries and keys only. (L, N, C) in and out."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(EMBED, heads)
        self.linear1 = nn.Linear(EMBED, 2 * EMBED)
        self.linear2 = nn.Linear(2 * EMBED, EMBED)
        self.norm1 = nn.LayerNorm(EMBED)
        self.norm2 = nn.LayerNorm(EMBED)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        h = self.norm1(x)
        query = h + position
        x = x + self.self_attn(query, query, h, need_weights=False)[0]
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


class Fuse(nn.Module):
    """Lets encoder features scale and shift the generator's, by the fidelity weight."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encode_enc = ResBlock(2 * channels, channels)
        self.scale = self._branch(channels)
        self.shift = self._branch(channels)

    @staticmethod
    def _branch(c: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(c, c, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(c, c, 3, 1, 1))

    def forward(self, encoded: Tensor, decoded: Tensor, w: float | Tensor) -> Tensor:
        h = self.encode_enc(torch.cat((encoded, decoded), dim=1))
        return decoded + w * (decoded * self.scale(h) + self.shift(h))


class CodeFormer(nn.Module):
    """Official layout with the defaults: 1024 codes, 9 layers of 8 heads, fused at 32, 64, 128 and 256 px."""

    def __init__(
        self,
        codes: int = 1024,
        layers: int = 9,
        heads: int = 8,
        connections: tuple[int, ...] | list[int] = (32, 64, 128, 256),
    ) -> None:
        super().__init__()
        self.connections = tuple(connections)
        self.encoder = Encoder()
        self.quantize = Quantize(codes)
        self.generator = Generator()
        self.position_emb = nn.Parameter(torch.zeros(256, EMBED))
        self.feat_emb = nn.Linear(LATENT, EMBED)
        self.ft_layers = nn.ModuleList(TransformerLayer(heads) for _ in range(layers))
        self.idx_pred_layer = nn.Sequential(nn.LayerNorm(EMBED), nn.Linear(EMBED, codes, bias=False))
        side = {512 >> i: BASE * m for i, m in enumerate(MULTIPLIERS)}
        self.fuse_convs_dict = nn.ModuleDict({str(s): Fuse(side[s]) for s in self.connections})

    def forward(
        self, x: Tensor, w: float = 0.0, adain: bool = False, code_only: bool = False
    ) -> tuple[Tensor, Tensor, Tensor] | tuple[Tensor, Tensor]:
        """Restore faces.

        x: (N, 3, 512, 512) RGB in [-1, 1], FFHQ-aligned. w: fidelity, 0 = best looking, 1 = closest to the input.
        adain: give the codes the mean and standard deviation of the input, per channel (keeps its colors). code_only:
        stop at the codes. Returns (restored (N, 3, 512, 512) about [-1, 1], code logits (N, 256, codes), latent (N,
        256, 16, 16)), or the last two with code_only.
        """
        keep = {self.encoder.taps[s]: s for s in self.connections}
        encoded: dict[int, Tensor] = {}
        for i, block in enumerate(self.encoder.blocks):
            x = block(x)
            if i in keep and w > 0:
                encoded[keep[i]] = x
        latent = x

        tokens = self.feat_emb(latent.flatten(2).permute(2, 0, 1))  # (256, N, 512)
        position = self.position_emb.unsqueeze(1)
        for layer in self.ft_layers:
            tokens = layer(tokens, position)
        logits = self.idx_pred_layer(tokens).transpose(0, 1)
        if code_only:
            return logits, latent

        x = self.quantize.embedding(logits.argmax(dim=2))  # (N, 256, LATENT)
        x = x.transpose(1, 2).unflatten(2, latent.shape[2:]).contiguous()
        if adain:
            x = adaptive_instance_norm(x, latent)
        fuse = {self.generator.taps[s]: s for s in self.connections}
        for i, block in enumerate(self.generator.blocks):
            x = block(x)
            if i in fuse and w > 0:
                x = self.fuse_convs_dict[str(fuse[i])](encoded[fuse[i]], x, w)
        return x, logits, latent


def adaptive_instance_norm(content: Tensor, style: Tensor, eps: float = 1e-5) -> Tensor:
    """``content`` with the mean and standard deviation of ``style``, per channel; both (N, C, H, W).

    In float32: sums of squares over a map overflow half precision.
    """
    c, s = content.float(), style.float()
    c_var, c_mean = torch.var_mean(c, dim=(2, 3), keepdim=True)
    s_var, s_mean = torch.var_mean(s, dim=(2, 3), keepdim=True)
    out = (c - c_mean) / (c_var + eps).sqrt() * (s_var + eps).sqrt() + s_mean
    return out.to(content.dtype)
