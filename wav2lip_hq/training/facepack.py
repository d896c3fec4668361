"""Pictures with labeled faces in one file: the detector's training data.

``build`` has the teachers label images and sparse frames of footage; ``load`` reads the file. Pictures are kept as JPEG
of at most ``longest`` px, so that a few thousand of them take tens of megabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import checkpoints
from ..errors import InputError
from ..geometry import shrink
from ..places import MOVIES
from ..types import Array
from .data_images import find_images, read_rgb
from .teachers import Teachers


@dataclass
class Picture:
    """An image (H, W, 3) uint8 RGB and its faces: boxes (N, 4), points (N, 5, 2), sure (N,) bool."""

    name: str
    image: Array
    boxes: Array
    points: Array
    sure: Array


def frames(path: Path, short: int, long: int, longest: int) -> Iterator[tuple[str, Array]]:
    """Frames spread over a movie: ``short`` of one under 8 seconds, else ``long``. Raises InputError."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            total = stream.frames or int(float(stream.duration or 0) * float(stream.time_base or 0) * 25) or 250
            count = long if total > 200 else short
            wanted = {int(i) for i in np.linspace(0, max(0, total - 1), count + 2)[1:-1]}
            for number, frame in enumerate(container.decode(stream)):
                if number in wanted:
                    image = frame.to_ndarray(format="rgb24")
                    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # phones record sideways and say so
                    yield f"{path.stem}#{number}", shrink(np.ascontiguousarray(np.rot90(image, turns)), longest)
                if number >= max(wanted):
                    break
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise InputError(f"{path}: cannot be read as video ({error})") from error


def build(
    out: Path,
    images: Iterable[str | Path],
    footage: Iterable[str | Path],
    teachers: Teachers,
    *,
    longest: int = 400,
    per_clip: int = 5,
    per_long_clip: int = 40,
    on_log: Callable[[str], None] = print,
) -> None:
    """Label everything and write the pack. A file that cannot be read is reported and left out.

    Pictures' names: ``folder/stem`` for images, ``folder/clip#frame`` for footage. ``per_long_clip`` frames are taken
    of movies above eight seconds, ``per_clip`` of the others.
    """
    names, data, counts, boxes, points, sure = [], [], [], [], [], []

    def add(name: str, image: Array) -> None:
        b, p, s = teachers(image)
        ok, blob = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        if not ok:
            raise InputError(f"{name}: cannot be stored as JPEG")
        names.append(name)
        data.append(blob.ravel())
        counts.append(len(b))
        boxes.append(b)
        points.append(p)
        sure.append(s)
        if len(names) % 250 == 0:
            on_log(f"{len(names)} pictures labeled")

    for path in find_images(images):
        try:
            add(f"{path.parent.name}/{path.stem}", read_rgb(path, longest))
        except InputError as error:
            on_log(f"left out: {error}")
    for folder in map(Path, footage):
        movies = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.suffix.lower() in MOVIES)
        for path in movies:
            try:
                for name, image in frames(path, per_clip, per_long_clip, longest):
                    add(f"{path.parent.name}/{name}", image)
            except InputError as error:
                on_log(f"left out: {error}")
    if not names:
        raise InputError("no picture to label: set data=FOLDER to pictures, or footage=FOLDER to clips")
    arrays: dict[str, Any] = {
        "names": np.array(names),
        "data": np.concatenate(data),
        "sizes": np.array([len(d) for d in data]),
        "counts": np.array(counts),
        "boxes": np.concatenate(boxes).astype(np.float32),
        "points": np.concatenate(points).astype(np.float32),
        "sure": np.concatenate(sure),
    }
    with checkpoints.files.atomic(out) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)
    on_log(f"{len(names)} pictures, {int(arrays['sure'].sum())} sure faces -> {out}")


def load(path: Path) -> list[Picture]:
    """Read a pack. Raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            a = {k: file[k] for k in file.files}
        ends, lasts = np.cumsum(a["sizes"]), np.cumsum(a["counts"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a pack of labeled faces ({error}); delete it to have it made again") from error
    out = []
    for n, name in enumerate(a["names"]):
        blob = a["data"][ends[n] - a["sizes"][n] : ends[n]]
        part = slice(lasts[n] - a["counts"][n], lasts[n])
        image = np.ascontiguousarray(cv2.imdecode(blob, cv2.IMREAD_COLOR)[..., ::-1])
        out.append(Picture(str(name), image, a["boxes"][part], a["points"][part], a["sure"][part]))
    return out


__all__ = ["Picture", "build", "frames", "load"]
