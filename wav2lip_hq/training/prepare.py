"""Footage -> training set: face crops at 25 fps with 16 kHz speech, made with the pipeline's own stages.

Training and inference use the same crops, because both come from the detect and track stages and ``geometry``. Each
face track of a file becomes ``.npz`` clips (see ``talking``) of at most ``longest`` seconds. Files already done are
skipped, so a killed run continues; what was dropped, and why, is in ``dropped.csv``.
"""

from __future__ import annotations

import csv
import json
import os
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .. import audio, geometry, video
from ..engine import run_stages
from ..errors import InputError, Wav2LipHQError
from ..progress import Heartbeat, duration
from ..runtime import Runtime
from ..stages import STAGES
from ..types import Array, Chunk
from . import footage
from .clipfile import encode_clip
from .footage import Footage
from .options.prepare import PrepareOptions as Options
from .talking import FPS, SAMPLES
from .ticks import Ticks


def wide_box(box: Array) -> Array:
    """(T, 4) stored regions around face boxes (T, 4): square, 1.5 times the larger side of the box."""
    x1, y1, x2, y2 = np.asarray(box, np.float64).T
    side, center = np.maximum(x2 - x1, y2 - y1), (x1 + x2) / 2
    return np.stack([center - 0.75 * side, y1 - 0.1 * side, center + 0.75 * side, y1 + 1.4 * side], -1)


def held_out(identity: str, share: float) -> bool:
    """Whether an identity belongs to validation: decided by its name alone, so that it never changes."""
    return zlib.crc32(identity.encode()) % 1000 < share * 1000


def _chunks(reader: video.VideoReader, size: int = 16) -> Iterator[Chunk]:
    frames: list[Array] = []
    times: list[Fraction] = []
    start = 0
    for pts, frame, _ in reader:
        frames.append(frame)
        times.append(pts)
        if len(frames) == size:
            yield Chunk(start, np.stack(frames), tuple(times))
            start += len(frames)
            frames, times = [], []
    if frames:
        yield Chunk(start, np.stack(frames), tuple(times))


class _Track:
    """Crops of one face, collected at 25 fps."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.crops: list[Array] = []
        self.boxes: list[Array] = []
        self.to_wide: list[Array] = []
        self.landmarks: list[Array] = []


def prepare_file(item: Footage, target: Path, options: Options, runtime: Runtime) -> tuple[list[str], list[str]]:
    """Write the clips of one file into ``target``; returns (names written, reasons for what was dropped)."""
    wav = audio.load_audio(item.path)
    detect = STAGES["detect"](**options.stages.get("detect", {}))
    track = STAGES["track"](**{"faces": "all", **options.stages.get("track", {})})
    done: list[tuple[_Track, str]] = []
    live: dict[int, _Track] = {}
    reasons: list[str] = []
    with video.open_video(item.path) as reader:
        ticks = Ticks()
        for chunk in run_stages([detect, track], _chunks(reader), runtime, keep=("faces.landmarks",)):
            faces = chunk.faces
            assert faces is not None and faces.box is not None and faces.track is not None
            assert faces.landmarks is not None
            for i, pts in enumerate(chunk.pts):
                span = ticks.fill(pts)
                if not span:
                    continue
                seen = set()
                for n in np.flatnonzero(faces.frame == i):
                    box, number = faces.box[n], int(faces.track[n])
                    seen.add(number)
                    part = live.setdefault(number, _Track())
                    if part.first is None:
                        part.first = span.start
                    matrix = geometry.box_to_crop(wide_box(box[None]), options.size)[0]
                    crop = geometry.eight_bits(geometry.sample(chunk.frames[i], matrix, options.size))
                    for _ in span[:FPS]:
                        part.crops.append(crop)
                        part.boxes.append(box)
                        part.to_wide.append(matrix)
                        part.landmarks.append(faces.landmarks[n])
                for number in [k for k in live if k not in seen or len(live[k].crops) >= options.longest * FPS]:
                    done.append((live.pop(number), "ended"))
    done += [(part, "ended") for part in live.values()]
    names = []
    for part, _ in done:
        reason = _refuse(part, wav, options)
        if reason:
            reasons.append(reason)
            continue
        assert part.first is not None
        name = f"{item.name}.{part.first:05d}.npz"
        _store(target / name, item, part, wav, options)
        names.append(name)
    return names, reasons or ([] if names else ["no face found"])


def _refuse(part: _Track, wav: Array, options: Options) -> str | None:
    """Why a track cannot be a training clip, or None."""
    assert part.first is not None
    if len(part.crops) < options.shortest * FPS:
        return f"face visible for under {options.shortest:g} s"
    box = np.array(part.boxes)
    if np.median(np.minimum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])) < options.smallest:
        return f"face smaller than {options.smallest:g} px"
    speech = wav[part.first * SAMPLES : (part.first + len(part.crops)) * SAMPLES]
    if len(speech) < options.shortest * audio.RATE:
        return "audio ends before the picture"
    if float(np.sqrt(np.mean(speech**2))) < 1e-4:
        return "audio is silent"
    return None


def _store(path: Path, item: Footage, part: _Track, wav: Array, options: Options) -> None:
    assert part.first is not None
    count = len(part.crops)
    speech = wav[part.first * SAMPLES : (part.first + count) * SAMPLES]
    speech = np.pad(speech, (0, count * SAMPLES - len(speech)))
    stream = encode_clip(np.stack(part.crops), FPS, speech, crf=options.crf)
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(
            file,
            clip=np.frombuffer(stream, np.uint8),
            box=np.array(part.boxes, np.float32),
            to_wide=np.array(part.to_wide, np.float32),
            landmarks=np.array(part.landmarks, np.float32),
            identity=item.identity,
            path=str(item.path),
            first=part.first,
        )
    os.replace(temporary, path)


_RUNTIME: Runtime | None = None


def _worker(item: Footage, target: Path, options: Options) -> tuple[list[str], list[str]]:
    global _RUNTIME
    if _RUNTIME is None:
        import torch

        torch.set_num_threads(1)
        _RUNTIME = Runtime(device="cpu", precision="fp32")
    try:
        return prepare_file(item, target, options, _RUNTIME)
    except Wav2LipHQError as error:
        return [], [str(error)]


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` did: clips and seconds written now or before, files skipped, reasons of drops with counts."""

    folder: Path
    clips: int
    seconds: float
    identities: int
    dropped: dict[str, int]
    bytes: int


def prepare(
    source: Path | str,
    target: Path | str,
    options: Options | None = None,
    *,
    workers: int = 1,
    runtime: Runtime | None = None,
) -> Prepared:
    """Turn footage (folder or list file, see ``footage``) into a training set. Resumable.

    Raises InputError when there is no footage at all, or nothing usable in it. A broken file is reported in
    ``dropped.csv`` and skipped.
    """
    from tqdm import tqdm

    started = time.monotonic()
    options = options or Options()
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    items = footage.find(Path(source))
    ledger = target / "done.jsonl"
    done: dict[str, dict[str, Any]] = {}
    if ledger.exists():
        for line in ledger.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # the last line of a killed run
            done[row["path"]] = row
    todo = [item for item in items if str(item.path) not in done]
    bar = tqdm(total=len(items), initial=len(items) - len(todo), unit="file", disable=None)

    def finish(item: Footage, names: list[str], reasons: list[str]) -> None:
        done[str(item.path)] = {"path": str(item.path), "clips": names, "dropped": reasons}
        with ledger.open("a") as file:
            file.write(json.dumps(done[str(item.path)]) + "\n")
        bar.update()

    def where() -> str:
        made, spent = len(done) - (len(items) - len(todo)), time.monotonic() - started
        text = f"prepare: {len(done)}/{len(items)} files"
        if made:
            left = (len(todo) - made) * spent / made
            text += f", {60 * made / spent:.1f} files/min, about {duration(left)} left"
        return text

    with bar, Heartbeat(where) if bar.disable else nullcontext():
        if workers <= 1 or runtime is not None:
            runtime = runtime or Runtime()
            for item in todo:
                try:
                    finish(item, *prepare_file(item, target, options, runtime))
                except Wav2LipHQError as error:
                    finish(item, [], [str(error)])
        else:
            with ProcessPoolExecutor(workers) as pool:
                futures = {pool.submit(_worker, item, target, options): item for item in todo}
                for future in as_completed(futures):
                    finish(futures[future], *future.result())
    return _summary(target, done, options)


def _summary(target: Path, done: dict[str, dict[str, Any]], options: Options) -> Prepared:
    rows = [(path, reason) for path, row in done.items() for reason in row["dropped"]]
    with (target / "dropped.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "reason"])
        writer.writerows(rows)
    names = sorted(name for row in done.values() for name in row["clips"])
    if not names:
        most = Counter(r for _, r in rows).most_common(1)
        raise InputError(f"nothing usable in the footage; most files: {most[0][0] if most else 'no face found'}")
    identities = sorted({name.split("__")[0] for name in names})
    frames, size = 0, 0
    for name in names:
        with np.load(target / name) as data:
            frames += len(data["box"])
        size += (target / name).stat().st_size
    held = [i for i in identities if held_out(i, options.validation)]
    if not held and len(identities) > 1:
        held = identities[-1:]
    (target / "split.json").write_text(json.dumps({"validation": held}, indent=1))
    return Prepared(target, len(names), frames / FPS, len(identities), dict(Counter(r for _, r in rows)), size)
