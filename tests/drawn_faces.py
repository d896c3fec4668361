"""Drawn faces on their way through the stages, for tests of single stages."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import cv2
import numpy as np
import torch
from media import clip, detection

from wav2lip_hq.engine import Stage, run_stages
from wav2lip_hq.stages import Align, Track
from wav2lip_hq.types import Chunk

COUNT = 6


def drawn(count=COUNT, times=3):
    """The drawn clip, enlarged: a face about 190 px high."""
    return np.stack([cv2.resize(f, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC) for f in clip(count)])


@dataclass(frozen=True)
class Seen(Stage):
    """Stands in for the detector: hands on the boxes that ``source`` put into the chunk."""

    name: ClassVar[str] = "seen"
    adds: ClassVar[tuple[str, ...]] = ("boxes",)

    def process(self, chunk, runtime):
        return chunk


def source(frames: np.ndarray | None = None, *, speech: float = 1.0, active=None) -> Chunk:
    frames = drawn() if frames is None else frames
    count = len(frames)
    rows = []
    for n in range(count):
        row = detection(n)
        row[:, [*range(4), *range(5, 15)]] *= frames.shape[2] / 160
        rows.append(row)
    rng = np.random.default_rng(0)
    return Chunk(
        0,
        frames,
        tuple(Fraction(n, 25) for n in range(count)),
        mel=rng.uniform(-3, 2, (count, 80, 16)).astype(np.float32),
        speech=np.full(count, speech, np.float32),
        boxes=tuple(rows),
        active=np.ones(count, bool) if active is None else active,
    )


EVERYTHING = tuple(
    f"faces.{n}" for n in ("to96", "to512", "crop96", "aligned", "synced", "synced96", "mask", "restored", "landmarks")
)


def through(runtime, *stages, chunk=None):
    return next(run_stages([Seen(), Track(), Align(), *stages], [chunk or source()], runtime, keep=EVERYTHING))


def labels(*shapes) -> torch.Tensor:
    """A label map (1, 512, 512) with a face of skin and the given (class, box) on it."""
    out = np.zeros((512, 512), np.uint8)
    cv2.ellipse(out, (256, 300), (170, 210), 0, 0, 360, 1, -1)
    cv2.ellipse(out, (256, 370), (60, 25), 0, 0, 360, 12, -1)
    for number, (x1, y1, x2, y2) in shapes:
        out[y1:y2, x1:x2] = number
    return torch.from_numpy(out)


class Labeled(torch.nn.Module):
    """A parser that returns prepared labels, the first for the source faces and the second for synthesized ones."""

    def __init__(self, before, after):
        super().__init__()
        self.maps, self.calls = [before, after], 0

    def parse(self, x):
        classes = self.maps[self.calls % 2][None, None].float()
        self.calls += 1
        small = torch.nn.functional.interpolate(classes, x.shape[-2:])[0, 0].long()
        return torch.nn.functional.one_hot(small, 19).permute(2, 0, 1)[None].float().repeat(len(x), 1, 1, 1)
