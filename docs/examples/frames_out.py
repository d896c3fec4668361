"""Frames out instead of a file: the picture at the top of the README, source beside result.

    python docs/examples/frames_out.py FACE SPEECH OUTPUT.gif [SECONDS]
    python docs/examples/frames_out.py                              # the demo's footage and sentence -> docs/demo.gif

Memory does not grow with the length of the footage: chunks of some frames come out while the next ones are computed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from wav2lip_hq import HQPipeline
from wav2lip_hq.video import open_video

DEMO = Path(str(files("wav2lip_hq") / "_data" / "demo"))


def pairs(face: str, speech: str, seconds: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(source, result, boxes) of each frame: two pictures (H, W, 3) uint8 RGB, and (n, 4) boxes of faces in pixels."""
    with open_video(face) as reader:
        source = {pts: frame for pts, frame, *_ in reader if pts < seconds}
    options = {"extend": "pingpong", "trim": True}
    with HQPipeline().open(face, speech, keep=["faces.box"], **options) as chunks:
        for chunk in chunks:
            for n, (frame, pts) in enumerate(zip(chunk.frames, chunk.pts, strict=True)):
                if pts >= seconds:
                    return
                shown = chunk.source_pts[n] if chunk.source_pts else pts
                yield source[shown], frame, chunk.faces.box[chunk.faces.frame == n]


def main(
    face: str = str(DEMO / "face.mpg"),
    speech: str = str(DEMO / "speech.wav"),
    output: str = "docs/demo.gif",
    seconds: str = "2.96",
) -> int:
    """Write every second frame as an animation of the face; returns how many."""
    shown = list(pairs(face, speech, float(seconds)))[::2]
    left, top, right, bottom = np.concatenate([boxes for *_, boxes in shown]).mean(0)
    x, y = (left + right) / 2, (top + bottom) / 2
    height, width = shown[0][0].shape[:2]
    side = min(0.9 * (bottom - top), x, width - x, y, height - y)  # half of what is shown: a square around the face
    place = (x - side, y - side, x + side, y + side)
    pictures = []
    for source, result, _ in shown:
        both = Image.new("RGB", (480, 240))
        for at, frame in ((0, source), (240, result)):
            both.paste(Image.fromarray(frame).resize((240, 240), Image.Resampling.LANCZOS, place), (at, 0))
        pictures.append(both)
    palette = pictures[0].quantize(80)
    small = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    small[0].save(output, save_all=True, append_images=small[1:], duration=80, loop=0)
    return len(small)


if __name__ == "__main__":
    print(main(*sys.argv[1:5]), "frames")
