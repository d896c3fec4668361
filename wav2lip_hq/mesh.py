"""The dense landmarks of a face ("mesh"): indices of its parts, opening and width of the mouth.

A mesh is (N, POINTS, 2) float32: POINTS points of MediaPipe's face mesh (468 points; Kartynnik et al. 2019), listed in
``INDICES`` by their number there. Left and right are those of the image: the left eye is the one at the image's left.
"""

from __future__ import annotations

import numpy as np

from .types import Array

# Rings run from the left corner over the top to the right corner and back below.
_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
_OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
# From the left ear along the jaw, over the chin, to the right ear.
_JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_FOREHEAD = (127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356)
_LEFT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
_RIGHT_EYE = (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 129, 98, 97, 326, 327, 358)
# Skin between nose, cheeks and chin, which moves with the mouth.
_SKIN = (
    (164, 167, 393, 165, 391, 92, 322, 186, 410, 57, 287, 43, 273, 106, 335, 182, 406, 83, 313, 18, 200, 199, 175)
    + (205, 425, 50, 280, 207, 427, 187, 411, 212, 432, 202, 422, 204, 424, 194, 418, 201, 421, 208, 428)
)  # fmt: skip

INDICES: tuple[int, ...] = (
    *_INNER_LIPS, *_OUTER_LIPS, *_JAW, *_FOREHEAD, *_LEFT_EYE, *_RIGHT_EYE, *_BROWS, *_NOSE, *_SKIN,
)  # fmt: skip
POINTS = len(INDICES)

_ends = np.cumsum(
    [0, *map(len, (_INNER_LIPS, _OUTER_LIPS, _JAW, _FOREHEAD, _LEFT_EYE, _RIGHT_EYE, _BROWS, _NOSE, _SKIN))]
)
INNER_LIPS, OUTER_LIPS, JAW, FOREHEAD, LEFT_EYE, RIGHT_EYE, BROWS, NOSE, SKIN = (
    slice(int(a), int(b)) for a, b in zip(_ends[:-1], _ends[1:], strict=True)
)
LIPS = slice(INNER_LIPS.start, OUTER_LIPS.stop)


def at(*numbers: int) -> list[int]:
    """Rows of a mesh that hold these points of MediaPipe's face mesh."""
    return [INDICES.index(n) for n in numbers]


_UPPER, _LOWER = at(13, 82, 312), at(14, 87, 317)
_EYES = at(33, 263)
_CORNERS = at(78, 308)


def eye_distance(mesh: Array) -> Array:
    """(N,) distance of the outer corners of the eyes (33, 263), the unit of ``opening`` and ``width``."""
    a, b = (np.asarray(mesh, np.float64)[..., i, :] for i in _EYES)
    return np.asarray(np.maximum(np.linalg.norm(a - b, axis=-1), 1e-6))


def opening(mesh: Array) -> Array:
    """(N,) mean distance of three pairs of inner-lip points (13-14, 82-87, 312-317) over the eye distance.

    0 = closed; 0.05 is ajar, 0.3 an open vowel.
    """
    points = np.asarray(mesh, np.float64)
    gap = np.linalg.norm(points[..., _UPPER, :] - points[..., _LOWER, :], axis=-1).mean(-1)
    return np.asarray(gap / eye_distance(points))


def width(mesh: Array) -> Array:
    """(N,) distance of the inner corners of the mouth (78, 308) over the eye distance."""
    points = np.asarray(mesh, np.float64)
    gap = np.linalg.norm(points[..., _CORNERS[0], :] - points[..., _CORNERS[1], :], axis=-1)
    return np.asarray(gap / eye_distance(points))


def _mirror() -> tuple[int, ...]:
    """For each row the row that holds the same point of the mirrored face."""
    rows = list(range(POINTS))
    for ring, top in ((INNER_LIPS, 10), (OUTER_LIPS, 10)):
        rows[ring] = [ring.start + (top - i) % 20 for i in range(20)]
    for line in (JAW, FOREHEAD, BROWS):
        rows[line] = reversed(range(line.start, line.stop))
    rows[LEFT_EYE] = [RIGHT_EYE.start + (8 - i) % 16 for i in range(16)]
    rows[RIGHT_EYE] = [LEFT_EYE.start + (8 - i) % 16 for i in range(16)]
    pairs = [(129, 358), (98, 327), (97, 326)]
    pairs += zip(_SKIN[1:19:2], _SKIN[2:19:2], strict=True)
    pairs += zip(_SKIN[23::2], _SKIN[24::2], strict=True)
    for a, b in pairs:
        left, right = at(a, b)
        rows[left], rows[right] = right, left
    return tuple(rows)


MIRROR = _mirror()
