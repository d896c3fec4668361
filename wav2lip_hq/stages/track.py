"""Track: which detections are the same face, which faces are to be dubbed, and where exactly they are."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np

from .. import geometry
from ..engine import Stage
from ..errors import InputError, OptionError
from ..options import described, option
from ..types import Array, Chunk, Faces, Reason
from ..video import load_image
from ._cuts import thumbnail
from ._ranking import SETTLE, Ranking
from ._tracker import Moment, Seen, Tracker
from .appearance import Embedding, appearance, crops, similarity
from .detect import detect_faces

T = TypeVar("T")

if TYPE_CHECKING:
    from ..runtime import Runtime

# Times the largest face's area that another needs to replace it; less is noise of boxes, or a person leaning forward.
AREA_MARGIN = 1.25
SIDES = ("left-to-right", "right-to-left")
MIN_TRACKED_SIDE = 8.0  # px: smaller detections are dropped without a track
REFERENCE_DETECTIONS = 5  # the first of a new track, which are compared with the reference picture
# Faces are ranked by area times score to this power. Real faces score above 0.98; false alarms of the small detectors
# reach 0.9 and may be larger than the face (with a power of 2 a sleeve of seven times its area, at 0.83, replaced it).
SCORE_POWER = 24

AT = re.compile(r"at[=:](\d{1,5}(?:\.\d+)?),(\d{1,5}(?:\.\d+)?)")
BESIDE = 0.5  # of a face's size: how far beside its box a pixel may lie and still mean that face

_Judged = tuple[int, Seen, Reason | None]  # track number, face, why it is left as it is


@described
@dataclass(frozen=True)
class Track(Stage):
    """Follow faces over time. Adds ``faces``: frame, track, box and landmarks of the chosen ones, and ``left``: the
    same of the others, with the reason.

    Faces keep their track number while they are visible; a cut, or a gap longer than ``max_gap``, starts a new track. A
    frame without a chosen face has no entry in ``faces``. Positions are smoothed symmetrically in time by local linear
    regression, so that a face in uniform motion is smoothed without lag, up to both ends of its track.

    ``faces`` chooses: "largest"; "all"; a number (0 = the largest, 1 = the second largest, ...); "left-to-right:N" and
    "right-to-left:N" (the N-th from that side by where each was first seen; N = 0 if left out); "reference" (the most
    similar to the picture ``reference``, by its first detections); "at=X,Y" (the face at that pixel when it was first
    seen); "speaker" (in each shot the one whose mouth fits the footage's own sound, which the survey measures; here all
    faces are followed). The choice is stable: another face must be clearly
    larger for half a second to become the largest, and the rank of a face that vanishes stays free for a second.
    """

    name: ClassVar[str] = "track"
    reads: ClassVar[tuple[str, ...]] = ("frames", "pts", "boxes")
    adds: ClassVar[tuple[str, ...]] = ("faces.frame", "faces.track", "faces.box", "faces.landmarks", "left")

    faces: str | int = option(
        "largest",
        "Which faces are dubbed: largest, all, a number (0 the largest, 1 the second largest, ...), left-to-right:N, "
        "right-to-left:N, at=X,Y (the face at that pixel), speaker (in each shot, the one whose mouth fits the "
        "footage's own sound), or reference: the one most similar to the picture track.reference.",
    )
    reference: str = option("", "A picture of the person to dub, for faces = reference.")
    # Standard deviations of Gaussian windows. Boxes only place the generator's crop, and their jitter shows in the
    # mouth, so they are smoothed more than landmarks, which have to follow a nod.
    smooth_ms: float = option(
        120.0,
        "How widely boxes are smoothed over time; more is calmer, less follows quick movements.",
        unit="ms",
        low=0,
        high=2000,
    )
    landmarks_ms: float = option(
        60.0,
        "How widely landmarks are smoothed over time; more is calmer, less follows a nod.",
        unit="ms",
        low=0,
        high=2000,
    )
    max_gap: float = option(
        200.0,
        "The longest time without a detection that is bridged; more keeps a face that is hidden for a moment, less "
        "ends the track of one that turns away.",
        unit="ms",
        low=0,
        high=2000,
    )
    min_face: float = option(
        16.0,
        "The shorter side of the smallest face that is dubbed; in smaller ones little can be seen of the mouth.",
        unit="px",
        low=0,
    )
    detector: str = option("embedded-detector", "The checkpoint that finds the face in the reference picture.")
    embedding: Embedding | None = option(
        None,
        "From Python: a face embedding of your own, (N, 112, 112, 3) uint8 to (N, D), compared by cosine similarity.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice()
        if self.faces == "reference" and not self.reference:
            raise OptionError("track.faces = reference needs a picture of the person: set track.reference to its path")

    def _choice(self) -> tuple[str, int]:
        """(kind, rank) of ``faces``. Raises OptionError."""
        text = str(self.faces).strip()
        if text in ("largest", "all", "reference", "speaker"):
            return text, 0
        if text.startswith("at"):
            self._pixel()
            return "at", 0
        kind, _, number = text.rpartition(":")
        if text in SIDES:
            kind, number = text, "0"
        if kind in ("", *SIDES) and number.isdecimal() and not isinstance(self.faces, bool):
            if len(number) > 2:
                raise OptionError(f"track.faces counts from 0 and 99 is the most, not '{text[:40]}'")
            return kind or "largest", int(number)
        raise OptionError(
            "track.faces is largest, all, a number, left-to-right:NUMBER, right-to-left:NUMBER, at=X,Y, speaker or "
            f"reference, not '{text[:100]}'"
        )

    def _pixel(self) -> tuple[float, float]:
        """(x, y) of "at=X,Y". Raises OptionError."""
        match = AT.fullmatch(str(self.faces).replace(" ", ""))
        if match is None:
            raise OptionError(f"a pixel is given as at=X,Y, say at=640,360, not '{str(self.faces)[:100]}'")
        return float(match[1]), float(match[2])

    def _tracker(self) -> Tracker:
        # Faces that are too small to be dubbed are tracked as well, so that the report can say so.
        return Tracker(self.smooth_ms, self.landmarks_ms, self.max_gap, min(MIN_TRACKED_SIDE, self.min_face))

    @property
    def lookahead(self) -> int:
        """Enough frames for 60 a second; at 25 a second 11 are waited for, and some 5 more while a face is lost."""
        return self._tracker().lookahead

    @property
    def models(self) -> tuple[str, ...]:
        return (self.detector,) if self.faces == "reference" else ()

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Push frames one by one; yield a chunk once its last frame has been popped."""
        tracker, chooser = self._tracker(), Chooser(self, runtime)
        waiting: deque[Chunk] = deque()
        seen: deque[list[_Judged]] = deque()

        def collect() -> Iterator[Chunk]:
            while (popped := tracker.pop()) is not None:
                seen.append(chooser.choose(tracker, *popped))
            while waiting and len(seen) >= len(waiting[0]):
                chunk = waiting.popleft()
                frames = [seen.popleft() for _ in range(len(chunk))]
                yield replace(chunk, faces=_faces(frames, False), left=_faces(frames, True))

        index = 0
        for chunk in chunks:
            assert chunk.boxes is not None
            waiting.append(chunk)
            for i, frame in enumerate(chunk.frames):
                tracker.push(index, float(chunk.pts[i]), thumbnail(frame), chunk.boxes[i], frame)
                index += 1
                # Popping here, frame by frame, is what makes the result independent of the chunks.
                while (popped := tracker.pop()) is not None:
                    seen.append(chooser.choose(tracker, *popped))
            yield from collect()
        tracker.finish()
        yield from collect()


class Chooser:
    """Applies Track's choice to popped frames and numbers the tracks."""

    def __init__(self, options: Track, runtime: Runtime) -> None:
        self.kind, self.rank = options._choice()
        # Similarity tells a person from a false alarm at once; size and position do not.
        self.ranking = Ranking(
            AREA_MARGIN if self.kind == "largest" else 1.0, 0.0 if self.kind == "reference" else SETTLE
        )
        self.count = 0
        self.min_face = options.min_face
        self.pixel = options._pixel() if self.kind == "at" else (0.0, 0.0)
        self.embed: Embedding = options.embedding or appearance
        self.wanted = self._reference(options, runtime) if self.kind == "reference" else None

    def choose(self, tracker: Tracker, moment: Moment, faces: list[Seen]) -> list[_Judged]:
        """All faces of the next frame with their track numbers, and the reason for those that are not chosen."""
        for face in faces:
            if face.track.number < 0:
                face.track.number = self.count
                self.count += 1
        if moment.label == "cut":
            self.ranking.clear()
        small = {f.track.number for f in faces if min(f.box[2] - f.box[0], f.box[3] - f.box[1]) < self.min_face}
        there = [f for f in faces if not f.interrupted and f.track.number not in small]
        several = self.kind in ("all", "speaker")
        chosen = {f.track.number for f in there} if several else {self._chosen(tracker, moment, there)}
        out: list[_Judged] = []
        for face in faces:
            reason: Reason | None = None
            if face.track.number in small:
                reason = Reason.TOO_SMALL
            elif face.interrupted:
                reason = Reason.INTERRUPTED
            elif face.track.number not in chosen:
                reason = Reason.NOT_CHOSEN
            out.append((face.track.number, face, reason))
        return out

    def _chosen(self, tracker: Tracker, moment: Moment, faces: list[Seen]) -> int:
        """Number of the one track that is chosen; -1 when it is absent."""
        boxes = np.array([f.box for f in faces]).reshape(-1, 4)
        values = [self._value(tracker, moment, f) for f in faces]
        faces, boxes, values = self.meant(faces, boxes, values)
        order = self.ranking.update(moment.time, [f.track.number for f in faces], boxes, values)
        return order[self.rank] if self.rank < len(order) else -1

    def size(self, box: Array, score: float) -> float:
        """What "largest" ranks by, in px^2: the area, much reduced for detections with a low score (posters, hands)."""
        return float((box[2] - box[0]) * (box[3] - box[1])) * score**SCORE_POWER

    def place(self, box: Array) -> float:
        """What "left-to-right", "right-to-left" and "at" rank by."""
        if self.kind == "at":
            x, y = self.pixel
            beside = max(box[0] - x, x - box[2], 0.0), max(box[1] - y, y - box[3], 0.0)
            size = max(float(box[2] - box[0]), float(box[3] - box[1]), 1e-3)
            inside = np.hypot(x - (box[0] + box[2]) / 2, y - (box[1] + box[3]) / 2) / size
            return -float(np.hypot(*beside) / size + 0.01 * min(inside, 1.0))
        middle = float(box[0] + box[2]) / 2
        return -middle if self.kind == "left-to-right" else middle

    def meant(self, faces: list[T], boxes: Array, values: list[float]) -> tuple[list[T], Array, list[float]]:
        """Only those faces that can be meant at all: for "at", those that the pixel lies in or near."""
        if self.kind != "at":
            return faces, boxes, values
        near = [n for n, value in enumerate(values) if value >= -BESIDE]
        return [faces[n] for n in near], boxes[near], [values[n] for n in near]

    def _value(self, tracker: Tracker, moment: Moment, face: Seen) -> float:
        if self.kind == "largest":
            return self.size(face.box, face.track.score)
        if face.track.value is None:  # fixed when the track is first seen
            reference = self.kind == "reference"
            face.track.value = self._similarity(tracker, moment, face) if reference else self.place(face.box)
        return face.track.value

    def _similarity(self, tracker: Tracker, moment: Moment, face: Seen) -> float:
        near = tracker.nearby(face.track, moment, REFERENCE_DETECTIONS)
        if not near:
            return -1.0
        return self.likeness(np.concatenate([crops(image, marks[None]) for image, marks in near]))

    def likeness(self, views: Array) -> float:
        """Median similarity of views (N, 112, 112, 3) uint8 of a face to the reference picture; -1 without views."""
        assert self.wanted is not None
        alike = [similarity(v, self.wanted) for v in self.embed(views)] if len(views) else [-1.0]
        return float(np.median(alike))

    def _reference(self, options: Track, runtime: Runtime) -> Array:
        """(D,) embedding of the largest face in the reference picture. Raises InputError."""
        path = Path(os.path.expanduser(options.reference))
        if not os.path.isfile(path):
            raise InputError(f"{path}: no such reference picture (track.reference)")
        image = np.ascontiguousarray(geometry.eight_bits(load_image(path)[..., :3]))
        rows = detect_faces(image, runtime, options.detector)
        if not len(rows):
            raise InputError(f"{path}: no face found in the reference picture; use one that shows the face larger")
        best = rows[((rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])).argmax()]
        return np.asarray(self.embed(crops(image, best[5:].reshape(1, 5, 2)))[0])


def _faces(frames: list[list[_Judged]], left: bool) -> Faces:
    """A chunk's ``faces`` (or ``left``) from the judged faces of each of its frames."""
    flat = [(i, *row) for i, rows in enumerate(frames) for row in rows if (row[2] is not None) == left]
    return Faces(
        frame=np.array([i for i, *_ in flat], np.int64),
        track=np.array([number for _, number, _, _ in flat], np.int64),
        box=np.array([face.box for _, _, face, _ in flat], np.float32).reshape(-1, 4),
        landmarks=np.array([face.landmarks for _, _, face, _ in flat], np.float32).reshape(-1, 5, 2),
        score=np.array([face.track.score for _, _, face, _ in flat], np.float32),
        reason=np.array([reason for *_, reason in flat], np.uint8) if left else None,
    )
