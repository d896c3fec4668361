"""What writing the invisible mark costs: a real face, enlarged into frames of several sizes."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np

from wav2lip_hq import geometry
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import Watermark
from wav2lip_hq.types import Array, Chunk

# Height and width of the frame, height of the face, px
CASES = ((224, 224, 150), (288, 360, 162), (1920, 1080, 340), (1080, 1920, 700), (1080, 1920, 1300), (2160, 3840, 1300))
FRAMES, TRIALS = 4, 15


def costs(chunk: Chunk, runtime: Runtime) -> str:
    """A table of wall-clock ms a frame in each of CASES, as Markdown. chunk: with faces and masks, of real footage."""
    lines = ["", "Writing it, wall-clock:", "", "| frame | height of the face | type | ms a frame, best (median) |"]
    lines += ["|---|---|---|---|"]
    for height, width, face in CASES:
        for dtype in (np.uint8, np.uint16):
            shown = placed(chunk.part(0, FRAMES), height, width, face)
            if dtype == np.uint16:
                shown = replace(shown, frames=shown.frames.astype(np.uint16) * 257)
            taken = []
            for _ in range(TRIALS):
                began = time.perf_counter()
                Watermark(1).process(shown, runtime)
                taken.append(1000 * (time.perf_counter() - began) / FRAMES)
            bits = 8 * np.dtype(dtype).itemsize
            lines.append(f"| {width}x{height} | {face} px | {bits} bits | {min(taken):.2f} ({np.median(taken):.2f}) |")
    return "\n".join([*lines, f"\n{cv2.getNumThreads()} threads of OpenCV.", ""])


def placed(chunk: Chunk, height: int, width: int, face: float) -> Chunk:
    """The chunk's face in frames of another size, in the middle, ``face`` px high."""
    faces = chunk.faces
    assert faces is not None and faces.to512 is not None and faces.landmarks is not None
    scale = face / float((faces.box[:, 3] - faces.box[:, 1]).mean())
    middle = (faces.box[:, :2] + faces.box[:, 2:]).mean(0) / 2
    map_ = np.array([[scale, 0, width / 2 - scale * middle[0]], [0, scale, height / 2 - scale * middle[1]]])

    def moved(points: Array) -> Array:
        return geometry.apply(np.repeat(map_[None], len(points), 0), points).astype(np.float32)

    how = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
    frames = np.stack([cv2.warpAffine(frame, map_, (width, height), **how) for frame in chunk.frames])
    there = replace(
        faces,
        to512=geometry.compose(faces.to512, geometry.invert(map_)),
        mesh=None if faces.mesh is None else moved(faces.mesh),
        landmarks=moved(faces.landmarks),
        box=moved(faces.box.reshape(-1, 2, 2)).reshape(-1, 4),
    )
    return replace(chunk, frames=frames, faces=there)
