"""Detections as rows of numbers, followed by ``Track``: what the tests of tracking have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import cv2
import numpy as np

from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages.track import Track
from wav2lip_hq.types import Array, Chunk, Faces

RUNTIME = Runtime("cpu", "fp32")
MARKS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def face(x: float, y: float, side: float = 80.0, score: float = 0.99) -> Array:
    """(15,) detection of a face whose box begins at (x, y)."""
    box = np.array([x, y, x + side, y + 1.25 * side])
    marks = box[:2] + MARKS * (box[2:] - box[:2])
    return np.concatenate([box, [score], marks.ravel()]).astype(np.float32)


def stack(*faces: Array) -> Array:
    return np.stack(faces) if faces else np.zeros((0, 15), np.float32)


Rows = Sequence[Array | None]


def scenes(count: int, cuts: Sequence[int] = ()) -> Array:
    """(T, 36, 64, 3) frames: a noisy picture, another one from each cut on."""
    rng = np.random.default_rng(7)
    out = np.empty((count, 36, 64, 3), np.uint8)
    picture = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    for i in range(count):
        if i in cuts:
            picture = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        large = cv2.resize(picture, (64, 36), interpolation=cv2.INTER_NEAREST).astype(int)
        out[i] = np.clip(large + rng.integers(-3, 4, large.shape), 0, 255)
    return out


def chunks(rows: Rows, size: int = 1000, *, cuts: Sequence[int] = (), times: Sequence[Fraction] | None = None,
           frames: Array | None = None) -> Iterator[Chunk]:  # fmt: skip
    frames = scenes(len(rows), cuts) if frames is None else frames
    pts = tuple(times or [Fraction(i, 25) for i in range(len(rows))])
    for s in range(0, len(rows), size):
        e = min(s + size, len(rows))
        yield Chunk(s, frames[s:e], pts[s:e], boxes=tuple(rows[s:e]))


def follow(track: Track, rows: Rows, size: int = 1000, **options: object) -> list[dict[int, tuple[Array, Array]]]:
    """A frame: {track: (box, landmarks)}."""
    out: list[dict[int, tuple[Array, Array]]] = []
    for chunk in track.run(chunks(rows, size, **options), RUNTIME):  # type: ignore[arg-type]
        faces = chunk.faces
        assert isinstance(faces, Faces) and faces.track is not None
        assert faces.box is not None and faces.landmarks is not None
        assert faces.frame.dtype == faces.track.dtype == np.int64
        assert faces.box.dtype == faces.landmarks.dtype == np.float32
        assert (np.diff(faces.frame) >= 0).all()
        for i in range(len(chunk)):
            at = faces.frame == i
            out.append(
                {int(t): (b, m) for t, b, m in zip(faces.track[at], faces.box[at], faces.landmarks[at], strict=True)}
            )
    assert len(out) == len(rows)
    return out


def ids(result: list[dict[int, tuple[Array, Array]]]) -> list[list[int]]:
    return [sorted(f) for f in result]
