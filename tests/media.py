"""Small clips made on the fly: a drawn face that moves, and speech-like sound."""

from __future__ import annotations

import wave
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av
import cv2
import numpy as np

from wav2lip_hq import models
from wav2lip_hq.engine import Stage
from wav2lip_hq.pipeline import HQPipeline
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import Align, Blend, LipSync, Parse, Restore, Track


def face_frame(n: int, width: int = 160, height: int = 120, dtype=np.uint8) -> np.ndarray:
    """A frame with a face about 60 px high that drifts to the right."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 200 // width + 20, y * 180 // height + 30, np.full_like(x, 90)], -1).astype(np.uint8)
    cx, cy = width * 3 // 8 + n // 2, height // 2
    cv2.ellipse(image, (cx, cy), (24, 32), 0, 0, 360, (205, 160, 130), -1)
    for dx in (-9, 9):
        cv2.circle(image, (cx + dx, cy - 8), 3, (30, 30, 60), -1)
    cv2.ellipse(image, (cx, cy + 16), (10, 3 + n % 3), 0, 0, 360, (150, 50, 60), -1)
    return image if dtype == np.uint8 else image.astype(np.uint16) * 257


def detection(n: int, width: int = 160, height: int = 120) -> np.ndarray:
    """The face of ``face_frame`` as a detector row (1, 15)."""
    cx, cy = width * 3 // 8 + n / 2, height / 2
    points = [cx - 9, cy - 8, cx + 9, cy - 8, cx, cy + 4, cx - 8, cy + 16, cx + 8, cy + 16]
    return np.array([[cx - 24, cy - 32, cx + 24, cy + 32, 0.99, *points]], np.float32)


def clip(count: int = 30, **options) -> np.ndarray:
    """(T, H, W, 3) frames."""
    return np.stack([face_frame(n, **options) for n in range(count)])


def write_wav(path: Path, seconds: float = 1.0, rate: int = 16000, channels: int = 1, amplitude: float = 0.4) -> Path:
    """Speech-like: bursts of a harmonic tone."""
    t = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 3.1 * t)
    samples = np.clip(amplitude * 0.4 * tone * envelope * 32767, -32767, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples[:, None], channels, 1).tobytes())
    return path


def write_video(
    path: Path,
    frames: np.ndarray,
    *,
    pts: list[Fraction] | None = None,
    fps: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    time_base: Fraction = Fraction(1, 90000),
    options: dict[str, str] | None = None,
    sound: Path | None = None,
    **context,
) -> Path:
    """Encode frames (T, H, W, 3 or 4) uint8 or uint16 at exact times."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=fps, options=options or {"crf": "12"} if codec == "libx264" else options)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pix_fmt
        stream.codec_context.time_base = time_base
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        track = None
        if sound is not None:
            source = av.open(str(sound))
            track = out.add_stream("aac", rate=source.streams.audio[0].rate, layout="mono")
        layout = {(3, 1): "rgb24", (4, 1): "rgba", (3, 2): "rgb48le", (4, 2): "rgba64le"}
        for n, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format=layout[image.shape[2], image.dtype.itemsize])
            time = Fraction(n, fps) if pts is None else pts[n]
            frame.pts, frame.time_base = int(time / time_base), time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if track is not None:
            for piece in source.decode(audio=0):
                piece.pts = None
                out.mux(track.encode(piece))
            out.mux(track.encode(None))
            source.close()
    return path


@dataclass(frozen=True)
class DrawnDetect(Stage):
    """Stands in for the detector: knows where ``face_frame`` draws."""

    name: ClassVar[str] = "detect"
    reads: ClassVar[tuple[str, ...]] = ("frames",)
    adds: ClassVar[tuple[str, ...]] = ("boxes",)

    missing: tuple[int, ...] = ()  # frames without a face
    nobody: bool = False

    def process(self, chunk, runtime):
        height, width = chunk.frames.shape[1:3]
        empty = np.zeros((0, 15), np.float32)
        return replace(
            chunk,
            boxes=tuple(
                empty if self.nobody or chunk.start + i in self.missing else detection(chunk.start + i, width, height)
                for i in range(len(chunk))
            ),
        )


def tiny_runtime() -> Runtime:
    """Random networks, small enough for a test."""
    import torch

    torch.manual_seed(0)
    runtime = Runtime(device="cpu", precision="fp32", batch_size=4)
    runtime.add_model("tiny-generator", models.build("wav2lip", width=0.125), "wav2lip")
    runtime.add_model("tiny-parser", models.build("bisenet_79999_iter", width=0.125), "bisenet_79999_iter")
    runtime.add_model("tiny-restorer", models.build("srvgg", num_feat=8, num_conv=2), "srvgg", scale=4)
    return runtime


def tiny_pipeline(**detect) -> HQPipeline:
    """A whole pipeline with random weights."""
    stages = (
        DrawnDetect(**detect),
        Track(),
        Align(),
        LipSync("tiny-generator"),
        Parse(""),
        Restore("tiny-restorer"),
        Blend(),
    )
    return HQPipeline(stages, runtime=tiny_runtime())
