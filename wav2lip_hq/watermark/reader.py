"""Reading the mark: faces are collected, the pattern is looked for, and how sure it is follows from its statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ..types import Array
from .grid import BEAT, FINE, MARGIN, cells, sampled, sharpened, within
from .signs import BITS, COLUMNS, KEY, LETTERS, ROWS, meant, places, words

FALSE_ALARM = 1e-4  # how often an unmarked face may be called marked
# Hz beside the beat, where nothing is written: what moves there by itself
ASIDE = (-1.6, -1.3, -1.0, -0.7, -0.4, 0.4, 0.7, 1.0, 1.3, 1.6, 1.9, 2.2, 2.5, 2.8)
PLACES = [(0, 0, 1.0), (0, 0, 0.98), (0, 0, 1.02)]  # samples, scale
PLACES += [(dx, dy, 1.0) for dy in (-3, 0, 3) for dx in (-3, 0, 3) if dx or dy]
ANGLES = 16  # phases of the beat that are tried
# Where a mark is most likely found: at the first place, and at the first two phases, in videos that begin where they
# began when they were written (encoders delay changes a little). Shares of the false alarms that are accepted.
PLACE, ANGLE = 0.7, 0.35
TOGETHER = 0.15  # share of the unrest that cells have in common, as they do when lips move
FLOOR, CLIP = 0.3, 1.5  # of the median unrest; of the root mean square of cells
AGREES = 3.0  # standard deviations at a known number: one in 90 faces without a mark gets so far by chance
SPAN = 3.0  # seconds that are looked at together; longer, heads move too much
SHAPE = (ROWS + 2 * MARGIN) * FINE, (COLUMNS + 2 * MARGIN) * FINE
SHORTEST, LEAST = 10, 4  # frames of a look; of a part of one
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
        self._last = 0.0
        self._span = 0  # frames

    def add(self, frame: Array, time: float, map_: Array, points: Array) -> None:
        """Look at one face. frame: (H, W, 3) uint8 or uint16, shown at ``time`` seconds; map_: see ``grid.anchor``;
        points: (POINTS, 2) mesh."""
        if not np.isfinite(map_).all() or not np.isfinite(points).all():
            return
        if self._first is not None and time - self._first >= SPAN and self._span >= SHORTEST:
            self._known += self._weighed()
            self._begin()
        if not self._sums.size:
            self._begin()
        fine = sampled(frame, map_)
        fine = (fine - fine.mean()) / max(float(fine.std()), 1.0)  # contrast and light do not matter
        self._first, self._last = time if self._first is None else self._first, time
        turns = 2 * math.pi * time * (BEAT + np.array([0.0, *ASIDE]))
        basis = np.concatenate([[1.0, time - self._first], np.stack([np.cos(turns), np.sin(turns)], 1).ravel()])
        self._sums += np.outer(basis.astype(np.float32), fine)
        self._gram += np.outer(basis, basis)
        self._shown += within(points, map_)
        self.frames, self._span = self.frames + 1, self._span + 1

    def close(self) -> None:
        """Free most memory (2 MB) where no more will be added within SPAN seconds: films have thousands of faces."""
        if self._span:
            self._known += self._weighed()
            self._begin()
            self._sums = np.zeros((len(self._sums), 0), np.float32)

    def _beating(self, number: int) -> Array:
        """(2, h, w) float32: how each sample beats (cosine and sine) at one of the frequencies, the beat's own first,
        apart from what it is on average, from a steady change, and from the beat."""
        own = [2 + 2 * number, 3 + 2 * number]
        which = [*own, 0, 1] if number == 0 else [*own, 0, 1, 2, 3]
        gram = self._gram[np.ix_(which, which)] + 1e-6 * self._span * np.eye(len(which))
        found = np.linalg.solve(gram, self._sums[which])[:2]
        return np.asarray(found, np.float32).reshape(2, *SHAPE)

    def _weighed(self) -> Array:
        """(len(PLACES), ROWS, COLUMNS) complex64: what beats in each cell in this span of time, times the inverse of
        the covariance of what moves there by itself; 0 where nothing was seen."""
        out = np.zeros((len(PLACES), ROWS, COLUMNS), np.complex64)
        here = self._shown >= max(self._span, 1) / 2
        if self._span < SHORTEST or here.sum() < FEWEST:
            return out
        fields = [self._beating(n) for n in range(1 + len(ASIDE))]
        for place, values in zip(PLACES, out, strict=True):
            beats, *beside = [sharpened(cells(f[0], *place)) + 1j * sharpened(cells(f[1], *place)) for f in fields]
            unrest = np.mean([np.abs(b) ** 2 for b in beside], 0)
            unrest = cv2.blur(unrest, (3, 3), borderType=cv2.BORDER_REFLECT)[here]
            unrest += FLOOR * np.median(unrest) + 1e-12
            values[here] = _unlike(beats[here], np.stack(beside)[:, here], unrest)
        return out

    def views(self) -> tuple[Array, Array]:
        """((ROWS, COLUMNS) bool, the cells that were seen; (len(PLACES), seen) complex64: what beats in them, with the
        grid laid a little elsewhere each time). A view's squares add up to 1. None are seen of too short a look.

        Cells count by how much they beat beside how much they move by themselves and together, in each span of time
        anew: when a head turns quickly, little is to be learned of it.
        """
        weighed = self._known + self._weighed()
        here = np.asarray((weighed != 0).any(0))
        out = weighed[:, here]
        if out.size:
            size = np.abs(out)
            out = out * np.minimum(1, CLIP * np.sqrt((size**2).mean(1, keepdims=True)) / np.maximum(size, 1e-12))
            out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-12
        return here, np.asarray(out, np.complex64)

    @classmethod
    def together(cls, several: Sequence[Marks]) -> Marks:
        """What several faces show, as if they were one: a mark goes on over cuts, and over faces that were lost."""
        out = cls()
        for marks in several:
            out._known += marks._known
            out.frames += marks.frames
        # What is left of each after its last full span; those that follow each other make a span together.
        for marks in sorted((m for m in several if m._span >= LEAST), key=lambda m: m._first or 0.0):
            if out._span and (marks._last - (out._first or 0.0) >= SPAN or (marks._first or 0.0) <= out._last):
                out._known += out._weighed()
                out._begin()
            out._append(marks)
        return out

    def _append(self, other: Marks) -> None:
        """Go on with what another has seen since its last full span, whose mean and steady change are its own."""
        steady, beat = slice(0, 2), slice(2, None)
        share = np.linalg.solve(other._gram[steady, steady] + 1e-9 * np.eye(2), other._gram[steady, beat]).T
        self._sums[beat] += other._sums[beat] - share.astype(np.float32) @ other._sums[steady]
        self._gram[beat, beat] += other._gram[beat, beat] - share @ other._gram[steady, beat]
        self._gram[steady, steady] = np.eye(2)  # nothing is left to be told by these
        self._shown += other._shown
        self._span += other._span
        self._first = other._first if self._first is None else self._first
        self._last = other._last

    def reading(self, key: str = KEY, others: int = 1) -> Reading:
        """What the collected faces carry. others: how many faces are read in all: each could be a false alarm.

        The signs have nothing to do with what a face looks like, so ``tail`` bounds how far the sum of its cells times
        them gets from 0. That holds for each number that a mark could say, each phase of the beat and each place where
        it is looked for; how many numbers there are multiplies it, and ``shares`` divides it.
        """
        here, seen = self.views()
        if not seen.size:
            return Reading(0.0, 1.0, 0, np.zeros(LETTERS), self.frames)
        likely = likelihoods(seen, words(key)[:, here], here)
        scores = likely.max(-1).sum(-1)
        where = best(scores)
        order = np.argsort(likely[where], 1)
        number = sum(int(value) << 8 * k for k, value in enumerate(order[:, -1]))
        first, second = (np.take_along_axis(likely[where], order[:, -k, None], 1)[:, 0] for k in (1, 2))
        score = float(scores[where])
        happens = chance(score, turned(seen[where[0]], where[1]), float(shares()[where]), others)
        return Reading(score, happens, number, math.sqrt(LETTERS) * (first - second), self.frames)


def readings(several: Sequence[Marks], key: str = KEY) -> list[Reading]:
    """What each face of a file carries: by itself, or what all faces say together, where that is surer and the face
    agrees with it."""
    if len(several) == 1:
        return [several[0].reading(key)]
    count = len(several) + 1
    found = [marks.reading(key, count) for marks in several]
    common = Marks.together(several).reading(key, count)
    if common.marked:
        signs = meant(common.number, key)
        for n, marks in enumerate(several):
            here, seen = marks.views()
            if common.chance < found[n].chance and seen.size and np.abs(seen[0] @ signs[here].conj()) >= AGREES:
                found[n] = common
    return found


def _unlike(beats: Array, beside: Array, unrest: Array) -> Array:
    """(seen,) complex: (seen,) ``beats`` times the inverse of a covariance: ``unrest`` of each cell, and TOGETHER of
    what cells do at the frequencies ``beside`` (N, seen), where they move together. By Woodbury's identity."""
    modes = np.concatenate([beside.real, beside.imag]) * math.sqrt(TOGETHER / len(beside))
    alone = (1 - TOGETHER) * unrest
    inner = np.eye(len(modes)) + (modes / alone) @ modes.T
    return np.asarray(beats / alone - modes.T @ np.linalg.solve(inner, modes @ (beats / alone)) / alone)


def likelihoods(views: Array, signs: Array, here: Array) -> Array:
    """(views, ANGLES, LETTERS, VALUES) float32: each letter's share of the score if it had each of its values.

    views: (N, seen) complex64; signs: (VALUES, seen) complex64; here: (ROWS, COLUMNS) bool, the cells seen."""
    letter = places()[here]
    like = np.stack([views[:, letter == k] @ signs[:, letter == k].conj().T for k in range(LETTERS)], 1)
    turns = np.exp(-2j * np.pi * np.arange(ANGLES) / ANGLES).astype(np.complex64)
    return np.asarray((turns[None, :, None, None] * like[:, None]).real)


def turned(view: Array, angle: int) -> Array:
    """(2 * seen,) float64: what the signs of cosines and sines are multiplied with, at one of the phases."""
    out = np.asarray(view, np.complex128) * np.exp(-2j * np.pi * angle / ANGLES)
    return np.concatenate([out.real, out.imag])


@lru_cache(maxsize=1)
def shares() -> Array:
    """(len(PLACES), ANGLES): share of the accepted false alarms in each view; they add up to 1."""
    at = np.full(len(PLACES), (1 - PLACE) / (len(PLACES) - 1))
    angles = np.full(ANGLES, (1 - 2 * ANGLE) / (ANGLES - 2))
    at[0], angles[:2] = PLACE, ANGLE
    return np.asarray(np.outer(at, angles))


def best(scores: Array) -> tuple[int, int]:
    """The view and phase whose score is the least likely by chance. scores: (len(PLACES), ANGLES)."""
    # A normal tail falls off as exp(-x^2 / 2).
    place, angle = np.unravel_index(int(np.argmax(np.maximum(scores, 0) ** 2 / 2 + np.log(shares()))), scores.shape)
    return int(place), int(angle)


def chance(score: float, weights: Array, share: float, others: int = 1) -> float:
    """Upper bound of the probability that one of ``others`` unmarked faces scores so high in a view that has this
    share of the false alarms, see ``Marks.reading``. weights: see ``turned``; their squares add up to 1."""
    return min(1.0, tail(score, weights) * 2.0**BITS / share * others)


def tail(score: float, weights: Array) -> float:
    """Upper bound of the probability that the sum of (n,) ``weights`` with random signs is at least ``score``.

    Weights are tilted so that ``score`` is what is expected of them (Cramer); how far they are from a normal variable
    there is bounded by their third moments (Berry-Esseen; the constant 0.56 is Shevtsova's, 2010). Where few weights
    make that a weak bound: 3.18 times the tail of a normal variable (Bentkus and Dzindzalieta, Bernoulli 2015). Both
    hold for any weights.
    """
    usual = 3.18 * 0.5 * math.erfc(score / math.sqrt(2))
    weights = np.abs(weights)
    if not 0 < score < 0.9 * float(weights.sum()):
        return usual
    low, high = 0.0, 1.0
    while float(weights @ np.tanh(high * weights)) < score:
        low, high = high, 2 * high
    for _ in range(50):
        tilt = (low + high) / 2
        low, high = (tilt, high) if float(weights @ np.tanh(tilt * weights)) < score else (low, tilt)
    mean = np.tanh(high * weights)
    variance = float(weights**2 @ (1 - mean**2))
    moment = float(weights**3 @ (1 - mean**4))
    cosh = float((np.logaddexp(high * weights, -high * weights) - math.log(2)).sum())
    x = min(high * math.sqrt(variance), 35.0)
    rest = 0.5 * math.exp(x * x / 2) * math.erfc(x / math.sqrt(2)) + 2 * 0.56 * moment / variance**1.5
    return float(min(usual, math.exp(cosh - high * score) * rest))
