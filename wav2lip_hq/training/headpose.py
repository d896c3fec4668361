"""Yaw, pitch and roll of a head, by a rigid fit of the mean face to points in three dimensions."""

from __future__ import annotations

import numpy as np

from .. import mesh
from ..types import Array

# What no expression moves: forehead, temples, corners of the eyes, bridge of the nose.
RIGID = [
    *range(mesh.FOREHEAD.start, mesh.FOREHEAD.stop),
    *mesh.at(234, 454, 93, 323, 33, 133, 362, 263, 168, 6, 197, 195),
]
_TWIN = [RIGID.index(mesh.MIRROR[row]) for row in RIGID]


def rotations(points: Array, face: Array) -> tuple[Array, Array]:
    """Rotations (N, 3, 3) and scales (N,) that take ``face`` (K, 3) best onto points (N, K, 3), shifts aside
    (Umeyama 1991)."""
    target = points - points.mean(1, keepdims=True)
    source = face - face.mean(0)
    u, s, vt = np.linalg.svd(np.einsum("nki,kj->nij", target, source))
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    return (u * sign[:, None]) @ vt, (s * sign).sum(1) / (source**2).sum()


def mean_face(points: Array, rounds: int = 3) -> Array:
    """(K, 3) symmetric mean of the RIGID points of meshes (N, POINTS, 3) by generalized Procrustes analysis (Gower
    1975): yaw and roll are 0, pitch is the average of these pictures."""
    rigid = np.asarray(points, np.float64)[:, RIGID]
    rigid = rigid - rigid.mean(1, keepdims=True)
    rigid /= np.sqrt((rigid**2).sum((1, 2), keepdims=True))
    face = _even(np.median(rigid, 0))
    for _ in range(rounds):
        turn, scale = rotations(rigid, face)
        face = _even(np.median(np.einsum("nji,nkj->nki", turn, rigid) / scale[:, None, None], 0))
    return face


def _even(face: Array) -> Array:
    face = face - face.mean(0)
    return np.asarray((face + face[_TWIN] * np.array([-1, 1, 1])) / 2)


def head_pose(points: Array, face: Array) -> Array:
    """(N, 3) float32 degrees as in ``Faces.pose``: yaw (+ = turned to the image's right), pitch (+ = up), roll
    (+ = clockwise), of meshes (N, POINTS, 3) whose z grows away from the camera."""
    r, _ = rotations(np.asarray(points, np.float64)[:, RIGID], face)
    yaw = np.arcsin(np.clip(r[:, 2, 0], -1, 1))
    pitch = -np.arctan2(r[:, 2, 1], r[:, 2, 2])
    roll = np.arctan2(r[:, 1, 0], r[:, 0, 0])
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], -1)), np.float32)
