"""Mouths that a face has shown before: teeth and tongue that the present frame hides and no generator knows.

Video Rewrite (Bregler et al. 1997) put new words together from mouths of the speaker's own footage. Here the synthesis
says what the mouth should look like, frame by frame, and the footage shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from ..geometry import FFHQ_512
from ..types import Array
from ._coarse import UNIT, apart, cells, coarsened, enlarged
from ._motion import believed, motion, moved_along
from ._paste import CANVAS, Area

WINDOW: Area = (slice(272, 464), slice(144, 384))  # of the canvas: a mouth, with room to open and to be moved
MANY = 64  # mouths kept of a face, the newest: 9 MB
FEW, ENOUGH = 4, 16  # mouths: a face that showed so few keeps still, and would keep the dubbed one still
NEW = 0.1  # by how much, of its contrast, a mouth must look different from those kept
STAY = 1.1  # how much better another must fit than the one shown last, or the one that came next
BLUR, FLAT = 1.5, 4.6  # of what is compared: coarse pixels, and 8-bit steps of contrast that say nothing
LIGHT, TOLERANCE = 6.0, 0.5  # coarse pixels: slower changes are light; and what may differ, of the brightness
HIDDEN = 0.8  # share of the mouth that must show: a hand in front of it is not to be remembered


def _ellipse(across: float, down: float) -> Array:
    """(h, w) float32, coarse pixels of the window: 1 around the mouth's middle; radii in widths of the mouth."""
    out = np.zeros((CANVAS // UNIT, CANVAS // UNIT), np.float32)
    left, right = FFHQ_512[3:] / UNIT
    centre, wide = (left + right) / 2, right[0] - left[0]
    cv2.ellipse(out, np.rint(centre).astype(int).tolist(), (round(wide * across), round(wide * down)), 0, 0, 360, 1, -1)
    return out[cells(WINDOW, UNIT)]


@lru_cache(maxsize=1)
def _compared() -> Array:
    out = _ellipse(0.62, 0.42)
    return np.asarray(out / out.sum())


@lru_cache(maxsize=1)
def _shown() -> Array:
    return np.asarray(cv2.GaussianBlur(_ellipse(0.6, 0.42), (0, 0), 3.0))


def look(coarse: Array) -> Array:
    """What of a mouth (h, w, 3) is compared: its pattern of light and dark, whatever its brightness, contrast and
    colour, in which made mouths and real ones differ."""
    grey = cv2.GaussianBlur(cv2.cvtColor(coarse, cv2.COLOR_RGB2GRAY), (0, 0), BLUR)
    grey = grey - (grey * _compared()).sum()
    return np.asarray(grey / (np.sqrt((grey**2 * _compared()).sum()) + FLAT))


@dataclass
class Mouths:
    """What one track has shown, in parallel lists from the oldest to the newest."""

    numbers: list[int] = field(default_factory=list)  # of their frames
    pictures: list[Array] = field(default_factory=list)  # (h, w, 3) uint8, the window
    looks: list[Array] = field(default_factory=list)
    last: int = -2  # number of the one shown last

    def add(self, number: int, aligned: Array, mask: Array) -> None:
        """Keep the mouth of frame ``number`` if it is a new one. aligned (512, 512, 3) uint8; mask (512, 512) uint8."""
        if (mask[WINDOW][::UNIT, ::UNIT] * _compared()).sum() < 255 * HIDDEN:
            return
        picture = aligned[WINDOW]
        new = look(coarsened(picture.astype(np.float32)))
        if self.looks and self._unlike(new).min() < NEW:
            return
        if len(self.looks) == MANY:
            del self.numbers[0], self.pictures[0], self.looks[0]
        self.numbers.append(number)
        self.pictures.append(picture.copy())
        self.looks.append(new)

    def painted(self, made: Array, coarse: Array, light: float, share: float) -> Array:
        """``made`` (h, w, 3) float32, the window, with the known mouth that looks most like it moved to its place and
        brought into its light.

        coarse: its coarse picture. light: the mouth's brightness in 8-bit steps. share: 1 shows the known mouth, 0
        the made one.
        """
        share *= min(1.0, (len(self.looks) - FEW) / (ENOUGH - FEW))
        if share <= 0:
            return made
        known = self.pictures[self._most_like(coarse)]
        coarse_known = coarsened(known.astype(np.float32))
        flow = motion(coarse, coarse_known)
        moved = moved_along(coarse_known, flow)
        lit = cv2.GaussianBlur(coarse - moved, (0, 0), LIGHT)
        rest = cv2.GaussianBlur(apart(coarse, moved + lit), (0, 0), LIGHT / 2)
        weight = enlarged(share * _shown() * believed(rest, TOLERANCE, light))
        real = moved_along(known, enlarged(flow) * UNIT).astype(np.float32) + enlarged(lit)
        return np.asarray(cv2.blendLinear(real, np.ascontiguousarray(made), weight, 1 - weight))

    def _unlike(self, one: Array) -> Array:
        """(N,) how different each one looks."""
        return np.asarray((np.abs(np.stack(self.looks) - one) * _compared()).sum((1, 2)))

    def _most_like(self, coarse: Array) -> int:
        unlike = self._unlike(look(coarse))
        best = int(unlike.argmin())
        # Footage that runs on moves as mouths do; one that is left for another at every frame trembles.
        for number in (self.last + 1, self.last):
            if number in self.numbers and unlike[self.numbers.index(number)] < STAY * unlike[best]:
                best = self.numbers.index(number)
                break
        self.last = self.numbers[best]
        return best
