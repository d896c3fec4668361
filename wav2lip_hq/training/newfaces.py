"""Augmentation that makes new people: faces warped to other shapes, and mouths opened or closed to a given degree, so
that the opening is independent of the identity."""

from __future__ import annotations

import cv2
import numpy as np

from .. import mesh
from ..types import Array

GRID = 16  # cells of the random field along a side
_INNER, _OUTER = mesh.INNER_LIPS.start, mesh.OUTER_LIPS.start
_TOP_IN, _LOW_IN = _INNER + np.arange(11), _INNER + np.array([0, *range(19, 9, -1)])  # both from left to right
_TOP_OUT, _LOW_OUT = _OUTER + np.arange(11), _OUTER + np.array([0, *range(19, 9, -1)])
_NOSE = mesh.at(2)[0]
_CHIN = mesh.at(152)[0]
_CHEEK = mesh.at(205)[0]


def patch(points: Array, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a crop of this shape (H, W, ...) that contain the face from the brows to below the chin."""
    eyes = float(mesh.eye_distance(points))
    (left, top), (right, low) = points.min(0), points.max(0)
    middle = points[mesh.BROWS].min(0)[1]
    rows = slice(max(0, int(max(top, middle) - 0.1 * eyes)), min(shape[0], int(low + 0.45 * eyes)))
    return rows, slice(max(0, int(left - 0.15 * eyes)), min(shape[1], int(right + 0.15 * eyes) + 1))


def reshaped(crop: Array, points: Array, rng: np.random.Generator, strength: float = 1.0) -> tuple[Array, Array]:
    """The crop (S, S, 3) and its points (K, 2) px, the first POINTS of which are the mesh, with the shape of another
    face: mouth, chin, nose and the whole face scaled independently, and a smooth random warp of everything."""
    side = crop.shape[0]
    eyes = float(mesh.eye_distance(points[: mesh.POINTS]))
    lips, chin = points[mesh.LIPS].mean(0), points[_CHIN]
    nose, middle = points[_NOSE], points[: mesh.POINTS].mean(0)
    bumps = [
        (lips, eyes * 0.55, rng.normal(0, 0.16, 2)),
        (lips, eyes * 0.25, rng.normal(0, 0.14, 2)),
        ((lips + chin) / 2, eyes * 0.45, rng.normal(0, 0.14, 2)),
        (nose, eyes * 0.4, rng.normal(0, 0.1, 2)),
        (middle, eyes * 1.2, rng.normal(0, 0.08, 2)),
    ]
    bend = cv2.GaussianBlur(rng.normal(0, 1, (GRID, GRID, 2)).astype(np.float32), (0, 0), 1.5)
    bend *= eyes * 0.035 / max(float(bend.std()), 1e-6)
    cells = (np.arange(GRID) + 0.5) * side / GRID - 0.5
    x, y = np.meshgrid(cells, cells)
    field = bend.astype(np.float64)
    for center, reach, scale in bumps:
        off = np.stack([x - center[0], y - center[1]], -1)
        near = np.exp(-(off**2).sum(-1, keepdims=True) / (2 * reach**2))
        field -= off * scale * near
    # Displacement from target to source; smooth, so that a coarse grid is enough.
    dense = cv2.resize((field * strength).astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    dense = cv2.GaussianBlur(dense, (0, 0), side / GRID / 2)
    px, py = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    picture = cv2.remap(crop, px + dense[..., 0], py + dense[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved = points.astype(np.float64)
    for _ in range(8):  # inverts the displacement
        at = moved.astype(np.float32)
        here = cv2.remap(dense, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        moved = points - here.reshape(-1, 2)
    return np.asarray(picture), moved


def opened(crop: Array, points: Array, opening: float, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """The crop (H, W, 3) and its points (K, 2) px, the first POINTS of which are the mesh, with the mouth open by
    ``opening`` (in eye distances, as ``mesh.opening``): lower lip and jaw are moved, and the interior is stretched, or
    painted where the mouth was nearly closed. None where the head is turned too far or the chin is cut off."""
    tall, side = crop.shape[:2]
    new = points.astype(np.float64).copy()
    eyes = float(mesh.eye_distance(points[: mesh.POINTS]))
    lines = [new[rows] for rows in (_TOP_OUT, _TOP_IN, _LOW_IN, _LOW_OUT)]
    jaw = new[mesh.JAW][4:17]
    if any((np.diff(line[:, 0]) <= 0.2).any() for line in lines) or (np.diff(jaw[:, 0]) <= 0).any():
        return None
    left, right = lines[1][0], lines[1][-1]
    if right[0] - left[0] < 0.25 * eyes or left[0] < 4 or right[0] > side - 5 or new[_CHIN, 1] > tall - 8:
        return None
    columns = np.arange(side, dtype=np.float64)
    top_out, top_in, low_in, low_out = (np.interp(columns, line[:, 0], line[:, 1]) for line in lines)
    # t is -1 and 1 at the corners.
    t = (columns - (left[0] + right[0]) / 2) / ((right[0] - left[0]) / 2)
    arch = np.clip(1 - t**2, 0, 1) ** rng.uniform(0.55, 1.0)
    gap = np.maximum(low_in - top_in, 0)
    wanted = np.where(np.abs(t) < 1, opening * eyes * arch, 0) / 0.95
    grow = np.where(np.abs(t) < 1, wanted - gap, 0)
    raise_ = grow * rng.uniform(0, 0.25)
    lower = grow - raise_
    # The jaw follows, most in the middle.
    wide = (columns - jaw[:, 0].mean()) / (np.ptp(jaw[:, 0]) / 2)
    chin_y = np.interp(columns, jaw[:, 0], jaw[:, 1])
    follow = lower[int(np.clip(round((left[0] + right[0]) / 2), 0, side - 1))] * rng.uniform(0.5, 0.95)
    chin = follow * np.clip(1 - wide**2, 0, 1) ** 1.5
    nose = np.minimum(np.full(side, new[_NOSE, 1]), np.minimum(top_out, top_in) - 2)
    # Each column is stretched piecewise linearly between these heights.
    apart = 0.05
    knots = [np.zeros(side), nose, top_out, top_in, np.maximum(low_in, top_in + apart), low_out, chin_y]
    shift = [np.zeros(side), np.zeros(side), -raise_, -raise_, lower, lower, chin]
    source = np.stack([*knots, np.full(side, float(tall + 30))])
    shift = [*shift, np.zeros(side)]
    source = np.maximum.accumulate(source + np.arange(len(source))[:, None] * 1e-3, 0)
    target = source + np.stack(shift)
    target = np.maximum.accumulate(target + np.arange(len(target))[:, None] * 1e-3, 0)
    rows = np.arange(tall, dtype=np.float64)
    y = np.stack([np.interp(rows, target[:, c], source[:, c]) for c in range(side)], 1).astype(np.float32)
    x = np.broadcast_to(columns.astype(np.float32), (tall, side)).copy()
    picture = np.asarray(cv2.remap(crop, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    upper_rows, lower_rows = set(_TOP_IN[1:-1].tolist()), set(_LOW_IN[1:-1].tolist())
    for row in range(len(new)):
        at = float(np.clip(new[row, 0], 0, side - 1))
        if row in upper_rows:
            new[row, 1] -= np.interp(at, columns, raise_)
        elif row in lower_rows:
            # The teacher's inner lips may cross where the mouth is closed.
            new[row, 1] = max(new[row, 1], np.interp(at, columns, top_in)) + np.interp(at, columns, lower)
        else:
            c = min(int(at), side - 2)
            a, b = (np.interp(new[row, 1], source[:, k], target[:, k]) for k in (c, c + 1))
            new[row, 1] = a + (b - a) * (at - c)
    if (wanted.max() > 0.015 * eyes) and gap.max() < 0.35 * wanted.max():
        picture = _inside(picture, new, eyes, rng)
    return picture, new


def _inside(picture: Array, points: Array, eyes: float, rng: np.random.Generator) -> Array:
    """The picture with a random interior of the mouth: dark, often with teeth or a tongue."""
    tall, side = picture.shape[:2]
    ring = points[mesh.INNER_LIPS]
    hole = np.zeros((tall, side), np.uint8)
    cv2.fillPoly(hole, [np.round(ring * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(hole, (0, 0), max(0.4, eyes * rng.uniform(0.004, 0.014)))[..., None] / 255.0
    x, y = np.clip(points[_CHEEK].astype(int), 4, (side - 5, tall - 5))
    light = float(np.clip(picture[y - 3 : y + 4, x - 3 : x + 4].mean() / 150, 0.15, 1.5))
    inside = np.empty((tall, side, 3))
    inside[:] = np.array([rng.uniform(20, 90), rng.uniform(8, 45), rng.uniform(8, 45)]) * light
    top, low = points[_TOP_IN], points[_LOW_IN]
    rows = np.arange(tall)[:, None]
    columns = np.arange(side)
    upper, lower = (np.interp(columns, line[:, 0], line[:, 1]) for line in (top, low))
    if rng.random() < 0.4:  # the tongue
        edge = lower - eyes * rng.uniform(0.02, 0.15)
        inside += (1 / (1 + np.exp(-(rows - edge) / 1.5)))[..., None] * np.array([90, 25, 30]) * light * rng.random()
    white = np.array([1, 0.95, 0.86]) * light * rng.uniform(110, 215)
    blend = cv2.resize(rng.uniform(0.75, 1, (1, 24)).astype(np.float32), (side, 1))
    if rng.random() < 0.6:  # upper teeth
        teeth = 1 / (1 + np.exp((rows - upper - eyes * rng.uniform(0.02, 0.11)) / 0.8)) * blend
        inside += (white - inside) * teeth[..., None]
    if rng.random() < 0.25:  # lower teeth
        teeth = 1 / (1 + np.exp((lower - eyes * rng.uniform(0.02, 0.08) - rows) / 0.8)) * blend
        inside += (white * 0.85 - inside) * teeth[..., None]
    inside += rng.normal(0, 3, (tall, side, 1))
    return np.asarray(np.clip(picture * (1 - soft) + inside * soft, 0, 255).astype(np.uint8))
