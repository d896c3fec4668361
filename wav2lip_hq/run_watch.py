"""What a run's report shows, collected while its frames pass: pairs of pictures, and where the picture jumps."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import cv2
import numpy as np

from . import geometry, page
from .originals import Originals
from .types import Array, Chunk
from .video import VideoReader

PAIRS = 5  # frames shown whole, before and after
WIDTH = 960  # px of those, at most
WORST = 8  # frames shown as faces
FACE = 256  # px of a face's picture
SMALL = 64  # px of the lower face in which jumps are measured
ROOM = 0.3  # around a face's box in its picture, as a share of its size


@dataclass(frozen=True, order=True)
class Worst:
    """A frame in which a synthesized face jumps: by how many 8-bit steps more than the footage's, and what it shows."""

    jump: float
    number: int
    track: int
    before: bytes = field(compare=False)  # JPEG
    after: bytes = field(compare=False)


@dataclass
class RunWatch:
    """Collects what the report shows. reader: of the footage, which is read a second time; expected: about how many
    frames of speech the output will have."""

    reader: VideoReader
    expected: int
    pairs: list[tuple[int, bytes, bytes]] = field(default_factory=list)  # frame, before, after
    jumps: list[tuple[int, float]] = field(default_factory=list)  # frame, the largest jump in it
    changes: list[float] = field(default_factory=list)  # mean change of a synthesized lower face, 8-bit steps

    def __post_init__(self) -> None:
        self._originals = Originals(self.reader)
        self._worst: list[Worst] = []
        self._recent: dict[int, list[tuple[int, Array, Array, bytes, bytes]]] = {}

    @property
    def worst(self) -> list[Worst]:
        """The largest jumps first, no two of them within a few frames of each other."""
        return sorted(self._worst, reverse=True)

    def add(self, chunk: Chunk) -> None:
        """Look at finished frames."""
        faces = chunk.faces
        if faces is None or faces.box is None or faces.track is None or chunk.source_pts is None:
            return
        rows = list(zip(faces.frame.tolist(), faces.track.tolist(), faces.box, strict=True))
        for i in range(len(chunk)):
            mine = [(track, box) for frame, track, box in rows if frame == i]
            if not mine:
                continue
            before = geometry.eight_bits(self._originals.at(chunk.source_pts[i]))[..., :3]
            after = geometry.eight_bits(chunk.frames[i])[..., :3]
            number = chunk.start + i
            if number >= self._due:
                self.pairs.append((number, page.jpeg(_fitted(before)), page.jpeg(_fitted(after))))
            for track, box in mine:
                self._look(number, track, box, before, after)

    @property
    def _due(self) -> float:
        """The number of the frame from which on the next pair is taken."""
        done = len(self.pairs)
        return (done + 0.5) * self.expected / PAIRS if done < PAIRS else float("inf")

    def _look(self, number: int, track: int, box: Array, before: Array, after: Array) -> None:
        """Compare a face with its neighbors in time: the frame between is the one that jumps, or does not."""
        source, result = _lower(before, box), _lower(after, box)
        self.changes.append(float(np.abs(result - source).mean()))
        recent = self._recent.setdefault(track, [])
        if recent and recent[-1][0] != number - 1:
            recent.clear()
        recent.append((number, source, result, page.jpeg(_face(before, box)), page.jpeg(_face(after, box))))
        if len(recent) < 3:
            return
        (_, s0, r0, _, _), (middle, s1, r1, was, became), (_, s2, r2, _, _) = recent[-3:]
        jump = float(np.abs(r0 - 2 * r1 + r2).mean() - np.abs(s0 - 2 * s1 + s2).mean())
        self.jumps.append((middle, jump))
        self._keep(Worst(round(jump, 3), middle, track, was, became))
        del recent[0]

    def _keep(self, new: Worst) -> None:
        near = [w for w in self._worst if w.track == new.track and abs(w.number - new.number) <= 5]
        if near:
            if near[0].jump >= new.jump:
                return
            self._worst.remove(near[0])
            heapq.heapify(self._worst)
        heapq.heappush(self._worst, new)
        if len(self._worst) > WORST:
            heapq.heappop(self._worst)


def _fitted(image: Array) -> Array:
    if image.shape[1] <= WIDTH:
        return image
    size = (WIDTH, round(image.shape[0] * WIDTH / image.shape[1]))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _face(image: Array, box: Array) -> Array:
    """(FACE, FACE, 3): a face with room around it, not stretched."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = (0.5 + ROOM) * max(float(box[2] - box[0]), float(box[3] - box[1]))
    square = np.array([[x - half, y - half, x + half, y + half]])
    return geometry.eight_bits(geometry.sample(image, geometry.box_to_crop(square, FACE)[0], FACE))


def _lower(image: Array, box: Array) -> Array:
    """(SMALL, SMALL) float32: the gray lower half of a face."""
    lower = np.array([[box[0], (box[1] + box[3]) / 2, box[2], box[3] + 0.1 * (box[3] - box[1])]])
    crop = geometry.eight_bits(geometry.sample(image, geometry.box_to_crop(lower, SMALL)[0], SMALL))
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.float32)
