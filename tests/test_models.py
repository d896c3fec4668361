"""Architectures: official layouts key for key, parity with the published implementations, identification."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from wav2lip_hq import models
from wav2lip_hq.errors import OptionError
from wav2lip_hq.models.blocks import scale_channels

Shared = Callable[[str], Path]
LAYOUTS = ("wav2lip", "lipsync_expert", "visual_quality_disc", "syncnet_v2", "bisenet_79999_iter", "codeformer")
# Small options a builder takes, for tests that need every architecture but not its size.
SMALL: dict[str, dict[str, Any]] = {
    "wav2lip": {"width": 0.25},
    "lipsync_expert": {"width": 0.25, "frames": 3},
    "visual_quality_disc": {},
    "syncnet_v2": {"width": 0.25},
    "bisenet_79999_iter": {"width": 0.25, "classes": 11},
    "codeformer": {"layers": 1, "codes": 8, "connections": [32, 64]},
    "retinaface_mobilenet0.25": {},
    "retinaface_resnet50": {},
    "rrdbnet": {"num_feat": 8, "num_block": 2, "num_grow_ch": 4, "scale": 2},
    "srvgg": {"num_feat": 8, "num_conv": 3, "upscale": 3},
    "landmarks": {"width": 16},
    "articulation": {"width": 16, "coefficients": 4},
    "facemesh468": {},
    "gfpgan_clean": {"out_size": 64, "narrow": 0.125},
}


@pytest.fixture(scope="module")
def layouts(shared: Shared) -> dict[str, dict[str, list[int]]]:
    return dict(json.loads(shared("golden/layouts.json").read_text()))


@pytest.fixture(scope="module")
def filled(shared: Shared) -> Callable[[str, str], tuple[nn.Module, Any]]:
    """filled(architecture, golden file) -> (network with the golden weights, the arrays)."""
    path = shared("golden/fill.py")
    spec = importlib.util.spec_from_file_location("golden_fill", path)
    assert spec and spec.loader
    fill: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)

    def make(name: str, file: str) -> tuple[nn.Module, Any]:
        arrays = np.load(shared(f"golden/{file}.npz"))
        gain = float(arrays["gain"])
        module = models.build(name)
        state = {k: torch.from_numpy(fill.fill(k, tuple(v.shape), gain)) for k, v in module.state_dict().items()}
        module.load_state_dict(state)
        return module, arrays

    return make


def tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32))


def check(what: str, found: torch.Tensor, expected: Any, limit: float = 1e-4) -> None:
    """Largest error within ``limit`` of the expected output's range."""
    want = np.asarray(expected, dtype=np.float64)
    assert tuple(found.shape) == want.shape
    error = np.abs(found.numpy().astype(np.float64) - want).max() / (want.max() - want.min())
    print(f"parity | {what} | {error:.1e}")
    assert error <= limit


@pytest.mark.parametrize("name", LAYOUTS)
def test_official_layout_key_for_key(name: str, layouts: dict[str, dict[str, list[int]]]) -> None:
    state = models.build(name).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == layouts[name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_identified_from_shapes(name: str, layouts: dict[str, dict[str, list[int]]]) -> None:
    state = {k: torch.empty(shape, device="meta") for k, shape in layouts[name].items()}
    found = models.identify(state)
    assert found is not None and found[0] == name
    assert found[1].get("width", 1.0) == 1.0


@torch.inference_mode()
def test_generator_parity(filled: Any) -> None:
    net, a = filled("wav2lip", "wav2lip_generator")
    mel, face = tensor(a["mel"]), tensor(a["face"])
    check("wav2lip output", net(mel, face), a["output"])
    # Sequences: (B, T, ...) and (B, C, T, ...) give what single frames give.
    single = net(mel[[0, 1, 2, 0]], face[[0, 1, 2, 0]])
    pairs = net(mel[[0, 1, 2, 0]].unflatten(0, (2, 2)), face[[0, 1, 2, 0]].unflatten(0, (2, 2)).transpose(1, 2))
    assert pairs.shape == (2, 3, 2, 96, 96)
    torch.testing.assert_close(pairs.transpose(1, 2).flatten(0, 1), single, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_expert_parity(filled: Any) -> None:
    net, a = filled("lipsync_expert", "lipsync_expert")
    audio, face = net(tensor(a["mel"]), tensor(a["face"]))
    check("lipsync_expert audio_embedding", audio, a["audio_embedding"])
    check("lipsync_expert face_embedding", face, a["face_embedding"])


@torch.inference_mode()
def test_discriminator_parity(filled: Any) -> None:
    net, a = filled("visual_quality_disc", "visual_quality_disc")
    face = tensor(a["face"])
    out = net(face)
    check("visual_quality_disc output", out, a["output"])
    loss = -out.double().log().mean()
    assert float(net.perceptual_forward(face)) == pytest.approx(float(loss), rel=1e-4)
    face[:, :, :, :48] = 0  # the upper half must have no influence
    assert torch.equal(net(face), out)


@torch.inference_mode()
def test_syncnet_v2_parity(filled: Any) -> None:
    net, a = filled("syncnet_v2", "lse")
    windows = a["lip_embedding"].shape[0]
    frames = tensor(a["frames28"]).repeat_interleave(8, 1).repeat_interleave(8, 2).permute(3, 0, 1, 2)
    mfcc = tensor(a["mfcc"])
    lip = torch.cat([net.forward_lip(frames[None, :, i : i + 5]) for i in range(windows)])
    audio = net.forward_aud(torch.stack([mfcc[None, :, 4 * i : 4 * i + 20] for i in range(windows)]))
    check("syncnet_v2 lip_embedding", lip, a["lip_embedding"])
    check("syncnet_v2 audio_embedding", audio, a["audio_embedding"])


@torch.inference_mode()
def test_bisenet_parity(filled: Any) -> None:
    net, a = filled("bisenet_79999_iter", "bisenet")
    image = tensor(a["image"])
    logits = net(image)[0]
    check("bisenet logits", logits[:, :, ::2, ::2], a["logits"])
    agree = float((logits.argmax(1).numpy() == a["labels"]).mean())
    print(f"parity | bisenet labels that agree | {agree:.6f}")
    assert agree > 0.9999
    assert torch.equal(net.parse(image), logits)


@torch.inference_mode()
def test_codeformer_parity(filled: Any) -> None:
    net, a = filled("codeformer", "codeformer")
    x = F.interpolate(tensor(a["input32"]), (512, 512), mode="bilinear", align_corners=False)
    for w in (0.0, 0.5, 1.0):
        out, logits, _ = net(x, w=w, adain=True)
        check(f"codeformer w={w}", out[:, :, ::4, ::4], a[f"output_w{w}"])
    check("codeformer code_logits", logits[:, ::16], a["code_logits"])


def psnr(found: torch.Tensor, expected: torch.Tensor, peak: float) -> float:
    return float(10 * torch.log10(peak**2 / (found.float() - expected).square().mean()))


@torch.inference_mode()
def test_bf16_safe_networks_stay_within_45_db(filled: Any, shared: Shared) -> None:
    half = torch.bfloat16
    net, a = filled("wav2lip", "wav2lip_generator")
    mel, face = tensor(a["mel"]), tensor(a["face"])
    want = net(mel, face)
    assert psnr(net.to(half)(mel.to(half), face.to(half)), want, 1.0) > 45
    net, a = filled("bisenet_79999_iter", "bisenet")
    image = tensor(a["image"])
    want = net.parse(image)
    assert psnr(net.to(half).parse(image.to(half)), want, float(want.max() - want.min())) > 45
    net, a = filled("lipsync_expert", "lipsync_expert")
    want = net(tensor(a["mel"]), tensor(a["face"]))
    found = net.to(half)(tensor(a["mel"]).to(half), tensor(a["face"]).to(half))
    assert all(float((f.float() * w).sum(1).min()) > 0.999 for f, w in zip(found, want, strict=True))
    for name in ("wav2lip", "bisenet_79999_iter", "lipsync_expert"):
        assert models.ARCHS[name].bf16_safe


@pytest.mark.parametrize("name", models.ARCHS)
def test_small_networks_round_trip_through_identify(name: str) -> None:
    module = models.build(name, **SMALL[name])
    state = module.state_dict()
    found = models.identify(state)
    assert found is not None and found[0] == name
    models.build(name, **found[1]).load_state_dict(state)
    for key, value in SMALL[name].items():
        assert found[1][key] == value
    assert not module.training


@pytest.mark.parametrize("width", [0.25, 0.375, 0.5, 0.6, 0.77, 1.5])
@pytest.mark.parametrize("name", ["wav2lip", "lipsync_expert", "syncnet_v2", "bisenet_79999_iter"])
def test_width_keeps_keys_and_is_inferred(name: str, width: float) -> None:
    with torch.device("meta"):
        module = models.build(name, width=width)
        official = models.build(name)
    assert module.state_dict().keys() == official.state_dict().keys()
    found = models.identify(module.state_dict())
    assert found is not None
    with torch.device("meta"):
        again = models.build(name, **found[1])
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in module.state_dict().items()}


def test_channel_rule() -> None:
    assert [scale_channels(c, 0.5) for c in (16, 32, 96, 512)] == [8, 16, 48, 256]
    assert scale_channels(16, 0.25) == 8  # never fewer
    assert scale_channels(100, 1.0) == 100  # official counts are untouched
    assert models.infer_width({64: 32, 128: 128}) is None  # no width explains both


@pytest.mark.parametrize("size", [64, 96, 128, 192])
@torch.inference_mode()
def test_generator_sizes(size: int) -> None:
    net = models.build("wav2lip", width=0.25, size=size)
    assert net(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, size, size)).shape == (1, 3, size, size)
    assert models.identify(net.state_dict()) == ("wav2lip", {"width": 0.25, "size": size})


@torch.inference_mode()
def test_narrow_outputs_have_official_dimensions() -> None:
    audio, face = models.build("lipsync_expert", width=0.25)(torch.zeros(2, 1, 80, 16), torch.rand(2, 15, 48, 96))
    assert audio.shape == face.shape == (2, 512)
    a, v = models.build("syncnet_v2", width=0.25)(torch.zeros(1, 1, 13, 20), torch.zeros(1, 3, 5, 224, 224))
    assert a.shape == v.shape == (1, 1024)
    heads = models.build("bisenet_79999_iter", width=0.25)(torch.zeros(1, 3, 64, 96))
    assert [h.shape for h in heads] == [(1, 19, 64, 96)] * 3


@torch.inference_mode()
def test_gfpgan_is_the_packages_function_without_its_flicker() -> None:
    torch.manual_seed(0)
    ours = models.build("gfpgan_clean", out_size=64, narrow=0.125)
    from gfpgan.archs.gfpganv1_clean_arch import GFPGANv1Clean

    theirs = GFPGANv1Clean(
        64, channel_multiplier=2, fix_decoder=False, input_is_latent=True, different_w=True, narrow=0.125, sft_half=True
    ).eval()
    for key, value in ours.state_dict().items():  # noise strengths start at zero: make the noise count
        if key.endswith(("style_conv1.weight",)) or (".style_convs." in key and value.numel() == 1):
            value.fill_(0.3)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 64, 64)
    want, want_small = theirs(x, randomize_noise=False)
    got, got_small = ours(x)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(got_small[-1], want_small[-1], atol=1e-5, rtol=1e-4)
    assert torch.equal(got, ours(x)[0])
    assert not torch.equal(got, ours(x, randomize_noise=True)[0])
    last = ours.to(memory_format=torch.preserve_format)(x.contiguous(memory_format=torch.channels_last))[0]
    torch.testing.assert_close(last, want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours(x[:1])[0], want[:1], atol=1e-5, rtol=1e-4)  # the path for single faces


@torch.inference_mode()
def test_detectors_build_without_weights_or_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a builder reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("retinaface_mobilenet0.25", "retinaface_resnet50"):
        net = models.build(name)
        boxes, scores, points = net(torch.zeros(1, 3, 64, 96))
        anchors = 2 * (8 * 12 + 4 * 6 + 2 * 3)
        assert boxes.shape == (1, anchors, 4) and scores.shape == (1, anchors, 2) and points.shape == (1, anchors, 10)
        assert next(net.parameters()).device.type == "cpu"


@torch.inference_mode()
def test_upscalers_scale() -> None:
    x = torch.rand(1, 3, 16, 24)
    for name, options, scale in (
        ("rrdbnet", {"num_feat": 8, "num_block": 1, "scale": 4}, 4),
        ("rrdbnet", {"num_feat": 8, "num_block": 1, "scale": 2}, 2),
        ("rrdbnet", {"num_feat": 8, "num_block": 1, "scale": 1}, 1),
        ("srvgg", {"num_feat": 8, "num_conv": 2, "upscale": 4}, 4),
    ):
        assert models.build(name, **options)(x).shape == (1, 3, 16 * scale, 24 * scale)


def test_real_compact_checkpoint_is_identified(shared: Shared) -> None:
    blob = torch.load(shared("data/weights/realesr-general-x4v3.converted_fp16.pth"), weights_only=True)
    found = models.identify(blob["params"])
    assert found == ("srvgg", {"num_feat": 64, "num_conv": 32, "upscale": 4, "act_type": "prelu"})
    models.build(*found[:1], **found[1]).load_state_dict(blob["params"])


def test_unknown_names_and_options_are_named() -> None:
    with pytest.raises(OptionError, match="unknown architecture 'wav2lop'"):
        models.build("wav2lop")
    with pytest.raises(OptionError, match="color"):
        models.build("wav2lip", color=1)
    assert models.identify({"x": torch.zeros(1)}) is None
    assert models.identify({}) is None
