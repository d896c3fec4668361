"""Restore: bring the synthesised face to 512 px sharpness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..engine import Stage
from ..errors import OptionError, UnknownNetwork
from ..types import Array, Chunk
from ._foreign import open_foreign
from ._paste import TOP, paste

if TYPE_CHECKING:
    from ..runtime import Model, Runtime

Restorer = Callable[[Array], Array]
# Of the generator's picture only what lies below TOP is used. Enlarging networks are given that and this share of its
# height above it, in which the influence of the cut has faded: below TOP the result is that of the whole picture within
# 138 dB for the embedded restorer, 110 for realesr-animevideov3 and 74 for realesr-general-x4v3.
CONTEXT = 1 / 6


@dataclass(frozen=True)
class Restore(Stage):
    """Restore the synthesised face. Adds ``restored``; several in a row form a chain.

    Networks that enlarge (ESRGAN, Real-ESRGAN compact) work on the generator's own small picture, networks that keep
    the size (GFPGAN, CodeFormer) on the 512 px face. ``model`` is a checkpoint, or any callable with a ``scale``
    attribute: (N, S, S, 3) uint8 RGB -> (N, S * scale, S * scale, 3) uint8 RGB. Checkpoints of other architectures
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

    model: str | Restorer = "embedded-restorer"  # small and offline
    strength: float = 1.0  # 0 = unrestored, 1 = the network's own result
    fidelity: float = 0.5  # CodeFormer's w: 0 = prettier, 1 = closer to the input; its authors' default

    def __post_init__(self) -> None:
        for name in ("strength", "fidelity"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"restore.{name} lies between 0 and 1, not {getattr(self, name)}")
        if not isinstance(self.model, str) and not hasattr(self.model, "scale"):
            raise OptionError("restore.model must be a checkpoint's name or a callable with a 'scale' attribute")

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,) if isinstance(self.model, str) else ()

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
        if not isinstance(self.model, str):
            return self.model, int(self.model.scale)  # type: ignore[attr-defined]
        try:
            model = runtime.model(self.model)
        except UnknownNetwork as error:
            return open_foreign(error, runtime)
        call, low, high = self._call(model)
        batch = None if model.scale > 1 and runtime.device.type == "cuda" else runtime.batch_size
        # The large networks gain nothing from batches on a CPU, and need much memory for them.
        batch = 1 if runtime.device.type == "cpu" and model.scale == 1 else batch

        def run(pixels: Tensor) -> Tensor:
            x = pixels.permute(0, 3, 1, 2).float() / 255 * (high - low) + low
            out: Tensor = (call(x) - low).mul_(255 / (high - low))  # in place: these are large pictures
            return out.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

        def whole(images: Array) -> Array:
            return np.asarray(runtime.map(run, images, batch=batch))

        return (whole if model.scale == 1 else lambda images: _lower(whole, images, model.scale)), model.scale

    def _call(self, model: Model) -> tuple[Callable[[Tensor], Any], float, float]:
        """The network as a function of one picture, and the range of values it works in."""
        arch = model.arch.name
        if arch == "codeformer":
            return (lambda x: _first(model(x, w=self.fidelity, adain=True))), -1.0, 1.0
        if arch == "gfpgan_clean":
            return (lambda x: _first(model(x))), -1.0, 1.0
        if arch in ("srvgg", "rrdbnet"):
            return model, 0.0, 1.0
        raise OptionError(f"restore.model '{self.model}' is a {model.arch.title}, which restores nothing")


def _lower(restorer: Restorer, images: Array, scale: int) -> Array:
    """What is used of the generator's pictures, enlarged; black above. Saves a third of the arithmetic."""
    count, size = images.shape[:2]
    top = round(size * (TOP - CONTEXT))
    out = np.zeros((count, size * scale, size * scale, 3), np.uint8)
    out[:, top * scale :] = restorer(images[:, top:])
    return out


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (tuple, list)) else value
