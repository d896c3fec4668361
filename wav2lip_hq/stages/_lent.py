"""A lent mouth: lips and teeth of another picture, warped to the target lips and brought into their light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ..types import Array
from ._coarse import coarsened
from ._interior import mean_color, sampled, shrunk, small
from ._paste import Area
from ._spline import spread
from ._warp import INNER, LOWER_INNER, OUTER, UPPER_INNER, outlined

STRETCH = 1.3  # largest factor by which teeth are stretched or squeezed; beyond, lips cover them or show the dark below
TEETH_END = 0.4, 0.25  # how far teeth reach from the upper and from the lower lip, in openings
TEETH = 0.4, 0.7  # shares of bright pixels from which and at which the interior of a mouth is all teeth
SHORT, SHY = 0.3, 0.25  # factor beyond STRETCH at which its lower lip is kept out fully; by that share of its opening
ENOUGH = 3.0, 5.0  # factors by which a mouth is to open wider from and at which it says nothing of the dark below
RING, REACH = (5, 13), 5.0  # coarse pixels: ring of skin around the lips whose light is matched; its Gaussian
# Limits of the factor that matches the light: overall, of one side against the other, of one color channel against the
# others. Beside a face in profile lies the background, whose light says nothing about the mouth's.
GAIN, SIDES, TINGE = (0.5, 1.8), 1.3, 1.08
LIPS, TINT = 1.1, 1.2  # and of the factors that match brightness and tint of lips to those of the lips they replace

# Lips of a picture in which the head is turned otherwise: degrees of yaw by which it may be to show all and nothing of
# them. It counts in mouths that are not wide open and are to open (eye distances), and in heads turned far (degrees).
APART, WIDE, OPEN, TURNED = (1.5, 3.5), (0.12, 0.20), (0.02, 0.06), (25.0, 40.0)


def lendable(lent: float, yaw: float, shown: float, opening: float) -> float:
    """In [0, 1]: how far lips of a picture with one yaw (``lent``) can be shown in a frame with another, whose mouth is
    open by ``shown`` and to open by ``opening``.

    In another direction lips have another outline: with those of open mouths faces moved less as the speech says
    (agreement of six clips with moving heads 0.58 instead of 0.62, with another speech 0.48 instead of 0.51), and
    what is seen past the far end of a turned mouth came along. Closed mouths close better with lips of closed ones, and
    what landmarks miss of the teeth of a mouth that is wide open is covered by others' lips.
    """
    opens = float(np.interp(shown, WIDE, (1, 0)) * np.interp(opening, OPEN, (0, 1)))
    counts = max(float(np.interp(abs(yaw), TURNED, (0, 1))), opens)
    return 1 - counts * float(np.interp(abs(lent - yaw), APART, (0, 1)))


@dataclass(frozen=True)
class Mouth:
    """A picture that shows a mouth."""

    picture: Array  # (h, w, 3) uint8
    area: Area  # the part of the canvas it covers
    mesh: Array  # (POINTS, 2), the mouth it shows, on the canvas
    lips: float = 1.0  # weight of its lips at most

    def moved(self, target: Array, area: Area) -> Array:
        """(h, w, 2) float32 for each coarse cell of ``area``: offset of its source in the picture, in canvas px.

        The picture's upper lip is moved onto the target's, and so is the lower one, as far as that stretches teeth by
        at most STRETCH. In a mouth that is to open wider, what is dark between them is stretched by the rest.
        """
        source, goal = np.asarray(self.mesh, np.float64).copy(), np.asarray(target, np.float64)
        upper, lower = source[UPPER_INNER], source[LOWER_INNER]
        high, wanted = lower - upper, goal[LOWER_INNER] - goal[UPPER_INNER]
        ratio = self._ratio(target)
        left = (ratio / np.clip(ratio, 1 / STRETCH, STRETCH) - 1) * (self.short(target) if ratio > 1 else 1)
        source[LOWER_INNER] += high * left
        source[OUTER[11:]] += high[9:0:-1] * left
        rows = [*INNER, *OUTER]
        starts, ends = source[rows], goal[rows]
        if ratio > STRETCH:
            part, inner = STRETCH / ratio * wanted, slice(2, -2)
            teeth = upper + TEETH_END[0] * high, lower - TEETH_END[1] * high
            there = goal[UPPER_INNER] + TEETH_END[0] * part, goal[LOWER_INNER] - (left + TEETH_END[1]) * part
            starts, ends = (np.concatenate([p, *(t[inner] for t in q)]) for p, q in ((starts, teeth), (ends, there)))
        return spread(ends, starts - ends, area)

    def _ratio(self, target: Array) -> float:
        """How many times as far as this mouth's the lips of ``target`` are apart."""
        gaps = (m[LOWER_INNER] - m[UPPER_INNER] for m in (self.mesh, target))
        has, want = (max(float(np.hypot(*gap.T).mean()), 1.0) for gap in gaps)
        return want / has

    def fits(self, target: Array) -> float:
        """In [0, 1]: how similar the mouth's opening is to that of ``target``, and so how far its lips can be shown."""
        has, want = ((m[LOWER_INNER] - m[UPPER_INNER])[:, 1].mean() for m in (self.mesh, target))
        return self.lips * float(np.clip(1.5 - abs(has - want) / (4 + 0.2 * max(want, 0)), 0, 1))

    def light(self, field: Array, skin: Array, target: Array, taken: Array, area: Area) -> Array:
        """(h, w, 3) float32 for each coarse cell of ``area``: factor for the picture that gives it the brightness and
        tint of ``skin`` (h, w, 3), the source's coarse picture already moved, around the mouth. taken: (POINTS, 2), the
        outline of its lips is that of what the picture covers."""
        other = sampled(coarsened(self.picture.astype(np.float32)), self.area, field, area)
        covered, lips = small(OUTER, taken, area), small(OUTER, target, area)
        near, far = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (n, n)) for n in RING)
        ring = cv2.dilate(covered, far) - cv2.dilate(covered, near) + np.float32(1e-3)
        sure = ring > 0.5 * ring.max()
        ratio = (skin[sure] + 4) / (other[sure] + 4)
        overall = float(np.clip(np.median(ratio.mean(1)), *GAIN))
        tinge = np.clip(np.median(ratio / ratio.mean(1, keepdims=True), 0), 1 / TINGE, TINGE)
        bright, known = (cv2.GaussianBlur(x.mean(2) * ring, (0, 0), REACH) + np.float32(1e-3) for x in (skin, other))
        gain = (np.clip(bright / known / overall, 1 / SIDES, SIDES) * overall)[..., None] * tinge
        # Lips have a light of their own: they are wet, and shadows beside them say nothing about them.
        within = np.maximum(lips - cv2.dilate(small(INNER, target, area), np.ones((3, 3))), 0)
        own = (mean_color(skin, within) + 4) / (mean_color(other, within) + 4)
        own = np.clip(own.mean(), overall / LIPS, overall * LIPS) * np.clip(own / own.mean(), 1 / TINT, TINT)
        soft = cv2.GaussianBlur(cv2.dilate(lips, np.ones((3, 3))), (0, 0), 1.0)[..., None]
        return np.asarray(np.clip(gain + soft * (own - gain), *GAIN), np.float32)

    def shows(self, field: Array, target: Array, area: Area) -> Array:
        """(h, w) float32 in [0, 1] for each coarse cell: where the moved picture shows the interior of its mouth.

        In a mouth that opens wider than this one is stretched, its lower lip would lie across the dark: there what it
        shows ends above that lip.
        """
        mesh, short = np.asarray(self.mesh, np.float64).copy(), self.short(target)
        high = mesh[LOWER_INNER] - mesh[UPPER_INNER]
        mesh[LOWER_INNER[1:-1]] -= (short * SHY * high)[1:-1]
        shape = cv2.dilate(outlined(INNER, mesh, self.area), np.ones((5, 5)))
        if short:
            shape = cv2.GaussianBlur(shape, (0, 0), 0.5 + short * SHY * max(float(high[5, 1]), 0) / 2)
        return sampled(shrunk(shape), self.area, field, area)

    @cached_property
    def dark(self) -> Array:
        """(3,) float32: the color of the darkest quarter of its interior."""
        inside = self._within(INNER)
        bright = inside.mean(1)
        return np.asarray(inside[bright <= np.quantile(bright, 0.25)].mean(0), np.float32)

    @cached_property
    def toothy(self) -> float:
        """In [0, 1]: whether its interior is all teeth rather than dark."""
        middle = (self.dark.mean() + self._within(OUTER).mean()) / 2
        low, high = TEETH
        return float(np.clip(((self._within(INNER).mean(1) > middle).mean() - low) / (high - low), 0, 1))

    def _within(self, contour: list[int]) -> Array:
        """(n, 3) float32: its pixels within a contour of the lips; a black one if there are none."""
        inside = self.picture[outlined(contour, self.mesh, self.area) > 0.5].astype(np.float32)
        return inside if len(inside) else np.zeros((1, 3), np.float32)

    def short(self, target: Array) -> float:
        """In [0, 1]: whether it stays less open than ``target``, where it would have to be stretched too far."""
        far = float(np.clip((self._ratio(target) - STRETCH) / SHORT, 0, 1))
        return far * self.toothy if far else 0.0

    def known(self, target: Array) -> float:
        """In [0, 1]: whether it is open far enough to tell what the interior of ``target`` looks like."""
        few, many = ENOUGH
        return float(np.clip((many - self._ratio(target)) / (many - few), 0, 1))


def lit(picture: Array, gain: Array) -> Array:
    """(h, w, 3) float32: a picture (h, w, 3) uint8 in another light, ``gain`` (h, w, 3) times as bright, except that
    teeth and wet lips get no brighter the whiter they are."""
    bright = picture.astype(np.float32)
    return np.asarray(bright * np.where(gain > 1, 1 + (gain - 1) * (1 - (bright / 255) ** 2), gain), np.float32)
