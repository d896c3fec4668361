"""Restorers of architectures that this project does not know, through the package spandrel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import checkpoints
from ..errors import CheckpointError, UnknownNetwork
from ..types import Array

if TYPE_CHECKING:
    from ..runtime import Runtime


def open_foreign(unknown: UnknownNetwork, runtime: Runtime) -> tuple[Callable[[Array], Array], int]:
    """(restorer, scale) of the checkpoint file that ``unknown`` is about.

    The restorer maps (N, S, S, 3) uint8 RGB to (N, S * scale, S * scale, 3) uint8 RGB. The file is read by this
    project's own reader, which executes nothing in it; spandrel is given tensors alone. Raises CheckpointError when
    spandrel is not installed or does not know the network, or the network is not from RGB to RGB.
    """
    from .. import compat  # noqa: F401 - before spandrel, which imports torchvision

    try:
        import spandrel
    except ImportError:
        raise CheckpointError(f"{unknown}; other restorers open through spandrel: pip install spandrel") from unknown
    path = Path(str(unknown.path))

    def load() -> Any:
        state, _ = checkpoints.load_state(path)
        try:
            found = spandrel.ModelLoader(device="cpu").load_from_state_dict(state)
        except Exception as error:
            raise CheckpointError(f"{path}: neither this project nor spandrel knows this network ({error})") from error
        if (
            not isinstance(found, spandrel.ImageModelDescriptor)
            or found.input_channels != 3
            or found.output_channels != 3
        ):
            raise CheckpointError(
                f"{path}: {found.architecture.name} is not a network from RGB pictures to RGB pictures"
            )
        return found.to(runtime.device).eval()

    model = runtime.once(f"spandrel:{path}", load)

    def run(pixels: Tensor) -> Tensor:
        out: Tensor = model(pixels.permute(0, 3, 1, 2).float() / 255)
        return (out.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)

    return (lambda images: runtime.map(run, images)), int(model.scale)
