"""THEval's three measures of lips (CVPR 2026): silent lip stability, lip sync, lip dynamics; and their scores.

The benchmark's five others need large networks and are left out. Meshes are MediaPipe's, (T, 468, 2 or 3), NaN where
no face was detected. THEval measures frames of 256 x 256 px that a face fills; here meshes are scaled to about the size
that faces have there, ``EYES_PX`` between the outer corners of the eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..audio import RATE, speech_activity
from ..mesh import INDICES, OUTER_LIPS
from ..types import Array
from .mouth import EYES, eye_distance

UPPER = (191, 80, 81, 82, 13, 312, 311, 310)
LOWER = (95, 88, 178, 87, 14, 317, 402, 318)
LIPS = (
    (78, 308, *UPPER, 415, *LOWER, 324)  # inner
    + INDICES[OUTER_LIPS]
)
EYES_PX = 64.0
SILENCE = 0.3  # seconds a pause must last
LEAST_SPEECH = 0.1  # share of frames with speech below which lip sync is undefined
RMS = 0.05  # seconds over which the sound's level (root mean square) is taken
REAL = {"silent_stability": 0.0263, "lip_sync": 0.2528, "lip_dynamics": 1.7166}  # published, of real footage


def silent_stability(mesh: Array, time: Array, speech: Array) -> float | None:
    """Median deviation of the opening from its mean in pauses: how much a mouth moves in silence. >= 0; lower is
    calmer, real footage has 0.0263.

    mesh (T, 468, 2 or 3); time (T,) seconds; speech (T,) in [0, 1], 0 = silence. Opening: mean |dy| of eight inner-lip
    pairs over the eye distance. Pauses under 300 ms do not count. None when there is no pause.
    """
    points = np.asarray(mesh, np.float64)
    gap = np.abs(points[:, UPPER, 1] - points[:, LOWER, 1]).mean(1) / eye_distance(points)
    found: list[float] = []
    for first, last in pauses(np.asarray(time), np.asarray(speech)):
        part = gap[first:last]
        part = part[np.isfinite(part)]
        if len(part) > 2:
            found += np.abs(part - part.mean()).tolist()
    return float(np.median(found)) if found else None


def pauses(time: Array, speech: Array) -> list[tuple[int, int]]:
    """First frame and end of every run of frames without speech that lasts at least 300 ms."""
    quiet = np.concatenate([[False], np.asarray(speech) <= 0, [False]])
    edges = np.flatnonzero(np.diff(quiet.astype(int))).reshape(-1, 2)
    step = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    return [(int(a), int(b)) for a, b in edges if time[b - 1] - time[a] + step >= SILENCE - 1e-9]


def lip_sync(mesh: Array, time: Array, speech: Array, wav: Array, rate: int = RATE) -> float | None:
    """Mean difference of the mouth's opening and the sound's level over 50 ms, each scaled to [0, 1] by its own range,
    in frames with speech. In [0, 1]; real footage has 0.2528.

    mesh, time, speech as in ``silent_stability``; wav (n,) float, starting at time 0. None when less than a tenth of
    the frames has speech, or nothing moves.
    """
    points = np.asarray(mesh, np.float64)
    across = np.maximum(np.abs(points[:, EYES[1], 0] - points[:, EYES[0], 0]), 1e-6)
    gap = np.abs(points[:, UPPER, 1].mean(1) - points[:, LOWER, 1].mean(1)) / across
    level = np.array([_rms(wav, t, rate) for t in np.asarray(time, np.float64)])
    used = np.isfinite(gap) & (np.asarray(speech) > 0)
    if used.sum() < max(3, LEAST_SPEECH * len(points)) or np.ptp(gap[used]) == 0 or np.ptp(level[used]) == 0:
        return None
    scaled = [(x[used] - x[used].min()) / np.ptp(x[used]) for x in (gap, level)]
    return float(np.abs(scaled[0] - scaled[1]).mean())


def _rms(wav: Array, time: float, rate: int) -> float:
    middle, half = round(time * rate), round(RMS * rate / 2)
    part = np.asarray(wav[max(0, middle - half) : max(0, middle + half)], np.float64)
    return float(np.sqrt(np.mean(part**2))) if len(part) else 0.0


def lip_dynamics(mesh: Array) -> float | None:
    """Mean standard deviation over time of all distances between two points of the lips, in pixels of THEval's frame;
    >= 0, real footage has 1.7166. mesh (T, 468, 2 or 3). None for fewer than three frames."""
    points = np.asarray(mesh, np.float64)[..., :2]
    points = points[np.isfinite(points).all((1, 2))]
    if len(points) < 3:
        return None
    lips = points[:, LIPS] * (EYES_PX / eye_distance(points))[:, None, None]
    rows, columns = np.triu_indices(len(LIPS), 1)
    return float(np.linalg.norm(lips[:, rows] - lips[:, columns], axis=-1).std(0).mean())


def score(value: float, real: float) -> float:
    """How near a measure is to real footage's: 1 - |value - real| / |real|; at most 1, higher is better.

    >>> score(2.0, 4.0)
    0.5
    """
    return 1 - abs(value - real) / abs(real)


def speech_at(wav: Array, times: Sequence[float | Fraction]) -> Array:
    """(T,) float32 in [0, 1]: how much speech there is at times in seconds of (n,) float32 16 kHz sound."""
    return speech_activity(wav, list(times))
