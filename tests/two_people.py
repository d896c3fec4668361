"""Two people beside each other, one of whom speaks: the demo's real clip, and the same clip with a late picture."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from wav2lip_hq import audio
from wav2lip_hq.video import open_video

DEMO = Path(__file__).parents[1] / "wav2lip_hq" / "_data" / "demo" / "face.mpg"
RATE = 16000


@lru_cache(maxsize=1)
def demo() -> tuple[np.ndarray, np.ndarray]:
    """(frames (T, H, W, 3), sound (n,) float32) of the demo's clip."""
    with open_video(DEMO) as reader:
        frames = np.stack([image for _, image, _ in reader])[:70]
    return frames, audio.load_audio(DEMO)[: len(frames) * RATE // 25]


def two(path: Path, sides: str, *, sound: bool = True) -> Path:
    """Write shots, one for each letter of ``sides``: l or r, where the one who speaks sits. The other one shows the
    same person, 1.2 s later."""
    frames, wav = demo()
    other = np.roll(frames, 30, axis=0)[:, :, ::-1]  # mirrored: a cut is to be seen
    shots = [np.concatenate([frames, other] if side == "l" else [other, frames], 2) for side in sides]
    return write(path, np.concatenate(shots), np.tile(wav, len(sides)) if sound else None)


def write(path: Path, frames: np.ndarray, wav: np.ndarray | None) -> Path:
    """Encode frames (T, H, W, 3) at 25 a second with sound (n,) at 16 kHz."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "14", "preset": "ultrafast"})
        video.height, video.width, video.pix_fmt = *frames.shape[1:3], "yuv420p"
        track = out.add_stream("aac", rate=RATE, layout="mono") if wav is not None else None
        for number, image in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
        if track is not None and wav is not None:
            for at in range(0, len(wav), 1024):
                piece = av.AudioFrame.from_ndarray(wav[None, at : at + 1024], format="fltp", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = RATE, at, Fraction(1, RATE)
                out.mux(track.encode(piece))
            out.mux(track.encode(None))
    return path
