"""Following and measuring the faces of a file, in one pass."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from .. import audio, geometry, mesh, video, watermark
from ..engine import prefetch, run_stages
from ..errors import InputError
from ..runtime import Runtime
from ..source import Frame, chunks
from ..stages import Detect, Landmarks, Track
from ..types import Array
from . import agreement, following, motion
from . import traces as measured
from .windows import Windowed

MEASURES = (*measured.NAMES, *agreement.NAMES, *following.NAMES, *motion.NAMES)
SMALL = 40.0  # px: faces whose eyes and mouth fit into a box smaller than this cannot be judged


@dataclass
class FaceSeen:
    """One face between two cuts. times: (N,) seconds; traces: (N, len(traces.NAMES)) float32, NaN = not measured;
    agreement and following: of the mouth with the sound; motion: of the mouth by itself; opening: (N,) see
    ``mesh.opening``; size: mean height of its box, px."""

    track: int
    times: Array
    traces: Array
    agreement: agreement.Agreement
    following: Windowed
    motion: Windowed
    opening: Array
    size: float
    marks: watermark.Marks
    boxes: Array
    picture: Array | None = None  # (h, w, 3) uint8, one frame of it, small


@dataclass
class _Growing:
    listener: agreement.Listener
    times: list[float] = field(default_factory=list)
    traces: list[Array] = field(default_factory=list)
    opening: list[float] = field(default_factory=list)
    width: list[float] = field(default_factory=list)
    boxes: list[Array] = field(default_factory=list)
    marks: watermark.Marks = field(default_factory=watermark.Marks)
    shot: measured.Shot | None = None
    last: int = -2
    picture: Array | None = None


def look(
    path: str | os.PathLike[str],
    runtime: Runtime,
    *,
    seconds: float | None = None,
    judged: bool = True,
    on_progress: Any = None,
) -> list[FaceSeen]:
    """The faces of a video file, longest seen first.

    seconds: look no further; judged: measure for forensics, too, not only for the mark. Raises InputError: no video in
    the file, or no face.
    """
    name = os.fspath(path)
    wav = sound(name) if judged else None
    stages = (Detect("embedded-detector", every=3), Track(faces="all"), Landmarks())
    found: dict[int, _Growing] = {}
    with video.open_video(name) as reader:
        if reader.info.still:
            raise InputError(f"{name} is a still image: the mark beats in time, and speech moves; detect needs a video")

        def frames() -> Any:
            for time, image, alpha in reader:
                if seconds is not None and time >= Fraction(seconds):
                    return
                yield Frame(time, image, alpha, time)

        keep = [f"faces.{n}" for n in ("frame", "track", "box", "landmarks", "mesh", "pose", "visible")]
        done = run_stages(stages, prefetch(chunks(frames()), depth=2), runtime, keep=keep)
        try:
            for chunk in done:
                _add(found, chunk, runtime, wav, judged)
                for face in found.values():
                    if float(chunk.pts[-1]) - face.times[-1] > watermark.SPAN:
                        face.marks.close()
                if on_progress is not None:
                    on_progress(chunk.start + len(chunk), reader.info.frames)
        finally:
            done.close()
    faces = [_finished(track, g, runtime, wav) for track, g in found.items() if g.times]
    if not faces:
        raise InputError(f"no face was found anywhere in {name}: there is nothing to judge")
    return sorted(faces, key=lambda f: -len(f.times))


def _add(found: dict[int, _Growing], chunk: Any, runtime: Runtime, wav: Array | None, judged: bool) -> None:
    faces = chunk.faces
    if faces is None or not len(faces):
        return
    maps = watermark.anchor(faces.mesh, faces.landmarks)
    openings, widths = mesh.opening(faces.mesh), mesh.width(faces.mesh)
    for n, i in enumerate(faces.frame.tolist()):
        face = found.setdefault(int(faces.track[n]), _Growing(agreement.Listener(runtime, wav)))
        frame, time = chunk.frames[i], float(chunk.pts[i])
        face.marks.add(frame, time, maps[n], faces.mesh[n])
        face.times.append(time)
        face.boxes.append(faces.box[n])
        face.opening.append(float(openings[n]))
        face.width.append(float(widths[n]))
        if not judged:
            continue
        seen = geometry.eight_bits(frame)
        number = chunk.start + i
        before = face.shot if face.last == number - 1 else None
        values, face.shot = measured.traces(seen, faces.mesh[n], maps[n], before)
        if faces.visible[n] < 0.5 or abs(faces.pose[n][0]) > 40:
            values[:] = np.nan
        face.traces.append(values)
        face.last = number
        face.listener.add(seen, time, faces.box[n])
        if face.picture is None and len(face.times) > 5:
            face.picture = _portrait(seen, faces.box[n])


def _finished(track: int, face: _Growing, runtime: Runtime, wav: Array | None) -> FaceSeen:
    boxes = np.stack(face.boxes)
    values = np.stack(face.traces) if face.traces else np.zeros((len(boxes), len(measured.NAMES)), np.float32)
    times, opening, shown = np.array(face.times), np.array(face.opening), np.isfinite(values).any(1)
    seen, wide = np.where(shown, opening, np.nan), np.where(shown, face.width, np.nan)
    return FaceSeen(
        track=track,
        times=times,
        traces=values,
        agreement=face.listener.agreement(),
        following=following.following(runtime, wav, times, seen),
        motion=motion.motion(times, seen, wide),
        opening=opening,
        size=float((boxes[:, 3] - boxes[:, 1]).mean()),
        marks=face.marks,
        boxes=boxes,
        picture=face.picture,
    )


def _portrait(frame: Array, box: Array) -> Array:
    """(h, w, 3) uint8: the face with some room, at most 160 px."""
    x1, y1, x2, y2 = box
    room = 0.25 * (y2 - y1)
    top, left = max(0, int(y1 - room)), max(0, int(x1 - room))
    return geometry.shrink(np.ascontiguousarray(frame[top : int(y2 + room), left : int(x2 + room)]), 160)


def sound(name: str) -> Array | None:
    """The file's sound, (n,) float32 at 16 kHz; None if it has none that can be used."""
    try:
        return audio.load_audio(name)
    except InputError:
        return None
