"""The published face mesh of every frame of prepared clips, measured on the original footage, with the clip's sound.

A label file has the name of its prepared clip: ``mesh`` (T, POINTS, 3) float32 in pixels of the source (z: the same
unit, smaller is nearer), ``sure`` (T,) float32 in [0, 1], ``wav`` int16 16 kHz from half a second before the clip to
half a second after it. Made by the published face mesh (``metrics.facemesh``), once; later runs read them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import audio, video
from ..checkpoints import files
from ..errors import InputError, Wav2LipHQError
from ..mesh import INDICES, POINTS
from ..metrics.facemesh import MODEL, measure_mesh
from ..runtime import Runtime
from ..types import Array
from .talking import SAMPLES
from .ticks import Ticks

AROUND = audio.RATE // 2  # samples kept before and after a clip


def label(data: Path, folder: Path, runtime: Runtime, model: str = MODEL) -> list[str]:
    """Write ``folder/CLIP.npz`` for every clip of the prepared ``data`` that has none; returns what could not be read.

    Raises InputError when there are no prepared clips, CheckpointError when the mesh's network is not installed.
    """
    paths = sorted(data.glob("*.npz"))
    if not paths:
        raise InputError(f"no prepared clips in {data}; run `wav2lip-hq train prepare` first")
    folder.mkdir(parents=True, exist_ok=True)
    sources: dict[str, list[Path]] = {}
    for path in paths:
        if not (folder / path.name).exists():
            with np.load(path) as stored:
                sources.setdefault(str(stored["path"]), []).append(path)
    failed = []
    for source, clips in sources.items():
        try:
            _label_source(source, clips, folder, runtime, model)
        except Wav2LipHQError as error:
            failed.append(f"{source}: {error}")
    return failed


def _label_source(source: str, clips: list[Path], folder: Path, runtime: Runtime, model: str) -> None:
    first, marks = [], []
    for path in clips:
        with np.load(path) as stored:
            first.append(int(stored["first"]))
            marks.append(stored["landmarks"])
    meshes = [np.full((len(m), POINTS, 3), np.nan, np.float32) for m in marks]
    sure = [np.zeros(len(m), np.float32) for m in marks]
    waiting: list[tuple[Array, int, range]] = []

    def measure() -> None:
        points = np.stack([marks[n][at.start] for _, n, at in waiting])
        found, certain = measure_mesh([frame for frame, _, _ in waiting], points, runtime, model=model)
        for (_, n, at), mesh, value in zip(waiting, found[:, list(INDICES)], certain, strict=True):
            meshes[n][at.start : at.stop], sure[n][at.start : at.stop] = mesh, value
        waiting.clear()

    with video.open_video(source) as reader:
        ticks = Ticks()
        for pts, frame, _ in reader:
            span = ticks.fill(pts)
            for n, start in enumerate(first):
                low, high = max(span.start - start, 0), min(span.stop - start, len(marks[n]))
                if low < high:
                    waiting.append((frame, n, range(low, high)))
            if len(waiting) >= 16:
                measure()
    if waiting:
        measure()
    wav = np.round(audio.load_audio(source) * 32767).astype(np.int16)
    for path, start, mesh, certain in zip(clips, first, meshes, sure, strict=True):
        a, b = start * SAMPLES - AROUND, (start + len(mesh)) * SAMPLES + AROUND
        sound = np.zeros(b - a, np.int16)
        part = wav[max(a, 0) : b]
        sound[max(-a, 0) : max(-a, 0) + len(part)] = part
        with files.atomic(folder / path.name) as temporary, temporary.open("wb") as file:
            np.savez(file, mesh=mesh, sure=certain, wav=sound)


def load(path: Path) -> tuple[Array, Array, Array]:
    """(mesh, sure, wav) of a label file. Raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return data["mesh"], data["sure"], data["wav"]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a label file ({error}); delete it to have it made again") from error


__all__ = ["AROUND", "label", "load"]
