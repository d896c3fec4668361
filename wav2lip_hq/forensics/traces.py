"""What synthesis leaves in single frames: sharpness, grain and movement of the mouth against the rest of the face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .. import geometry, mesh
from ..types import Array

# Measured in each frame. "l" is the skin of the lower face, "m" the mouth, each as the logarithm of its ratio to the
# upper face, which no lip-sync changes.
NAMES = (
    "sharp_l", "sharp_m",  # strength of the finest detail
    "grain_l", "grain_m",  # its median: noise rather than edges
    "slope_l", "slope_m",  # coarser against finest detail: what was enlarged or generated lacks the finest
    "moves_l", "moves_m",  # change of the finest detail from frame to frame, the head's movement undone
    "fresh_l", "fresh_m",  # how much of the finest detail is new in each frame
)  # fmt: skip
_LOWER = [*range(mesh.JAW.start + 3, mesh.JAW.stop - 3), *mesh.at(205, 2, 425)]
_UPPER = [*range(mesh.LEFT_EYE.start, mesh.BROWS.stop), *mesh.at(50, 280, 5)]  # eyes, brows, cheeks
_LIPS = list(range(mesh.OUTER_LIPS.start, mesh.OUTER_LIPS.stop))
_LEAST = 40  # pixels of a region


@dataclass(frozen=True)
class Shot:
    """One face in one frame, kept for the comparison with the next."""

    fine: Array  # (h, w) float32, the finest detail of the part of the frame around the face
    corner: tuple[int, int]
    map: Array  # (2, 3), frame -> aligned face


def traces(frame: Array, points: Array, map_: Array, before: Shot | None) -> tuple[Array, Shot]:
    """((len(NAMES),) float32 with NaN for what cannot be measured, what to hand to the next call).

    frame: (H, W, 3) uint8; points: (POINTS, 2) mesh; map_: (2, 3), see ``watermark.anchor``; before: of the same face
    in the previous frame.
    """
    height, width = frame.shape[:2]
    low, high = points.min(0) - 8, points.max(0) + 8
    x1, y1 = np.clip(np.floor(low), 0, (width - 2, height - 2)).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(high), (x1 + 2, y1 + 2), (width, height)).astype(int).tolist()
    gray = cv2.cvtColor(np.ascontiguousarray(frame[y1:y2, x1:x2]), cv2.COLOR_RGB2GRAY).astype(np.float32)
    soft = cv2.GaussianBlur(gray, (0, 0), 1.0)
    fine, coarse = gray - soft, soft - cv2.GaussianBlur(gray, (0, 0), 2.2)
    shot = Shot(fine, (x1, y1), map_)
    local = points - (x1, y1)
    lips = _filled(local[_LIPS], fine.shape)
    lower = _filled(local[_LOWER], fine.shape) & ~cv2.dilate(lips.astype(np.uint8), np.ones((3, 3))).astype(bool)
    upper = _filled(local[_UPPER], fine.shape) & ~_filled(local[_LOWER], fine.shape)
    out = np.full(len(NAMES), np.nan, np.float32)
    if min(int(r.sum()) for r in (lips, lower, upper)) < _LEAST:
        return out, shot
    regions = (lower, lips, upper)
    sharp, slope = [fine[r].std() for r in regions], [coarse[r].std() / (fine[r].std() + 0.05) for r in regions]
    grain = [np.median(np.abs(fine[r])) for r in regions]
    out[0:2], out[2:4], out[4:6] = _ratio(sharp), _ratio(grain), _ratio(slope)
    if before is not None:
        back = geometry.compose(geometry.invert(map_), before.map)  # previous frame -> this frame
        shift = np.array([[1.0, 0, before.corner[0]], [0, 1, before.corner[1]]])
        matrix = geometry.compose(back, shift)
        matrix[:, 2] -= (x1, y1)
        then = cv2.warpAffine(before.fine, matrix, fine.shape[::-1], flags=cv2.INTER_CUBIC)
        change = fine - then
        out[6:8] = _ratio([np.median(np.abs(change[r])) for r in regions])
        out[8:10] = _ratio([change[r].std() / (fine[r].std() + then[r].std() + 0.05) for r in regions])
    return out, shot


def _ratio(values: list[float]) -> tuple[float, float]:
    """Logarithms of the first two over the third."""
    lower, lips, upper = (float(v) + 0.05 for v in values)
    return float(np.log(lower / upper)), float(np.log(lips / upper))


def _filled(shape: Array, size: tuple[int, ...]) -> Array:
    out = np.zeros(size, np.uint8)
    cv2.fillPoly(out, [cv2.convexHull(np.round(shape).astype(np.int32))], 1)
    return out.astype(bool)
