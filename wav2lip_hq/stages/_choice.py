"""Which of the mouths in a face's footage is shown between the lips, frame by frame.

The cheapest path through the mouths (Viterbi): each is to look like the wanted one, and consecutive frames of the
footage are cheaper than a jump within it (Video Rewrite, Bregler et al. 1997; Suwajanakorn et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .. import mesh as points
from ..types import Array, Mouths
from ._oddity import oddity
from ._warp import INNER

# Differences between the wanted mouth and a library mouth that cost 1 each.
SHAPE = 0.025  # root mean square over the points of the inner lips, in eye distances
OPENING = (0.02, 0.15)  # in eye distances, plus this share of the wanted opening
POSE = (8.0, 8.0, 12.0)  # degrees of yaw, pitch, roll
LIGHT = 0.25  # natural logarithm of brightness
ODD, STRANGE = (2.0, 3.0), 8.0  # oddity from which a mouth costs more, and from which it costs this much more
LEAP, DIFFERENCE = 1.2, 12.0  # cost of a jump in the footage; difference of its pictures (8-bit steps) that doubles it
ALIKE = 2  # frames: going to a mouth at most this far away in the footage does not count as a jump
MANY = 24  # the cheapest mouths per frame among which the path is searched


@dataclass(frozen=True)
class Wanted:
    """The mouth that a frame is to show."""

    shape: Array  # (20, 2), inner lips over the eye distance
    opening: float
    pose: Array  # (3,) degrees
    light: float  # mean brightness around the mouth in 8-bit steps


def shapes(mesh: Array) -> Array:
    """(N, 20, 2) inner lips of meshes (N, POINTS, 2), in eye distances: centered between the mouth's corners
    and rotated so that these are level."""
    lips = np.asarray(mesh, np.float64)[:, INNER]
    left, right = lips[:, 0], lips[:, 10]
    turn = right - left
    turn = (turn[:, 0] - 1j * turn[:, 1]) / np.maximum(np.hypot(turn[:, 0], turn[:, 1]), 1e-6)
    moved = lips - ((left + right) / 2)[:, None]
    level = (moved[..., 0] + 1j * moved[..., 1]) * turn[:, None] / points.eye_distance(mesh)[:, None]
    return np.stack([level.real, level.imag], -1)


class Library:
    """A track's mouths, prepared for choosing among them. Depends on the track's facts alone."""

    def __init__(self, mouths: Mouths) -> None:
        self.mouths = mouths
        self.shapes = shapes(mouths.mesh).reshape(len(mouths), 40)
        self.openings = points.opening(mouths.mesh)
        self.strange = np.interp(oddity(mouths), ODD, (0, STRANGE))
        small = [cv2.resize(p, (30, 24), interpolation=cv2.INTER_AREA)[6:18, 6:24] for p in mouths.picture]
        looks = np.asarray(small, np.float64).reshape(len(mouths), -1)
        squares = (looks**2).sum(1)
        apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * looks @ looks.T, 0) / looks.shape[1])
        gap = np.abs(np.subtract.outer(mouths.number, mouths.number))
        self.leap = np.where(gap <= ALIKE, 0.0, LEAP * (1 + apart / DIFFERENCE))

    def holds(self, mouths: Mouths) -> bool:
        """Whether the library was made of these mouths."""
        return self.mouths is mouths or np.array_equal(self.mouths.number, mouths.number)

    def costs(self, wanted: Wanted) -> Array:
        """(K,) the cost of each mouth: how different it is from the wanted one."""
        shape = ((self.shapes - wanted.shape.ravel()) ** 2).sum(1) / (20 * SHAPE**2)
        opening = (self.openings - wanted.opening) / (OPENING[0] + OPENING[1] * wanted.opening)
        pose = (((self.mouths.pose - wanted.pose) / POSE) ** 2).sum(1)
        light = np.log((self.mouths.light + 8) / (wanted.light + 8)) / LIGHT
        return np.asarray(shape + opening**2 + pose + light**2 + self.strange)

    def chosen(self, costs: Sequence[Array], at: int) -> int:
        """Index of the mouth that the cheapest path takes at frame ``at`` of the frames with these ``costs``."""
        best: list[Array] = []
        came: list[Array] = []
        total = np.zeros(0)
        for step, cost in enumerate(costs):
            likely = np.argsort(cost, kind="stable")[:MANY]
            own = cost[likely]
            if step:
                ways = total[:, None] + self.leap[np.ix_(best[-1], likely)]
                came.append(ways.argmin(0))
                own = own + ways.min(0)
            best.append(likely)
            total = own
        place = int(total.argmin())
        for step in range(len(costs) - 1, at, -1):
            place = int(came[step - 1][place])
        return int(best[at][place])
