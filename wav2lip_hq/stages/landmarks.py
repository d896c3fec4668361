"""Landmarks: the dense points of every face, how the head is turned, and how well the mouth can be seen."""

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
# Where the five landmarks of a face that looks into the camera lie in the input (left eye, right eye, nose, corners of
# the mouth): small enough that a face turned sideways fits, too.
FIVE: Array = np.array([[45.1, 49.9], [81.9, 49.9], [63.5, 71.5], [49.1, 89.1], [77.9, 89.1]])
# Faces a network call. Always exactly this many (short batches are filled up): kernels differ in the last bit between
# batch sizes, and results must not depend on how the video is cut into chunks.
BATCH = 8


@described
@dataclass(frozen=True)
class Landmarks(Stage):
    """Measure faces. Adds ``mesh`` (N, POINTS, 2) float32 in the frame, ``pose`` (N, 3) float32 in degrees and
    ``visible`` (N,) float32 in [0, 1].

    Each face is looked at by itself, in its own frame: nothing is smoothed in time beyond the five landmarks that place
    the crop. ``visible`` is near 0 where a hand or a microphone covers the mouth, where the picture is too small or too
    blurred to see it, and where there is no face; points are a guess there. Deeper frames (uint16) are looked at in
    8 bits.
    """

    name: ClassVar[str] = "landmarks"
    reads: ClassVar[tuple[str, ...]] = ("frames", "faces.frame", "faces.landmarks")
    adds: ClassVar[tuple[str, ...]] = ("faces.mesh", "faces.pose", "faces.visible")

    fits: ClassVar[tuple[str, ...]] = ("landmarks",)

    model: str = option("embedded-landmarks", "The checkpoint that finds the points: a name or a file.")

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
    count = len(index)
    if not count:
        return np.zeros((0, mesh.POINTS, 2), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    network = runtime.model(model, expect="landmarks")
    maps = geometry.fit_upright(landmarks, FIVE)
    crops = geometry.eight_bits(geometry.warp(frames, index, maps, SIDE))
    size = min(BATCH, runtime.batch_size)
    filled = np.concatenate([crops, np.repeat(crops[-1:], -count % size, 0)])

    def look(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points, pose, logit = network(network_input(images))
        return points, pose, logit.sigmoid()

    points, pose, visible = (x[:count] for x in runtime.map(look, filled, batch=size))
    pose[:, 2] -= np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    pose[:, 2] = (pose[:, 2] + 180) % 360 - 180
    return geometry.apply(geometry.invert(maps), points).astype(np.float32), pose, visible


def network_input(images: Tensor) -> Tensor:
    """(N, S, S, 3) uint8 RGB -> (N, 3, S, S) float32 in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
