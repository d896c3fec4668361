"""The ESRGAN family, as basicsr and realesrgan define it."""

from __future__ import annotations

from torch import nn

from .. import compat  # noqa: F401 - neither imports without it


def build_rrdbnet(num_feat: int = 64, num_block: int = 23, num_grow_ch: int = 32, scale: int = 4) -> nn.Module:
    """RRDBNet (ESRGAN, RealESRGAN_x4plus, x2plus). (N, 3, H, W) RGB in [0, 1] -> ``scale`` times as large.

    Scale 2 and 1 need H and W divisible by 2 and 4.
    """
    from basicsr.archs.rrdbnet_arch import RRDBNet

    module: nn.Module = RRDBNet(3, 3, scale=scale, num_feat=num_feat, num_block=num_block, num_grow_ch=num_grow_ch)
    return module


def build_srvgg(num_feat: int = 64, num_conv: int = 32, upscale: int = 4, act_type: str = "prelu") -> nn.Module:
    """SRVGGNetCompact (realesr-general-x4v3 and the like). (N, 3, H, W) RGB in [0, 1] -> ``upscale`` times as large."""
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact

    module: nn.Module = SRVGGNetCompact(3, 3, num_feat=num_feat, num_conv=num_conv, upscale=upscale, act_type=act_type)
    return module
