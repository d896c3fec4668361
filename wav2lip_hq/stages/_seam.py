"""The line between closed lips.

Landmarks of open mouths are not exact to the pixel: where such a mouth is closed, what is left of its teeth would show
as a thin bright line, and lips of two frames' light would meet without any line.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..types import Array
from ._coarse import weighted
from ._paste import Area
from ._place import Place
from ._warp import LOWER_INNER, UPPER_INNER, away

AJAR, CLOSING = 3.0, 5.0  # px: lips less apart than the first are closed; lips that close by the second are drawn fully
BAND, LINE = 5.0, 2.0  # px: half widths of what may not be brighter than the lips around it, and of the line
LEAST = 0.7  # px of the frame: smallest half width of the line
DARK = 0.35  # share of the lips' brightness that the line is darker, at least
TAPER = 0.15  # widths of the mouth from the corners, over which the line begins
WIDER = 3.0  # the lips' brightness is the mean around, in bands


def close(part: Array, near: Place, mesh: Array, target: Array, area: Area) -> None:
    """Darken what is too bright between closing lips, in place.

    part: (H, W, 3) float32, what ``near`` shows of the frame; mesh, target: (POINTS, 2) on the canvas, as the face was
    and as it is; area: the canvas that ``near`` covers.
    """
    has, wants = (float((m[LOWER_INNER] - m[UPPER_INNER])[1:-1, 1].mean()) for m in (mesh, target))
    share = np.clip(1 - wants / AJAR, 0, 1) * np.clip((has - max(wants, 0)) / CLOSING, 0, 1)
    if share <= 0:
        return
    left, right = target[UPPER_INNER[0], 0], target[UPPER_INNER[-1], 0]
    x = np.arange(area[1].start, area[1].stop)
    along = np.clip(np.minimum(x - left, right - x) / max(TAPER * (right - left), 1.0), 0, 1) * share
    distance, _ = away(target, area)
    scale = near.scale
    band, line = (
        near.placed((np.exp(-((distance / max(width, LEAST / scale)) ** 2)) * along).astype(np.float32), 1)
        for width in (BAND, LINE)
    )
    reach = max(1, round(BAND * scale))
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    calm = cv2.morphologyEx(part, cv2.MORPH_OPEN, around)  # without bright lines
    tone = cv2.GaussianBlur(calm, (0, 0), WIDER * max(BAND * scale, 1.0))
    allowed = cv2.min(calm, weighted(tone, 1 - np.float32(DARK) * line))
    part -= weighted(cv2.max(part - allowed, 0), band)
