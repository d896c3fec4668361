"""Which network a state dict belongs to, and with which options it was built, by keys and shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Shaped(Protocol):
    """Anything with a shape: a tensor, a numpy array, a header entry."""

    @property
    def shape(self) -> Any: ...


State = Mapping[str, Shaped]
Options = dict[str, Any]


def identify(state: State) -> tuple[str, Options] | None:
    """(architecture name, builder options) of a state dict with plain keys, or None if it is none of ARCHS."""
    for name, infer in LAYOUTS.items():
        options = infer(state)
        if options is not None:
            return name, options
    return None


def infer_width(observed: Mapping[int, int]) -> float | None:
    """The shortest decimal ``width`` for which every official channel count becomes the observed one.

    observed: official count -> count found. None when no width explains them all.
    """
    if all(official == found for official, found in observed.items()):
        return 1.0
    from .blocks import scale_channels

    low, high = 0.0, float("inf")
    for official, found in observed.items():
        if found % 8:
            return None
        if found > 8:
            low = max(low, (found - 4) / official)
        high = min(high, (found + 4) / official)
    if low > high:
        return None
    candidates = [round(low + (high - low) * part, digits) for digits in range(1, 7) for part in (0.5, 0.25, 0.75)]
    for width in (*candidates, low, high):
        if width > 0 and all(scale_channels(o, width) == found for o, found in observed.items()):
            return width
    return None


def _shape(state: State, key: str, axes: int | None = None) -> tuple[int, ...] | None:
    value = state.get(key)
    if value is None:
        return None
    shape = tuple(int(n) for n in value.shape)
    return shape if axes is None or len(shape) == axes else None


def _channels(state: State, keys: Mapping[int, str]) -> dict[int, int] | None:
    """official count -> first dimension of the tensor at the key; None if one is missing."""
    found = {}
    for official, key in keys.items():
        shape = _shape(state, key)
        if not shape:
            return None
        found[official] = shape[0]
    return found


def _count(state: State, prefix: str) -> int:
    """Number of children with integer names under ``prefix``."""
    names = {key[len(prefix) :].split(".", 1)[0] for key in state if key.startswith(prefix)}
    return len([n for n in names if n.isdigit()])


def _wav2lip(state: State) -> Options | None:
    neck = _shape(state, "face_encoder_blocks.6.0.conv_block.0.weight", 4)
    if neck is None or "output_block.1.weight" not in state:
        return None
    keys = {16: "0.0", 32: "1.0", 64: "2.0", 128: "3.0", 256: "4.0", 512: "5.0"}
    found = _channels(state, {c: f"face_encoder_blocks.{at}.conv_block.0.weight" for c, at in keys.items()})
    width = infer_width(found) if found else None
    if width is None:
        return None
    extras = {"gated": "face_encoder_blocks.1.1.gate.0.weight", "attention": "speech_attention.norm.weight"}
    return {"width": width, "size": 32 * neck[2], **{name: True for name, key in extras.items() if key in state}}


def _expert(state: State) -> Options | None:
    first = _shape(state, "face_encoder.0.conv_block.0.weight", 4)
    if first is None or first[1] % 3 or "audio_encoder.13.conv_block.0.weight" not in state:
        return None
    keys = {32: 0, 64: 1, 128: 4, 256: 8, 512: 11}
    found = _channels(state, {c: f"face_encoder.{at}.conv_block.0.weight" for c, at in keys.items()})
    width = infer_width(found) if found else None
    return None if width is None else {"width": width, "frames": first[1] // 3}


def _disc(state: State) -> Options | None:
    return {} if "binary_pred.0.weight" in state and "face_encoder_blocks.6.1.conv_block.0.weight" in state else None


def _syncnet(state: State) -> Options | None:
    found = _channels(
        state,
        {
            64: "netcnnaud.0.weight",
            192: "netcnnaud.4.weight",
            384: "netcnnaud.8.weight",
            96: "netcnnlip.0.weight",
            256: "netcnnlip.4.weight",
            512: "netcnnlip.18.weight",
        },
    )
    width = infer_width(found) if found else None
    return None if width is None else {"width": width}


def _bisenet(state: State) -> Options | None:
    head = _shape(state, "conv_out.conv_out.weight", 4)
    found = _channels(
        state,
        {
            64: "cp.resnet.conv1.weight",
            128: "cp.arm16.conv.conv.weight",
            256: "cp.resnet.layer3.0.conv1.weight",
            512: "cp.resnet.layer4.0.conv1.weight",
        },
    )
    width = infer_width(found) if found and head else None
    return None if width is None or head is None else {"width": width, "classes": head[0]}


def _codeformer(state: State) -> Options | None:
    book = _shape(state, "quantize.embedding.weight", 2)
    if book is None or "position_emb" not in state or "generator.blocks.0.weight" not in state:
        return None
    prefix = "fuse_convs_dict."
    sides = sorted({int(k[len(prefix) :].split(".", 1)[0]) for k in state if k.startswith(prefix)})
    return {"codes": book[0], "layers": _count(state, "ft_layers."), "connections": sides}


def _retinaface(first: str) -> Callable[[State], Options | None]:
    def infer(state: State) -> Options | None:
        return {} if first in state and "ClassHead.0.conv1x1.weight" in state else None

    return infer


def _rrdbnet(state: State) -> Options | None:
    first = _shape(state, "conv_first.weight", 4)
    grow = _shape(state, "body.0.rdb1.conv1.weight", 4)
    if first is None or grow is None or first[1] not in (3, 12, 48):
        return None
    scale = {3: 4, 12: 2, 48: 1}[first[1]]
    return {"num_feat": first[0], "num_block": _count(state, "body."), "num_grow_ch": grow[0], "scale": scale}


def _srvgg(state: State) -> Options | None:
    first = _shape(state, "body.0.weight", 4)
    if first is None or first[1] != 3 or any(not key.startswith("body.") for key in state):
        return None
    indices = [int(k.split(".")[1]) for k in state if k.split(".")[1].isdigit()]
    last = _shape(state, f"body.{max(indices)}.weight", 4)
    if last is None or last[1] != first[0]:
        return None
    upscale = round((last[0] / 3) ** 0.5)
    if 3 * upscale * upscale != last[0]:
        return None
    act = "prelu" if "body.1.weight" in state else "relu"
    return {"num_feat": first[0], "num_conv": (max(indices) - 2) // 2, "upscale": upscale, "act_type": act}


def _gfpgan(state: State) -> Options | None:
    constant = _shape(state, "stylegan_decoder.constant_input.weight", 4)
    linear = _shape(state, "final_linear.weight", 2)
    style = _shape(state, "stylegan_decoder.style_mlp.1.weight", 2)
    levels = _count(state, "stylegan_decoder.to_rgbs.")
    at64 = _shape(state, "stylegan_decoder.to_rgbs.3.modulated_conv.weight", 5)  # levels are 8, 16, 32, 64 px, ...
    half = _shape(state, "condition_scale.0.2.weight", 4)
    if not constant or not linear or not style or not half or levels < 1:
        return None
    narrow = constant[1] / 512
    multiplier = round(at64[2] / (256 * narrow)) if at64 else 2
    return {
        "out_size": 2 ** (levels + 2),
        "channel_multiplier": multiplier,
        "narrow": narrow,
        "different_w": linear[0] != style[0],
        "sft_half": half[0] == half[1],
        "num_style_feat": style[0],
        "num_mlp": len([k for k in state if k.startswith("stylegan_decoder.style_mlp.") and k.endswith("weight")]),
    }


def _articulation(state: State) -> Options | None:
    first, basis = _shape(state, "first.weight", 3), _shape(state, "basis", 3)
    if first is None or basis is None or "blocks.0.conv.weight" not in state:
        return None
    return {"width": first[0], "coefficients": basis[0]}


def _facemesh(state: State) -> Options | None:
    last = _shape(state, "coord_head.6.weight", 4)
    return {} if last is not None and last[0] == 1404 and "conf_head.4.weight" in state else None


def _landmarks(state: State) -> Options | None:
    first = _shape(state, "lips4.weight", 4)
    return {"width": first[0]} if first is not None and "shape.1.weight" in state else None


LAYOUTS: dict[str, Callable[[State], Options | None]] = {
    "wav2lip": _wav2lip,
    "lipsync_expert": _expert,
    "visual_quality_disc": _disc,
    "syncnet_v2": _syncnet,
    "bisenet_79999_iter": _bisenet,
    "codeformer": _codeformer,
    "retinaface_mobilenet0.25": _retinaface("body.stage1.0.0.weight"),
    "retinaface_resnet50": _retinaface("body.layer1.0.conv1.weight"),
    "rrdbnet": _rrdbnet,
    "srvgg": _srvgg,
    "landmarks": _landmarks,
    "facemesh468": _facemesh,
    "articulation": _articulation,
    "gfpgan_clean": _gfpgan,
}
