"""The mouths of finished videos, measured with MediaPipe's mesh.

    from benchmarks.mouths import mouth_track
    mouth = mouth_track("result.mp4", seconds=5)      # .time .opening .width .seen .mesh, see metrics.mouth.Mouth

Of several faces the largest is measured. The mesh is ``facemesh468``, which no stage uses.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wav2lip_hq import HQPipeline, checkpoints
from wav2lip_hq.errors import CheckpointError, InputError
from wav2lip_hq.metrics.facemesh import MODEL, measure_mesh
from wav2lip_hq.metrics.mouth import POINTS, Mouth, from_mesh
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.types import Array
from wav2lip_hq.video import open_video

from . import observe

BATCH = 16  # frames in a network call
DETECT_EVERY = 5  # frames; track interpolates between them
STILL = 10.0  # seconds that are measured of footage of unknown length
KEEP = ("faces.box", "faces.landmarks", "faces.track")
# frames (N, H, W, 3), five points (N, 5, 2) -> mesh (N, 468, 2 or 3), confidence (N,)
Measure = Callable[[Array, Array], tuple[Array, Array]]
Followed = tuple[Array, Array, float]  # frame, mesh (468, 2), confidence


@dataclass(frozen=True)
class Sight:
    """Where the measured face is: time (T,) float64 seconds; five (T, 5, 2) and box (T, 4), pixels of the frame, NaN
    where there is none; size: (height, width) of the frames."""

    time: Array
    five: Array
    box: Array
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.time)


def installed() -> None:
    """Raise CheckpointError, which says how to get it, when the mesh is not installed."""
    if checkpoints.locate(MODEL) is None:
        raise CheckpointError(
            f"measuring mouths needs the published face mesh, which is not installed: `wav2lip-hq checkpoints list` "
            f"says where its weights are, `wav2lip-hq checkpoints import FILE --name {MODEL}` installs them"
        )


def look(video: Path, seconds: float = float("inf")) -> Sight:
    """Find the largest face in the first ``seconds`` of a clip: in each frame that of the track with the largest total
    area. Raises InputError when there is no face at all."""
    pipe, runtime = _looking()
    times: list[float] = []
    found: list[tuple[int, int, Array, Array]] = []  # frame, track, box, five points
    area: dict[int, float] = {}
    size = (0, 0)
    with open_video(video) as reader:
        seconds = min(seconds, float(reader.info.duration or STILL) + 1)
    silence = np.zeros(round(seconds * observe.RATE), np.float32)
    with pipe.open(video, (silence, observe.RATE), trim=True, extend="stop", keep=KEEP) as chunks:
        for chunk in chunks:
            size = chunk.frames.shape[1:3]
            faces, first = chunk.faces, len(times)
            times += [float(t) for t in chunk.pts]
            if faces is None or faces.box is None or faces.landmarks is None or faces.track is None:
                continue
            for n, i in enumerate(faces.frame.tolist()):
                track, box = int(faces.track[n]), faces.box[n]
                area[track] = area.get(track, 0.0) + float((box[2] - box[0]) * (box[3] - box[1]))
                found.append((first + i, track, box, faces.landmarks[n]))
    if not found:
        raise InputError(f"no face was found in {video}")
    five, boxes = np.full((len(times), 5, 2), np.nan), np.full((len(times), 4), np.nan)
    best = np.full(len(times), -1.0)
    for frame, track, box, points in found:
        if area[track] > best[frame]:
            best[frame], five[frame], boxes[frame] = area[track], points, box
    return Sight(np.array(times), five, boxes, (int(size[0]), int(size[1])))


def follow(frames: Iterable[Array], sight: Sight, measure: Measure | None = None) -> Iterator[Followed]:
    """(frame, mesh (468, 2), confidence) of frames one by one, with faces where ``sight`` says, in its order. Ends with
    the frames or with the sight. measure: the network (tests: a double), default ``facemesh468``."""
    measure = measure or mesh_network()
    at = 0
    stream = iter(frames)
    while at < len(sight):
        held = list(itertools.islice(stream, min(BATCH, len(sight) - at)))
        if not held:
            return
        rows = np.arange(at, at + len(held))
        there = np.isfinite(sight.five[rows]).all((1, 2))
        mesh, sure = np.full((len(held), POINTS, 2), np.nan, np.float32), np.zeros(len(held), np.float32)
        if there.any():
            pictures = np.stack([frame for frame, yes in zip(held, there, strict=True) if yes])
            points, confidence = measure(pictures, sight.five[rows[there]])
            mesh[there], sure[there] = points[..., :2], confidence
        for n, frame in enumerate(held):
            yield frame, mesh[n], float(sure[n])
        at += len(held)


def mouth_track(
    video: str | Path, seconds: float = float("inf"), sight: Sight | None = None, measure: Measure | None = None
) -> Mouth:
    """The mouth of the largest face of a video over its first ``seconds``.

    sight: where the face is (of the source, when several results of it are compared), default: looked for. Frames are
    matched to the sight's by time; those that a shorter video lacks are unseen. Raises InputError when there is no face
    or the file is not a video, CheckpointError when ``facemesh468`` is not installed.
    """
    path = Path(video)
    sight = sight or look(path, seconds)
    film, facts = observe.Film(path), observe.Facts()
    frames = film.frames(sight.time.tolist(), sight.size, facts)
    found = [(mesh, sure) for _, mesh, sure in follow(frames, sight, measure)]
    missing = len(sight) - len(found)
    mesh = np.concatenate([np.stack([m for m, _ in found]), np.full((missing, POINTS, 2), np.nan, np.float32)])
    return from_mesh(mesh, sight.time, np.array([s for _, s in found] + [0.0] * missing))


@functools.cache
def mesh_network() -> Measure:
    """The published mesh, loaded once a process. Raises CheckpointError when it is not installed."""
    installed()
    runtime = Runtime()

    def measure(frames: Array, five: Array) -> tuple[Array, Array]:
        return measure_mesh(frames, five, runtime)

    return measure


@functools.cache
def _looking() -> tuple[HQPipeline, Runtime]:
    pipe = HQPipeline().set(f"detect.every={DETECT_EVERY}")
    pipe = HQPipeline([s for s in pipe.stages if s.name in ("detect", "track")], runtime=pipe.runtime)
    pipe.load()
    return pipe, pipe.runtime
