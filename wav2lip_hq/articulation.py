"""Mouth shapes independent of person and head pose, as coefficients of a basis.

A face is a body (POINTS, 3) in its own coordinates: x to image right, y down, z away from the camera; the unit is the
distance of the outer corners of the eyes. A camera (2, 4) projects it by scaled orthography: image = camera[:, :3] @
body + camera[:, 3]. Articulation is an offset from the person's neutral body, whose mouth is closed:

    body = neutral + sum over k of reach[k] * coefficient[k] * basis[k]

Coefficient 0 is the opening (``mesh.opening``) above the person's closed mouth, in units of the person's own spread
(standard deviation of the opening); coefficient 1 the width relative to the closed mouth's; the others are principal
components of the remaining movement of lips, jaw, chin and skin. People who open their mouths twice as far do the rest
1.4 times as far (``reach``; measured). Training and rendering share this file.
"""

from __future__ import annotations

import numpy as np

from . import mesh
from .mesh import at
from .types import Array

COEFFICIENTS = 16
UPPER, LOWER = at(191, 80, 81, 82, 13, 312, 311, 310, 415), at(95, 88, 178, 87, 14, 317, 402, 318, 324)  # pairs
# Points that speech does not move, for fitting the head's pose: corners of the eyes, nose, forehead.
RIGID = [*at(33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 97, 326, 327), *at(10, 67, 297, 54, 284, 127, 356)]
_TRUST = np.array([1.0] * 4 + [1.0] * 12 + [0.3] * 7)  # their weights; the forehead is often covered by hair
_ANCHOR = at(4, 1, 2, 98, 97, 326, 327)  # the nose above the mouth
_BELOW_LIP, _CHIN = at(84, 17, 314), at(148, 152, 377)  # the lower edge of the lower lip; the lowest part of the jaw
# Degrees of yaw from which and at which the mouth is placed where it is seen, not where the fitted body has it.
_ASIDE = (25.0, 40.0)
# How far the jaw's points follow the mouth: at the chin fully, at the ears not at all.
_JAW_MOVES = np.concatenate([np.linspace(0, 1, 8), np.ones(5), np.linspace(1, 0, 8)])


CORNERS = at(78, 308)  # of the inner lips
_ALL_CORNERS = at(78, 308, 61, 291)  # and of the outer ones
# A smile of 1, in eye distances: how far the corners of the mouth go out and up.
OUT, UP = 0.035, 0.06


def _moving() -> Array:
    weight = np.zeros(mesh.POINTS)
    weight[mesh.LIPS], weight[mesh.SKIN] = 1.0, 1.0
    weight[at(50, 280)] = 0.3  # high on the cheeks
    weight[at(205, 425, 187, 411, 207, 427)] = 0.7
    weight[mesh.JAW] = _JAW_MOVES
    return weight


MOVING: Array = _moving()  # (POINTS,) float64 in [0, 1]: how far each point follows the mouth


def smile(neutral: Array, amount: float) -> Array:
    """(POINTS, 3) offset of a smile (below 0: corners that hang) on a neutral body (POINTS, 3): the corners go out and
    up, the lips between them bend, and the cheeks follow."""
    left, right = neutral[CORNERS]
    half = max(1e-6, float(right[0] - left[0]) / 2)
    x = (neutral[:, 0] - (left[0] + right[0]) / 2) / half  # -1 and 1 at the corners
    y = (neutral[:, 1] - (left[1] + right[1]) / 2) / half
    # Near the corners' height all of it; over the cheeks and toward the jaw less and less.
    beyond = np.maximum(np.abs(x) - 1, 0)
    near = np.exp(-0.5 * np.where(y < 0, y / 0.9, y / 0.6) ** 2) * np.exp(-0.5 * (beyond / 0.7) ** 2)
    bend = np.minimum(np.abs(x), 1) ** 2
    offset = np.stack([OUT * np.tanh(1.5 * x), -UP * bend, 0.3 * OUT * bend], 1)  # over the teeth, backwards
    return np.asarray(amount * (near * MOVING)[:, None] * offset)


def opening(body: Array) -> Array:
    """(...,) opening of bodies (..., POINTS, 3): ``mesh.opening`` without the influence of the head's pose. Of meshes
    (..., POINTS, 2): in their own unit."""
    upper, lower = body[..., at(13, 82, 312), :], body[..., at(14, 87, 317), :]
    return np.asarray(np.linalg.norm(upper - lower, axis=-1).mean(-1))


def width(body: Array) -> Array:
    """(...,) distance of the inner corners of the mouth of bodies (..., POINTS, 3)."""
    a, b = at(78, 308)
    return np.asarray(np.linalg.norm(body[..., a, :] - body[..., b, :], axis=-1))


def reach(spread: float, usual: float, count: int = COEFFICIENTS) -> Array:
    """(K,) amplitudes of a person with this spread of the opening; usual: the mean person's spread."""
    out = np.full(count, np.sqrt(spread * usual))
    out[0] = spread
    return out


def upright(points: Array, template: Array) -> Array:
    """Meshes (N, POINTS, 3) of any position, size and pose as bodies in the template's coordinates.

    The rigid points are aligned to those of the template (POINTS, 3) by rotation, scale and shift (Umeyama 1991).
    """
    p, w = np.asarray(points, np.float64), (_TRUST / _TRUST.sum())[:, None]
    source, goal = p[:, RIGID], np.asarray(template, np.float64)[RIGID]
    middle, center = (source * w).sum(1, keepdims=True), (goal * w).sum(0)
    a, b = source - middle, goal - center
    u, s, vt = np.linalg.svd(np.swapaxes(a * w, 1, 2) @ b)
    sign = np.ones((len(p), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    turn = (u * sign[:, None]) @ vt
    scale = (s * sign).sum(1) / np.maximum((a**2 * w).sum((1, 2)), 1e-12)
    return np.asarray(((p - middle) @ turn) * scale[:, None, None] + center)


def camera(seen: Array, body: Array, steps: int = 6) -> Array:
    """(2, 4) camera that projects the rigid points of ``body`` (POINTS, 3) onto those of a mesh ``seen`` (POINTS, 2).

    Scaled orthography, least squares by Gauss-Newton, starting from the frontal view.
    """
    x = np.asarray(body, np.float64)[RIGID]
    y = np.asarray(seen, np.float64)[RIGID]
    w = _TRUST / _TRUST.sum()
    xm, ym = w @ x, w @ y
    x, y = x - xm, y - ym
    root = np.sqrt(w)
    # The start: a similarity in the image plane.
    z, v = x[:, 0] + 1j * x[:, 1], y[:, 0] + 1j * y[:, 1]
    first = (w * v * np.conj(z)).sum() / max(float((w * np.abs(z) ** 2).sum()), 1e-12)
    scale, roll = max(abs(first), 1e-9), float(np.angle(first))
    turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1.0]])
    for _ in range(steps):
        shown = x @ turn.T
        miss = (y - scale * shown[:, :2]) * root[:, None]
        # Columns: log of the scale, small turns about x, y, z.
        jx = scale * np.stack([shown[:, 0], np.zeros(len(x)), shown[:, 2], -shown[:, 1]], 1)
        jy = scale * np.stack([shown[:, 1], -shown[:, 2], np.zeros(len(x)), shown[:, 0]], 1)
        jacobian = np.concatenate([jx * root[:, None], jy * root[:, None]])
        normal = jacobian.T @ jacobian
        normal[np.diag_indices(4)] *= 1 + 1e-6
        step = np.linalg.solve(normal + 1e-12 * np.eye(4), jacobian.T @ miss.T.reshape(-1))
        step = np.clip(step, -0.6, 0.6)
        scale *= float(np.exp(step[0]))
        turn = _rotation(step[1:]) @ turn
    linear = scale * turn[:2]
    return np.concatenate([linear, (ym - linear @ xm)[:, None]], 1)


def _rotation(vector: Array) -> Array:
    """(3, 3) rotation by |vector| radians about vector (Rodrigues)."""
    angle = float(np.sqrt((vector**2).sum()))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k))


def show(view: Array, body: Array) -> Array:
    """(POINTS, 2) projection of a body (POINTS, 3) by a camera (2, 4)."""
    return np.asarray(body @ view[:, :3].T + view[:, 3])


def person(neutral: Array, template: Array) -> Array:
    """(POINTS, 3) body of a person from the mesh (POINTS, 2) with the mouth closed, of any position, size and rotation.

    Depth is the template's (POINTS, 3); the body's projection is exactly the mesh.
    """
    view = camera(neutral, template)
    linear = view[:, :3]
    miss = np.asarray(neutral, np.float64) - show(view, template)
    return np.asarray(template + miss @ (linear / (linear[0] @ linear[0])))


def articulate(neutral: Array, offset: Array) -> Array:
    """(POINTS, 3) the neutral body plus an offset (POINTS, 3), corrected so that the lips do not cross."""
    body = neutral + offset
    gap = body[LOWER, 1] - body[UPPER, 1]
    least = np.minimum(neutral[LOWER, 1] - neutral[UPPER, 1], 0)  # below 0 where touching lips cross already
    more = np.maximum(least - gap, 0) / 2
    body[LOWER, 1] += more
    body[UPPER, 1] -= more
    return np.asarray(body)


def place(seen: Array, neutral: Array, body: Array, opened: Array) -> Array:
    """(POINTS, 2) the mesh ``seen`` (POINTS, 2) with mouth, jaw, chin and skin of ``body`` (POINTS, 3) in the mesh's
    pose, which is fitted with the person's ``neutral`` body. Other points are unchanged.

    Lips are where the body's are. The chin moves from where it is seen, by as much as the body's differs from one that
    is as open as the mesh: of a turned head, or of one whose jaw is longer than the neutral body's, its place would be
    wrong. So would a turned head's mouth, whose distance from the camera is another person's: it is shifted and
    stretched to where it is seen. opened: (POINTS, 3) offset that opens a mouth by 1.
    """
    seen = np.asarray(seen, np.float64)
    view = camera(seen, neutral)
    # The residual of the rigid fit at the nose applies to the mouth below it, too.
    miss = (seen[_ANCHOR] - show(view, neutral)[_ANCHOR]).mean(0)
    gap = float(opening(seen)) / max(float(np.linalg.norm(view[0, :3])), 1e-9) - float(opening(neutral))
    now = show(view, articulate(neutral, max(gap, 0) * opened)) + miss
    target = show(view, body) + miss
    lip, chin = neutral[_BELOW_LIP, 1].mean(), neutral[_CHIN, 1].mean()
    low = np.clip((neutral[:, 1] - lip) / max(chin - lip, 1e-6), 0, 1)
    low[mesh.LIPS] = 0
    aside = float(np.interp(_yaw(view), _ASIDE, (0, 1)))
    if aside:
        target = target + (aside * (1 - low))[:, None] * _shift(now, seen)
    return np.asarray(seen + MOVING[:, None] * (target - seen + low[:, None] * (seen - now)))


def _yaw(view: Array) -> float:
    """Degrees by which the head is turned to either side in a camera (2, 4)."""
    forward = np.cross(view[0, :3], view[1, :3])
    return float(np.degrees(np.arctan2(abs(forward[0]), abs(forward[2]))))


def _shift(now: Array, seen: Array) -> Array:
    """(POINTS, 2) displacement that brings the mouth of ``now`` to where that of ``seen`` is, both (POINTS, 2).

    Least squares: across by the lips, linear in both coordinates; up and down by the corners of the mouth, linear in
    the first, for how high lips are depends on how far they are open.
    """
    terms = np.column_stack([now - now[mesh.LIPS].mean(0), np.ones(len(now))])
    miss = seen - now
    across = terms @ np.linalg.lstsq(terms[mesh.LIPS], miss[mesh.LIPS, 0], rcond=None)[0]
    line = terms[:, [0, 2]]
    down = line @ np.linalg.lstsq(line[_ALL_CORNERS], miss[_ALL_CORNERS, 1], rcond=None)[0]
    return np.column_stack([across, down])
