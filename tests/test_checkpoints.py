"""Checkpoints by name: saving, the registry, where files are looked for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from containers import same, write_bare
from torch import nn

from wav2lip_hq import checkpoints, models
from wav2lip_hq.checkpoints import catalog as catalog_file
from wav2lip_hq.errors import CheckpointError, OutputError

Shared = Callable[[str], Path]
pytestmark = pytest.mark.usefixtures("own_folder")


# ---------------------------------------------------------------------------------------------------- saving


def test_save_and_load_by_name(generator: nn.Module, own_folder: Path) -> None:
    card = {"task": "generator", "figures": {"psnr": np.float32(30.5)}, "license": "research only"}
    path = checkpoints.save(own_folder / "mine.safetensors", generator, "wav2lip", {"width": 0.25}, card)
    loaded = checkpoints.load("mine", "wav2lip")
    assert loaded.path == path and same(loaded.module.state_dict(), generator)
    assert loaded.card["figures"]["psnr"] == 30.5 and loaded.license == "research only"
    assert [p.name for p in own_folder.iterdir()] == ["mine.safetensors"]  # nothing left over
    assert path.stat().st_mode & 0o444 == 0o444


def test_save_half(generator: nn.Module, tmp_path: Path) -> None:
    state = dict(generator.state_dict())
    state["output_block.1.weight"] = torch.full_like(state["output_block.1.weight"], 1e6)  # float16 cannot hold it
    path = checkpoints.save(tmp_path / "h.safetensors", state, "wav2lip", {"width": 0.25}, half=True)
    full = checkpoints.save(tmp_path / "f.safetensors", state, "wav2lip", {"width": 0.25})
    assert path.stat().st_size < 0.55 * full.stat().st_size
    stored, _ = checkpoints.load_state(path, upcast=False)
    assert stored["audio_encoder.0.conv_block.0.weight"].dtype == torch.float16
    assert stored["audio_encoder.0.conv_block.1.running_var"].dtype == torch.float32
    assert torch.equal(stored["output_block.1.weight"], state["output_block.1.weight"])
    loaded = checkpoints.load(path).module.state_dict()
    assert all(v.dtype in (torch.float32, torch.int64) for v in loaded.values())
    key = "face_encoder_blocks.3.1.conv_block.0.weight"
    torch.testing.assert_close(loaded[key], state[key], atol=1e-3, rtol=1e-3)


def test_failed_save_leaves_the_old_file(generator: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoints.save(tmp_path / "g.safetensors", generator, "wav2lip")
    before = path.read_bytes()

    def full(*args: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        checkpoints.save(path, generator, "wav2lip")
    assert path.read_bytes() == before and len(list(tmp_path.glob("*g.safetensors*"))) == 1


# ---------------------------------------------------------------------------------------------------- names


def test_registry_is_complete_and_consistent() -> None:
    catalog = checkpoints.registry()
    names = """wav2lip wav2lip_gan lipsync_expert visual_quality_disc syncnet_v2 bisenet parsenet s3fd
        retinaface_mobilenet0.25 retinaface_resnet50 realesrgan_x4plus realesrgan_x2plus realesr_general_x4v3 esrgan_hq
        gfpgan_v1.3 gfpgan_v1.4 codeformer inception-fid lpips_vgg lpips_alex""".split()
    for name in names:
        assert name in catalog, name
    for entry in catalog:
        assert entry.arch is None or entry.arch in models.ARCHS, entry.name
        assert entry.commercial in ("yes", "no", "unclear"), entry.name
        assert entry.license and entry.license_origin and entry.title and entry.variants, entry.name
        for v in entry.variants:
            assert re.fullmatch(r"|[0-9a-f]{8,63}|[0-9a-f]{64}", v.sha256), entry.name
            assert bool(v.sha256) == bool(v.hash_origin), f"{entry.name}: say where the hash comes from"
            assert all(u.startswith(("https://", "http://", "gdrive:")) for u in v.urls)
    hashes = [v.sha256 for e in catalog for v in e.variants if v.sha256]
    assert len(hashes) == len(set(hashes))
    files = [f for e in catalog for f in e.files]
    assert len(files) == len(set(files))


def test_registry_says_what_the_reference_list_says(shared: Shared) -> None:
    text = shared("reference/checkpoints.md").read_text()
    listed = set(re.findall(r"[0-9a-f]{64}", text))
    entries = [v for e in checkpoints.registry() for v in e.variants]
    assert listed <= {v.sha256 for v in entries}
    for variant in entries:
        if variant.sha256 in listed and variant.size is not None:
            row = next(line for line in text.splitlines() if variant.sha256 in line)
            assert f"{variant.size:,}" in row


def test_missing_checkpoint_prints_the_command() -> None:
    with pytest.raises(CheckpointError, match=r"(?m)^    wav2lip-hq checkpoints fetch gfpgan_v1\.4$"):
        checkpoints.load("gfpgan")
    with pytest.raises(CheckpointError, match="checkpoints import lipsync_expert.pth --name lipsync_expert"):
        checkpoints.load("lipsync_expert")
    with pytest.raises(CheckpointError, match="did you mean codeformer"):
        checkpoints.load("codeformr")
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        checkpoints.load("somewhere/else.pth")


def test_search_order(own_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = tmp_path / "second"
    cache = tmp_path / "cache" / "wav2lip_hq" / "checkpoints"
    for folder in (own_folder, second, cache):
        folder.mkdir(parents=True)
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", os.pathsep.join(map(str, (own_folder, second))))
    assert checkpoints.locate("bisenet") is None
    (second / "face_segmentation.pth").touch()
    assert checkpoints.locate("bisenet") == second / "face_segmentation.pth"
    assert checkpoints.locate("79999_iter") == second / "face_segmentation.pth"  # by alias
    (own_folder / "79999_iter.pth").touch()
    assert checkpoints.locate("bisenet") == own_folder / "79999_iter.pth"
    assert checkpoints.where()[:2] == [own_folder, second] and checkpoints.cache_dir() == own_folder
    assert checkpoints.locate("../second/face_segmentation") is None  # a name is not a path
    monkeypatch.delenv("WAV2LIP_HQ_CHECKPOINTS")
    (cache / "codeformer.pth").touch()
    assert checkpoints.locate("codeformer") == checkpoints.cache_dir() / "codeformer.pth"


def test_embedded_names(
    generator: nn.Module, own_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under checkpoints/embedded of a checkout and under _data of an installed package, by either file name."""
    checkpoints.registry()  # read before its folder is hidden
    for package, folder in (
        (tmp_path / "checkout" / "wav2lip_hq", tmp_path / "checkout" / "checkpoints"),
        (tmp_path / "wheel" / "wav2lip_hq", tmp_path / "wheel" / "wav2lip_hq" / "_data" / "checkpoints"),
    ):
        monkeypatch.setattr(catalog_file, "_PACKAGE", package)
        with pytest.raises(CheckpointError, match="'embedded-generator' are missing from this installation"):
            checkpoints.load("embedded-generator")
        card = {"license": "research only"}
        for file in ("embedded-generator", "generator"):
            path = checkpoints.save(
                folder / "embedded" / f"{file}.safetensors", generator, "wav2lip", {"width": 0.25}, card, half=True
            )
            loaded = checkpoints.load("embedded-generator", "wav2lip")
            assert loaded.path == path and loaded.name == "embedded-generator" and loaded.license == "research only"
            path.unlink()


def test_stated_options_win_and_nonsense_is_refused(generator: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    checkpoints.save(path, generator, "wav2lip", {"width": 0.25})
    assert checkpoints.load(path).options == {"width": 0.25, "size": 96}
    checkpoints.save(path, generator, "bisenet_79999_iter", {"width": 3})  # says one thing, is another
    assert checkpoints.load(path).arch.name == "wav2lip"
    checkpoints.save(path, generator, "wav2lip", {"depth": 3})
    with pytest.raises(CheckpointError, match="its own description does not make a network"):
        checkpoints.load(path)


def test_published_hash_is_checked_at_load(generator: nn.Module, own_folder: Path) -> None:
    own_folder.mkdir()
    write_bare(generator, own_folder / "wav2lip_gan.pth")  # a fine generator, but not the published one
    with pytest.raises(CheckpointError, match="not the published 'wav2lip_gan', or damaged"):
        checkpoints.load("wav2lip_gan")
    assert checkpoints.load(own_folder / "wav2lip_gan.pth").arch.name == "wav2lip"  # by path it is the user's own
    (check,) = checkpoints.verify("wav2lip_gan")
    assert check.state == "damaged"
    assert {c.state for c in checkpoints.verify()} == {"damaged", "missing"}
