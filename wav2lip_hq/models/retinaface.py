"""RetinaFace face detectors, facexlib's class built without its weights, downloads or choice of device."""

from __future__ import annotations

import warnings

import torch

from .. import compat  # noqa: F401 - before torchvision's users

BACKBONES = {"mobilenet0.25": "mobile0.25", "resnet50": "resnet50"}


def build_retinaface(backbone: str = "mobilenet0.25") -> torch.nn.Module:
    """A detector with random weights on the CPU.

    forward(x): (N, 3, H, W) BGR in [0, 255] minus (104, 117, 123). Returns, over A = 2 anchors at strides 8, 16, 32,
    box offsets (N, A, 4), probabilities (N, A, 2; background, face) and landmark offsets (N, A, 10), to be decoded
    against facexlib's ``PriorBox`` (min sizes 16 32 / 64 128 / 256 512, variances 0.1, 0.2). Set ``phase`` to "train"
    for logits in place of probabilities.
    """
    from facexlib.detection.retinaface import RetinaFace

    with warnings.catch_warnings():  # it asks torchvision for an untrained ResNet-50 in a deprecated way
        warnings.simplefilter("ignore")
        module: torch.nn.Module = RetinaFace(BACKBONES[backbone], half=False, device=torch.device("cpu"))
        return module
