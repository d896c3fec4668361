"""Align: the generator's stretched box crop and the restorers' 512 px aligned crop of each face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .. import geometry
from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk
from ._paste import CANVAS

if TYPE_CHECKING:
    from ..runtime import Runtime


@described
@dataclass(frozen=True)
class Align(Stage):
    """Crop the faces. Each crop is sampled once, straight from the frame, anti-aliased.

    Adds ``faces.to96`` (the padded box stretched onto size x size, each axis on its own, as the generator was trained)
    and ``faces.to512`` (similarity of the landmarks onto the FFHQ template), float64, and their crops ``crop96`` and
    ``aligned``. Crops are uint8 whatever the frames' depth: the networks were trained on 8 bits, and only blend writes
    into the frame, in its own depth. Beyond the frame's border its pixels are replicated: networks have never seen a
    black edge.
    """

    name: ClassVar[str] = "align"
    reads: ClassVar[tuple[str, ...]] = ("frames", "faces.frame", "faces.box", "faces.landmarks")
    adds: ClassVar[tuple[str, ...]] = ("faces.to96", "faces.to512", "faces.crop96", "faces.aligned")

    pads: tuple[float, float, float, float] = option(
        geometry.GENERATOR_PADS,
        "Margin around the face's box in the generator's crop: top, bottom, left, right, as shares of its height and "
        "width; raise the second where chins are cut off.",
        low=-0.4,
        high=2,
    )
    size: int = option(
        96,
        "Side of the generator's crop; it has to be the one the generator was trained at, 96 for the official ones.",
        unit="px",
        low=16,
        high=1024,
    )

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        faces = chunk.faces
        assert faces is not None and faces.box is not None and faces.landmarks is not None
        to_generator = geometry.box_to_crop(geometry.pad_box(faces.box, self.pads), self.size)
        to_canvas = geometry.fit_similarity(faces.landmarks, geometry.FFHQ_512)
        return chunk.with_faces(
            to96=to_generator,
            to512=to_canvas,
            crop96=_crops(chunk.frames, faces.frame, to_generator, self.size),
            aligned=_crops(chunk.frames, faces.frame, to_canvas, CANVAS),
        )


def _crops(frames: Array, index: Array, matrices: Array, size: int) -> Array:
    """(N, size, size, 3) uint8 crops of frames (T, H, W, 3) uint8 or uint16."""
    return geometry.eight_bits(geometry.warp(frames, index, matrices, size))
