"""Landmarks: dense landmarks of every face, head pose, and whether the mouth can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import geometry, mesh
from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime import Runtime

SIDE = 128  # px of the network's square input
# The five landmarks of a frontal face in the input (left eye, right eye, nose, corners of the mouth), px: small enough
# that a face turned sideways fits, too.
FIVE: Array = np.array([[45.1, 49.9], [81.9, 49.9], [63.5, 71.5], [49.1, 89.1], [77.9, 89.1]])
BATCH = 8  # faces in a network call


@described
@dataclass(frozen=True)
class Landmarks(Stage):
    """Measure faces. Adds ``mesh`` (N, POINTS, 2) float32 in px of the frame, ``pose`` (N, 3) float32 in degrees and
    ``visible`` (N,) float32, the probability that the mouth can be seen.

    Each face is measured by itself, in its own frame; only the five landmarks that place the crop are smoothed in time.
    ``visible`` is near 0 where a hand or a microphone covers the mouth, where the picture is too small or too blurred
    to see it, and where there is no face; the points are a guess there. Frames of 16 bits are converted to 8 first.
    """

    name: ClassVar[str] = "landmarks"
    reads: ClassVar[tuple[str, ...]] = ("frames", "faces.frame", "faces.landmarks")
    adds: ClassVar[tuple[str, ...]] = ("faces.mesh", "faces.pose", "faces.visible")

    fits: ClassVar[tuple[str, ...]] = ("landmarks",)

    model: str = option("embedded-landmarks", "The landmark network's checkpoint: a name or a file.")

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,)

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        faces = chunk.faces
        assert faces is not None and faces.landmarks is not None
        points, pose, visible = find_mesh(chunk.frames, faces.frame, faces.landmarks, runtime, self.model)
        return chunk.with_faces(mesh=points, pose=pose, visible=visible)


def find_mesh(
    frames: Array, index: Array, landmarks: Array, runtime: Runtime, model: str = "embedded-landmarks"
) -> tuple[Array, Array, Array]:
    """Points, pose and visibility, as ``Landmarks`` adds them, of N faces in frames (T, H, W, 3) uint8 or uint16.

    index: (N,) each face's frame; landmarks: (N, 5, 2) as in ``Faces``. Raises CheckpointError.
    """
    if not len(index):
        return np.zeros((0, mesh.POINTS, 2), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    network = runtime.model(model, expect="landmarks")
    maps = geometry.fit_upright(landmarks, FIVE)
    crops = geometry.eight_bits(geometry.warp(frames, index, maps, SIDE))

    def look(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points, pose, logit = network(network_input(images))
        return points, pose, logit.sigmoid()

    points, pose, visible = runtime.map(look, crops, batch=min(BATCH, runtime.batch_size))
    pose[:, 2] -= np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    pose[:, 2] = (pose[:, 2] + 180) % 360 - 180
    return geometry.apply(geometry.invert(maps), points).astype(np.float32), pose, visible


def network_input(images: Tensor) -> Tensor:
    """(N, S, S, 3) uint8 RGB -> (N, 3, S, S) float32 in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
