"""Footage of any frame rate at the 25 frames a second of prepared clips."""

from __future__ import annotations

from fractions import Fraction

from .talking import FPS


class Ticks:
    """Assigns the frames of a source, in order, to instants numbered at 25 a second."""

    def __init__(self) -> None:
        self.next = 0  # the first instant that no frame has been assigned to

    def fill(self, time: Fraction) -> range:
        """The instants that the frame at ``time`` seconds stands for: several for a slower source, none for a frame of
        a faster source whose instant the frame before it has."""
        first = self.next
        if time >= Fraction(first, FPS) - Fraction(1, 2 * FPS):
            self.next += max(1, int((time - Fraction(first, FPS)) * FPS) + 1)
        return range(first, self.next)
