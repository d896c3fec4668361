"""The audio-video offset of a result, measured while it is made."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from .. import audio, checkpoints, geometry
from ..runtime import Runtime
from ..types import Array, Chunk
from .lipsync import FPS, benchmark_box, lip_sync_error

NETWORKS = ("syncnet_v2", "embedded-syncnet")
LONGEST = 8 * FPS  # frames looked at: enough to be sure, bounded in memory
SHORTEST = 2 * FPS


class OffsetMeter:
    """Collects the crops of the first face track while chunks pass by, and measures at the end.

    wav: the driving speech, (n,) float32 16 kHz. Only frames with speech count; uses the official SyncNet where it is
    installed, else the embedded one, else nothing.
    """

    def __init__(self, runtime: Runtime, wav: Array) -> None:
        self.name = next((n for n in NETWORKS if checkpoints.locate(n) is not None), None)
        self.runtime, self.wav = runtime, wav
        self.track: int | None = None
        self.first: Fraction | None = None
        self.crops: list[Array] = []
        self.done = self.name is None

    def add(self, chunk: Chunk) -> None:
        """Look at a finished chunk."""
        faces = chunk.faces
        if self.done or faces is None or faces.box is None or faces.track is None:
            return
        for n, i in enumerate(faces.frame.tolist()):
            if self.track is None and (chunk.active is None or chunk.active[i]):
                self.track, self.first = int(faces.track[n]), chunk.pts[i]
            if faces.track[n] != self.track or self.first is None:
                continue
            due = chunk.pts[i] - self.first
            if due > Fraction(len(self.crops) + 2, FPS):  # a gap: what came before is what there is
                self.done = True
                return
            if due < Fraction(2 * len(self.crops) - 1, 2 * FPS):
                continue  # more than 25 frames a second
            frame = chunk.frames[i]
            matrix = geometry.box_to_crop(benchmark_box(faces.box[n : n + 1]), 224)[0]
            crop = geometry.sample(frame, matrix, 224)
            crop = (crop >> 8).astype(np.uint8) if crop.dtype == np.uint16 else crop
            while Fraction(len(self.crops), FPS) <= due + Fraction(1, 2 * FPS):
                self.crops.append(crop)
            if len(self.crops) >= LONGEST:
                self.done = True
                return

    def offset_ms(self) -> float | None:
        """Milliseconds by which the picture is late against the sound (negative: early); None if it cannot be told."""
        if self.name is None or self.first is None or len(self.crops) < SHORTEST:
            return None
        start = round(self.first * audio.RATE)
        samples = self.wav[start : start + len(self.crops) * 640]
        if audio.is_silent(samples):
            return None
        result = lip_sync_error(
            np.stack(self.crops),
            np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16),
            model=self.runtime.model(self.name, "syncnet_v2"),
        )
        return result.offset * 1000.0 / FPS
