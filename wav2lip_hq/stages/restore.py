"""Restore: bring the synthesized face to 512 px sharpness."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import lookup
from ..engine import Stage
from ..errors import OptionError, StageError, UnknownNetwork
from ..options import described, option
from ..types import Array, Chunk
from ._paste import TOP, paste

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime import Model, Runtime

Restorer = Callable[[Array], Array]
# Only the part of the generator's output below TOP is used. Upscaling networks are given that part and, as context,
# this share of its height above it: below TOP their output equals that for the whole picture within 138 dB (the
# embedded restorer), 110 dB (realesr-animevideov3) and 74 dB (realesr-general-x4v3).
CONTEXT = 1 / 6


@described
@dataclass(frozen=True)
class Restore(Stage):
    """Restore the synthesized face. Adds ``restored``; several in a row form a chain.

    Upscaling networks (ESRGAN, Real-ESRGAN compact) work on the generator's own small output, networks that keep the
    size (GFPGAN, CodeFormer) on the 512 px face. ``model`` is a checkpoint, or any callable: (N, S, S, 3) uint8 RGB ->
    (N, S * scale, S * scale, 3) uint8 RGB, where ``scale`` is an attribute of it and 1 if it has none. It can be given
    as text, "package.module:name"; a class is instantiated once, without arguments. Checkpoints of other architectures
    open through the package spandrel where it is installed.
    """

    name: ClassVar[str] = "restore"
    reads: ClassVar[tuple[str, ...]] = (
        "faces.synced96",
        "faces.synced",
        "faces.aligned",
        "faces.to96",
        "faces.to512",
    )
    optional: ClassVar[tuple[str, ...]] = ("faces.restored",)  # an earlier Restore's, in a chain
    adds: ClassVar[tuple[str, ...]] = ("faces.restored",)
    fits: ClassVar[tuple[str, ...]] = ("codeformer", "gfpgan_clean", "srvgg", "rrdbnet")

    model: str | Restorer = option(
        "embedded-restorer",
        "The restorer: embedded-restorer is small and works offline; or a name from `checkpoints list`, a file, a "
        "function, or your own as package.module:name.",
    )
    strength: float = option(
        1.0, "Share of the network's output in the result: 0 leaves the face unrestored.", low=0, high=1
    )
    fidelity: float = option(
        0.5,
        "CodeFormer only: less looks better, more is closer to its input; the authors' default.",
        low=0,
        high=1,
    )

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,) if isinstance(self.model, str) and not self._own else ()

    @property
    def code(self) -> tuple[str, ...]:
        return (self.model,) if isinstance(self.model, str) and self._own else ()

    @property
    def _own(self) -> bool:
        """Whether the model is the user's own code."""
        return is_own(self.model)

    def load(self, runtime: Runtime) -> None:
        """Load the network, through spandrel if need be. Raises CheckpointError."""
        self._restorer(runtime)

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        faces = chunk.faces
        assert faces is not None and faces.synced is not None and faces.synced96 is not None
        assert faces.aligned is not None and faces.to96 is not None and faces.to512 is not None
        before = faces.synced if faces.restored is None else faces.restored
        if not len(faces) or self.strength == 0:
            return chunk.with_faces(restored=before)
        run, scale = self._restorer(runtime)
        if scale > 1:
            small = faces.synced96
            after = paste(run(small), faces.to96, faces.to512, faces.aligned, small.shape[1])
        else:
            after = run(before)
        if self.strength < 1:
            mixed = before.astype(np.float32) * (1 - self.strength) + after.astype(np.float32) * self.strength
            after = np.round(mixed).astype(np.uint8)
        return chunk.with_faces(restored=after)

    def _restorer(self, runtime: Runtime) -> tuple[Restorer, int]:
        if self._own:
            return own_restorer(self.model, runtime)
        import torch

        assert isinstance(self.model, str)

        try:
            model = runtime.model(self.model, self.fits)
        except UnknownNetwork as error:
            from ._foreign import open_foreign

            return open_foreign(error, runtime)
        call, low, high = self._call(model)
        batch = None if model.scale > 1 and runtime.device.type == "cuda" else runtime.batch_size
        # The large networks gain nothing from batches on a CPU, and need much memory for them.
        batch = 1 if runtime.device.type == "cpu" and model.scale == 1 else batch

        def run(pixels: Tensor) -> Tensor:
            x = pixels.permute(0, 3, 1, 2).float() / 255 * (high - low) + low
            out: Tensor = (call(x) - low).mul_(255 / (high - low))  # in place: large pictures
            return out.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

        def whole(images: Array) -> Array:
            return np.asarray(runtime.map(run, images, batch=batch))

        return (whole if model.scale == 1 else lambda images: _lower(whole, images, model.scale)), model.scale

    def _call(self, model: Model) -> tuple[Callable[[Tensor], Any], float, float]:
        """The network as a function of a batch of pictures, and the range of values it works in."""
        arch = model.arch.name  # one of ``fits``
        if arch == "codeformer":
            return (lambda x: _first(model(x, w=self.fidelity, adain=True))), -1.0, 1.0
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


def _lower(restorer: Restorer, images: Array, scale: int) -> Array:
    """The part of the generator's pictures that is used, upscaled; black above. Saves a third of the arithmetic."""
    count, size = images.shape[:2]
    top = round(size * (TOP - CONTEXT))
    out = np.zeros((count, size * scale, size * scale, 3), np.uint8)
    out[:, top * scale :] = restorer(images[:, top:])
    return out


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) else value
