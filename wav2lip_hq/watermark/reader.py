"""Reading the mark: faces are collected, the pattern is looked for, and how sure it is follows from its statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..types import Array
from .grid import BEAT, FINE, MARGIN, cells, sampled, sharpened, within
from .signs import BITS, COLUMNS, KEY, LETTERS, ROWS, VALUES, places, words

FALSE_ALARM = 1e-4  # how often an unmarked face may be called marked
SHIFTS, SCALES = (-3, 0, 3), (0.98, 1.02)  # samples and shares by which the grid is looked for elsewhere
ANGLES = 16  # phases of the beat that are tried
CLIP = 2.0
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
        shape = (ROWS + 2 * MARGIN) * FINE, (COLUMNS + 2 * MARGIN) * FINE
        self._sums = np.zeros((4, *shape))
        self._gram = np.zeros((4, 4))
        self._shown = np.zeros((ROWS, COLUMNS))
        self._first: float | None = None
        self.frames = 0

    def add(self, frame: Array, time: float, map_: Array, points: Array) -> None:
        """Look at one face. frame: (H, W, 3) uint8 or uint16, shown at ``time`` seconds; map_: see ``grid.anchor``;
        points: (POINTS, 2) mesh."""
        if not np.isfinite(map_).all() or not np.isfinite(points).all():
            return
        fine = sampled(frame, map_)
        fine = (fine - fine.mean()) / max(float(fine.std()), 1.0)  # contrast and light do not matter
        self._first = time if self._first is None else self._first
        turn = 2 * math.pi * BEAT * time
        basis = np.array([math.cos(turn), math.sin(turn), 1.0, time - self._first])
        self._sums += basis[:, None, None] * fine
        self._gram += np.outer(basis, basis)
        self._shown += within(points, map_)
        self.frames += 1

    def beating(self) -> Array:
        """(h, w) complex64: how each sample beats, apart from what it is on average and from a steady change."""
        rest = self._gram + 1e-6 * self.frames * np.eye(4)
        found = np.linalg.solve(rest, self._sums.reshape(4, -1))[:2].reshape(2, *self._sums.shape[1:])
        return np.asarray(found[0] + 1j * found[1], np.complex64)

    def reading(self, key: str = KEY, others: int = 1) -> Reading:
        """What the collected faces carry. others: how many faces are read in all: each could be a false alarm.

        Whatever a face looks like, the sum of its cells times signs that have nothing to do with it exceeds x standard
        deviations with a probability of at most exp(-x^2 / 2) (Hoeffding's inequality). That holds for each number that
        a mark could say, each phase of the beat and each place where it is looked for; how many there are multiplies
        it.
        """
        here = self._shown >= self.frames / 2
        if self.frames < SHORTEST or here.sum() < FEWEST:
            return Reading(0.0, 1.0, 0, np.zeros(LETTERS), self.frames)
        beating = self.beating()
        tried = [(dx, dy, 1.0) for dy in SHIFTS for dx in SHIFTS] + [(0, 0, s) for s in SCALES]
        letters = [here & (places() == k) for k in range(LETTERS)]
        known = [words(key)[:, at].conj() for at in letters]
        turns = np.exp(-2j * np.pi * np.arange(ANGLES) / ANGLES).astype(np.complex64)
        best, likely = -math.inf, np.zeros((LETTERS, VALUES))
        for place in tried:
            values = _evened(cells(beating.real.copy(), *place), cells(beating.imag.copy(), *place), here)
            size = math.sqrt(float((np.abs(values[here]) ** 2).sum())) + 1e-12
            like = np.stack([signs @ values[at] for signs, at in zip(known, letters, strict=True)]) / size
            turned = (turns[:, None, None] * like).real  # (ANGLES, LETTERS, VALUES)
            scores = turned.max(2).sum(1)
            if scores.max() > best:
                best, likely = float(scores.max()), turned[int(scores.argmax())]
        order = np.argsort(likely, 1)
        number = sum(int(value) << 8 * k for k, value in enumerate(order[:, -1]))
        sure = np.take_along_axis(likely, order[:, -1:], 1) - np.take_along_axis(likely, order[:, -2:-1], 1)
        trials = BITS * math.log(2) + math.log(ANGLES * len(tried) * others)
        chance = math.exp(min(0.0, trials - best**2 / 2))
        return Reading(best, chance, number, math.sqrt(LETTERS) * sure[:, 0], self.frames)


def _evened(real: Array, imaginary: Array, here: Array) -> Array:
    """(ROWS, COLUMNS) complex64: cells sharpened, on rough ground (lips, hair) with less weight, none with too much."""
    values = sharpened(real) + 1j * sharpened(imaginary)
    around = np.sqrt(cv2.blur(np.abs(values) ** 2, (3, 3), borderType=cv2.BORDER_REFLECT))
    values = values / (around + 0.3 * float(np.median(around[here])) + 1e-9)
    return np.asarray(values * np.minimum(1, CLIP / np.maximum(np.abs(values), 1e-9)), np.complex64)
