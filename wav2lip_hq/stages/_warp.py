"""Displacement fields that move the lower face from one mesh to another.

There are two, one for what is attached to the upper lip and one for what is attached to the lower, because the movement
is discontinuous where a closed mouth opens.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .. import mesh as points
from ..types import Array
from ._coarse import UNIT
from ._paste import Area
from ._spline import spread

# Half width of the border between the two fields in px, and how much wider it is per px beyond the mouth's corners.
NEAR, WIDEN = 0.02, 0.35
# Inner edges of closing lips are moved into the lip: by LEAST px plus INTO of the distance they close by, but not more
# than that distance, nor than DEEPEST of the lip's thickness.
LEAST, INTO, DEEPEST = 1.0, 0.2, 0.3
BEYOND = 1.5  # distance from the mouth at which the displacement is 0, in distances of the jaw from it
NEXT = 1.15  # size, in outlines of the lips, within which no other point of a face that is seen can lie


def _rows(part: slice) -> list[int]:
    return list(range(part.start, part.stop))


OUTER, INNER, JAW = _rows(points.OUTER_LIPS), _rows(points.INNER_LIPS), _rows(points.JAW)
UPPER_INNER, LOWER_INNER = INNER[:11], [INNER[0], *INNER[:9:-1]]  # both from the left corner to the right
_CORNERS = points.at(78, 308, 61, 291)
_CHEEKS = points.at(186, 410, 57, 287, 43, 273, 205, 425, 207, 427, 187, 411, 212, 432, 202, 422, 50, 280)
_LEFT_JAW, _RIGHT_JAW = JAW[:8], JAW[13:]
_SIDES = [*_LEFT_JAW[2:], *_RIGHT_JAW[:-2]]
_UPPER_ONLY = [*UPPER_INNER, *OUTER[1:10], *points.at(164, 167, 393, 165, 391, 92, 322, 2, 98, 327)]
_LOWER_ONLY = [
    *LOWER_INNER, *OUTER[11:], *JAW[8:13],
    *points.at(106, 335, 182, 406, 83, 313, 18, 200, 199, 175, 204, 424, 194, 418, 201, 421, 208, 428),
]  # fmt: skip
_STILL = points.at(168, 5, 33, 133, 362, 263, 129, 358, 234, 454)
UPPER = sorted({*_UPPER_ONLY, *_CORNERS, *_CHEEKS, *_SIDES})
LOWER = sorted({*_LOWER_ONLY, *_CORNERS, *_CHEEKS, *_SIDES})


def flaps(mesh: Array, target: Array, area: Area) -> tuple[Array, Array]:
    """Displacement fields (h, w, 2) float32 in canvas px, of what is attached to the upper lip and to the lower: for
    each coarse cell of ``area`` the offset of its source.

    mesh, target: (POINTS, 2) on the canvas, as the face is and as it is to be.
    """
    mesh, target = np.asarray(mesh, np.float64), np.asarray(target, np.float64)
    seen = _seen(mesh) & _seen(target)
    middle = target[_CORNERS[:2]].mean(0)
    jaw = target[[row for row in JAW[1:-1] if seen[row]]]
    border = middle + BEYOND * (jaw - middle)
    still = np.concatenate([mesh[_STILL], border])
    mesh = _parted(mesh, target)
    size = tuple((s.stop - s.start) // UNIT for s in reversed(area))
    upper, lower = (
        spread(
            np.concatenate([target[rows], still]),
            np.concatenate([mesh[rows] - target[rows], np.zeros_like(still)]),
            area,
            2 * UNIT,
        )
        for rows in ([row for row in side if seen[row]] for side in (UPPER, LOWER))
    )
    return cv2.resize(upper, size, interpolation=cv2.INTER_CUBIC), cv2.resize(
        lower, size, interpolation=cv2.INTER_CUBIC
    )


def _seen(mesh: Array) -> Array:
    """(POINTS,) bool: the points that are not behind the mouth of a turned head.

    There lie the far side of its jaw and some of its cheek. They move otherwise than the lips they are projected onto,
    and with both the lips crumple.
    """
    lips = mesh[OUTER].astype(np.float32)
    outline = cv2.convexHull(lips.mean(0) + np.float32(NEXT) * (lips - lips.mean(0)))
    out = np.ones(len(mesh), bool)
    out[_LEFT_JAW] = mesh[_LEFT_JAW, 0] < lips[:, 0].min()
    out[_RIGHT_JAW] = mesh[_RIGHT_JAW, 0] > lips[:, 0].max()
    for row in {*_CHEEKS, *_UPPER_ONLY, *_LOWER_ONLY} - {*INNER, *OUTER}:
        x, y = mesh[row].tolist()
        out[row] = cv2.pointPolygonTest(outline, (x, y), False) <= 0
    return out


def _parted(mesh: Array, target: Array) -> Array:
    """The mesh with the inner edges of its lips moved into the lips where these are to close: landmarks are not exact
    to the pixel, and a pixel of teeth left on either side would show between closed lips."""
    out = mesh.copy()
    gap, wanted = ((m[LOWER_INNER] - m[UPPER_INNER])[1:-1] for m in (mesh, target))
    closing = np.maximum(np.hypot(*gap.T) - np.hypot(*wanted.T), 0)
    for inner, outer in ((UPPER_INNER, OUTER[:11]), (LOWER_INNER, [OUTER[0], *OUTER[:9:-1]])):
        edge, lip = mesh[inner[1:-1]], mesh[outer[1:-1]] - mesh[inner[1:-1]]
        thick = np.maximum(np.hypot(*lip.T), 1e-6)
        into = np.minimum(np.minimum(closing, LEAST + INTO * closing), DEEPEST * thick)
        out[inner[1:-1]] = edge + lip * (into / thick)[:, None]
    return out


def side(target: Array, area: Area) -> Array:
    """(h, w) float32 for each pixel of ``area``: at most -1 above the line between the lips, at least 1 below it.

    Between the corners hardly any pixel is in between, for the line lies in the interior of the mouth.
    """
    below, beyond = away(target, area)
    return np.asarray(below / (NEAR + WIDEN * beyond), np.float32)


def away(target: Array, area: Area) -> tuple[Array, Array]:
    """(h, w) float32, how many px each pixel of ``area`` is below the line between the lips; (w,) float32, how many px
    each column is beyond the mouth's corners."""
    left, right = target[INNER[0]], target[INNER[10]]
    line = (target[UPPER_INNER] + target[LOWER_INNER]) / 2
    x = np.arange(area[1].start, area[1].stop, dtype=np.float64)
    slope = (right[1] - left[1]) / max(right[0] - left[0], 1.0)
    order = np.argsort(line[:, 0], kind="stable")
    y = np.interp(x, line[order, 0], line[order, 1])
    beyond = np.maximum(np.maximum(left[0] - x, x - right[0]), 0)
    y = y + np.clip(slope, -1, 1) * np.where(x < left[0], x - left[0], np.where(x > right[0], x - right[0], 0))
    rows = np.arange(area[0].start, area[0].stop, dtype=np.float32)[:, None]
    return rows - y.astype(np.float32), beyond.astype(np.float32)


@lru_cache(maxsize=1)
def _finer() -> Array:
    """(41, 11): matrix that samples the Catmull-Rom spline through 11 points (1974)."""
    out = np.zeros((41, 11))
    for n in range(41):
        k, t = min(n // 4, 9), n / 4 - min(n // 4, 9)
        weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
        for at, weight in zip((k - 1, k, k + 1, k + 2), weights, strict=True):
            out[n, min(max(at, 0), 10)] += weight / 2
    return out


def outlined(ring: list[int], mesh: Array, area: Area) -> Array:
    """(h, w) float32 in [0, 1] for each pixel of ``area``: the inside of a mesh's contour of lips, OUTER or INNER."""
    upper, lower = ring[:11], [ring[0], *ring[:9:-1]]
    corner = area[1].start, area[0].start
    curve = np.concatenate([_finer() @ mesh[upper], (_finer() @ mesh[lower])[::-1]]) - corner
    out = np.zeros((area[0].stop - area[0].start, area[1].stop - area[1].start), np.uint8)
    cv2.fillPoly(out, [np.round(curve * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return out.astype(np.float32) / np.float32(255)
