"""Faces with dense landmarks, labeled by the published face mesh: the landmark network's training data.

A pack is a folder: ``crops.npy`` (N, SIZE, SIZE, 3) uint8 RGB, upright faces with room around them, and ``labels.npz``:
``mesh`` (N, POINTS, 3) and ``five`` (N, 5, 2) float32 in pixels of the crop, ``identity``, ``clip``, ``held`` (N,).
Footage is labeled at the resolution it was filmed in, at the five landmarks that ``prepare`` stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import geometry, mesh, video
from ..errors import InputError
from ..metrics.facemesh import measure_mesh
from ..runtime import Runtime
from ..stages.detect import detect_faces
from ..stages.landmarks import FIVE, SIDE
from ..types import Array
from .data_images import find_images, read_rgb
from .prepare import held_out
from .ticks import Ticks

SIZE = 224
ROOM = 1.45  # side of a stored crop, in sides of the network's input
LEAST = 0.5  # least confidence of the teacher in a face
HELD_FRAMES = 120  # frames of a held-out clip; consecutive ones, for correlations over time


@dataclass(frozen=True)
class Pack:
    """A loaded pack, see above. ``crops`` is memory-mapped."""

    crops: Array
    mesh: Array
    five: Array
    identity: Array
    clip: Array
    held: Array

    def __len__(self) -> int:
        return len(self.mesh)


def load(folder: Path) -> Pack:
    """Raises InputError when the folder holds no pack."""
    try:
        with np.load(folder / "labels.npz", allow_pickle=False) as data:
            labels = {k: data[k] for k in ("mesh", "five", "identity", "clip", "held")}
        crops = np.load(folder / "crops.npy", mmap_mode="r")
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{folder} is not a pack of labeled faces ({error}); delete it to have it made") from error
    return Pack(crops=crops[: len(labels["mesh"])], **labels)


def stored(five: Array) -> Array:
    """(N, 2, 3) maps from a frame to the stored crop, from five landmarks (N, 5, 2)."""
    return geometry.fit_upright(five, (FIVE - (SIDE - 1) / 2) * SIZE / (SIDE * ROOM) + (SIZE - 1) / 2)


class Writer:
    """Collects labeled faces of pictures and writes them as a pack."""

    def __init__(self, folder: Path, teacher: Path, most: int) -> None:
        self.folder, self.teacher = folder, teacher
        folder.mkdir(parents=True, exist_ok=True)
        self.crops = np.lib.format.open_memmap(folder / "crops.npy", "w+", np.uint8, (most, SIZE, SIZE, 3))
        self.count = 0
        self.rows: dict[str, list[Array]] = {k: [] for k in ("mesh", "five", "identity", "clip", "held")}
        self.runtime = Runtime(device="auto", precision="fp32")

    def add(self, images: Sequence[Array], five: Array, identity: str, clip: str, held: bool) -> None:
        """Label one face in each image and keep those the teacher is sure of."""
        points, sure = measure_mesh(images, five, self.runtime, model=self.teacher)
        maps = stored(five)
        placed = geometry.apply(maps, points[..., :2])
        depth = points[..., 2:] * np.hypot(maps[:, 0, 0], maps[:, 1, 0])[:, None, None]
        label = np.concatenate([placed, depth], -1)[:, list(mesh.INDICES)].astype(np.float32)
        marks = geometry.apply(maps, five).astype(np.float32)
        for n in np.flatnonzero(sure > LEAST).tolist():
            if self.count == len(self.crops):
                raise InputError(f"more than {self.count} faces; raise the pack's 'most'")
            self.crops[self.count] = geometry.eight_bits(geometry.sample(images[n], maps[n], SIZE))
            self.count += 1
            for key, value in zip(self.rows, (label[n], marks[n], identity, clip, held), strict=True):
                self.rows[key].append(np.asarray(value))

    def close(self) -> None:
        """Write the labels."""
        self.crops.flush()
        np.savez(self.folder / "labels.npz", **{k: np.stack(v) for k, v in self.rows.items()})  # type: ignore[arg-type]


def build(
    folder: Path,
    prepared: Path,
    photographs: Sequence[str],
    teacher: Path,
    *,
    held: Sequence[str] = (),
    share: float = 0.1,
    stride: int = 3,
    most: int = 300,
    on_log: Callable[[str], None] = print,
) -> None:
    """Label footage and photographs and write the pack.

    prepared: a training set of ``prepare``; teacher: file of the face mesh; held: identities kept apart, beside
    those that ``prepare.held_out`` keeps with ``share``; stride: every so many frames of the others, at most ``most``
    a person. Raises InputError when there is nothing to label.
    """
    clips = sorted(prepared.glob("*.npz"))
    facts = []
    frames: dict[str, int] = {}
    for path in clips:
        with np.load(path) as data:
            row = (path.stem, str(data["identity"]), str(data["path"]), int(data["first"]), data["landmarks"])
        facts.append(row)
        frames[row[1]] = frames.get(row[1], 0) + len(row[4])
    files = find_images(photographs)
    if not facts and not files:
        raise InputError(f"no prepared clips in {prepared} and no photographs: nothing to label")
    writer = Writer(folder, teacher, sum(len(f[4]) for f in facts) + len(files))
    seen: dict[str, int] = {}
    for number, (name, identity, source, first, five) in enumerate(facts):
        apart = identity in held or held_out(identity, share)
        step = 1 if apart else max(stride, -(-frames[identity] // most))
        if apart and seen.get(identity, 0) >= 2 * HELD_FRAMES:
            continue
        wanted = range(first, first + min(len(five), HELD_FRAMES)) if apart else range(first, first + len(five), step)
        seen[identity] = seen.get(identity, 0) + len(wanted)
        images, marks = [], []
        with video.open_video(source) as reader:
            ticks = Ticks()
            for pts, frame, _ in reader:
                span = ticks.fill(pts)
                hit = [t for t in wanted if t in span]
                if hit:
                    images.append(frame)
                    marks.append(five[hit[0] - first])
                if span.stop > wanted[-1]:
                    break
                if len(images) >= 32:
                    writer.add(images, np.stack(marks), identity, name, apart)
                    images, marks = [], []
        if images:
            writer.add(images, np.stack(marks), identity, name, apart)
        if number % 25 == 0:
            on_log(f"{number}/{len(facts)} clips, {writer.count} faces")
    for path in files:
        image = read_rgb(path)
        found = detect_faces(image, writer.runtime, "embedded-detector")
        name = f"photo-{path.parent.name}-{path.stem}"
        if len(found):
            writer.add([image], found[:1, 5:].reshape(1, 5, 2), name, name, held_out(name, share))
    writer.close()
    on_log(f"{writer.count} labeled faces -> {folder}")
