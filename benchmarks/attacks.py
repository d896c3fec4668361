"""What happens to videos: re-encoding, scaling, cropping, other frame rates, contrast, noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from wav2lip_hq.types import Array


@dataclass(frozen=True)
class Clip:
    """frames (T, H, W, 3) uint8; rate a second; box (4,): around the face in all frames."""

    frames: Array
    rate: Fraction
    box: Array


@dataclass(frozen=True)
class Attack:
    """change: of the pictures, before they are encoded by ``codec`` at ``crf``."""

    name: str
    strength: str
    change: Callable[[Clip], Clip]
    codec: str = "libx264"
    crf: int = 23


def same(clip: Clip) -> Clip:
    """Nothing."""
    return clip


def scaled(share: float, back: bool) -> Callable[[Clip], Clip]:
    """To ``share`` of the size; back: and to the old size again."""

    def change(clip: Clip) -> Clip:
        height, width = clip.frames.shape[1:3]
        small = _even(width * share), _even(height * share)
        out = [cv2.resize(f, small, interpolation=cv2.INTER_AREA) for f in clip.frames]
        if back:
            out = [cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in out]
        return Clip(np.stack(out), clip.rate, clip.box)

    return change


def _cropped(clip: Clip) -> Clip:
    """To the face and a fifth of its size around it."""
    x1, y1, x2, y2 = clip.box
    room = 0.2 * max(x2 - x1, y2 - y1)
    height, width = clip.frames.shape[1:3]
    left, top = max(0, int(x1 - room)), max(0, int(y1 - room))
    rows, columns = slice(top, min(height, int(y2 + room))), slice(left, min(width, int(x2 + room)))
    return Clip(clip.frames[:, rows, columns], clip.rate, clip.box)


def _thirty(clip: Clip) -> Clip:
    """At 30 frames a second, some shown twice."""
    count = int(len(clip.frames) * 30 / clip.rate)
    at = np.minimum((np.arange(count) * float(clip.rate) / 30).astype(int), len(clip.frames) - 1)
    return Clip(clip.frames[at], Fraction(30), clip.box)


def _begun_late(clip: Clip) -> Clip:
    """Without the first 0.7 s, so that the beat begins elsewhere."""
    return Clip(clip.frames[round(0.7 * clip.rate) :], clip.rate, clip.box)


def _contrast(gain: float, light: float) -> Callable[[Clip], Clip]:
    def change(clip: Clip) -> Clip:
        return Clip(np.clip((clip.frames - 128.0) * gain + 128 + light, 0, 255).astype(np.uint8), clip.rate, clip.box)

    return change


def _noise(sigma: float) -> Callable[[Clip], Clip]:
    def change(clip: Clip) -> Clip:
        noise = np.random.default_rng(0).normal(0, sigma, clip.frames.shape)
        return Clip(np.clip(clip.frames + noise, 0, 255).astype(np.uint8), clip.rate, clip.box)

    return change


BASE = Attack("H.264", "crf 28", same, crf=28)
ATTACKS = (
    Attack("none", "lossless", same, crf=0),
    Attack("H.264", "crf 18", same, crf=18),
    Attack("H.264", "crf 23", same),
    BASE,
    Attack("H.264", "crf 33", same, crf=33),
    Attack("HEVC", "crf 18", same, "libx265", 18),
    Attack("HEVC", "crf 23", same, "libx265", 23),
    Attack("HEVC", "crf 28", same, "libx265", 28),
    Attack("scaled to half and back", "crf 23", scaled(0.5, True)),
    Attack("cropped to the face", "crf 23", _cropped),
    Attack("25 to 30 frames/s", "crf 23", _thirty),
    Attack("the first 0.7 s cut off", "crf 23", _begun_late),
    Attack("contrast", "x 0.75, 10 darker, crf 23", _contrast(0.75, -10)),
    Attack("contrast", "x 1.3, crf 23", _contrast(1.3, 0)),
    Attack("brightness", "25 lighter, crf 23", _contrast(1, 25)),
    Attack("noise", "sigma 5, crf 23", _noise(5)),
)


def encoded(attack: Attack, clip: Clip, target: Path) -> Path:
    """The attacked clip as a file, by the encoder's own defaults but for crf."""
    made = attack.change(clip)
    height, width = (n // 2 * 2 for n in made.frames.shape[1:3])
    with av.open(str(target), "w") as out:
        stream = out.add_stream(attack.codec, rate=made.rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(attack.crf)}
        if attack.codec == "libx265":
            stream.options |= {"x265-params": "log-level=none"}
        for frame in made.frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), "rgb24")
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return target


def _even(size: float) -> int:
    return max(2, round(size) // 2 * 2)
