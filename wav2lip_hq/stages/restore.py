"""Restore: bring the synthesized face to 512 px sharpness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk
from ._paste import TOP, paste
from ._restorers import FITS, Restorer, is_own, opened

if TYPE_CHECKING:
    from ..runtime import Runtime

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
    fits: ClassVar[tuple[str, ...]] = FITS

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
        run, scale, local = opened(self.model, runtime, self.fidelity)
        if scale == 1 or not local:
            return run, scale
        return (lambda images: _lower(run, images, scale)), scale


def _lower(restorer: Restorer, images: Array, scale: int) -> Array:
    """The part of the generator's pictures that is used, upscaled; black above. Saves a third of the arithmetic."""
    count, size = images.shape[:2]
    top = round(size * (TOP - CONTEXT))
    out = np.zeros((count, size * scale, size * scale, 3), np.uint8)
    out[:, top * scale :] = restorer(images[:, top:])
    return out
