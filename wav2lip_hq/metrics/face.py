"""Landmark distance and identity similarity of faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..errors import CheckpointError, InputError
from ..types import Array


def landmark_distance(made: Array, real: Array) -> float:
    """LMD (Chen et al. 2018): mean distance of mouth landmarks over frames, as a share of the eye distance.

    made, real: (T, K, 2) pixel coordinates. Of the five points of a RetinaFace (K = 5: eyes, nose, mouth corners) the
    mouth corners are compared, in eye distances; otherwise all points, in root mean squares of the real ones.
    Each frame's mean is subtracted first, so that the position of the head has no influence. >= 0, lower is better, NaN
    for no frames. Raises InputError for different shapes.

    >>> face = np.array([[[0, 0], [10, 0], [5, 5], [2, 9], [8, 9]]], float)
    >>> landmark_distance(face + 3, face)
    0.0
    """
    made, real = np.asarray(made, np.float64), np.asarray(real, np.float64)
    if made.shape != real.shape or made.ndim != 3 or made.shape[2] != 2:
        raise InputError(f"landmarks differ in shape: {made.shape} and {real.shape}; expected (T, K, 2)")
    if not len(made):
        return float("nan")
    if made.shape[1] == 5:
        scale = np.linalg.norm(real[:, 0] - real[:, 1], axis=1)
        made, real = made - made[:, :3].mean(1, keepdims=True), real - real[:, :3].mean(1, keepdims=True)
        made, real = made[:, 3:], real[:, 3:]
    else:
        made, real = made - made.mean(1, keepdims=True), real - real.mean(1, keepdims=True)
        scale = np.sqrt((real**2).sum(2).mean(1))
    return float((np.linalg.norm(made - real, axis=2).mean(1) / np.maximum(scale, 1e-6)).mean())


def identity_similarity(made: Array, real: Array, embedding: Callable[[Array], Array]) -> float:
    """Mean cosine of face embeddings of (N, S, S, 3) uint8 RGB faces, pair by pair; in [-1, 1], higher is better, NaN
    for none. embedding: faces -> (N, D), say MobileFaceNet at 112 px. Raises InputError when the counts differ.

    >>> faces = np.eye(3)[:, None, None] * np.ones((3, 4, 4, 1))
    >>> identity_similarity(faces, faces, lambda x: x.mean((1, 2)))
    1.0
    """
    if len(made) != len(real):
        raise InputError(f"{len(made)} synthesized faces for {len(real)} real ones; pairs are compared")
    if not len(made):
        return float("nan")
    a, b = (np.asarray(embedding(x), np.float64) for x in (made, real))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / np.maximum(norms, 1e-12)).mean())


def onnx_embedding(path: Path) -> Callable[[Array], Array]:
    """The embedding of an ONNX face network that reads (N, 3, 112, 112) RGB in [-1, 1] of ArcFace-aligned faces, as
    MobileFaceNet and ArcFace files do. Raises CheckpointError when OpenCV cannot read the file."""
    try:
        net = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise CheckpointError(f"{path} is not an ONNX network that OpenCV can read") from error

    def embed(faces: Array) -> Array:
        rows = []
        for face in faces:
            net.setInput(cv2.dnn.blobFromImage(face, 1 / 127.5, (112, 112), (127.5, 127.5, 127.5)))
            rows.append(np.asarray(net.forward()).reshape(-1))
        return np.stack(rows)

    return embed
