"""Checkpoint files: every published container and wrapper, hostile files, damaged and wrong ones."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from containers import CONTAINERS, same, write_bare, write_old_format, write_safetensors, write_script
from torch import Tensor, nn

from wav2lip_hq import checkpoints, models
from wav2lip_hq.checkpoints.packing import LEAST
from wav2lip_hq.errors import CheckpointError

Shared = Callable[[str], Path]
pytestmark = pytest.mark.usefixtures("own_folder")


# ---------------------------------------------------------------------------------------------------- containers


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("write", CONTAINERS, ids=lambda f: f.__name__.removeprefix("write_"))
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
    with pytest.raises(CheckpointError, match="MediaPipe face mesh.*expected a Wav2Lip generator"):
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


@pytest.mark.parametrize(
    "write",
    [write_bare, write_old_format, write_script, write_safetensors],
    ids=lambda f: f.__name__.removeprefix("write_"),
)
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
    write_bare(generator, path)
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
    write_bare(generator, tmp_path / "g.pth")
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


# ---------------------------------------------------------------------------------------------------- 8 bits


def test_weights_in_8_bits_come_back_near_and_keep_their_card(generator: nn.Module, tmp_path: Path) -> None:
    card = {"license": "research only", "mel_offset_ms": -40.0}
    half, packed = (
        checkpoints.save(tmp_path / name, generator, "wav2lip", {"width": 0.25}, card, half=True, packed=name == "b")
        for name in ("a", "b")
    )
    assert packed.stat().st_size < 0.6 * half.stat().st_size
    loaded = checkpoints.load(packed, "wav2lip")
    assert loaded.card == card and loaded.options["width"] == 0.25
    for name, value in generator.state_dict().items():
        found = loaded.module.state_dict()[name]
        assert found.dtype == value.dtype and found.shape == value.shape
        if value.ndim < 2 or value.numel() < LEAST:
            assert torch.allclose(found, value, rtol=1e-3, atol=1e-6)
        else:  # half a step of the channel, whichever of the first two axes it is
            off = (found - value).abs()
            steps = [
                value.abs().amax([d for d in range(value.ndim) if d != axis], keepdim=True) / 127 for axis in (0, 1)
            ]
            assert any(bool((off <= 0.51 * step + 1e-7).all()) for step in steps), name


def test_other_files_scales_and_whole_numbers_are_left_alone(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"a.weight": torch.ones(4, 4, dtype=torch.int8), "a.weight.scale": torch.full((4, 1), 0.5)}
    save_file(state, tmp_path / "theirs.safetensors")
    found, _ = checkpoints.load_state(tmp_path / "theirs.safetensors")
    assert found.keys() == state.keys() and all(torch.equal(found[k], v) for k, v in state.items())
    mixed = {"count": torch.ones(200, 200, dtype=torch.int8), "norm.scale": torch.rand(8), "norm": torch.rand(8)}
    checkpoints.save(tmp_path / "ours.safetensors", mixed, "", packed=True)
    found, _ = checkpoints.load_state(tmp_path / "ours.safetensors")
    assert found.keys() == mixed.keys() and all(torch.equal(found[k], v) for k, v in mixed.items())


def test_what_8_bits_cannot_hold_stays_as_it_is(tmp_path: Path) -> None:
    state = {"huge": torch.full((200, 200), 1e30), "zero": torch.zeros(200, 200), "tiny": torch.full((200, 200), 1e-30)}
    checkpoints.save(tmp_path / "w.safetensors", state, "", packed=True)
    found, _ = checkpoints.load_state(tmp_path / "w.safetensors")
    assert all(torch.equal(found[k], v) for k, v in state.items())


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (torch.ones(3, 1).half(), r"'a\.weight\.scale' \(float16 \(3, 1\)\) is not a scale of 'a\.weight'"),
        (torch.ones(4, 5).half(), "is not a scale of"),
        (torch.ones(4).half(), "is not a scale of"),
        (torch.ones(4, 1, dtype=torch.int64), "is not a scale of"),
        (torch.full((4, 1), float("nan")).half(), "steps that are not positive numbers"),
        (torch.tensor([[1.0], [0.0], [1.0], [1.0]]).half(), "steps that are not positive numbers"),
    ],
)
def test_a_scale_that_does_not_fit_is_refused(scale: Tensor, message: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "damaged.safetensors"
    save_file({"a.weight": torch.ones(4, 5, dtype=torch.int8), "a.weight.scale": scale}, path, {"bits": "8"})
    with pytest.raises(CheckpointError, match=f"damaged.safetensors: damaged, .*{message}"):
        checkpoints.load_state(path)
