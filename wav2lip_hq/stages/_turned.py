"""What the mouths of turned heads need: all angles are yaw in degrees, of either sign.

The side that is turned away has few pixels to stretch and nothing but the background beside it, landmarks are less
exact there, and hardly any footage shows the inside of a mouth from that side.
"""

from __future__ import annotations

import numpy as np

from .. import mesh as meshes
from ..types import Array

# Landmarks of closed lips are a little apart: eye distances by which they are moved into each other, ahead and aside.
PRESSING, PRESSED = (20.0, 40.0), (0.01, 0.06)
NARROWING, WIDEST = (10.0, 35.0), (0.40, 0.12)  # the largest opening in eye distances, ahead and aside
HOLDING = (20.0, 35.0)  # from no to full hold of the far corner of the mouth


def pressed(yaw: float) -> float:
    """Eye distances by which lips at rest are pressed together."""
    return float(np.interp(abs(yaw), PRESSING, PRESSED))


def widest(yaw: float) -> float:
    """The largest opening in eye distances."""
    return float(np.interp(abs(yaw), NARROWING, WIDEST))


def far_side_held(mesh: Array, target: Array, yaw: float) -> Array:
    """(POINTS, 2) a target whose far half of the mouth moves up and down, but not across: beyond it is no skin, and
    what is behind the head would be drawn into the face, or the lips over it.

    mesh, target: (POINTS, 2), as the face is and as it is to be.
    """
    left, right = mesh[meshes.LEFT_EYE].mean(0), mesh[meshes.RIGHT_EYE].mean(0)
    across = (right - left) / max(1e-6, float(np.hypot(*(right - left)))) * np.sign(yaw)  # to the far side
    lips = mesh[meshes.LIPS] @ across
    half = max(1e-6, float(np.ptp(lips)) / 2)
    held = np.clip((mesh @ across - lips.max() + half) / half, 0, 1) * np.interp(abs(yaw), HOLDING, (0, 1))
    return np.asarray(target - (held * ((target - mesh) @ across))[:, None] * across)
