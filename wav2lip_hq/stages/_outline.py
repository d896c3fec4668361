"""The outline of the lower face, from the dense landmarks."""

from __future__ import annotations

import cv2
import numpy as np

from .. import mesh as points
from ..types import Array
from ._paste import CANVAS

BELOW = 0.22  # share of the distance from mouth to jaw by which the outline reaches below the jaw: skin that follows it
_JAW = list(range(points.JAW.start, points.JAW.stop))[2:-2]
_MIDDLE = points.at(78, 308)
_TOP = points.at(205, 5, 425)  # cheeks and bridge of the nose


def on_canvas(mesh: Array, to512: Array) -> Array:
    """(POINTS, 2) float64: a mesh in the frame, moved onto the canvas."""
    return np.asarray(mesh.astype(np.float64) @ to512[:, :2].T + to512[:, 2])


def lower_face(mesh: Array, target: Array) -> Array:
    """(512, 512) uint8 in {0, 1}: from the nose to a little below the jaw; the union of both shapes.

    mesh, target: (POINTS, 2) on the canvas, the face as it is and as it is to be.
    """
    out = np.zeros((CANVAS, CANVAS), np.uint8)
    for shape in (mesh, target):
        jaw, middle = shape[_JAW], shape[_MIDDLE].mean(0)
        down = np.clip((jaw[:, 1] - middle[1]) / max(float(np.ptp(jaw[:, 1])), 1.0), 0, 1)
        grown = jaw + BELOW * down[:, None] * (jaw - middle)
        outline = np.concatenate([grown, shape[_TOP]])
        cv2.fillPoly(out, [np.round(cv2.convexHull(outline.astype(np.float32))[:, 0]).astype(np.int32)], 1)
    # It ends with the canvas, and fades there: a long chin may reach beyond.
    out[[0, -1]] = 0
    out[:, [0, -1]] = 0
    return out


def within(mesh: Array, share: float, beard: float = 0.0) -> Array:
    """(512, 512) uint8 in {0, 1}: the lower face, scaled by ``share`` about the mouth.

    beard: by which share of its distance from the mouth each point below it moves further down.
    """
    middle = mesh[_MIDDLE].mean(0)
    shape = middle + share * (np.concatenate([mesh[_JAW][1:-1], mesh[_TOP]]) - middle)
    shape[:, 1] += beard * np.maximum(shape[:, 1] - middle[1], 0)
    out = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.fillPoly(out, [np.round(cv2.convexHull(shape.astype(np.float32))[:, 0]).astype(np.int32)], 1)
    return out
