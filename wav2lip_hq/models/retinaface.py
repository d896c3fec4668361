"""RetinaFace face detectors: facexlib's class, without its weights, downloads and choice of device."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from .. import compat  # noqa: F401 - before torchvision's users
from .anchors import SIDES, Sides

# Face-Detector-1MB's mobilenet0.25_Final.pth. Its tensors have the names and shapes of facexlib's network, but it was
# trained with plain ReLUs in place of leaky ones and with smaller anchors; run as facexlib's its boxes are twice too
# large, and skewed.
FACE_DETECTOR_1MB = "ed6fa7d45a5179f03cb5ce82c73b0c6711372968e53782e88395acee88d319e1"
FACE_DETECTOR_1MB_SIDES: Sides = ((10, 20), (32, 64), (128, 256))

BACKBONES = {"mobilenet0.25": "mobile0.25", "resnet50": "resnet50"}


def build_retinaface(backbone: str = "mobilenet0.25") -> torch.nn.Module:
    """A detector with random weights on the CPU.

    forward(x): (N, 3, H, W) BGR in [0, 255] minus (104, 117, 123). Returns, over A = 2 anchors at strides 8, 16, 32,
    box offsets (N, A, 4), probabilities (N, A, 2; background, face) and landmark offsets (N, A, 10), to be decoded
    against ``anchors``, which are those of facexlib's ``PriorBox``. Set ``phase`` to "train" for logits in place of
    probabilities.
    """
    from facexlib.detection.retinaface import RetinaFace

    with warnings.catch_warnings():  # it asks torchvision for an untrained ResNet-50 in a deprecated way
        warnings.simplefilter("ignore")
        module: torch.nn.Module = RetinaFace(BACKBONES[backbone], half=False, device=torch.device("cpu"))
        return module


def fit_to_weights(module: torch.nn.Module, sha256: str, options: dict[str, Any]) -> Sides:
    """Make a loaded detector return logits in place of probabilities, and return its anchors' sides in px.

    16-bit floats round probabilities near 1 to the same number, so the best anchor on a face could not be told. Also
    sets the slope of the activations where the file is known to need another than facexlib's.
    """
    module.phase = "train"  # type: ignore[assignment]  # facexlib's name for it; nothing else depends on it
    if sha256 == FACE_DETECTOR_1MB:
        use_plain_relu(module)
        return FACE_DETECTOR_1MB_SIDES
    return tuple(tuple(int(side) for side in level) for level in options.get("sides", SIDES))


def use_plain_relu(module: torch.nn.Module) -> None:
    """Set the slope of all leaky ReLUs to 0, as Face-Detector-1MB's weights need it."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.LeakyReLU):
            layer.negative_slope = 0.0
