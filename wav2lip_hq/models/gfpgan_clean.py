"""GFPGAN (clean architecture): gfpgan's class with two problems fixed.

Its ``view`` calls fail on channels_last tensors, which are twice as fast on CPUs, and it draws new noise on every call,
which makes video flicker. Weights and keys are unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import compat  # noqa: F401 - basicsr does not import without it

# isort: split
from gfpgan.archs.gfpganv1_clean_arch import GFPGANv1Clean
from gfpgan.archs.stylegan2_clean_arch import ModulatedConv2d


class _Modulated(ModulatedConv2d):
    """ModulatedConv2d for any memory format, with the demodulation (a sum of squares) in float32."""

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        n, inputs = x.shape[:2]
        weight = self.weight.float() * self.modulation(style).float().reshape(n, 1, inputs, 1, 1)
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + self.eps)
        weight = weight.to(x.dtype).flatten(0, 1)
        if self.sample_mode is not None:
            factor = 2.0 if self.sample_mode == "upsample" else 0.5
            x = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
        if n == 1:  # an ordinary convolution keeps channels_last
            return F.conv2d(x, weight, padding=self.padding)
        out = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weight, padding=self.padding, groups=n)
        return out.reshape(n, -1, *out.shape[2:])


class GFPGANClean(GFPGANv1Clean):
    """GFPGAN v1.3 / v1.4 with the defaults."""

    def __init__(
        self,
        out_size: int = 512,
        channel_multiplier: int = 2,
        narrow: float = 1,
        different_w: bool = True,
        sft_half: bool = True,
        num_style_feat: int = 512,
        num_mlp: int = 8,
    ) -> None:
        super().__init__(
            out_size=out_size,
            num_style_feat=num_style_feat,
            channel_multiplier=channel_multiplier,
            decoder_load_path=None,
            fix_decoder=False,
            num_mlp=num_mlp,
            input_is_latent=different_w,  # the two go together in every published version
            different_w=different_w,
            narrow=narrow,
            sft_half=sft_half,
        )
        for module in self.modules():
            if type(module) is ModulatedConv2d:
                module.__class__ = _Modulated  # same weights, other forward

    def forward(
        self,
        x: Tensor,
        return_latents: bool = False,
        return_rgb: bool = True,
        randomize_noise: bool = False,
        noise: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Restore faces.

        x: (N, 3, out_size, out_size) RGB in [-1, 1], FFHQ-aligned. noise: one (1 or N, 1, s, s) for each style
        convolution (see ``make_noise``); None = the checkpoint's own, the same on every call, unless randomize_noise.
        Returns (restored, about [-1, 1], like x; images at smaller sizes, empty unless return_rgb). return_latents is
        there for the reference's argument order and has no effect, as there.
        """
        skips: list[Tensor] = []
        feat = F.leaky_relu(self.conv_body_first(x), 0.2)
        for block in self.conv_body_down:
            feat = block(feat)
            skips.append(feat)
        feat = F.leaky_relu(self.final_conv(feat), 0.2)

        style = self.final_linear(feat.flatten(1))
        if self.different_w:
            style = style.unflatten(1, (-1, self.num_style_feat))

        conditions: list[Tensor] = []
        images: list[Tensor] = []
        for i, block in enumerate(self.conv_body_up):
            feat = block(feat + skips.pop())
            conditions += [self.condition_scale[i](feat), self.condition_shift[i](feat)]
            if return_rgb:
                images.append(self.toRGB[i](feat))
        image, _ = self.stylegan_decoder(
            [style],
            conditions,
            input_is_latent=self.input_is_latent,
            noise=None if noise is None else list(noise),
            randomize_noise=randomize_noise,
        )
        return image, images
