"""How well mouth and sound agree, frame by frame, by the lip-sync expert."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from .. import audio, geometry
from ..metrics.lipsync import WINDOW
from ..metrics.offset import peak
from ..types import Array

if TYPE_CHECKING:
    from ..runtime import Runtime

MODEL = "embedded-expert"
NAMES = ("agree", "lead", "late")  # mean cosine where it is best, how far that stands out, by how many frames it is off
LEAST = 20  # frames
LONGEST = 1500  # frames in which the best shift is looked for
_BLOCK = 64


@dataclass(frozen=True)
class Agreement:
    """values: (len(NAMES),) float32, NaN where it cannot be measured; framewise: (N,) float32, cosine of each frame."""

    values: Array
    framewise: Array


class Listener:
    """Compares the mouth of one face with the file's sound as its frames pass by, so that no pictures pile up.

    wav: (n,) float32 at 16 kHz; None for a file without sound.
    """

    def __init__(self, runtime: Runtime, wav: Array | None) -> None:
        silent = wav is None or audio.is_silent(wav)
        self.runtime = runtime
        self._mel = None if silent or wav is None else audio.mel_spectrogram(wav)
        self._crops: list[Array] = []
        self._when: list[float] = []
        self._seen: list[Array] = []
        self._heard: list[Array] = []
        self.frames = 0

    def add(self, frame: Array, time: float, box: Array) -> None:
        """The next frame: (H, W, 3) uint8, its time in seconds and the face's box (4,)."""
        self.frames += 1
        if self._mel is None:
            return
        matrix = geometry.box_to_crop(geometry.pad_box(box[None], geometry.GENERATOR_PADS), 96)[0]
        crop = geometry.eight_bits(geometry.sample(frame, matrix, 96))
        self._crops.append(np.ascontiguousarray(crop[48:, :, ::-1].transpose(2, 0, 1)))
        self._when.append(time)
        if len(self._crops) >= _BLOCK + WINDOW - 1:
            self._embed()

    def _embed(self) -> None:
        import torch

        count = len(self._crops) - WINDOW + 1
        if count < 1 or self._mel is None:
            return
        faces = np.stack([np.concatenate(self._crops[i : i + WINDOW]) for i in range(count)]).astype(np.float32) / 255
        windows = audio.mel_windows(self._mel, [Fraction(t) for t in self._when[:count]])[:, None]
        with torch.inference_mode():
            model = self.runtime.model(MODEL, "lipsync_expert")
            heard, seen = model(torch.from_numpy(windows), torch.from_numpy(faces))
        self._heard.append(heard.float().cpu().numpy())
        self._seen.append(seen.float().cpu().numpy())
        self._crops, self._when = self._crops[count:], self._when[count:]

    def agreement(self) -> Agreement:
        """Over all frames so far."""
        self._embed()
        framewise = np.full(self.frames, np.nan, np.float32)
        seen = np.concatenate(self._seen) if self._seen else np.zeros((0, 1))
        if len(seen) < LEAST:
            return Agreement(np.full(len(NAMES), np.nan, np.float32), framewise)
        heard = np.concatenate(self._heard)
        cosine = seen @ heard.T if len(seen) <= LONGEST else seen[:LONGEST] @ heard[:LONGEST].T
        shift, lead = peak(cosine)
        best = (seen * heard[np.clip(np.arange(len(seen)) + shift, 0, len(seen) - 1)]).sum(1)
        framewise[: len(best)] = best
        return Agreement(np.array([best.mean(), min(lead, 10.0), min(abs(shift), 15)], np.float32), framewise)
