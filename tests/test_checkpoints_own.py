"""The user's own weights: imported under a new name, used by that name, listed, suggested where they fit."""

from __future__ import annotations

import json

import pytest
import torch

from wav2lip_hq import checkpoints, models
from wav2lip_hq.cli import main
from wav2lip_hq.config import load_preset, set_options
from wav2lip_hq.errors import CheckpointError, OptionError, UnknownNetwork
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import LipSync, Restore


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "own"


@pytest.fixture
def generator(tmp_path):
    torch.manual_seed(0)
    module = models.build("wav2lip", width=0.125)
    path = tmp_path / "epoch 12.pth"
    torch.save({"state_dict": module.state_dict()}, path)
    return module, path


def test_a_generator_under_a_name_of_ones_own(folder, generator, capsys):
    module, path = generator
    assert main(["checkpoints", "import", str(path), "--name", "anna", "--arch", "wav2lip"]) == 0
    said = capsys.readouterr().out
    assert "a Wav2Lip generator: use it as --set STAGE.model=anna" in said and str(folder / "anna.safetensors") in said
    loaded = checkpoints.load("anna", "wav2lip")
    for key, value in module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[key], value.to(loaded.module.state_dict()[key].dtype)), key
    assert loaded.card["imported"]["file"] == "epoch 12.pth"
    stages = set_options(load_preset("generated"), ["lipsync.model=anna"])
    runtime = Runtime("cpu", "fp32")
    next(s for s in stages if isinstance(s, LipSync)).load(runtime)
    assert main(["checkpoints", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["anna"]["title"] == "your own wav2lip"
    with pytest.raises(CheckpointError, match="the name 'anna' is taken"):
        checkpoints.import_file(path, "anna")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wav2lip_gen", "did you mean wav2lip_gan"),
        ("embedded-generatr", "did you mean embedded-generator"),
        ("a/b", "cannot be a checkpoint's name"),
        ("anna.pth", "cannot be a checkpoint's name"),
        ("", "cannot be a checkpoint's name"),
    ],
)
def test_names_that_cannot_be(folder, generator, name, message):
    with pytest.raises(OptionError, match=message):
        checkpoints.import_file(generator[1], name)
    assert not folder.exists()


def test_the_wrong_kind_and_no_checkpoint_at_all(folder, generator, tmp_path):
    with pytest.raises(CheckpointError, match="this is a Wav2Lip generator, expected a RRDBNet"):
        checkpoints.import_file(generator[1], "anna", arch="rrdbnet")
    with pytest.raises(OptionError, match="unknown architecture 'wav2lp'; did you mean 'wav2lip'"):
        checkpoints.import_file(generator[1], "anna", arch="wav2lp")
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(CheckpointError, match="web page"):
        checkpoints.import_file(tmp_path / "page.pth", "anna")
    assert not folder.exists()


def test_a_network_of_unknown_architecture_is_kept_for_spandrel(folder, tmp_path):
    torch.save({"strange.weight": torch.ones(3, 3)}, tmp_path / "strange.pth")
    said: list[str] = []
    entry, path = checkpoints.import_file(tmp_path / "strange.pth", "strange", say=said.append)
    assert entry.arch is None and "only restore.model can use it" in said[0] and path.is_file()
    with pytest.raises(UnknownNetwork):
        checkpoints.load("strange")
    with pytest.raises(UnknownNetwork):
        checkpoints.import_file(tmp_path / "strange.pth", "stranger", arch="rrdbnet")


def test_only_what_fits_is_suggested(folder, generator):
    checkpoints.import_file(generator[1], "anna")
    runtime = Runtime("cpu", "fp32")
    with pytest.raises(CheckpointError) as caught:
        LipSync("nobody").load(runtime)
    text = str(caught.value)
    assert all(name in text for name in ("anna", "embedded-generator", "wav2lip_gan", "wav2lip"))
    assert "codeformer" not in text and "embedded-parser" not in text
    with pytest.raises(CheckpointError, match="did you mean 'codeformer'"):
        Restore("codefromer").load(runtime)
    with pytest.raises(CheckpointError, match="expected a"):
        Restore("anna").load(runtime)


def test_sync_or_looks_are_both_known_by_name():
    """The plain generator and the sharper one are two checkpoints; each says how to get it."""
    listed = checkpoints.registry()
    assert listed.require("wav2lip").arch == listed.require("wav2lip_gan").arch == "wav2lip"
    assert all(v.sha256 for name in ("wav2lip", "wav2lip_gan") for v in listed.require(name).variants)
