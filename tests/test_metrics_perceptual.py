"""LPIPS: known answers and directions, whatever the backbone's weights, and what is said when something is missing."""

from __future__ import annotations

import importlib.util

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from wav2lip_hq import compat  # noqa: F401 - before torchvision
from wav2lip_hq.errors import CheckpointError, InputError
from wav2lip_hq.metrics.perceptual import SMALLEST, Lpips

RNG = np.random.default_rng(3)


def picture(height: int = 96, width: int = 120) -> np.ndarray:
    noise = RNG.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with an untrained AlexNet in torchvision's layout, as a user's own conversion of ``lpips_alex``."""
    from torchvision.models import alexnet

    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = alexnet(weights=None)
    save_file({f"features.{k}": v for k, v in net.features.state_dict().items()}, folder / "lpips_alex.safetensors")
    return folder


@pytest.fixture
def installed(weights, monkeypatch):
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(weights))


@pytest.fixture(scope="module")
def model(weights):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(weights))
        return Lpips()


def test_equal_pictures_have_no_distance(model):
    image = picture()
    assert model(image, image) == 0.0
    other = picture()
    assert model(image, other) == pytest.approx(model(other, image), rel=1e-5) and model(image, other) > 1e-4


@pytest.mark.parametrize("kind", ["noise", "blur", "mix"])
def test_more_distortion_is_more_distance(model, kind):
    image, noise, other = picture(), RNG.normal(0, 1, (96, 120, 3)), picture()
    found = []
    for strength in (0.0, 0.5, 1.0, 2.0):
        if kind == "noise":
            spoiled = image + 12 * strength * noise
        elif kind == "blur":
            spoiled = cv2.GaussianBlur(image, (0, 0), 2 * strength) if strength else image
        else:
            spoiled = image + 0.4 * strength * (other.astype(float) - image)
        found.append(model(np.clip(np.round(spoiled), 0, 255).astype(np.uint8), image))
    assert found[0] == 0 and found == sorted(found) and len(set(found)) == 4, found


def test_it_is_the_packages_own_figure(model, weights, monkeypatch):
    """The package left to itself, its download of AlexNet answered with the same weights."""
    import lpips
    from safetensors.torch import load_file
    from torchvision.models import alexnet

    backbone = alexnet(weights=None)
    backbone.load_state_dict(load_file(weights / "lpips_alex.safetensors"), strict=False)
    monkeypatch.setattr("torchvision.models.alexnet", lambda pretrained: backbone)
    net = lpips.LPIPS(net="alex", verbose=False)
    a, b = picture(), picture()
    x, y = (torch.from_numpy(p.transpose(2, 0, 1)[None].astype(np.float32) / 255) for p in (a, b))
    with torch.no_grad():
        assert model(a, b) == pytest.approx(float(net(x, y, normalize=True)), rel=1e-5)


def test_half_precision_around_it_changes_nothing(model):
    a, b = picture(), picture()
    with torch.autocast("cpu", torch.bfloat16):
        inside = model(a, b)
    assert inside == model(a, b)


def test_making_one_leaves_random_numbers_alone(installed):
    torch.manual_seed(1)
    Lpips()
    found = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(found, torch.rand(3))


def test_pictures_that_do_not_fit(model):
    image = picture()
    with pytest.raises(InputError, match="differ"):
        model(image, image[1:])
    with pytest.raises(InputError, match="uint8"):
        model(image.astype(np.float32), image.astype(np.float32))
    with pytest.raises(InputError, match="uint8"):
        model(image[..., 0], image[..., 0])
    small = image[:SMALLEST, :SMALLEST]
    assert model(small, small) == 0
    with pytest.raises(InputError, match=f"at least {SMALLEST}x{SMALLEST}"):
        model(small[1:], small[1:])


def test_missing_weights_name_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("wav2lip_hq.checkpoints.locate", lambda name: None)
    with pytest.raises(CheckpointError, match="wav2lip-hq checkpoints fetch lpips_alex"):
        Lpips()


def test_a_missing_package_names_the_command(installed, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install lpips"):
        Lpips()


def test_other_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(tmp_path))
    save_file({"features.0.weight": torch.zeros(3)}, tmp_path / "lpips_alex.safetensors")
    with pytest.raises(CheckpointError, match="not torchvision's AlexNet"):
        Lpips()
    (tmp_path / "lpips_alex.safetensors").unlink()
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "alexnet-owt-7be5be79.pth")
    with pytest.raises(CheckpointError, match="not the published 'lpips_alex'"):
        Lpips()


def test_nothing_is_downloaded(installed, monkeypatch):
    def never(*args, **options):
        raise AssertionError("a download was asked for")

    monkeypatch.setattr("torch.hub.download_url_to_file", never)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", never)
    Lpips()
