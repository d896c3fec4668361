"""A restorer of your own: any callable, here one that sharpens the generated mouth.

    python docs/examples/own_restorer.py FACE SPEECH OUTPUT
    cd docs/examples; wav2lip-hq run FACE SPEECH OUTPUT -p generated --set restore.model=own_restorer:Sharpen

Pictures go in as (N, S, S, 3) uint8 RGB and come out as (N, S * scale, S * scale, 3). The preset has to be one that
generates the mouth: `default` moves the footage's own pixels and restores nothing.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

from wav2lip_hq import HQPipeline, Report, Restore


class Sharpen:
    """Unsharp masking of the aligned 512 px face. A class is made once: the place to load weights."""

    scale = 1  # what comes out is as large as what goes in

    def __init__(self, amount: float = 0.8, radius: float = 2.0) -> None:
        self.amount, self.radius = amount, radius

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        soft = np.stack([cv2.GaussianBlur(face, (0, 0), self.radius) for face in faces]).astype(np.float32)
        return np.clip(faces + self.amount * (faces - soft), 0, 255).round().astype(np.uint8)


def main(face: str, speech: str, output: str) -> Report:
    """Dub ``face`` with ``speech``."""
    return HQPipeline("generated").replace(restore=Restore(Sharpen())).run(face, speech, output)


if __name__ == "__main__":
    print(main(*sys.argv[1:4]))
