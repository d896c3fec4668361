"""Which of the mouths that a face shows in its footage is seen between the lips, frame by frame.

The cheapest path through the mouths (Viterbi): each is to look like the one wanted, and footage that runs on is
cheaper than footage that is left (Video Rewrite, Bregler et al. 1997; Suwajanakorn et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .. import mesh as points
from ..types import Array, Mouths
from ._warp import INNER

# What counts as one unit of unlikeness.
SHAPE = 0.025  # of the distance of the eyes: root mean square over the points of the inner lips
OPENING = (0.02, 0.15)  # of the distance of the eyes, and of the opening wanted
POSE = (8.0, 8.0, 12.0)  # degrees
LIGHT = 0.25  # logarithm of brightness
LEAP, DIFFERENCE = 1.2, 12.0  # the cost of leaving the footage, and 8-bit steps of unlikeness that double it
ALIKE = 2  # frames of the footage that follow each other so closely run on
MANY = 24  # of the likeliest mouths for each frame enter the path


@dataclass(frozen=True)
class Wanted:
    """The mouth that a frame is to show."""

    shape: Array  # (20, 2), inner lips over the distance of the eyes
    opening: float
    pose: Array  # (3,) degrees
    light: float  # mean brightness around the mouth in 8-bit steps


def shapes(mesh: Array) -> Array:
    """(N, 20, 2) inner lips of meshes (N, POINTS, 2): about the middle between the mouth's corners, turned level, in
    distances of the eyes."""
    lips = np.asarray(mesh, np.float64)[:, INNER]
    left, right = lips[:, 0], lips[:, 10]
    turn = right - left
    turn = (turn[:, 0] - 1j * turn[:, 1]) / np.maximum(np.hypot(turn[:, 0], turn[:, 1]), 1e-6)
    moved = lips - ((left + right) / 2)[:, None]
    level = (moved[..., 0] + 1j * moved[..., 1]) * turn[:, None] / points.eye_distance(mesh)[:, None]
    return np.stack([level.real, level.imag], -1)


class Library:
    """What has to be known of a track's mouths to choose among them. A function of the track's facts alone."""

    def __init__(self, mouths: Mouths) -> None:
        self.mouths = mouths
        self.shapes = shapes(mouths.mesh).reshape(len(mouths), 40)
        self.openings = points.opening(mouths.mesh)
        small = [cv2.resize(p, (30, 24), interpolation=cv2.INTER_AREA)[6:18, 6:24] for p in mouths.picture]
        looks = np.asarray(small, np.float64).reshape(len(mouths), -1)
        squares = (looks**2).sum(1)
        apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * looks @ looks.T, 0) / looks.shape[1])
        gap = np.abs(np.subtract.outer(mouths.number, mouths.number))
        self.leap = np.where(gap <= ALIKE, 0.0, LEAP * (1 + apart / DIFFERENCE))

    def holds(self, mouths: Mouths) -> bool:
        """Whether these are the mouths it was made of."""
        return self.mouths is mouths or np.array_equal(self.mouths.number, mouths.number)

    def costs(self, wanted: Wanted) -> Array:
        """(K,) how unlike the one wanted each mouth is."""
        shape = ((self.shapes - wanted.shape.ravel()) ** 2).sum(1) / (20 * SHAPE**2)
        opening = (self.openings - wanted.opening) / (OPENING[0] + OPENING[1] * wanted.opening)
        pose = (((self.mouths.pose - wanted.pose) / POSE) ** 2).sum(1)
        light = np.log((self.mouths.light + 8) / (wanted.light + 8)) / LIGHT
        return np.asarray(shape + opening**2 + pose + light**2)

    def chosen(self, costs: Sequence[Array], at: int) -> int:
        """The mouth that the cheapest path through frames with these ``costs`` takes at frame ``at`` of them."""
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
