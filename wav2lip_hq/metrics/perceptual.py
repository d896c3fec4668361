"""LPIPS: perceptual distance of pictures by the features of AlexNet (Zhang et al. 2018, version 0.1)."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import checkpoints
from ..checkpoints.loading import check_hash
from ..errors import CheckpointError, InputError
from ..types import Array
from .image import pair

SMALLEST = 31  # px; of smaller pictures AlexNet's two poolings leave nothing


class Lpips:
    """LPIPS as the package ``lpips`` computes it. Its backbone is torchvision's AlexNet, the checkpoint ``lpips_alex``;
    the weights of the layers' differences come with the package. Nothing is downloaded, and no pickle is executed.
    Raises CheckpointError, naming the command, when the weights or the package are not installed, or are not the right
    ones.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        path = checkpoints.locate("lpips_alex")
        if path is None:
            raise CheckpointError("LPIPS: needs `wav2lip-hq checkpoints fetch lpips_alex`")
        check_hash(checkpoints.registry().require("lpips_alex"), path, checkpoints.sha256(path))
        self.device = torch.device(device)
        self.net = _network(path).to(self.device)

    def __call__(self, image: Array, reference: Array) -> float:
        """The distance of two (H, W, 3) uint8 RGB pictures, at least 31 px a side: 0 = equal, lower is better, seldom
        above 1; symmetric. Computed in float32 whatever surrounds it. Raises InputError."""
        image, reference = pair(image, reference)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"LPIPS takes (H, W, 3) uint8 pictures, not {image.dtype} {image.shape}")
        if min(image.shape[:2]) < SMALLEST:
            raise InputError(
                f"LPIPS needs at least {SMALLEST}x{SMALLEST} pixels, got {image.shape[1]}x{image.shape[0]}"
            )
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            return float(self.net(self._tensor(image), self._tensor(reference)))

    def _tensor(self, image: Array) -> Tensor:
        """(1, 3, H, W) float32 in [-1, 1]."""
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        return x.to(self.device).float() / 127.5 - 1


def _network(path: Path) -> Any:
    """The package's network, in eval mode, with AlexNet's weights from ``path`` (torchvision's names)."""
    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        raise CheckpointError("LPIPS: needs the package lpips: pip install lpips")
    from .. import compat  # noqa: F401 - before lpips, which imports torchvision

    # isort: split
    from lpips import LPIPS

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it asks torchvision for an untrained AlexNet in a deprecated way
        net: Any = LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    state, _ = checkpoints.load_state(path)
    layers, _ = checkpoints.load_state(Path(spec.origin).parent / "weights" / "v0.1" / "alex.pth")
    try:
        # slice1.0.weight is torchvision's features.0.weight
        net.net.load_state_dict({k: state[f"features.{k.partition('.')[2]}"] for k in net.net.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not torchvision's AlexNet ({error})") from error
    for number in range(net.L):
        getattr(net, f"lin{number}").load_state_dict({"model.1.weight": layers[f"lin{number}.model.1.weight"]})
    return net.eval().requires_grad_(False)
