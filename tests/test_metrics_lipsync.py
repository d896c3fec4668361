"""LSE against the published implementation, and sanity of the offset."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from wav2lip_hq import models
from wav2lip_hq.errors import InputError
from wav2lip_hq.metrics.lipsync import benchmark_box, distances, embed, from_distances, lip_sync_error, mfcc


def golden(shared):
    return np.load(shared("golden/lse.npz"))


def filled(shared, gain):
    import importlib.util

    spec = importlib.util.spec_from_file_location("fill", shared("golden/fill.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = models.build("syncnet_v2")
    state = {k: torch.from_numpy(np.asarray(module.fill(k, tuple(v.shape), gain))) for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    return net.eval()


def test_mfcc_parity(shared):
    data = golden(shared)
    assert np.abs(mfcc(data["wav"]) - data["mfcc"]).max() < 1e-4 * np.ptp(data["mfcc"])


def test_lse_parity(shared):
    data = golden(shared)
    frames = data["frames28"].repeat(8, 1).repeat(8, 2)[..., ::-1]  # stored as BGR
    result = lip_sync_error(frames, data["wav"], model=filled(shared, float(data["gain"])))
    assert np.abs(result.mean_distance - data["mean_distance"]).max() < 1e-4 * np.ptp(data["mean_distance"])
    assert result.lse_d == pytest.approx(float(data["lse_d"]), abs=1e-3)
    assert result.lse_c == pytest.approx(float(data["lse_c"]), abs=1e-3)
    assert result.offset == int(data["offset"])


class ToySyncNet(nn.Module):
    """Reads the brightness of the last of five frames, and the loudness in the middle of the sound window."""

    def forward_lip(self, x):
        return torch.cat([x[:, :1, 2, :4, :4].mean((2, 3)) / 25.5, torch.zeros(len(x), 3)], 1)

    def forward_aud(self, x):
        level = x[:, 0, 0, 8:12].mean(1, keepdim=True)  # log energy, about 20 for full scale here
        return torch.cat([level / 2, torch.zeros(len(x), 3)], 1)


def talk(frames=120, late=0, seed=0):
    """A picture whose brightness follows the loudness of a sound that comes ``late`` frames after it."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(0, 1, frames + 40)
    images = np.zeros((frames, 224, 224, 3), np.uint8)
    images[:] = (level[20 : 20 + frames, None, None, None] * 255).astype(np.uint8)
    loud = np.exp(level * 10)[20 - late : 20 - late + frames].repeat(640)
    sound = np.sqrt(loud) * rng.normal(size=len(loud)) * 3
    return images, np.clip(sound, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("late", [-6, 0, 4])
def test_shifted_sound_moves_the_offset_by_the_shift(late):
    result = lip_sync_error(*talk(late=late), model=ToySyncNet())
    assert result.offset == -late
    assert result.lse_c > 0.3


def test_a_frozen_mouth_loses_confidence():
    images, sound = talk()
    moving = lip_sync_error(images, sound, model=ToySyncNet())
    images[:] = 128
    assert lip_sync_error(images, sound, model=ToySyncNet()).lse_c < 0.5 * moving.lse_c


def test_windows_are_counted_as_published():
    images, sound = talk(60)
    lips, speech = embed(images, sound, ToySyncNet())
    assert lips.shape == speech.shape == (55, 4)
    assert embed(images, sound[: 640 * 40], ToySyncNet())[0].shape[0] == 35
    assert np.array_equal(lips, embed(images, sound, ToySyncNet(), batch=7)[0])


def test_too_short_is_a_clear_error():
    images, sound = talk(5)
    with pytest.raises(InputError, match="more than 5 frames"):
        lip_sync_error(images, sound, model=ToySyncNet())


def test_distances_pad_with_zeros():
    lips, speech = np.ones((3, 2)), np.ones((3, 2))
    table = distances(lips, speech, 2)
    assert table.shape == (3, 5)
    assert table[1, 2] == pytest.approx(0, abs=1e-5)
    assert table[0, 0] == pytest.approx(np.sqrt(2), abs=1e-5)  # nothing before the beginning
    assert from_distances(table).offset == 0


def test_benchmark_box():
    assert np.allclose(benchmark_box(np.array([[0.0, 0, 80, 100]])), [[40 - 70, 0, 40 + 70, 140]])
