"""Talking footage without a camera: a photograph whose mouth opens as loudly as the sound."""

from __future__ import annotations

import wave
from pathlib import Path

import cv2
import numpy as np
from media import write_video
from skimage import data

MOUTH = (123, 140)  # in the cut-out


def talker(path: Path, seed: int, seconds: float = 3.0, fps: int = 25, sound: bool = True) -> Path:
    """The astronaut, tinted by ``seed``, saying bursts of a tone; head swaying a little."""
    rng = np.random.default_rng(seed)
    face = data.astronaut()[:260, 100:360].astype(np.float32) * rng.uniform(0.75, 1.1, 3)
    face = np.clip(face, 0, 255).astype(np.uint8)
    rate, count = 16000, round(seconds * fps)
    loud = np.clip(np.interp(np.arange(0, seconds, 0.12), *_syllables(rng, seconds)), 0, 1)
    at = np.arange(round(seconds * rate)) / rate
    envelope = np.interp(at, np.arange(len(loud)) * 0.12, loud)
    pitch = rng.uniform(110, 200)
    tone = sum(np.sin(2 * np.pi * pitch * k * at) / k for k in range(1, 14))
    wav = path.with_suffix(".wav")
    with wave.open(str(wav), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(0.3 * tone * envelope, -1, 1) * 32767).astype("<i2").tobytes())
    frames = []
    for n in range(count):
        image = face.copy()
        opening = float(np.interp(n / fps, np.arange(len(loud)) * 0.12, loud))
        cv2.ellipse(image, MOUTH, (17, 5 + round(9 * opening)), 0, 0, 360, (170, 80, 80), -1)
        cv2.ellipse(image, MOUTH, (13, 1 + round(8 * opening)), 0, 0, 360, (45, 15, 15), -1)
        sway = np.float32([[1, 0, 2 * np.sin(n / 9)], [0, 1, 1.5 * np.cos(n / 13)]])
        frames.append(cv2.warpAffine(image, sway, (260, 260), borderMode=cv2.BORDER_REPLICATE))
    return write_video(path, np.stack(frames), fps=fps, sound=wav if sound else None)


def _syllables(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    times = np.arange(0, seconds + 0.2, 0.16)
    return times, rng.uniform(0, 1.2, len(times)) * (rng.random(len(times)) < 0.75)
