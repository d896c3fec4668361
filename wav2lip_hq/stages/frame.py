"""Frame: restore and enlarge the whole picture, after the mouth is in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from ..engine import Stage
from ..errors import OptionError, UnknownNetwork
from ..options import described, option
from ..types import Array, Chunk, Faces
from ._restorers import ENLARGING, Restorer, is_own, own_restorer

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime import Runtime

Enlarge = Callable[[Array], Array]  # (N, h, w, 3) float32 in [0, 1] -> (N, h * scale, w * scale, 3)
EVEN = 4  # px: networks that begin by folding pixels want multiples of it


@described
@dataclass(frozen=True)
class Frame(Stage):
    """Enlarge every frame, spoken or not, with a network, in tiles.

    For after ``blend``. The output is ``times`` as large as the footage; a network that enlarges more is averaged down.
    Each tile is given ``overlap`` px of the picture around it, which are cut off afterwards, so that no seams show.
    Networks of the registry keep 16 bits; functions and networks that open through spandrel work in 8.
    """

    name: ClassVar[str] = "frame"
    whole: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("frames",)
    optional: ClassVar[tuple[str, ...]] = ("faces.box",)
    adds: ClassVar[tuple[str, ...]] = ("frames",)
    fits: ClassVar[tuple[str, ...]] = ENLARGING

    model: str | Restorer = option(
        "realesr_general_x4v3",
        "The network: a name from `checkpoints list` (realesrgan_x2plus, realesrgan_x4plus), a file, a function, or "
        "your own as package.module:name.",
    )
    times: int = option(2, "How many times as large the output is, to each side.", low=1, high=8)
    tile: int = option(
        256, "Side of the tiles that are computed at once; less needs less memory.", unit="px", low=32, high=4096
    )
    overlap: int = option(
        32, "Of the picture around each tile; more hides seams better, and costs time.", unit="px", low=0, high=512
    )

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,) if isinstance(self.model, str) and not is_own(self.model) else ()

    @property
    def code(self) -> tuple[str, ...]:
        return (self.model,) if isinstance(self.model, str) and is_own(self.model) else ()

    def load(self, runtime: Runtime) -> None:
        """Load the network, through spandrel if need be. Raises CheckpointError, OptionError."""
        self._network(runtime)

    @property
    def magnification(self) -> int:
        return self.times

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        enlarge, scale = self._network(runtime)
        frames = np.stack([self._picture(frame, enlarge, scale) for frame in chunk.frames])
        alpha = chunk.alpha
        if alpha is not None and self.times != 1:
            size = frames.shape[2], frames.shape[1]
            alpha = np.stack([_resized(a, size) for a in alpha])
        return replace(chunk, frames=frames, alpha=alpha, faces=self._moved(chunk.faces))

    def _moved(self, faces: Faces | None) -> Faces | None:
        """Boxes in the pixels of the enlarged picture."""
        if faces is None or faces.box is None:
            return faces
        return replace(faces, box=((faces.box + 0.5) * self.times - 0.5).astype(np.float32))

    def _picture(self, frame: Array, enlarge: Enlarge, scale: int) -> Array:
        most = 65535 if frame.dtype == np.uint16 else 255
        made = tiled(frame.astype(np.float32) / np.float32(most), enlarge, scale, self.tile, self.overlap)
        height, width = (side * self.times for side in frame.shape[:2])
        if scale != self.times:
            made = cv2.resize(made, (width, height), interpolation=cv2.INTER_AREA)
        return np.round(np.clip(made, 0, 1) * most).astype(frame.dtype)

    def _network(self, runtime: Runtime) -> tuple[Enlarge, int]:
        if is_own(self.model):
            run, scale = own_restorer(self.model, runtime)
            found: tuple[Enlarge, int] = _bytes(run), scale
        else:
            found = self._known(runtime)
        if found[1] < self.times:
            raise OptionError(f"frame.times is {self.times}, but '{self.model}' enlarges by {found[1]}")
        return found

    def _known(self, runtime: Runtime) -> tuple[Enlarge, int]:
        assert isinstance(self.model, str)
        try:
            model = runtime.model(self.model, self.fits)
        except UnknownNetwork as error:
            from ._foreign import open_foreign

            run, scale = open_foreign(error, runtime)
            return _bytes(run), scale

        def enlarge(pixels: Tensor) -> Tensor:
            out: Tensor = model(pixels.permute(0, 3, 1, 2))
            return out.float().clamp_(0, 1).permute(0, 2, 3, 1)

        batch = 1 if runtime.device.type == "cpu" else None
        return (lambda images: np.asarray(runtime.map(enlarge, images, batch=batch))), model.scale


def tiled(image: Array, enlarge: Enlarge, scale: int, tile: int, overlap: int) -> Array:
    """``image`` (H, W, 3) float32 enlarged by ``scale``, in tiles of ``tile`` px with ``overlap`` px around each."""
    height, width = image.shape[:2]
    tile, around = -(-tile // EVEN) * EVEN, -(-overlap // EVEN) * EVEN
    rows, columns = min(tile, -(-height // EVEN) * EVEN), min(tile, -(-width // EVEN) * EVEN)
    down, across = -(-height // rows), -(-width // columns)
    padded = cv2.copyMakeBorder(
        image,
        around,
        around + down * rows - height,
        around,
        around + across * columns - width,
        cv2.BORDER_REFLECT_101 if min(height, width) > 2 * around + max(rows, columns) else cv2.BORDER_REPLICATE,
    )
    out = np.empty((height * scale, width * scale, 3), np.float32)
    for y in range(0, height, rows):
        strip = [padded[y : y + rows + 2 * around, x : x + columns + 2 * around] for x in range(0, width, columns)]
        made = enlarge(np.stack(strip))
        for n, x in enumerate(range(0, width, columns)):
            part = made[n, around * scale : (around + rows) * scale, around * scale : (around + columns) * scale]
            there = out[y * scale : (y + rows) * scale, x * scale : (x + columns) * scale]
            there[:] = part[: there.shape[0], : there.shape[1]]
    return out


def _bytes(run: Restorer) -> Enlarge:
    """A restorer of 8-bit pictures as one of floats."""
    return lambda images: run(np.round(images * 255).astype(np.uint8)).astype(np.float32) / np.float32(255)


def _resized(alpha: Array, size: tuple[int, int]) -> Array:
    given = alpha.astype(np.float32) if alpha.dtype == np.float16 else alpha
    return np.asarray(cv2.resize(given, size, interpolation=cv2.INTER_LINEAR)).astype(alpha.dtype)
