"""Mouths that look unlike the person's others: a tongue between the lips, a finger on them.

Landmarks say that lips are closed or ajar there, and such a mouth would be lent as a closed one.
"""

from __future__ import annotations

import cv2
import numpy as np

from .. import mesh as points
from ..types import Array, Mouths
from ._warp import OUTER

AJAR = 0.08  # eye distances: mouths that are open further may show anything
LIKE, FEW = 0.02, 5  # mouths whose openings differ by less are compared, where there are so many
# Where a mouth is looked at: along five lines across the lips, from above the upper one (0) to below the lower (1).
ALONG = np.linspace(-0.3, 1.3, 17)
UPPER, LOWER = OUTER[3:8], OUTER[17:12:-1]


def oddity(mouths: Mouths) -> Array:
    """(K,) float64: by how much each of a face's mouths looks unlike its others of that opening; 1 is usual among them,
    0 where it is open or too few are known to tell."""
    opening, seen = points.opening(mouths.mesh), profiles(mouths)
    out = np.zeros(len(mouths))
    for n in np.flatnonzero(opening < AJAR):
        peers = np.abs(opening - opening[n]) < LIKE
        if peers.sum() >= FEW:
            usual = np.median(seen[peers], 0)
            apart = np.sqrt(((seen - usual) ** 2).mean((1, 2)))
            out[n] = apart[n] / max(float(np.median(apart[peers])), 1.0)
    return out


def profiles(mouths: Mouths) -> Array:
    """(K, 17, 3) float32: each mouth's colors from above its lips to below them, less those of the skin there."""
    rows, columns = Mouths.WINDOW
    out = np.zeros((len(mouths), len(ALONG), 3), np.float32)
    for n, (picture, mesh) in enumerate(zip(mouths.picture, mouths.mesh, strict=True)):
        upper, lower = (np.asarray(mesh[part]) - (columns.start, rows.start) for part in (UPPER, LOWER))
        at = (upper + (lower - upper) * ALONG[:, None, None]).astype(np.float32)
        color = cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR).astype(np.float32).mean(1)
        out[n] = color - color[[0, 1, -2, -1]].mean(0)
    return out
