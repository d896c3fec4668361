"""Making a survey: the survey's stages run over the footage once, and what they find is collected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..engine import Stage, prefetch, run_stages, waited
from ..runtime import Runtime
from ..source import Frame, chunks
from ..types import Array, Chunk, Faces
from ..video import VideoReader
from .facts import FaceFacts, Sighting
from .table import Survey, encode_mesh

# What the survey's stages may add, and read: nothing of the speech, and no changed pictures.
ADDED = frozenset(
    {"boxes", "left"}
    | {f"faces.{n}" for n in ("frame", "track", "box", "landmarks", "score", "mesh", "pose", "visible", "strength")}
)
READ = ADDED | {"frames", "pts", "source_pts", "start", "alpha"}
NEEDED = ("faces.frame", "faces.track", "faces.box", "faces.landmarks")
KEPT = ("frame", "track", "box", "landmarks", "score", "pose", "visible", "strength")
LEFT = ("frame", "track", "box", "landmarks", "score", "reason")
_WIDTH = {"box": (4,), "landmarks": (5, 2), "pose": (3,)}


def split_stages(stages: Sequence[Stage]) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """(survey, render): as many of the first stages as only look at the picture, if they find and follow faces.

    Where they do not (a first stage that changes the picture, say), the survey is empty and all stages render.
    """
    count = 0
    for stage in stages:
        if not (ADDED.issuperset(stage.adds) and READ.issuperset((*stage.reads, *stage.optional))):
            break
        count += 1
    added = {name for stage in stages[:count] for name in stage.adds}
    if not added.issuperset(NEEDED):
        return (), tuple(stages)
    return tuple(stages[:count]), tuple(stages[count:])


class Collector:
    """Collects the survey's chunks in order; ``survey`` returns the result."""

    def __init__(self) -> None:
        self.tracks: dict[int, FaceFacts] = {}
        self._times = Column(np.zeros(0))
        self._size = (0, 0)
        self._faces: dict[str, Column] = {}
        self._left: dict[str, Column] = {}
        self._coded: Column | None = None

    def add(self, chunk: Chunk, rows: bool = True) -> Chunk:
        """Collect a chunk; returns it with what was measured of its faces. rows: False keeps nothing of single
        frames, only what is known of faces (footage without an end)."""
        faces = chunk.faces
        assert faces is not None and faces.track is not None and faces.box is not None and faces.landmarks is not None
        first = len(self._times) if rows else chunk.start
        sharpness, light = np.zeros(len(faces), np.float32), np.zeros(len(faces), np.float32)
        coded = None if faces.mesh is None else encode_mesh(faces.mesh, faces.box)
        for n, i in enumerate(faces.frame.tolist()):
            seen = Sighting(
                number=first + i,
                image=chunk.frames[i],
                box=faces.box[n],
                landmarks=faces.landmarks[n],
                mesh=None if faces.mesh is None else faces.mesh[n],
                pose=None if faces.pose is None else faces.pose[n],
                visible=1.0 if faces.visible is None else float(faces.visible[n]),
            )
            sharpness[n], light[n] = self.tracks.setdefault(int(faces.track[n]), FaceFacts()).add(seen)
        chunk = chunk.with_faces(sharpness=sharpness, light=light)
        if rows:
            self._size = (chunk.frames.shape[2], chunk.frames.shape[1])
            _append(self._faces, chunk.faces, (*KEPT, "sharpness", "light"), first)
            _append(self._left, chunk.left, LEFT, first)
            if coded is not None:
                if self._coded is None:
                    self._coded = Column(coded)
                self._coded.add(coded)
            self._times.add(np.array([float(t) for t in (chunk.source_pts or chunk.pts)]))
        return chunk

    def survey(self, *, whole: bool = True, made: dict[str, Any] | None = None) -> Survey:
        """What has been collected."""
        return Survey(
            times=self._times.rows.copy(),
            size=self._size,
            faces=_joined(self._faces, KEPT),
            left=_joined(self._left, LEFT),
            coded=None if self._coded is None else self._coded.rows.copy(),
            tracks={number: facts.known() for number, facts in sorted(self.tracks.items())},
            whole=whole,
            made=made or {},
        )


class Column:
    """A growing array. Thousands of small arrays between short-lived pictures would fragment memory."""

    def __init__(self, like: Array) -> None:
        self._room = np.empty((4096, *like.shape[1:]), like.dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Array:
        """(N, ...): a view of what was added so far."""
        return self._room[: self._count]

    def add(self, values: Array) -> None:
        """Add rows (n, ...)."""
        needed = self._count + len(values)
        if needed > len(self._room):
            room = np.empty((max(2 * len(self._room), needed), *self._room.shape[1:]), self._room.dtype)
            room[: self._count] = self.rows
            self._room = room
        self._room[self._count : needed] = values
        self._count = needed


def _append(columns: dict[str, Column], faces: Faces | None, names: Sequence[str], first: int) -> None:
    if faces is None:
        return
    for name in names:
        value = getattr(faces, name)
        if value is not None:
            if name not in columns:
                columns[name] = Column(value)
            columns[name].add(value + first if name == "frame" else value)


def _joined(columns: dict[str, Column], names: Sequence[str]) -> Faces:
    kinds = {"frame": np.int64, "track": np.int64, "reason": np.uint8}
    empty = {name: np.zeros((0, *_WIDTH.get(name, ())), kinds.get(name, np.float32)) for name in names}
    if not columns:
        return Faces(**empty)
    return Faces(**{name: column.rows.copy() for name, column in columns.items()})


def survey_footage(
    reader: VideoReader,
    stages: Sequence[Stage],
    runtime: Runtime,
    *,
    until: Fraction | None = None,
    chunk_size: int | None = None,
    clock: dict[str, float] | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
    made: dict[str, Any] | None = None,
) -> Survey:
    """Survey footage up to ``until`` seconds (None: all of it) with the survey's stages; see ``split_stages``."""
    whole = True

    def frames() -> Iterable[Frame]:
        nonlocal whole
        reader.restart()
        for time, image, alpha in reader:
            if until is not None and time >= until:
                whole = False
                return
            yield Frame(time, image, alpha, time)

    collector = Collector()
    read = prefetch(chunks(frames(), size=chunk_size, look=reader.look), depth=2)
    pictures = waited(read, {} if clock is None else clock)
    done = run_stages(stages, pictures, runtime, keep=[f"faces.{name}" for name in (*KEPT, "mesh")], clock=clock)
    try:
        for chunk in done:
            collector.add(chunk)
            if on_progress is not None:
                on_progress(len(collector._times), reader.info.frames)
    finally:
        done.close()
        reader.restart()
    return collector.survey(whole=whole, made=made)
