"""Network architectures: one file each, and ARCHS, the table of them with their facts.

``build("wav2lip")`` makes one with random weights; ``identify(state)`` says which one a state dict belongs to.
Importing this package is cheap: a network's own file is imported when it is first built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from .layouts import LAYOUTS, identify, infer_width

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ARCHS", "LAYOUTS", "Arch", "build", "identify", "infer_width"]


@dataclass(frozen=True)
class Arch:
    """Facts about an architecture.

    half_safe / bf16_safe: may compute in float16 / bfloat16 (within 45 dB of float32, nothing overflows).
    """

    name: str
    title: str  # as in "this is a ..., expected a ..."
    builder: Callable[..., nn.Module]
    scale: int = 1  # output side over input side, for networks that make images
    size: int | None = None  # side of the square input; None = any
    half_safe: bool = False
    bf16_safe: bool = False


def _from(where: str, **fixed: Any) -> Callable[..., nn.Module]:
    """The builder at "file:name" of this package, imported when it is first called."""
    file, _, name = where.partition(":")

    def builder(**options: Any) -> nn.Module:
        module: nn.Module = getattr(import_module(f".{file}", __package__), name)(**fixed, **options)
        return module

    return builder


_TABLE = (
    Arch("wav2lip", "Wav2Lip generator", _from("wav2lip:Wav2Lip"), 1, 96, True, True),
    Arch("lipsync_expert", "lip-sync expert", _from("lipsync_expert:LipsyncExpert"), 1, 96, True, True),
    Arch(
        "visual_quality_disc",
        "Wav2Lip visual-quality discriminator",
        _from("visual_quality_disc:VisualQualityDisc"),
        1,
        96,
        True,
        True,
    ),
    # LSE compares small differences of large distances: float32 only.
    Arch("syncnet_v2", "SyncNet (syncnet_v2)", _from("syncnet_v2:SyncNetV2"), 1, 224, False, False),
    Arch("bisenet_79999_iter", "BiSeNet parser", _from("bisenet:FaceParser"), 1, 512, True, True),
    # Group norms overflow in float16; in bfloat16 3.5 % of the codes change (measured: 37 dB).
    Arch("codeformer", "CodeFormer restorer", _from("codeformer:CodeFormer"), 1, 512, False, False),
    Arch(
        "retinaface_mobilenet0.25",
        "RetinaFace detector (MobileNet 0.25)",
        _from("retinaface:build_retinaface", backbone="mobilenet0.25"),
        1,
        None,
        True,
        True,
    ),
    Arch(
        "retinaface_resnet50",
        "RetinaFace detector (ResNet-50)",
        _from("retinaface:build_retinaface", backbone="resnet50"),
        1,
        None,
        True,
        True,
    ),
    Arch("rrdbnet", "RRDBNet (ESRGAN) upscaler", _from("esrgan:build_rrdbnet"), 4, None, True, True),
    Arch("srvgg", "Real-ESRGAN compact upscaler", _from("esrgan:build_srvgg"), 4, None, True, True),
    # Half a pixel of its input is a mouth ajar, and bfloat16 would round positions to 0.5 px.
    Arch("landmarks", "dense landmark network", _from("landmarks:Landmarks"), 1, 128, False, False),
    # Tiny, and closed lips are small numbers: float32 costs nothing.
    Arch("articulation", "articulation network", _from("articulation:Articulation"), 1, None, False, False),
    # Measures mouths: float32, so that figures are the same everywhere.
    Arch("facemesh468", "MediaPipe face mesh (468 points)", _from("facemesh:FaceMesh"), 1, 192, False, False),
    Arch("gfpgan_clean", "GFPGAN restorer", _from("gfpgan_clean:GFPGANClean"), 1, 512, False, True),
)
ARCHS: dict[str, Arch] = {arch.name: arch for arch in _TABLE}


def build(name: str, **options: Any) -> nn.Module:
    """A network with random weights, in eval mode. options: those of its class (width, size, ...).

    Raises OptionError for an unknown name or an option the network does not have.
    """
    if name not in ARCHS:
        raise OptionError(f"unknown architecture '{name}'; there are {', '.join(ARCHS)}")
    try:
        return ARCHS[name].builder(**options).eval()
    except TypeError as error:
        raise OptionError(f"cannot build '{name}' with {options}: {error}") from error
