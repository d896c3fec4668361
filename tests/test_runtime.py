"""Batches, precision, devices, and running out of memory."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from wav2lip_hq import models
from wav2lip_hq.errors import CheckpointError, OptionError, OutOfMemory
from wav2lip_hq.runtime import Runtime


class Double(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))
        self.seen: list[torch.dtype] = []

    def forward(self, x):
        self.seen.append(x.dtype)
        return x * self.factor


def test_map_joins_batches_of_any_size():
    x = np.arange(23 * 4, dtype=np.uint8).reshape(23, 4)
    for batch in (1, 5, 23, 100):
        out = Runtime(device="cpu", batch_size=batch).map(lambda t: t.float() * 2, x)
        assert out.dtype == np.float32 and np.array_equal(out, x * 2.0)


def test_map_keeps_dtypes_and_returns_tuples():
    def both(a, b):
        assert a.dtype == torch.uint8 and b.dtype == torch.float32
        return a, b + 1

    a, b = Runtime(device="cpu").map(both, np.ones((3, 2), np.uint8), np.zeros((3, 2), np.float32))
    assert a.dtype == np.uint8 and (b == 1).all()


def test_map_runs_without_gradients():
    assert not Runtime(device="cpu").map(lambda t: torch.tensor([float(torch.is_grad_enabled())]), np.zeros(1)).any()


def test_out_of_memory_halves_the_batch_and_remembers():
    sizes = []

    def hungry(t):
        sizes.append(len(t))
        if len(t) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: out of memory")
        return t

    runtime = Runtime(device="cpu", batch_size=8)
    x = np.arange(10)
    assert np.array_equal(runtime.map(hungry, x), x)
    assert sizes == [8, 4, 2, 2, 2, 2, 2]
    sizes.clear()
    runtime.map(hungry, x)
    assert sizes == [2] * 5


def test_one_item_too_many_is_a_clear_error():
    def never(t):
        raise RuntimeError("out of memory")

    with pytest.raises(OutOfMemory, match="not enough memory"):
        Runtime(device="cpu").map(never, np.zeros(2))


def test_other_errors_pass():
    def broken(t):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        Runtime(device="cpu").map(broken, np.zeros(2))


def test_models_compute_in_their_precision_and_return_float32():
    runtime = Runtime(device="cpu", precision="bf16")
    net = Double()
    model = runtime.add_model("double", net, "wav2lip")
    out = model(torch.ones(1, 3, 2, 2))
    assert out.dtype == torch.float32
    assert net.seen == [torch.bfloat16 if models.ARCHS["wav2lip"].bf16_safe else torch.float32]
    assert runtime.model("double") is model


@pytest.mark.parametrize(
    ("options", "text"),
    [({"device": "quantum"}, "quantum"), ({"precision": "fp12"}, "fp12"), ({"batch_size": 0}, "batch size")],
)
def test_unknown_options(options, text):
    with pytest.raises(OptionError, match=text):
        Runtime(**options)


def test_missing_checkpoint_says_what_to_do():
    with pytest.raises(CheckpointError):
        Runtime(device="cpu").model("no-such-checkpoint")


def test_warnings_are_kept_once():
    runtime = Runtime(device="cpu")
    runtime.warn("a")
    runtime.warn("a")
    assert runtime.warnings == ["a"]


def psnr(a, b) -> float:
    return float(10 * np.log10(float(np.ptp(b)) ** 2 / np.mean((a - b) ** 2)))


@pytest.mark.parametrize("name", ["embedded-generator", "embedded-restorer"])
def test_half_precision_stays_within_45_db(name):
    """bf16 against float32 on the shipped networks that paint pixels."""
    rng = np.random.default_rng(0)
    outs = []
    for precision in ("fp32", "bf16"):
        runtime = Runtime(device="cpu", precision=precision)
        model = runtime.model(name)
        if name == "embedded-generator":
            face = torch.from_numpy(np.random.default_rng(1).random((2, 6, 96, 96), dtype=np.float32))
            mel = torch.from_numpy(rng.uniform(-4, 4, (2, 1, 80, 16)).astype(np.float32))
            rng = np.random.default_rng(0)
            args = (mel, torch.nn.functional.avg_pool2d(face, 5, 1, 2))
        else:
            args = (
                torch.nn.functional.avg_pool2d(torch.from_numpy(rng.random((1, 3, 48, 48), dtype=np.float32)), 5, 1, 2),
            )
            rng = np.random.default_rng(0)
        with torch.inference_mode():
            outs.append(model(*args).numpy())
    assert psnr(outs[1], outs[0]) > 45


def test_half_precision_stays_within_45_db_on_a_photograph():
    """The final picture: 8-bit pictures of a real face, by the packaged generator and then the restorer."""
    from skimage import data

    from wav2lip_hq import audio
    from wav2lip_hq.stages import Restore
    from wav2lip_hq.stages.lipsync import generate

    face = cv2.resize(data.astronaut()[60:210, 160:290], (96, 96), interpolation=cv2.INTER_AREA)
    wav = np.sin(2 * np.pi * 140 * np.arange(16000) / 16000) * np.linspace(0, 0.5, 16000)
    mel = audio.mel_spectrogram(wav.astype(np.float32))
    windows = audio.mel_windows(mel, [Fraction(1, 5), Fraction(2, 5), Fraction(3, 5)])[:, None]
    made = {}
    for precision in ("fp32", "bf16"):
        runtime = Runtime(device="cpu", precision=precision)
        small = generate(runtime, "embedded-generator", np.repeat(face[None], 3, 0), windows)
        given = made["fp32"][0] if made else small  # each network's own error, not the sum
        made[precision] = small, Restore()._restorer(runtime)[0](given)
    for exact, fast in zip(made["fp32"], made["bf16"], strict=True):
        error = np.mean((exact.astype(np.float64) - fast) ** 2)
        assert 0 < error < 255**2 / 10**4.5
