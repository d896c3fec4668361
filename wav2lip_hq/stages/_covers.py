"""What lies over the face or beside it, and stays where it is while the face moves."""

from __future__ import annotations

import cv2
import numpy as np

from .. import mesh as points
from ..types import Array
from ._paste import CANVAS, Area

AROUND_POINT = 10  # px that go with a landmark, about half the distance to the next
REACH = 48  # px from something in front of the face at which landmarks count as near it
CLOTHES = 0.015  # share of the canvas from which cloth that does not reach into the face is no mistake


def clothes(cloth: Array, inside: Array, near: Array) -> Array:
    """(S, S) uint8 in {0, 1}: cloth that stays where it is: what reaches into the face by the size of ``near``, and
    clothes. Small pieces below the chin are shadows of the neck that the parser mistakes for cloth."""
    if not cloth.any():
        return cloth
    reaching = cv2.morphologyEx(cloth & inside, cv2.MORPH_OPEN, near)
    _, pieces, facts, _ = cv2.connectedComponentsWithStats(cloth)
    stays = facts[:, cv2.CC_STAT_AREA] >= CLOTHES * cloth.size
    stays[np.unique(pieces[reaching > 0])] = True
    stays[0] = False  # what is no cloth
    return np.asarray(stays[pieces], np.uint8)


def lips_end(mesh: Array) -> int:
    """The canvas' row below the lower lip."""
    return max(int(mesh[points.OUTER_LIPS, 1].max()), 0)


def clear(front: Array, mesh: Array, target: Array, area: Area) -> Array:
    """(h, w) float32 in [0, 1]: how freely each pixel of ``area`` may move: not at all beside what is in front of the
    chin, so that a microphone keeps its shape. front: (512, 512) uint8 in {0, 1}."""
    free = np.ones(front[area].shape, np.float32)
    if not front.any():
        return free
    away = cv2.distanceTransform(1 - front, cv2.DIST_L2, 3)
    x, y = np.clip(np.round(target).astype(int), 0, CANVAS - 1).T
    ways = np.hypot(*(target - mesh)[away[y, x] < REACH].T)
    wide = np.float32(1.5 * ways.max(initial=0))  # no pixel gets to where something is in front
    if wide < 1:
        return free
    share = np.minimum(away[area] / wide, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def brought(covers: Array, mesh: Array, target: Array) -> Array:
    """As ``covers``, (H, 512) uint8 in {0, 1}: where the warp would show as skin what covers the face or lies behind
    it, around the targets of the landmarks that lie on that. mesh, target: (POINTS, 2) on the canvas."""
    out = np.zeros_like(covers)
    x, y = np.round(mesh).astype(int).T
    inside = (x >= 0) & (x < CANVAS) & (y >= 0) & (y < len(covers))
    on = inside.copy()
    on[inside] = covers[y[inside], x[inside]] > 0
    for point in np.round(target[on]).astype(int).tolist():
        cv2.circle(out, point, AROUND_POINT, 1, -1)
    return out
