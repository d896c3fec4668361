"""How far the landmarks of a mouth reach beyond the mouth that is seen.

Landmarks of profiles are those of a head turned by about 40 degrees: their mouth ends in the air beside the face. The
parser knows nothing of poses, and sees where the lips end.
"""

from __future__ import annotations

import numpy as np

from .. import mesh as points
from ..types import Array, Faces
from ._outline import on_canvas
from ._paste import CANVAS

FADING = 0.1  # share of the mouth's width below the largest one admitted from which the synthesis fades
TURNED = (28.0, 34.0)  # degrees of yaw, as the landmarks have it, from which and at which that counts
AROUND = 0.2  # widths of the mouth beside it in which its lips are searched for
LEAST = 0.25  # width of the lips in widths of the mouth below which they are not seen


def overshoots(faces: Faces, lips: Array) -> Array:
    """(N,) float64, see ``overshoot``. lips: (N, S, S) bool, of the faces on the canvas."""
    out = np.full(len(faces), np.nan)
    if faces.mesh is None or faces.to512 is None or faces.pose is None:
        return out
    for n, (seen, to512) in enumerate(zip(lips, faces.to512, strict=True)):
        mesh = on_canvas(faces.mesh[n], to512) * (len(seen) / CANVAS)
        if np.isfinite(mesh).all():
            out[n] = overshoot(seen, mesh, float(faces.pose[n, 0]))
    return out


def overshoot(lips: Array, mesh: Array, yaw: float) -> float:
    """Share of the width of the landmarks' mouth that lies beyond the far end of the lips; NaN where none are seen.

    lips: (S, S) bool, what the parser takes for lips and the inside of the mouth; mesh: (POINTS, 2) in its pixels;
    yaw: in degrees.
    """
    outline = mesh[points.OUTER_LIPS]
    low, high = outline.min(0), outline.max(0)
    width = float(high[0] - low[0])
    left, top = np.maximum(np.floor(low - AROUND * width), 0).astype(int)
    right, bottom = np.maximum(np.ceil(high + AROUND * width), 0).astype(int)
    columns = np.flatnonzero(lips[top:bottom, left:right].any(0)) + left
    if len(columns) < 2 or columns[-1] - columns[0] < LEAST * width:
        return float("nan")
    beyond = columns[0] - low[0] if yaw < 0 else high[0] - columns[-1] - 1
    return max(float(beyond), 0.0) / width


def trusted(overshoots: list[float], yaw: float, most: float) -> float:
    """In [0, 1]: whether a face can be synthesized, from the overshoots of the frames around it. most: the mean at
    which it cannot be."""
    known = [x for x in overshoots if np.isfinite(x)]
    if not known:
        return 1.0
    too_far = np.interp(np.mean(known), (most - FADING, most), (0, 1)) * np.interp(abs(yaw), TURNED, (0, 1))
    return float(1 - too_far)
