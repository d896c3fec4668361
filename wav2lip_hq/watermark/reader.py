"""Reading the mark: faces are collected, the pattern is looked for, and how sure it is follows from its statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..types import Array
from .grid import BEAT, FINE, MARGIN, cells, sampled, sharpened, within
from .signs import BITS, COLUMNS, KEY, LETTERS, ROWS, places, words

FALSE_ALARM = 1e-4  # how often an unmarked face may be called marked
ASIDE = (-0.9, -0.6, 0.6, 0.9)  # Hz beside the beat, where nothing is written: how much moves there by itself
PLACES = [(dx, dy, 1.0) for dy in (-3, 0, 3) for dx in (-3, 0, 3)] + [(0, 0, 0.98), (0, 0, 1.02)]  # samples, scale
ANGLES = 16  # phases of the beat that are tried
FLOOR, CLIP = 0.3, 1.5  # of the median unrest; of the root mean square of cells
SPAN = 3.0  # seconds that are looked at together; longer, heads move too much
SHAPE = (ROWS + 2 * MARGIN) * FINE, (COLUMNS + 2 * MARGIN) * FINE
SHORTEST = 10  # frames
FEWEST = 60  # cells


@dataclass(frozen=True)
class Reading:
    """score: how far the pattern stands out, in standard deviations of what it would be by chance; chance: upper bound
    of the probability that an unmarked face scores so high; number: what the mark says, BITS bits; sure: (LETTERS,)
    how far each letter, the lowest first, stands out from the next likely one, in the same unit; frames: faces seen."""

    score: float
    chance: float
    number: int
    sure: Array
    frames: int

    @property
    def marked(self) -> bool:
        """One false alarm in 10,000 unmarked faces at most."""
        return self.chance <= FALSE_ALARM


class Marks:
    """Collects one face's pictures over time; ``reading`` says what they carry."""

    def __init__(self) -> None:
        self.frames = 0
        self._known = np.zeros((len(PLACES), ROWS, COLUMNS), np.complex64)  # of the spans that are over
        self._begin()

    def _begin(self) -> None:
        """A new span of time."""
        count, size = 2 + 2 * (1 + len(ASIDE)), SHAPE[0] * SHAPE[1]
        self._sums = np.zeros((count, size), np.float32)
        self._gram = np.zeros((count, count))
        self._shown = np.zeros((ROWS, COLUMNS))
        self._first: float | None = None
        self._span = 0  # frames

    def add(self, frame: Array, time: float, map_: Array, points: Array) -> None:
        """Look at one face. frame: (H, W, 3) uint8 or uint16, shown at ``time`` seconds; map_: see ``grid.anchor``;
        points: (POINTS, 2) mesh."""
        if not np.isfinite(map_).all() or not np.isfinite(points).all():
            return
        if self._first is not None and time - self._first >= SPAN and self._span >= SHORTEST:
            self._known += self._weighed()
            self._begin()
        fine = sampled(frame, map_)
        fine = (fine - fine.mean()) / max(float(fine.std()), 1.0)  # contrast and light do not matter
        self._first = time if self._first is None else self._first
        turns = 2 * math.pi * time * (BEAT + np.array([0.0, *ASIDE]))
        basis = np.concatenate([[1.0, time - self._first], np.stack([np.cos(turns), np.sin(turns)], 1).ravel()])
        self._sums += np.outer(basis.astype(np.float32), fine)
        self._gram += np.outer(basis, basis)
        self._shown += within(points, map_)
        self.frames, self._span = self.frames + 1, self._span + 1

    def _beating(self, number: int) -> Array:
        """(2, h, w) float32: how each sample beats (cosine and sine) at one of the frequencies, the beat's own first,
        apart from what it is on average and from a steady change."""
        which = [0, 1, 2 + 2 * number, 3 + 2 * number]
        gram = self._gram[np.ix_(which, which)] + 1e-6 * self._span * np.eye(4)
        found = np.linalg.solve(gram, self._sums[which])[2:]
        return np.asarray(found, np.float32).reshape(2, *SHAPE)

    def _weighed(self) -> Array:
        """(len(PLACES), ROWS, COLUMNS) complex64: what beats in each cell in this span of time, divided by the
        square of what moves there by itself; 0 where nothing was seen."""
        out = np.zeros((len(PLACES), ROWS, COLUMNS), np.complex64)
        here = self._shown >= max(self._span, 1) / 2
        if self._span < SHORTEST or here.sum() < FEWEST:
            return out
        fields = [self._beating(n) for n in range(1 + len(ASIDE))]
        for place, values in zip(PLACES, out, strict=True):
            beats, *beside = [sharpened(cells(f[0], *place)) + 1j * sharpened(cells(f[1], *place)) for f in fields]
            unrest = np.mean([np.abs(b) ** 2 for b in beside], 0)
            unrest = cv2.blur(unrest, (3, 3), borderType=cv2.BORDER_REFLECT)
            values[here] = (beats / (unrest + FLOOR * np.median(unrest[here]) + 1e-12))[here]
        return out

    def views(self) -> tuple[Array, Array]:
        """((ROWS, COLUMNS) bool, the cells that were seen; (len(PLACES), seen) complex64: what beats in them, with the
        grid laid a little elsewhere each time). A view's squares add up to 1. None are seen of too short a look.

        Cells count by how much they beat beside how much they move by themselves, in each span of time anew: when a
        head turns quickly, little is to be learned of it.
        """
        weighed = self._known + self._weighed()
        here = np.asarray((weighed != 0).any(0))
        out = weighed[:, here]
        if out.size:
            size = np.abs(out)
            out = out * np.minimum(1, CLIP * np.sqrt((size**2).mean(1, keepdims=True)) / np.maximum(size, 1e-12))
            out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-12
        return here, np.asarray(out, np.complex64)

    def reading(self, key: str = KEY, others: int = 1) -> Reading:
        """What the collected faces carry. others: how many faces are read in all: each could be a false alarm.

        Whatever a face looks like, the sum of its cells times signs that have nothing to do with it exceeds x standard
        deviations with at most 3.18 times the probability that a normal variable does (Bentkus and Dzindzalieta, A
        tight Gaussian bound for weighted sums of Rademacher random variables, Bernoulli 2015). That holds for each
        number that a mark could say, each phase of the beat and each place where it is looked for; how many there are
        multiplies it.
        """
        here, seen = self.views()
        if not seen.size:
            return Reading(0.0, 1.0, 0, np.zeros(LETTERS), self.frames)
        likely = likelihoods(seen, words(key)[:, here], here)
        scores = likely.max(-1).sum(-1)
        best = likely[np.unravel_index(int(scores.argmax()), scores.shape)]
        order = np.argsort(best, 1)
        number = sum(int(value) << 8 * k for k, value in enumerate(order[:, -1]))
        sure = np.take_along_axis(best, order[:, -1:], 1) - np.take_along_axis(best, order[:, -2:-1], 1)
        score = float(scores.max())
        return Reading(score, chance(score, others), number, math.sqrt(LETTERS) * sure[:, 0], self.frames)


def likelihoods(views: Array, signs: Array, here: Array) -> Array:
    """(views, ANGLES, LETTERS, VALUES) float32: each letter's share of the score if it had each of its values.

    views: (N, seen) complex64; signs: (VALUES, seen) complex64; here: (ROWS, COLUMNS) bool, the cells seen."""
    letter = places()[here]
    like = np.stack([views[:, letter == k] @ signs[:, letter == k].conj().T for k in range(LETTERS)], 1)
    turns = np.exp(-2j * np.pi * np.arange(ANGLES) / ANGLES).astype(np.complex64)
    return np.asarray((turns[None, :, None, None] * like[:, None]).real)


def chance(score: float, others: int = 1) -> float:
    """Upper bound of the probability that one of ``others`` unmarked faces scores so high, see ``Marks.reading``."""
    tail = 3.18 * 0.5 * math.erfc(score / math.sqrt(2))
    return min(1.0, tail * 2.0**BITS * ANGLES * len(PLACES) * others)
