"""A frame's face warped from its mesh to the target mesh, at the frame's own resolution and bit depth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from .. import mesh as points
from ..types import Array
from ._chin import followed
from ._coarse import UNIT, cells, coarsened, weighted
from ._interior import depth, sampled
from ._lent import Mouth, lit
from ._paste import CANVAS
from ._place import Place
from ._seam import close
from ._warp import INNER, LOWER_INNER, OUTER, UPPER_INNER, flaps, outlined, side

GRID = 16  # px; areas are aligned to it, so that their coarse pictures have whole pixels
EDGE = 0.25  # mask value at which the warped face is fully shown; the displacement fades over the whole mask
AROUND = 30  # px of skin around the lips
AJAR = 3.0  # px: the interior fades out when the gap between the lips is smaller
SOFT, LIPS_SOFT = 1.2, 5.0  # px: Gaussians of the edges of the interior, and of lips taken from another picture
SKIN = 7  # px of skin around the lips that are taken with them, as landmarks are not exact to the pixel
BELOW = 0.8  # and of the skin below a mouth that closes, as a share of the distance it closes by


@dataclass(frozen=True)
class Face:
    """A face on the canvas."""

    aligned: Array  # (512, 512, 3) uint8
    mask: Array  # (512, 512) uint8
    mesh: Array  # (POINTS, 2), as it is
    target: Array  # (POINTS, 2), as it is to be
    to512: Array  # (2, 3), frame -> canvas
    deep: bool = False  # whether its frame has 16 bits


def speak(frame: Array, face: Face, mouth: Mouth | None, recall: float = 1.0, strength: float = 1.0) -> None:
    """Warp the face of ``frame`` (H, W, 3), in place. Pixels whose mask is 0 keep their values.

    mouth: another picture's, shown with a weight of ``recall``; strength: weight of everything between the lips that is
    not the frame's own.
    """
    face = replace(face, target=followed(face.mesh, face.target, face.mask))
    left, top, width, height = cv2.boundingRect(face.mask)
    area = _whole(top, height), _whole(left, width)
    place = Place(area, face.to512, frame.shape[:2])
    if min(place.size) < 2:
        return
    soft = face.mask[area].astype(np.float32) / 255
    tame = cv2.resize(soft, None, fx=1 / UNIT, fy=1 / UNIT, interpolation=cv2.INTER_AREA)[..., None]
    upper, lower = (field * tame for field in flaps(face.mesh, face.target, area))
    below = side(face.target, area)
    there = place.in_frame(upper)
    cv2.add(there, weighted(place.turned(lower - upper), _share(place.placed(below, 1))), dst=there)
    made = cv2.remap(frame, there, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    under = cv2.resize(_share(below), None, fx=1 / UNIT, fy=1 / UNIT, interpolation=cv2.INTER_AREA)[..., None]
    _fill(made, place, face, upper + under * (lower - upper), mouth, recall, strength)
    part = frame[place.slices]
    change = weighted(
        cv2.subtract(made, part, dtype=cv2.CV_32F), cv2.min(place.placed(soft, 1, cv2.BORDER_CONSTANT) / EDGE, 1)
    )
    part[:] = cv2.add(part, change, dtype=cv2.CV_16U if face.deep else cv2.CV_8U)  # rounds and clips


def _fill(
    made: Array, place: Place, face: Face, moved: Array, mouth: Mouth | None, recall: float, strength: float
) -> None:
    """Write another picture's lips and what is between them into ``made`` (H, W, 3), ``place``'s part of the frame.

    moved: (h, w, 2), the movement of the whole place.
    """
    taken = _taken(face)
    lips = taken[points.LIPS]
    low, high = (lips.min(0) - AROUND)[::-1], (lips.max(0) + AROUND)[::-1]
    rows, columns = (
        slice(max(w.start, int(a) // GRID * GRID), min(w.stop, -(-int(b) // GRID) * GRID))
        for w, a, b in zip(place.area, low, high, strict=True)
    )
    if min(rows.stop - rows.start, columns.stop - columns.start) < GRID:
        return
    area = rows, columns
    near = place.part(area)
    if min(near.size) < 2:
        return
    local = moved[cells((_from(rows, place.area[0]), _from(columns, place.area[1])), UNIT)]
    wider = (
        _whole(rows.start - 2 * GRID, rows.stop - rows.start + 4 * GRID),
        _whole(columns.start - 2 * GRID, columns.stop - columns.start + 4 * GRID),
    )
    skin = sampled(coarsened(face.aligned[wider].astype(np.float32)), wider, local, area)
    step = np.float32(257 if face.deep else 1)
    (x, y), (px, py) = near.corner, place.corner
    part = made[y - py : y - py + near.size[1], x - px : x - px + near.size[0]]
    gap = (face.target[LOWER_INNER] - face.target[UPPER_INNER])[1:-1, 1].mean()
    hole = near.placed(_soft(outlined(INNER, face.target, area), max(SOFT, 0.5 / place.scale)), 1)
    hole *= np.float32(np.clip(gap / AJAR, 0, 1))  # even an empty outline is a line wide
    dark = depth(skin, face.target, area)
    if mouth is None or not recall:
        inside = near.placed(dark, UNIT) * step
    else:
        field = mouth.moved(face.target, area)
        light = mouth.light(field, skin, face.target, taken, area)
        dark += np.float32(recall * mouth.known(face.target)) * (mouth.dark * light - dark)
        inside = near.placed(dark, UNIT) * step
        other = lit(near.pictured(mouth.picture, mouth.area, field), near.placed(light, UNIT)) * step
        lips = near.placed(_soft(cv2.dilate(outlined(OUTER, taken, area), _disc()), LIPS_SOFT), 1)
        lips *= near.placed(face.mask[area].astype(np.float32) / 255, 1, cv2.BORDER_CONSTANT)
        lips *= np.float32(recall * mouth.fits(face.target))
        shown = np.float32(recall) * near.placed(mouth.shows(field, face.target, area), UNIT)
        inside += weighted(other - inside, cv2.max(shown, lips))
        part += weighted(other - part, np.float32(strength) * lips)
    part += weighted(inside - part, np.float32(strength) * hole)
    close(part, near, face.mesh, face.target, area)


def _taken(face: Face) -> Array:
    """(POINTS, 2) the target, its lower lip as far down as skin is taken from the other picture.

    Below a mouth that was wide open, its shadow and what landmarks missed of the lower lip are pushed together under
    the lip: a dark red blot, or a second lip.
    """
    was, wanted = ((m[LOWER_INNER] - m[UPPER_INNER])[:, 1] for m in (face.mesh, face.target))
    out = face.target.copy()
    out[OUTER[11:], 1] += BELOW * np.maximum(was - wanted, 0)[9:0:-1]
    return out


def _from(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _share(below: Array) -> Array:
    """(h, w) in [0, 1]: weight of the lower lip's field, see ``side``."""
    return np.asarray(cv2.min(cv2.max(below / 2 + np.float32(0.5), 0), 1))


@lru_cache(maxsize=1)
def _disc() -> Array:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * SKIN + 1, 2 * SKIN + 1)))


def _soft(shape: Array, width: float) -> Array:
    return np.asarray(cv2.GaussianBlur(shape, (0, 0), width))


def _whole(start: int, length: int) -> slice:
    """Some rows or columns of the canvas, widened to the GRID."""
    return slice(max(0, start // GRID * GRID), min(CANVAS, -(-(start + length) // GRID) * GRID))
