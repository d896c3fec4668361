"""Checkpoints: every published container and wrapper, hostile files, wrong files, names, and a bad download server."""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import os
import pickle
import re
import socket
import struct
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wav2lip_hq import checkpoints, models
from wav2lip_hq.checkpoints import Entry, Notes, Registry, Variant, fetching
from wav2lip_hq.checkpoints import catalogue as catalogue_file
from wav2lip_hq.errors import CheckpointError, OptionError, OutputError

Shared = Callable[[str], Path]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has its own, empty checkpoint folder."""
    folder = tmp_path / "checkpoint folder"
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture(scope="module")
def generator() -> nn.Module:
    torch.manual_seed(0)
    return models.build("wav2lip", width=0.25)


def same(found: dict[str, Tensor], module: nn.Module) -> bool:
    expected = module.state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[k], v) for k, v in expected.items())


# ---------------------------------------------------------------------------------------------------- containers


def _bare(g: nn.Module, path: Path) -> None:
    torch.save(g.state_dict(), path)


def _old_format(g: nn.Module, path: Path) -> None:
    torch.save(g.state_dict(), path, _use_new_zipfile_serialization=False)


def _training(g: nn.Module, path: Path) -> None:
    """As Wav2Lip's training writes it: module. prefix, optimizer baggage, counters, arguments."""
    optimizer = torch.optim.Adam(g.parameters())
    for p in g.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    state = {f"module.{k}": v for k, v in g.state_dict().items()}
    torch.save(
        {
            "state_dict": state,
            "optimizer": optimizer.state_dict(),
            "global_step": 7,
            "args": argparse.Namespace(lr=1e-4),
            "loss": np.float64(0.25),
        },
        path,
    )


def _averaged(g: nn.Module, path: Path) -> None:
    raw = {k: torch.zeros_like(v) for k, v in g.state_dict().items()}
    torch.save({"params": raw, "params_ema": g.state_dict()}, path)


def _params(g: nn.Module, path: Path) -> None:
    torch.save({"params": g.state_dict(), "epoch": 3}, path, _use_new_zipfile_serialization=False)


def _ema(g: nn.Module, path: Path) -> None:
    torch.save({"g_ema": g.state_dict(), "g": {k: v * 0 for k, v in g.state_dict().items()}}, path)


def _script(g: nn.Module, path: Path) -> None:
    example = (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96))
    torch.jit.save(torch.jit.trace(g, example), str(path))


def _safetensors(g: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({f"module._orig_mod.{k}": v for k, v in g.state_dict().items()}, str(path))


CONTAINERS = (_bare, _old_format, _training, _averaged, _params, _ema, _script, _safetensors)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("write", CONTAINERS, ids=lambda f: f.__name__.strip("_"))
def test_containers_and_wrappers(
    write: Callable[[nn.Module, Path], None], generator: nn.Module, tmp_path: Path
) -> None:
    g = models.build("wav2lip", width=0.25)
    g.load_state_dict(generator.state_dict())
    path = tmp_path / "a file.pth"
    write(g, path)
    loaded = checkpoints.load(path, "wav2lip")
    assert same(loaded.module.state_dict(), g)
    assert loaded.arch.name == "wav2lip" and loaded.options["width"] == 0.25
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not loaded.module.training


@pytest.mark.parametrize("zipped", [True, False])
def test_every_element_type_and_memory_layout(zipped: bool, tmp_path: Path) -> None:
    base = torch.arange(24.0)
    state = {
        "f64": base.double(),
        "f16": base.half(),
        "bf16": base.bfloat16(),
        "i64": base.long(),
        "i32": base.int(),
        "i16": base.short(),
        "i8": base.char(),
        "u8": base.byte(),
        "bool": base > 3,
        "view": base[5:17].view(3, 4).t(),
        "again": base[1::5],
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.ones(2)),
        "last": torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    }
    path = tmp_path / "x.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    found, _ = checkpoints.load_state(path, upcast=False)
    assert found.keys() == state.keys()
    for key, value in state.items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value.detach()), key
    upcast, _ = checkpoints.load_state(path)
    assert upcast["f16"].dtype == upcast["bf16"].dtype == torch.float32 and upcast["f64"].dtype == torch.float64


def test_official_layouts_load_as_published(shared: Shared, tmp_path: Path) -> None:
    """Key for key from layouts.json, wrapped as the real files are."""
    layouts = json.loads(shared("golden/layouts.json").read_text())
    for name in ("wav2lip", "lipsync_expert", "visual_quality_disc", "syncnet_v2", "bisenet_79999_iter"):
        state = {
            k: torch.zeros(s, dtype=torch.int64) if k.endswith("tracked") else torch.full(s, 0.01)
            for k, s in layouts[name].items()
        }
        wrapped = name in ("wav2lip", "lipsync_expert", "visual_quality_disc")
        content = {"state_dict": {f"module.{k}": v for k, v in state.items()}, "optimizer": None} if wrapped else state
        path = tmp_path / "official.pth"
        torch.save(content, path, _use_new_zipfile_serialization=False)
        loaded = checkpoints.load(path, name)
        assert loaded.arch.name == name
        assert float(next(iter(loaded.module.parameters())).detach().flatten()[0]) == pytest.approx(0.01)


def test_real_files_of_others(shared: Shared) -> None:
    loaded = checkpoints.load(shared("data/weights/realesr-general-x4v3.converted_fp16.pth"), ("srvgg", "rrdbnet"))
    assert loaded.options == {"num_feat": 64, "num_conv": 32, "upscale": 4, "act_type": "prelu"}
    assert next(loaded.module.parameters()).dtype == torch.float32
    detector = checkpoints.load(shared("data/weights/retinaface_mobilenet0.25_biubug6.pth"))
    assert detector.arch.name == "retinaface_mobilenet0.25"
    with pytest.raises(CheckpointError, match="not a network this project knows.*expected a Wav2Lip generator"):
        checkpoints.load(shared("data/weights/mediapipe_facemesh468.pth"), "wav2lip")


def test_reading_agrees_with_torch(shared: Shared) -> None:
    for file in ("realesr-general-x4v3.converted_fp16", "mediapipe_facemesh468", "lightasd_finetuning_TalkSet"):
        path = shared(f"data/weights/{file}.pth")
        want = torch.load(path, weights_only=True, map_location="cpu")
        want = want.get("params", want)
        found, _ = checkpoints.load_state(path, upcast=False)
        assert found.keys() == {k for k, v in want.items() if isinstance(v, Tensor)}
        assert all(torch.equal(v, want[k]) for k, v in found.items())


# ---------------------------------------------------------------------------------------------------- hostile files


class Payload:
    """Unpickled the usual way, creates a file."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _payloads(mark: Path) -> dict[str, Any]:
    return {
        "system": Payload(os.system, f"touch '{mark}'"),
        "open": Payload(open, str(mark), "w"),
        "eval": Payload(eval, f"open({str(mark)!r}, 'w')"),
        "getattr": Payload(getattr, Payload(__import__, "os"), "system"),
        "torch.load": Payload(torch.load, str(mark)),
        "hub": Payload(torch.hub.load, "someone/something"),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", ["system", "open", "eval", "getattr", "torch.load", "hub"])
def test_malicious_pickle_is_refused_and_nothing_runs(kind: str, zipped: bool, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    path = tmp_path / "evil.pth"
    content = {"state_dict": {"w": torch.zeros(2)}, "extra": _payloads(mark)[kind]}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="refused") as caught:
        checkpoints.load_state(path)
    assert str(path) in str(caught.value) and "Nothing in it was run" in str(caught.value)
    assert not mark.exists()


def test_the_payload_of_these_tests_is_real(tmp_path: Path) -> None:
    """Unpickled the usual way, the same bytes do run: otherwise the tests above would prove nothing."""
    mark = tmp_path / "it ran"
    for kind in ("open", "system"):
        pickle.loads(pickle.dumps(_payloads(mark)[kind]))
        assert mark.exists()
        mark.unlink()


def test_malicious_bytes_around_a_checkpoint(tmp_path: Path) -> None:
    """Bare pickles, payloads in the old format's header, and in TorchScript archives."""
    mark = tmp_path / "it ran"
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(Payload(os.system, f"touch '{mark}'")))
    with pytest.raises(CheckpointError, match=r"refused, because opening it would run '(posix|nt)\.system'"):
        checkpoints.load_state(bare)
    script = tmp_path / "script.pt"
    with zipfile.ZipFile(script, "w") as archive:
        archive.writestr("m/constants.pkl", pickle.dumps(()))
        archive.writestr("m/data.pkl", pickle.dumps(Payload(os.system, f"touch '{mark}'")))
    with pytest.raises(CheckpointError, match="refused"):
        checkpoints.load_state(script)
    assert not mark.exists()


def test_a_files_tricks_do_not_outlive_it(generator: nn.Module, tmp_path: Path) -> None:
    """BUILD on a stand-in class or function may change only that file's own copy."""
    opcodes = (
        b"\x80\x02ccollections\nOrderedDict\nN}X\x05\x00\x00\x00helloK\x01s\x86b"  # setattr through BUILD
        b"ctorch._utils\n_rebuild_tensor_v2\nN}X\x08\x00\x00\x00__code__K\x01s\x86b."
    )
    evil = tmp_path / "evil.pth"
    evil.write_bytes(opcodes)
    with pytest.raises(CheckpointError):
        checkpoints.load_state(evil)
    good = tmp_path / "good.pth"
    torch.save(generator.state_dict(), good)
    assert same(checkpoints.load_state(good)[0], generator)
    assert not hasattr(dict, "hello")


def test_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"w": torch.arange(64.0)}, path)
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    data = next(n for n in files if n.endswith("data.pkl"))
    assert files[data].count(b"K@\x85") == 1  # the shape, (64,)
    files[data] = files[data].replace(b"K@\x85", b"K\xff\x85")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(CheckpointError, match="beyond its storage"):
        checkpoints.load_state(path)


def test_compressed_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    torch.save({"w": torch.zeros(1000)}, path)
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(CheckpointError, match="compressed"):
        checkpoints.load_state(path)


def test_whole_module_pickle_says_what_to_do(generator: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "module.pth"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(CheckpointError, match=r"whole program objects \(torch\.nn.*state dict"):
        checkpoints.load_state(path)


# ---------------------------------------------------------------------------------------------------- damaged and wrong


@pytest.mark.parametrize("write", [_bare, _old_format, _script, _safetensors], ids=lambda f: f.__name__.strip("_"))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_truncated_files(write: Callable[[nn.Module, Path], None], generator: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    write(generator, path)
    whole = path.read_bytes()
    for part in (0.001, 0.5, 0.99):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            checkpoints.load_state(path)


def test_flipped_byte_in_zip_is_noticed(generator: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    _bare(generator, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoints.load_state(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>quota</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"\x00\x00\x00\x20ftypisom" + b"\0" * 50, "video"),
        (b"hello, this is a text file" * 10, "not a checkpoint"),
        (pickle.dumps({"a": 1}), "not a PyTorch file"),
        (struct.pack("<Q", 50) + b'{"broken json' + b"x" * 60, "damaged safetensors"),
    ],
)
def test_strangers_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoints.load(path)
    assert str(path) in str(caught.value)


def test_missing_file_folder_and_empty_state(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        checkpoints.load(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="folder"):
        checkpoints.load_state(tmp_path)
    torch.save({"epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="no weights"):
        checkpoints.load_state(tmp_path / "x.pth")
    torch.save([1, 2], tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="no state dict"):
        checkpoints.load_state(tmp_path / "x.pth")


def test_wrong_file_for_a_slot_is_named_as_what_it_is(generator: nn.Module, tmp_path: Path) -> None:
    parser = tmp_path / "79999_iter.pth"
    torch.save(models.build("bisenet_79999_iter", width=0.25).state_dict(), parser)
    with pytest.raises(CheckpointError, match="this is a BiSeNet parser, expected a Wav2Lip generator"):
        checkpoints.load(parser, "wav2lip")
    _bare(generator, tmp_path / "g.pth")
    with pytest.raises(CheckpointError, match="this is a Wav2Lip generator, expected a RRDBNet.*or a? ?Real-ESRGAN"):
        checkpoints.load(tmp_path / "g.pth", ("rrdbnet", "srvgg"))


def test_almost_right_and_nan(generator: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "g.pth"
    state = dict(generator.state_dict())
    state.pop("output_block.1.bias")
    state["more"] = torch.zeros(1)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"1 missing \(output_block.1.bias\); 1 unexpected \(more\)"):
        checkpoints.load(path)
    state = dict(generator.state_dict())
    state["output_block.1.bias"] = torch.full((3,), float("nan"))
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="output_block.1.bias.*NaN"):
        checkpoints.load(path)


def test_counters_of_old_files_may_be_absent(generator: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "g.pth"
    torch.save({k: v for k, v in generator.state_dict().items() if not k.endswith("num_batches_tracked")}, path)
    assert same(checkpoints.load(path).module.state_dict(), generator)


# ---------------------------------------------------------------------------------------------------- saving


def test_save_and_load_by_name(generator: nn.Module, own_folder: Path) -> None:
    card = {"task": "generator", "figures": {"psnr": np.float32(30.5)}, "licence": "research only"}
    path = checkpoints.save(own_folder / "mine.safetensors", generator, "wav2lip", {"width": 0.25}, card)
    loaded = checkpoints.load("mine", "wav2lip")
    assert loaded.path == path and same(loaded.module.state_dict(), generator)
    assert loaded.card["figures"]["psnr"] == 30.5 and loaded.licence == "research only"
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
    catalogue = checkpoints.registry()
    names = """wav2lip wav2lip_gan lipsync_expert visual_quality_disc syncnet_v2 bisenet parsenet s3fd
        retinaface_mobilenet0.25 retinaface_resnet50 realesrgan_x4plus realesrgan_x2plus realesr_general_x4v3 esrgan_hq
        gfpgan_v1.3 gfpgan_v1.4 codeformer inception-fid lpips_vgg lpips_alex""".split()
    for name in names:
        assert name in catalogue, name
    for entry in catalogue:
        assert entry.arch is None or entry.arch in models.ARCHS, entry.name
        assert entry.commercial in ("yes", "no", "unclear"), entry.name
        assert entry.licence and entry.licence_origin and entry.title and entry.variants, entry.name
        for v in entry.variants:
            assert re.fullmatch(r"|[0-9a-f]{8,63}|[0-9a-f]{64}", v.sha256), entry.name
            assert bool(v.sha256) == bool(v.hash_origin), f"{entry.name}: say where the hash comes from"
            assert all(u.startswith(("https://", "http://", "gdrive:")) for u in v.urls)
    hashes = [v.sha256 for e in catalogue for v in e.variants if v.sha256]
    assert len(hashes) == len(set(hashes))
    files = [f for e in catalogue for f in e.files]
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
        monkeypatch.setattr(catalogue_file, "_PACKAGE", package)
        with pytest.raises(CheckpointError, match="'embedded-generator' are missing from this installation"):
            checkpoints.load("embedded-generator")
        card = {"licence": "research only"}
        for file in ("embedded-generator", "generator"):
            path = checkpoints.save(
                folder / "embedded" / f"{file}.safetensors", generator, "wav2lip", {"width": 0.25}, card, half=True
            )
            loaded = checkpoints.load("embedded-generator", "wav2lip")
            assert loaded.path == path and loaded.name == "embedded-generator" and loaded.licence == "research only"
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
    _bare(generator, own_folder / "wav2lip_gan.pth")  # a fine generator, but not the published one
    with pytest.raises(CheckpointError, match="not the published 'wav2lip_gan', or damaged"):
        checkpoints.load("wav2lip_gan")
    assert checkpoints.load(own_folder / "wav2lip_gan.pth").arch.name == "wav2lip"  # by path it is the user's own
    (check,) = checkpoints.verify("wav2lip_gan")
    assert check.state == "damaged"
    assert {c.state for c in checkpoints.verify()} == {"damaged", "missing"}


# ---------------------------------------------------------------------------------------------------- download


BODY = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server:
    """A web server whose behaviour on each request is the next item of ``script`` (the last one repeats)."""

    def __init__(self) -> None:
        self.script: list[str] = ["ok"]
        self.requests: list[tuple[str, str | None]] = []
        self.body = BODY
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                outer.requests.append((self.path, self.headers.get("Range")))
                step = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                self.close_connection = True
                getattr(self, f"do_{step}")()

            def send(self, body: bytes, start: int = 0, stop: int | None = None, kind: str = "a/b") -> None:
                """Announce everything from ``start``, send up to ``stop``."""
                self.send_response(206 if start else 200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                self.end_headers()
                self.wfile.write(body[start:stop])
                self.wfile.flush()

            def start(self) -> int:
                match = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
                return int(match[1]) if match else 0

            def do_ok(self) -> None:
                if self.start() >= len(outer.body):
                    self.send_error(416)
                else:
                    self.send(outer.body, self.start())

            def do_truncate(self) -> None:
                self.send(outer.body, self.start(), max(self.start(), 100_000))

            def do_stall(self) -> None:
                self.send(outer.body, self.start(), self.start() + 50_000)
                time.sleep(1.0)

            def do_corrupt(self) -> None:
                self.send(bytes(len(outer.body)))

            def do_ignore_range(self) -> None:
                self.send(outer.body)

            def do_wrong_range(self) -> None:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes 5-{len(outer.body) - 1}/{len(outer.body)}")
                self.send_header("Content-Length", str(len(outer.body) - 5))
                self.end_headers()
                self.wfile.write(outer.body[5:])

            def do_endless(self) -> None:
                self.send_response(200)
                self.end_headers()
                for _ in range(20):
                    self.wfile.write(outer.body)

            def redirect(self, where: str) -> None:
                self.send_response(302)
                self.send_header("Location", where)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_redirect(self) -> None:
                self.redirect("/moved/file.pth")

            def do_loop(self) -> None:
                self.redirect(self.path)

            def do_leave_the_web(self) -> None:
                self.redirect("file:///etc/passwd")

            def do_page(self) -> None:
                self.send(b"<html><title>Quota exceeded</title>quota</html>", kind="text/html")

            def do_confirm(self) -> None:
                if "confirm=t" in self.path:
                    return self.do_ok()
                page = (
                    f'<html><form action="/download?" method="get"><input type="hidden" name="id" value="abc">'
                    f'<input type="hidden" name="confirm" value="t"><input type="submit" value="{self.path}"></form>'
                )
                self.send(page.encode(), kind="text/html; charset=utf-8")

            def do_busy(self) -> None:
                self.send_error(503)

            def do_gone(self) -> None:
                self.send_error(404)

            def do_drop(self) -> None:
                self.connection.shutdown(socket.SHUT_RDWR)

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.handle_error = lambda *a: None  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def url(self, path: str = "/file.pth") -> str:
        return f"http://127.0.0.1:{self.httpd.server_address[1]}{path}"

    def close(self) -> None:
        self.httpd.shutdown()
        self.httpd.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetching, "BLOCK", 1 << 14)
    made = Server()
    yield made
    made.close()


def catalogue(*variants: Variant, arch: str | None = None, drive: str = "") -> Registry:
    entry = Entry("thing", "A thing", "thing.pth", arch, "Some licence 1.0", "its README", "no", variants)
    return Registry({"thing": entry}, drive)


def get(*variants: Variant, arch: str | None = None, drive: str = "", **options: Any) -> Path:
    return checkpoints.fetch(
        "thing",
        catalogue=catalogue(*variants, arch=arch, drive=drive),
        **{"accept": True, "pause": 0.0, "timeout": 0.4, **options},
    )


def left_over(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} - {"notes.json"}


@pytest.mark.parametrize(
    "script",
    [
        ["ok"],
        ["truncate", "ok"],
        ["truncate", "truncate", "ignore_range"],
        ["stall", "stall", "ok"],
        ["corrupt", "ok"],
        ["truncate", "corrupt", "ok"],
        ["truncate", "wrong_range", "ok"],
        ["redirect", "ok"],
        ["redirect", "truncate", "redirect", "ok"],
        ["busy", "drop", "ok"],
        ["endless", "ok"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("size", [len(BODY), None], ids=["size known", "size unknown"])
def test_fetch_survives_a_bad_server(
    script: list[str], size: int | None, server: Server, own_folder: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(fetching, "LARGEST", 1_000_000)
    server.script = list(script)
    seen: list[tuple[int, int | None]] = []
    path = get(Variant((server.url(),), size, DIGEST), progress=lambda done, total: seen.append((done, total)))
    assert path == own_folder / "thing.pth" and path.read_bytes() == BODY
    assert left_over(own_folder) == {"thing.pth"}
    assert seen[-1] == (len(BODY), len(BODY))


def test_resume_asks_only_for_the_rest(server: Server, own_folder: Path) -> None:
    server.script = ["truncate"]
    variant = Variant((server.url(),), len(BODY), DIGEST)
    with pytest.raises(CheckpointError, match="ended after 100000 of 300000|broke after 100000"):
        get(variant)
    assert (own_folder / "thing.pth.part").stat().st_size == 100_000  # kept for the next call
    assert not (own_folder / "thing.pth").exists()
    server.script, server.requests = ["ok"], []
    assert get(variant).read_bytes() == BODY
    assert server.requests == [("/file.pth", "bytes=100000-")]


def test_part_of_another_version_is_not_continued(server: Server, own_folder: Path) -> None:
    server.script = ["truncate"]
    with pytest.raises(CheckpointError):
        get(Variant((server.url(),), None, "0" * 64))
    server.script, server.requests = ["ok"], []
    assert get(Variant((server.url(),), len(BODY), DIGEST)).read_bytes() == BODY
    assert server.requests[0][1] is None


def test_without_a_hash_nothing_is_continued(server: Server, own_folder: Path) -> None:
    server.script = ["truncate", "ok"]
    assert get(Variant((server.url(),))).read_bytes() == BODY
    assert [r[1] for r in server.requests] == [None, None]  # two versions joined in the middle would go unnoticed


@pytest.mark.parametrize("first", ["gone", "corrupt", "page", "busy", "loop", "leave_the_web", "stall"])
def test_the_next_mirror_is_tried(first: str, server: Server, own_folder: Path) -> None:
    bad = Server()
    bad.script = [first]
    try:
        variant = Variant((bad.url(), server.url()), len(BODY), DIGEST)
        assert get(variant, timeout=0.2).read_bytes() == BODY
    finally:
        bad.close()
    assert left_over(own_folder) == {"thing.pth"}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("corrupt", "wrong content"),
        ("gone", "404"),
        ("busy", "503"),
        ("page", "Quota exceeded"),
        ("leave_the_web", "not allowed"),
        ("endless", "more than the file has"),
    ],
)
def test_failure_says_why_and_installs_nothing(script: str, message: str, server: Server, own_folder: Path) -> None:
    server.script = [script]
    with pytest.raises(CheckpointError, match=message) as caught:
        get(Variant((server.url(),), len(BODY), DIGEST))
    assert server.url() in str(caught.value) and "checkpoints import thing.pth --name thing" in str(caught.value)
    assert left_over(own_folder) == set()


def test_wrong_size_is_noticed_before_the_download(server: Server, own_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="another size"):
        get(Variant((server.url(),), 12345, DIGEST))
    assert len(server.requests) == 1


def test_only_web_addresses(own_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(BODY)
    with pytest.raises(CheckpointError, match="not a web address"):
        get(Variant(((tmp_path / "secret").as_uri(),), None, DIGEST))
    assert left_over(own_folder) == set()


def test_redirect_from_encrypted_to_open_is_not_followed() -> None:
    handler = fetching._HttpOnlyRedirects()
    request = urllib.request.Request("https://one.invalid/x")
    with pytest.raises(fetching._Dead, match="not safe"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://two.invalid/x")
    assert handler.redirect_request(request, None, 302, "Found", {}, "https://two.invalid/x") is not None


def test_unreachable_host(own_folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(CheckpointError, match="no connection"):
        get(Variant((f"http://127.0.0.1:{port}/x",), None, DIGEST))


def test_drive_link_with_confirmation_page(server: Server, own_folder: Path) -> None:
    server.script = ["confirm"]
    path = get(Variant(("gdrive:abc",), len(BODY), DIGEST), drive=server.url("/uc?id={id}"))
    assert path.read_bytes() == BODY
    assert [r[0] for r in server.requests] == ["/uc?id=abc", "/download?id=abc&confirm=t"]


def test_licence_is_shown_and_accepted_once(server: Server, own_folder: Path) -> None:
    variant = Variant((server.url(),), len(BODY), DIGEST)
    with pytest.raises(OptionError, match="(?s)Some licence 1.0.*commercial use: NOT allowed.*--accept"):
        get(variant, accept=False)
    shown: list[str] = []

    def ask(entry: Entry) -> bool:
        shown.append(entry.licence)
        return len(shown) > 1

    with pytest.raises(OptionError):
        get(variant, accept=ask)
    assert server.requests == []  # no licence, no download
    path = get(variant, accept=ask)
    path.unlink()
    get(variant, accept=False)  # asked once, remembered
    assert shown == ["Some licence 1.0"] * 2
    server.requests.clear()
    get(variant, accept=False)  # installed: nothing to fetch
    assert server.requests == []


def test_installed_but_damaged_is_fetched_anew(server: Server, own_folder: Path) -> None:
    own_folder.mkdir()
    (own_folder / "thing.pth").write_bytes(b"rotten")
    said: list[str] = []
    path = get(Variant((server.url(),), len(BODY), DIGEST), directory=own_folder, say=said.append)
    assert path.read_bytes() == BODY and "damaged" in said[0]


def test_trust_on_first_use(server: Server, own_folder: Path, generator: nn.Module, tmp_path: Path) -> None:
    """Without a published hash: the right kind of network is required, its hash is recorded and held to."""
    variant = Variant((server.url(),))
    with pytest.raises(CheckpointError, match="gave something else"):
        get(variant, arch="wav2lip")  # random bytes are no generator
    checkpoints.save(tmp_path / "g", generator, "wav2lip", {"width": 0.25})
    server.body = (tmp_path / "g").read_bytes()
    said: list[str] = []
    path = get(variant, arch="wav2lip", say=said.append)
    assert "trusted because it came first" in said[-1] and hashlib.sha256(server.body).hexdigest() in said[-1]
    (check,) = checkpoints.verify("thing", catalogue=catalogue(variant))
    assert check.state == "trusted" and check.path == path
    path.unlink()
    state = {k: v + 1 for k, v in generator.state_dict().items()}
    checkpoints.save(tmp_path / "h", state, "wav2lip", {"width": 0.25})
    server.body = (tmp_path / "h").read_bytes()
    with pytest.raises(CheckpointError, match="differs from the one first installed"):
        get(variant, arch="wav2lip")
    assert not path.exists()


def test_two_downloads_of_one_file_do_not_mix(server: Server, own_folder: Path) -> None:
    pytest.importorskip("fcntl")
    own_folder.mkdir()
    variant = Variant((server.url(),), len(BODY), DIGEST)
    entry = catalogue(variant).require("thing")
    with fetching._part(own_folder, entry, variant):
        with pytest.raises(CheckpointError, match="another download"):
            get(variant)


def test_full_disk_and_unwritable_folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = Variant((server.url(),), len(BODY), DIGEST)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda p: argparse.Namespace(free=1000))
    with pytest.raises(OutputError, match="300000 bytes, 1000 are free"):
        get(variant)
    (tmp_path / "a file").touch()
    with pytest.raises(OutputError, match="a file"):
        get(variant, directory=tmp_path / "a file" / "sub")


# ---------------------------------------------------------------------------------------------------- import


def test_import(own_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "whatever I called it.pth"
    source.write_bytes(BODY)
    listed = catalogue(Variant((), len(BODY), DIGEST))
    entry, path = checkpoints.import_file(source, catalogue=listed)  # recognised by its hash
    assert entry.name == "thing" and path == own_folder / "thing.pth" and path.read_bytes() == BODY
    assert source.exists()
    source.write_bytes(BODY + b"x")
    with pytest.raises(OptionError, match="--name"):
        checkpoints.import_file(source, catalogue=listed)
    with pytest.raises(CheckpointError, match="not the published 'thing'"):
        checkpoints.import_file(source, "thing", catalogue=listed)
    with pytest.raises(CheckpointError, match="no such file"):
        checkpoints.import_file(tmp_path / "nothing", "thing", catalogue=listed)
    with pytest.raises(OptionError, match="did you mean thing"):
        checkpoints.import_file(source, "thng", catalogue=listed)
    assert path.read_bytes() == BODY


def test_import_checks_the_kind_of_network(generator: nn.Module, own_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "esrgan_yunying.pth"
    _bare(generator, source)
    with pytest.raises(CheckpointError, match="this is a Wav2Lip generator, expected a RRDBNet"):
        checkpoints.import_file(source)
    torch.save({"params": models.build("rrdbnet", num_feat=8, num_block=1).state_dict()}, source)
    said: list[str] = []
    entry, path = checkpoints.import_file(source, say=said.append)
    assert entry.name == "esrgan_hq" and Notes().trusted("esrgan_hq") and "trusted" in said[0]
    assert checkpoints.load("esrgan_yunying").name == "esrgan_hq"
    assert checkpoints.verify("esrgan_hq")[0].state == "trusted"
    # Swapped behind our back:
    torch.save({"params": models.build("rrdbnet", num_feat=8, num_block=2).state_dict()}, path)
    with pytest.raises(CheckpointError, match="not the published 'esrgan_hq', or damaged"):
        checkpoints.load("esrgan_hq")


def test_import_names_another_known_file(tmp_path: Path) -> None:
    source = tmp_path / "x.pth"
    source.write_bytes(BODY)
    first = Entry("first", "The first", "first.pth", None, "l", "o", "no", (Variant((), None, DIGEST),))
    other = Entry("other", "The other", "other.pth", None, "l", "o", "no", (Variant((), None, "0" * 64),))
    with pytest.raises(CheckpointError, match=r"this is 'first' \(The first\), not 'other'"):
        checkpoints.import_file(source, "other", catalogue=Registry({"first": first, "other": other}))
