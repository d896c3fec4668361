"""MediaPipe's published face mesh: measures the mouths of results, and labels training data.

No stage uses this network; ``facemesh468`` in the registry says where its weights come from.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..errors import InputError
from ..types import Array

if TYPE_CHECKING:
    from ..runtime import Model, Runtime

MODEL = "facemesh468"
SIZE = 192  # side of the network's input in px
MARGIN = 1.5  # the input's side over the longer side of the face, as MediaPipe cuts it
_EYES = (33, 263)  # outer corners; level in the input
# Five landmarks of a frontal face in the input (eyes, nose, corners of the mouth), px.
_FIVE = np.array([[73.0, 79.0], [119.0, 79.0], [96.0, 106.0], [78.0, 128.0], [114.0, 128.0]])


def next_crops(mesh: Array, margin: float = MARGIN) -> Array:
    """(N, 2, 3) maps as MediaPipe makes them from the mesh (N, 468, 2 or 3) found before: upright by the eyes'
    outer corners, square, ``margin`` times the longer side of the points' box."""
    points = np.asarray(mesh, np.float64)[..., :2]
    eyes = points[:, _EYES[1]] - points[:, _EYES[0]]
    angle = np.arctan2(eyes[:, 1], eyes[:, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)
    upright = np.einsum("nij,nkj->nki", turn, points)
    low, high = upright.min(1), upright.max(1)
    scale = SIZE / np.maximum((high - low).max(1) * margin, 1e-6)
    linear = turn * scale[:, None, None]
    shift = (SIZE - 1) / 2 - (low + high) / 2 * scale[:, None]
    return np.concatenate([linear, shift[..., None]], -1)


def measure_mesh(
    images: Array | Sequence[Array],
    landmarks: Array,
    runtime: Runtime,
    *,
    index: Array | None = None,
    model: str | os.PathLike[str] = MODEL,
    passes: int = 2,
    margin: float = MARGIN,
) -> tuple[Array, Array]:
    """Mesh and confidence of N faces.

    images: (T, H, W, 3) uint8 or uint16 RGB frames, or a list of such pictures; landmarks: (N, 5, 2) five points of
    each face in pixels of its frame (eyes, nose, corners of the mouth, as ``Faces.landmarks``), approximate ones
    suffice; index: (N,) the frame of each face, default: face n is in image n. passes: the first crops by the five
    points, each further one by the mesh found before. margin: see ``next_crops``.

    Returns (N, 468, 3) float32 in pixels of the frame (z: in the same unit, smaller is nearer to the camera, 0 about
    the middle of the head) and (N,) float32, the probability that there is a face. Raises InputError
    for shapes that do not fit, CheckpointError when the network is not installed.
    """
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (5, 2):
        raise InputError(f"expected five landmarks of each face, (N, 5, 2), not {landmarks.shape}")
    index = np.arange(len(landmarks)) if index is None else np.asarray(index)
    if len(index) != len(landmarks):
        raise InputError(f"{len(landmarks)} faces, but {len(index)} frame numbers for them")
    if not len(landmarks):
        return np.zeros((0, 468, 3), np.float32), np.zeros(0, np.float32)
    network = runtime.model(model, expect=MODEL)
    matrices, mesh, logit = geometry.fit_upright(landmarks, _FIVE), np.empty(0), np.empty(0)
    for step in range(max(1, passes)):
        if step:
            matrices = next_crops(mesh, margin)
        crops = np.stack([geometry.sample(images[i], m, SIZE) for i, m in zip(index, matrices, strict=True)])
        found, logit = runtime.map(partial(_run, network), geometry.eight_bits(crops), batch=16)
        mesh = _to_frame(found, matrices)
    return mesh.astype(np.float32), (1 / (1 + np.exp(-logit.astype(np.float64)))).astype(np.float32)


def _run(network: Model, images: Tensor) -> tuple[Tensor, Tensor]:
    x = images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
    points, logit = network(x)
    return points, logit


def _to_frame(points: Array, matrices: Array) -> Array:
    """The network's points (N, 468, 3), which count from the input's edge, in pixels of the frame."""
    inverse = geometry.invert(matrices)
    flat = points[..., :2].astype(np.float64) - 0.5
    place = geometry.apply(inverse, flat)
    scale = np.hypot(inverse[:, 0, 0], inverse[:, 1, 0])
    return np.concatenate([place, points[..., 2:] * scale[:, None, None]], -1)
