"""The interior of the mouth: another picture's lips and teeth, warped to the target lips, or a synthetic one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..types import Array
from ._coarse import UNIT, coarsened
from ._paste import Area
from ._spline import spread
from ._warp import INNER, LOWER_INNER, OUTER, UPPER_INNER, outlined

STRETCH = 1.3  # largest factor by which teeth are stretched or squeezed; beyond, lips cover them or show the dark below
RING, REACH = (5, 13), 5.0  # coarse pixels: ring of skin around the lips whose light is matched; its Gaussian
# Limits of the factor that matches the light: overall, of one side against the other, of one color channel against the
# others. Beside a face in profile lies the background, whose light says nothing about the mouth's.
GAIN, SIDES, TINGE = (0.5, 1.8), 1.3, 1.08
LIPS, TINT = 1.1, 1.2  # and of the factors that match brightness and tint of lips to those of the lips they replace
# The synthetic interior, RGB relative to the lips' color: the dark, the tongue; and the width of their border.
DARK, TONGUE, HOLLOW = (0.16, 0.10, 0.10), (0.55, 0.42, 0.44), 0.3
# Its upper teeth: RGB relative to the skin's color; in widths of the mouth how far they reach below the lip and to the
# sides, and the opening at which they are fully lit.
TEETH, LONG, BROAD, LIT = (0.75, 0.86, 0.88), 0.10, 0.4, 0.16


@dataclass(frozen=True)
class Mouth:
    """A picture that shows a mouth."""

    picture: Array  # (h, w, 3) uint8
    area: Area  # the part of the canvas it covers
    mesh: Array  # (POINTS, 2), the mouth it shows, on the canvas

    def moved(self, target: Array, area: Area) -> Array:
        """(h, w, 2) float32 for each coarse cell of ``area``: offset of its source in the picture, in canvas px.

        The picture's upper lip is moved onto the target's; the lower one too, as far as that stretches by at most
        STRETCH.
        """
        source = np.asarray(self.mesh, np.float64).copy()
        high, wanted = self.mesh[LOWER_INNER] - self.mesh[UPPER_INNER], target[LOWER_INNER] - target[UPPER_INNER]
        has, want = (max(float(np.hypot(*x.T).mean()), 1.0) for x in (high, wanted))
        ratio = want / has
        excess = ratio / min(max(ratio, 1 / STRETCH), STRETCH) - 1
        source[LOWER_INNER] += high * excess
        source[OUTER[11:]] += high[9:0:-1] * excess
        rows = [*INNER, *OUTER]
        return spread(target[rows], source[rows] - target[rows], area)

    def fits(self, target: Array) -> float:
        """In [0, 1]: how similar the mouth's opening is to that of ``target``, and so how far its lips can be shown."""
        has, want = ((m[LOWER_INNER] - m[UPPER_INNER])[:, 1].mean() for m in (self.mesh, target))
        return float(np.clip(1.5 - abs(has - want) / (4 + 0.2 * max(want, 0)), 0, 1))

    def light(self, field: Array, skin: Array, target: Array, area: Area) -> Array:
        """(h, w, 3) float32 for each coarse cell of ``area``: factor for the picture that gives it the brightness and
        tint of ``skin`` (h, w, 3), the source's coarse picture already moved, around the mouth."""
        other = sampled(coarsened(self.picture.astype(np.float32)), self.area, field, area)
        lips = _small(OUTER, target, area)
        near, far = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (n, n)) for n in RING)
        ring = cv2.dilate(lips, far) - cv2.dilate(lips, near) + np.float32(1e-3)
        sure = ring > 0.5 * ring.max()
        ratio = (skin[sure] + 4) / (other[sure] + 4)
        overall = float(np.clip(np.median(ratio.mean(1)), *GAIN))
        tinge = np.clip(np.median(ratio / ratio.mean(1, keepdims=True), 0), 1 / TINGE, TINGE)
        bright, known = (cv2.GaussianBlur(x.mean(2) * ring, (0, 0), REACH) + np.float32(1e-3) for x in (skin, other))
        gain = (np.clip(bright / known / overall, 1 / SIDES, SIDES) * overall)[..., None] * tinge
        # Lips have a light of their own: they are wet, and shadows beside them say nothing about them.
        within = np.maximum(lips - cv2.dilate(_small(INNER, target, area), np.ones((3, 3))), 0)
        own = (_mean(skin, within) + 4) / (_mean(other, within) + 4)
        own = np.clip(own.mean(), overall / LIPS, overall * LIPS) * np.clip(own / own.mean(), 1 / TINT, TINT)
        soft = cv2.GaussianBlur(cv2.dilate(lips, np.ones((3, 3))), (0, 0), 1.0)[..., None]
        return np.asarray(np.clip(gain + soft * (own - gain), *GAIN), np.float32)

    def shows(self, field: Array, area: Area) -> Array:
        """(h, w) float32 in [0, 1] for each coarse cell: where the moved picture shows the interior of its mouth."""
        shape = cv2.dilate(outlined(INNER, self.mesh, self.area), np.ones((5, 5)))
        small = cv2.resize(shape, None, fx=1 / UNIT, fy=1 / UNIT, interpolation=cv2.INTER_AREA)
        return sampled(small, self.area, field, area)


def lit(picture: Array, gain: Array) -> Array:
    """(h, w, 3) float32: a picture (h, w, 3) uint8 in another light, ``gain`` (h, w, 3) times as bright, except that
    teeth and wet lips get no brighter the whiter they are."""
    bright = picture.astype(np.float32)
    return np.asarray(bright * np.where(gain > 1, 1 + (gain - 1) * (1 - (bright / 255) ** 2), gain), np.float32)


def sampled(picture: Array, covers: Area, field: Array, area: Area) -> Array:
    """(h, w, C): a coarse picture of the part ``covers`` of the canvas, moved by ``field``."""
    rows, columns = (np.arange(s.start, s.stop, UNIT, dtype=np.float32) for s in area)
    x = (columns[None] + field[..., 0] - covers[1].start) / UNIT
    y = (rows[:, None] + field[..., 1] - covers[0].start) / UNIT
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def depth(skin: Array, target: Array, area: Area) -> Array:
    """(h, w, 3) float32 for each coarse cell of ``area``: a synthetic interior, for a mouth never seen open.

    Dark, with a tongue below and teeth behind the upper lip, all soft, in the light and tint of the lips.
    """
    mouth = _small(INNER, target, area)
    outer = _small(OUTER, target, area)
    lips = _mean(skin, np.maximum(outer - cv2.dilate(mouth, np.ones((3, 3))), 0))
    upper, lower = target[UPPER_INNER], target[LOWER_INNER]
    wide = max(float(upper[-1, 0] - upper[0, 0]), 1.0)
    rows, columns = (np.arange(s.start, s.stop, UNIT) + (UNIT - 1) / 2 for s in area)
    top, bottom = (np.interp(columns, line[:, 0], line[:, 1]) for line in (upper, lower))
    below, above = rows[:, None] - top, bottom - rows[:, None]  # px from the lips
    middle = np.exp(-(((columns - (upper[0, 0] + upper[-1, 0]) / 2) / (BROAD * wide)) ** 4))
    tongue = np.clip(1 - above / (HOLLOW * wide), 0, 1) ** 2 * middle
    teeth = 1 / (1 + np.exp((below - LONG * wide) / (0.025 * wide))) * middle
    teeth *= np.clip((below + 3) / (0.06 * wide), 0.45, 1)  # the lip's shadow
    teeth *= min(1.0, 0.3 + float(np.hypot(*(lower - upper).T).mean()) / (LIT * wide))
    dark, pink = np.array(DARK, np.float32), np.array(TONGUE, np.float32)
    tone = lips * (dark + tongue[..., None] * (pink - dark))
    white = _mean(skin, 1 - cv2.dilate(outer, np.ones((3, 3)))) * np.array(TEETH, np.float32)
    return np.asarray(tone + teeth[..., None] * (white - tone), np.float32)


def _mean(image: Array, weight: Array) -> Array:
    """(C,) float32: the mean color where there is weight."""
    weight = weight + np.float32(1e-4)
    return np.asarray((image * weight[..., None]).sum((0, 1)) / weight.sum(), np.float32)


def _small(rows: list[int], target: Array, area: Area) -> Array:
    """(h, w) float32: the inside of a contour of the lips, in coarse cells."""
    return np.asarray(
        cv2.resize(outlined(rows, target, area), None, fx=1 / UNIT, fy=1 / UNIT, interpolation=cv2.INTER_AREA)
    )
