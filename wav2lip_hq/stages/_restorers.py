"""Restorers: networks of the registry, files that open through spandrel, or the user's own code."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import lookup
from ..errors import OptionError, StageError, UnknownNetwork
from ..types import Array

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime import Model, Runtime

Restorer = Callable[[Array], Array]  # (N, S, S, 3) uint8 RGB -> (N, S * scale, S * scale, 3) uint8 RGB
ENLARGING = ("srvgg", "rrdbnet")
FITS = ("codeformer", "gfpgan_clean", *ENLARGING)


class Opened(NamedTuple):
    """A restorer that is ready. local: whether a part of a picture comes out as it does within the whole."""

    run: Restorer
    scale: int
    local: bool


def opened(model: str | Restorer, runtime: Runtime, fidelity: float = 0.5) -> Opened:
    """The restorer of a checkpoint, a callable, or one at "package.module:name". fidelity: CodeFormer's. Raises
    CheckpointError, OptionError."""
    if is_own(model):
        return Opened(*own_restorer(model, runtime), False)
    import torch

    assert isinstance(model, str)
    try:
        network = runtime.model(model, FITS)
    except UnknownNetwork as error:
        from ._foreign import open_foreign

        return Opened(*open_foreign(error, runtime), False)
    call, low, high = _call(network, fidelity)
    batch = None if network.scale > 1 and runtime.device.type == "cuda" else runtime.batch_size
    # The large networks gain nothing from batches on a CPU, and need much memory for them.
    batch = 1 if runtime.device.type == "cpu" and network.scale == 1 else batch

    def run(pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).float() / 255 * (high - low) + low
        out: Tensor = (call(x) - low).mul_(255 / (high - low))  # in place: large pictures
        return out.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    return Opened(
        lambda images: np.asarray(runtime.map(run, images, batch=batch)), network.scale, network.arch.name in ENLARGING
    )


def _call(model: Model, fidelity: float) -> tuple[Callable[[Tensor], Any], float, float]:
    """The network as a function of a batch of pictures, and the range of values it works in."""
    arch = model.arch.name  # one of FITS
    if arch == "codeformer":
        return (lambda x: _first(model(x, w=fidelity, adain=True))), -1.0, 1.0
    if arch == "gfpgan_clean":
        return (lambda x: _first(model(x))), -1.0, 1.0
    return model, 0.0, 1.0


def is_own(model: str | Restorer) -> bool:
    """Whether a restorer is the user's own code."""
    return not isinstance(model, str) or (lookup.is_reference(model) and not os.path.exists(model))


def own_restorer(model: str | Restorer, runtime: Runtime) -> tuple[Restorer, int]:
    """(restorer, scale) of a callable, or of one at "package.module:name". Raises OptionError if it is none."""
    title = f"restore.model '{model}'" if isinstance(model, str) else "restore.model"
    found: Any = lookup.find(model) if isinstance(model, str) else model
    if isinstance(found, type):
        kind = found
        found = runtime.once(f"restorer:{kind.__module__}:{kind.__qualname__}", lambda: _made(kind, title))
    scale = getattr(found, "scale", 1)
    if not callable(found) or isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
        raise OptionError(
            f"{title} is not a restorer: it has to be callable, pictures (N, S, S, 3) uint8 in, (N, S * scale, "
            "S * scale, 3) uint8 out, and its 'scale' (1 if it has none) a whole number"
        )

    def checked(images: Array) -> Array:
        made = np.asarray(found(images))
        wanted = (len(images), images.shape[1] * scale, images.shape[2] * scale, 3)
        if made.shape != wanted or made.dtype != np.uint8:
            raise StageError(
                f"{title} gave {made.shape} {made.dtype} for {images.shape} uint8 pictures; with scale {scale} it has "
                f"to be {wanted} uint8"
            )
        return made

    return checked, scale


def _made(kind: type, title: str) -> Any:
    try:
        return kind()
    except Exception as error:
        raise OptionError(f"{title} cannot be made without arguments ({type(error).__name__}: {error})") from error


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) else value
