"""Frames of source and result side by side, for presets and for finished videos of any tool alike.

A preset is run here and its frames are taken before encoding; a finished video is read, and faces are detected in the
source in the same way. ``measure`` treats both alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wav2lip_hq import HQPipeline
from wav2lip_hq.audio import RATE
from wav2lip_hq.errors import InputError
from wav2lip_hq.types import Array, Chunk
from wav2lip_hq.video import open_video

from .items import MOVIES, Item

KEEP = ("faces.mask", "faces.to512", "faces.aligned")


@dataclass(frozen=True)
class Seen:
    """Consecutive frames. chunk: the result's, with the faces found on the source; source: (H, W, 3) frames."""

    chunk: Chunk
    source: tuple[Array, ...]


@dataclass
class Facts:
    """Facts about a run. spent: seconds of synthesis (0 for finished videos). short: frames missing at the end of the
    result. note: what was done to make it comparable."""

    spent: float = 0.0
    short: int = 0
    note: str = ""


def preset(pipe: HQPipeline, item: Item, wav: Array, facts: Facts) -> Iterator[Seen]:
    """Run a pipeline. ``facts.spent`` does not include the caller's time."""
    untouched = _frames(item.video)
    with pipe.open(item.video, (wav, RATE), trim=True, extend="stop", keep=KEEP, own_words="redo") as chunks:
        while True:
            began = time.perf_counter()
            chunk = next(chunks, None)
            facts.spent += time.perf_counter() - began
            if chunk is None:
                return
            yield Seen(chunk, tuple(next(untouched)[1] for _ in range(len(chunk))))


def finished(looking: HQPipeline, item: Item, wav: Array, video: Path, facts: Facts) -> Iterator[Seen]:
    """Read a finished video. looking: detect, track and align. Frames are matched by time and resized to the
    source's size."""
    film = Film(video)
    with looking.open(item.video, (wav, RATE), trim=True, extend="stop", keep=KEEP, own_words="redo") as chunks:
        for chunk in chunks:
            results = list(film.frames(chunk.pts, chunk.frames.shape[1:3], facts))
            facts.short += len(chunk) - len(results)
            if not results:
                continue
            few = _first(chunk, len(results))
            yield Seen(replace(few, frames=np.stack(results)), tuple(few.frames))


class Film:
    """Frames of a finished video by time. Raises InputError for a file without a frame."""

    def __init__(self, video: Path) -> None:
        self.made = _frames(video)
        self.now, self.later = next(self.made, None), next(self.made, None)
        if self.now is None:
            raise InputError(f"{video} has no frame")
        # How long a frame is shown
        self.lasts = self.later[0] - self.now[0] if self.later is not None else Fraction(1, 25)

    def frames(self, times: Iterable[Fraction | float], size: tuple[int, int], facts: Facts) -> Iterator[Array]:
        """The frames nearest to ``times`` (seconds, ascending from call to call), brought to ``size`` (height, width)
        if need be; fewer when the video ends before."""
        for when in times:
            assert self.now is not None
            while self.later is not None and abs(self.later[0] - when) <= abs(self.now[0] - when):
                self.lasts = self.later[0] - self.now[0] or self.lasts
                self.now, self.later = self.later, next(self.made, None)
            if self.later is None and when - self.now[0] > Fraction(3, 4) * self.lasts:  # it has ended
                return
            yield _fit(self.now[1], size, facts)


def looking(pipe: HQPipeline) -> HQPipeline:
    """The part of a pipeline that finds and aligns faces and changes nothing."""
    return HQPipeline([s for s in pipe.stages if s.name in ("detect", "track", "align")], runtime=pipe.runtime)


def prediction(folder: Path, item: Item, number: int) -> Path:
    """The finished video of an item: NAME.*, the clip's own name, or (Wav2Lip's scripts) its number in the list.
    Raises InputError."""
    for stem in (item.name, item.video.stem, str(number)):
        for ending in MOVIES:
            if (folder / f"{stem}{ending}").is_file():
                return folder / f"{stem}{ending}"
    raise InputError(f"no prediction for '{item.name}' in {folder}: looked for {item.name}.mp4 and {number}.mp4")


def _frames(path: Path) -> Iterator[tuple[Fraction, Any]]:
    """(seconds, frame) of a clip, uint8 or uint16; of a picture 25 times a second, without end."""
    with open_video(path) as reader:
        frame: Any = None
        for pts, frame, _ in reader:
            yield pts, frame
        if reader.info.still:
            yield from ((Fraction(n, 25), frame) for n in itertools.count(1))


def _fit(frame: Array, size: tuple[int, int], facts: Facts) -> Array:
    if frame.shape[:2] == tuple(size):
        return frame
    height, width = size
    facts.note = f"resized from {frame.shape[1]}x{frame.shape[0]} to compare"
    shrink = frame.shape[0] > height
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC))


def _first(chunk: Chunk, count: int) -> Chunk:
    """The first frames of a chunk, with their faces."""
    if count == len(chunk):
        return chunk
    faces = chunk.faces
    if faces is not None:
        kept = faces.frame < count
        faces = replace(faces, **{k: v[kept] for k, v in vars(faces).items() if v is not None})
    active = None if chunk.active is None else chunk.active[:count]
    return replace(chunk, frames=chunk.frames[:count], pts=chunk.pts[:count], faces=faces, active=active)
