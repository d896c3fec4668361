"""How far the chin of a closing mouth may rise: what is below it has to follow, and not everything can.

Skin of the neck that is stretched too far shows streaks, and beside a microphone, a collar or the end of the canvas
nothing moves at all. There the lips close, and the chin follows them less. A chin that goes down covers what is below
it, and needs no room.
"""

from __future__ import annotations

import numpy as np

from ..types import Array
from ._warp import INNER, JAW, OUTER

LOWEST = JAW[6:15]  # the chin's own part of the jaw line, from side to side
STEP, STEPS = 2.0, 24  # px and number of samples of the mask below each of its points
FREE = 0.2  # mask value from which what is there gives way fully
STRETCH = 2.0  # distance that a point may move, in the distances to what cannot move


def followed(mesh: Array, target: Array, mask: Array) -> Array:
    """The target, (POINTS, 2), with a chin that rises no further than it has room.

    mesh, target: (POINTS, 2) on the canvas; mask: (512, 512) uint8, 255 where everything may move.
    """
    jaw, wanted = mesh[LOWEST], target[LOWEST]
    way = np.hypot(*(wanted - jaw).T)
    share = np.minimum(STRETCH * _below(mesh, mask) / np.maximum(way, 1e-6), 1)
    share[wanted[:, 1] >= jaw[:, 1]] = 1
    if share.min() >= 1:
        return target
    calm = np.convolve(np.pad(share, 1, "edge"), (0.25, 0.5, 0.25), "valid")
    share = np.minimum(share, calm)
    order = np.argsort(jaw[:, 0], kind="stable")
    across = np.interp(mesh[:, 0], jaw[order, 0], share[order])
    lip, low = mesh[OUTER[11:], 1].mean(), np.interp(mesh[:, 0], *jaw[order].T)
    down = np.clip((mesh[:, 1] - lip) / np.maximum(low - lip, 1.0), 0, 1)
    down[[*INNER, *OUTER]] = 0
    return np.asarray(mesh + (1 - (1 - across) * down)[:, None] * (target - mesh))


def _below(mesh: Array, mask: Array) -> Array:
    """(n,) px from each of the LOWEST points away from the mouth to where the mask ends."""
    away = mesh[LOWEST] - mesh[[INNER[0], INNER[10]]].mean(0)
    away = away / np.maximum(np.hypot(*away.T), 1e-6)[:, None]
    at = mesh[LOWEST][:, None] + away[:, None] * (STEP * np.arange(STEPS))[:, None]
    x, y = np.clip(np.round(at), 0, np.array(mask.shape)[::-1] - 1).astype(int).transpose(2, 0, 1)
    free = np.minimum.accumulate(np.minimum(mask[y, x] / (255 * FREE), 1), 1)
    return np.asarray(STEP * free.sum(1))
