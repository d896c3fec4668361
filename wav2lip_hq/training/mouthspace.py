"""The space of articulation, learned from meshes of people who talk: mean face, basis, each person's neutral and
spread.

The space is symmetric: a person's asymmetry is in the neutral face, not in the articulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from .. import articulation, mesh
from ..types import Array

_EYES = mesh.at(33, 263)
_UP, _DOWN = mesh.at(13, 82, 312), mesh.at(14, 87, 317)


@dataclass(frozen=True)
class Space:
    """neutral (POINTS, 3), basis (K, POINTS, 3) as in ``articulation``; spread, closed: the mean person's opening."""

    neutral: Array
    basis: Array
    spread: float
    closed: float


@dataclass(frozen=True)
class Person:
    """neutral (POINTS, 3): the body with the mouth closed; spread: standard deviation of its opening."""

    neutral: Array
    spread: float


def face(meshes: Array) -> Array:
    """(POINTS, 3) symmetric mean of meshes (N, POINTS, 3), in eye distances, centered between them."""
    points = np.asarray(meshes, np.float64)
    points = points - points[:, _EYES].mean(1, keepdims=True)
    mean = (points / _apart(points)[:, None, None]).mean(0)
    pairs = mirror(mean)
    for _ in range(4):
        mean = articulation.upright(points, mean).mean(0)
        mean = (mean + mean[pairs] * (-1, 1, 1)) / 2
        mean = (mean - mean[_EYES].mean(0)) / _apart(mean)
    return np.asarray(mean)


def _apart(points: Array) -> Array:
    return np.asarray(np.linalg.norm(points[..., _EYES[0], :] - points[..., _EYES[1], :], axis=-1))


def mirror(points: Array) -> Array:
    """(POINTS,) int64: which point of a frontal face (POINTS, 3) is the mirror image of each."""
    other = points * (-1, 1, 1)
    cost = np.linalg.norm(points[:, None, :2] - other[None, :, :2], axis=-1)
    return np.asarray(linear_sum_assignment(cost)[1])


def measure(bodies: Array, least: float = 0.012) -> Person:
    """A person's neutral body and spread, from bodies (N, POINTS, 3). least: lower limit of the spread."""
    gap = articulation.opening(bodies)
    closed = bodies[gap <= np.quantile(gap, 0.1)].mean(0)
    return Person(closed, max(float(gap.std()), least))


def offsets(bodies: Array, person: Person, pairs: Array) -> Array:
    """(N, POINTS, 3) offsets of the mouth from the neutral face, made symmetric."""
    added = (bodies - person.neutral) * articulation.MOVING[:, None]
    return np.asarray((added + added[:, pairs] * (-1, 1, 1)) / 2)


def learn(template: Array, people: Mapping[str, tuple[Array, Person]], count: int, seed: int = 0) -> Space:
    """The space of ``count`` coefficients from each person's bodies (N, POINTS, 3); people have equal weights."""
    pairs, rng = mirror(template), np.random.default_rng(seed)
    spread = float(np.median([p.spread for _, p in people.values()]))
    parts, neutrals = [], []
    for bodies, person in people.values():
        chosen = rng.choice(len(bodies), min(len(bodies), 100), replace=False)
        unit = articulation.reach(person.spread, spread, 2)[1]
        parts.append(offsets(bodies[chosen], person, pairs) / unit * np.sqrt(100 / len(chosen)))
        neutrals.append((person.neutral + person.neutral[pairs] * (-1, 1, 1)) / 2)
    data = np.concatenate(parts)
    told = np.stack([gap(data), stretch(data)], 1)
    first = np.linalg.lstsq(told, data.reshape(len(data), -1), rcond=None)[0].reshape(2, -1, 3)
    first = np.linalg.solve(np.stack([gap(first), stretch(first)], 1), first.reshape(2, -1)).reshape(first.shape)
    rest = data - np.einsum("nk,kpc->npc", told, first)
    _, s, vt = np.linalg.svd(rest.reshape(len(rest), -1), full_matrices=False)
    others = (vt[: count - 2] * (s[: count - 2, None] / np.sqrt(100 * len(people)))).reshape(count - 2, -1, 3)
    basis = np.concatenate([first, others])
    neutral = np.mean(neutrals, 0)
    return Space(neutral, basis, spread, float(articulation.opening(neutral)))


def gap(added: Array) -> Array:
    """(N,) opening of offsets (N, POINTS, 3): vertical distance added between the lips."""
    return np.asarray((added[..., _DOWN, 1] - added[..., _UP, 1]).mean(-1))


def stretch(added: Array) -> Array:
    """(N,) widening of offsets (N, POINTS, 3): horizontal distance added between the corners."""
    a, b = mesh.at(78, 308)
    return np.asarray(added[..., b, 0] - added[..., a, 0])


def coefficients(bodies: Array, person: Person, space: Space, pairs: Array) -> Array:
    """(N, K) coefficients of a person's bodies (N, POINTS, 3): opening and width as measured, the others by
    least squares on the rest."""
    basis = space.basis
    added = offsets(bodies, person, pairs)
    told = np.stack([gap(added), stretch(added)], 1)
    rest = (added - np.einsum("nk,kpc->npc", told, basis[:2])).reshape(len(added), -1)
    others = np.linalg.lstsq(basis[2:].reshape(len(basis) - 2, -1).T, rest.T, rcond=None)[0].T
    return np.concatenate([told, others], 1) / articulation.reach(person.spread, space.spread, len(basis))
