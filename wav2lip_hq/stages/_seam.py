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
DARK = 0.26  # share of the lips' brightness that the line is darker, at least
TAPER = 0.15  # widths of the mouth from the corners, over which the line begins
WIDER = 3.0  # the lips' brightness is the mean around, in bands
ROOM = 2.5  # bands above and below the line that are looked at


def close(part: Array, near: Place, mesh: Array, target: Array, area: Area) -> None:
    """Darken what is too bright between closing lips, in place.

    part: (H, W, 3) float32, what ``near`` shows of the frame; mesh, target: (POINTS, 2) on the canvas, as the face was
    and as it is; area: the canvas that ``near`` covers.
    """
    has, wants = (float((m[LOWER_INNER] - m[UPPER_INNER])[1:-1, 1].mean()) for m in (mesh, target))
    share = np.clip(1 - wants / AJAR, 0, 1) * np.clip((has - max(wants, 0)) / CLOSING, 0, 1)
    if share <= 0:
        return
    seam = (target[UPPER_INNER] + target[LOWER_INNER]) / 2
    widest = ROOM * max(BAND, LEAST / near.scale)
    rows = _within(area[0], seam[:, 1].min() - widest, seam[:, 1].max() + widest)
    columns = _within(area[1], seam[0, 0], seam[-1, 0])
    inner = rows, columns
    if min(rows.stop - rows.start, columns.stop - columns.start) < 2:
        return
    here = near.part(inner)
    if min(here.size) < 2:
        return
    (x, y), (px, py) = here.corner, near.corner
    lips = part[y - py : y - py + here.size[1], x - px : x - px + here.size[0]]
    at = np.arange(columns.start, columns.stop)
    along = np.minimum(at - seam[0, 0], seam[-1, 0] - at) / max(TAPER * (seam[-1, 0] - seam[0, 0]), 1.0)
    along = share * np.clip(along, 0, 1)
    distance, _ = away(target, inner)
    band, line = (
        here.placed(
            (np.exp(-((distance / max(width, LEAST / here.scale)) ** 2)) * along).astype(np.float32),
            1,
            cv2.BORDER_CONSTANT,
        )
        for width in (BAND, LINE)
    )
    reach = max(1, round(BAND * here.scale))
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    calm = cv2.morphologyEx(lips, cv2.MORPH_OPEN, around)  # without bright lines
    tone = cv2.GaussianBlur(calm, (0, 0), WIDER * max(BAND * here.scale, 1.0))
    allowed = cv2.min(calm, weighted(tone, 1 - np.float32(DARK) * line))
    lips -= weighted(cv2.max(lips - allowed, 0), band)


def _within(part: slice, low: float, high: float) -> slice:
    """The rows or columns of a part that lie between two positions."""
    return slice(max(part.start, int(low)), min(part.stop, int(high) + 1))
