"""Opening and width of a mouth over time, from MediaPipe's 468 points: levels and jitter.

The functions take arrays of points, which ``facemesh.measure_mesh`` makes. Lengths are in distances of the outer
corners of the eyes (33, 263), so that the sizes of picture and face have no influence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..types import Array

POINTS = 468
EYES = (33, 263)
CORNERS = (78, 308)
UPPER, LOWER = (13, 82, 312), (14, 87, 317)
CLOSED_MARGIN = 0.01  # eye distances above the closed level up to which a mouth counts as closed
STILL = 1e-4  # eye distances: standard deviation of the opening below which a mouth does not move
SURE = 0.5  # least probability of a face


@dataclass(frozen=True)
class Mouth:
    """The mouth of one face over T frames.

    time (T,) float64 seconds; opening, width (T,) float64 in eye distances, NaN where no face was seen; seen (T,) bool;
    mesh (T, 468, 2) float32, pixels of the frame, NaN where no face was seen.
    """

    time: Array
    opening: Array
    width: Array
    seen: Array
    mesh: Array

    def __len__(self) -> int:
        return len(self.time)


def from_mesh(mesh: Array, time: Array, confidence: Array | None = None) -> Mouth:
    """A ``Mouth`` from points (T, 468, 2 or 3) in pixels, times (T,) in seconds and the network's confidence (T,) in
    [0, 1]. Frames with points that are not finite or a confidence under 0.5 are not seen. Raises InputError for shapes
    that do not fit."""
    points = np.array(mesh, np.float32)[..., :2]
    time = np.asarray(time, np.float64)
    if points.ndim != 3 or points.shape[1:] != (POINTS, 2) or time.shape != points.shape[:1]:
        raise InputError(f"expected (T, {POINTS}, 2 or 3) points and (T,) times, not {np.shape(mesh)}, {time.shape}")
    seen = np.asarray(np.isfinite(points).all((1, 2)))
    if confidence is not None:
        seen = seen & (np.asarray(confidence) >= SURE)
    points[~seen] = np.nan
    return Mouth(time, opening(points), width(points), np.asarray(seen), points)


def eye_distance(mesh: Array) -> Array:
    """(T,) distance of the outer corners of the eyes in pixels, of points (T, 468, 2 or 3)."""
    points = np.asarray(mesh, np.float64)[..., :2]
    return np.asarray(np.maximum(np.linalg.norm(points[..., EYES[0], :] - points[..., EYES[1], :], axis=-1), 1e-6))


def opening(mesh: Array) -> Array:
    """(T,) mean distance of three inner-lip pairs (13-14, 82-87, 312-317) over the eye distance, of points (T, 468, 2
    or 3); 0 is closed, 0.3 an open vowel. NaN where the points are.

    >>> float(opening(np.zeros((1, 468, 2)))[0])
    0.0
    """
    points = np.asarray(mesh, np.float64)[..., :2]
    gap = np.linalg.norm(points[..., UPPER, :] - points[..., LOWER, :], axis=-1).mean(-1)
    return np.asarray(gap / eye_distance(points))


def width(mesh: Array) -> Array:
    """(T,) distance of the inner corners of the mouth (78, 308) over the eye distance, of points (T, 468, 2 or 3)."""
    points = np.asarray(mesh, np.float64)[..., :2]
    gap = np.linalg.norm(points[..., CORNERS[0], :] - points[..., CORNERS[1], :], axis=-1)
    return np.asarray(gap / eye_distance(points))


def closed_level(openings: Array) -> float | None:
    """The opening of this person's closed mouth: the 5th percentile of openings (T,) of real footage. None when no
    frame was seen.

    >>> closed_level(np.array([np.nan, 0.02, 0.02]))
    0.02
    """
    values = np.asarray(openings, np.float64)
    values = values[np.isfinite(values)]
    return float(np.percentile(values, 5)) if len(values) else None


def tremble(openings: Array) -> float | None:
    """Root mean square of the second difference over time of openings (T,): the jitter of a mouth. >= 0; compare with
    real footage at the same frame rate. None for fewer than three frames seen in a row.

    >>> tremble(np.array([0.0, 0.1, 0.2]))
    0.0
    """
    second = np.diff(np.asarray(openings, np.float64), 2)
    second = second[np.isfinite(second)]
    return float(np.round(np.sqrt(np.mean(second**2)), 12)) if len(second) else None


def jumps(result: Array, real: Array) -> float | None:
    """``tremble`` of a result's openings over that of the same person's real footage; 1 is as in real footage, more is
    jitter. None where either is undefined or the real mouth does not move."""
    made, own = tremble(result), tremble(real)
    return None if made is None or own is None or own < STILL else made / own
