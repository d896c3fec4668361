"""Face crops with their speech as one encoded stream, which keeps training sets small."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np

from ..audio import RATE
from ..types import Array


def encode_clip(frames: Array, fps: int, wav: Array, *, crf: int = 20) -> bytes:
    """Matroska bytes (H.264 and 32 kbit/s Opus) of frames (T, S, S, 3) uint8 RGB, S even, and mono 16 kHz float32."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        video: Any = out.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "veryslow"})
        video.width, video.height, video.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        audio: Any = out.add_stream("libopus", rate=48000, layout="mono", options={"b": "32k", "application": "audio"})
        resampler = av.AudioResampler(format="flt", layout="mono", rate=48000)
        for n, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, fps)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray(np.asarray(wav, np.float32)[None], format="flt", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = RATE, 0, Fraction(1, RATE)
        for part in (sound, None):
            for resampled in resampler.resample(part):
                out.mux(audio.encode(resampled))
        out.mux(audio.encode(None))
    return buffer.getvalue()


def decode_clip(data: bytes) -> tuple[Array, Array]:
    """(T, S, S, 3) uint8 RGB and (n,) int16 mono 16 kHz of ``encode_clip``'s bytes."""
    frames: list[Array] = []
    parts: list[Array] = []
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
    lead = 0
    with av.open(io.BytesIO(data), "r") as container:
        for n, sound in enumerate(container.decode(audio=0)):
            if n == 0 and sound.pts is not None:
                lead = round(sound.pts * (sound.time_base or 0) * RATE)
            parts += [p.to_ndarray()[0] for p in resampler.resample(sound)]
    parts += [p.to_ndarray()[0] for p in resampler.resample(None)]
    wav = np.concatenate([np.zeros(max(lead, 0), np.int16), np.concatenate(parts)[max(-lead, 0) :]])
    return np.stack(frames), wav.astype(np.int16)


def crops_and_sound(arrays: Mapping[str, Array]) -> tuple[Array, Array]:
    """(T, S, S, 3) uint8 RGB and (n,) int16 of a prepared clip's arrays, encoded or not."""
    if "clip" in arrays:
        return decode_clip(arrays["clip"].tobytes())
    return arrays["crops"], arrays["wav"]
