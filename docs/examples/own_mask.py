"""A mask of your own: a stage in place of `parse`, with options that are checked and shown like all others.

    python docs/examples/own_mask.py FACE SPEECH OUTPUT
    cd docs/examples; wav2lip-hq options own_mask:MouthOnly
    wav2lip-hq run FACE SPEECH OUTPUT --replace parse=own_mask:MouthOnly --set mouth-only.feather=20

The soft edge of the mask that is there needs no code: --set parse.feather=20
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from wav2lip_hq import Chunk, HQPipeline, Report, Runtime, Stage
from wav2lip_hq.options import described, option


@described
@dataclass(frozen=True)
class MouthOnly(Stage):
    """An ellipse around mouth and chin. Adds ``mask``: (N, 512, 512) uint8, 255 = take the synthesized face."""

    name: ClassVar[str] = "mouth-only"
    reads: ClassVar[tuple[str, ...]] = ("faces.aligned",)
    adds: ClassVar[tuple[str, ...]] = ("faces.mask",)

    width: float = option(200.0, "Width of the ellipse in the aligned 512 px face.", unit="px", above=0, high=512)
    height: float = option(190.0, "Its height.", unit="px", above=0, high=512)
    feather: float = option(14.0, "How soft its edge is.", unit="px", low=0, high=100)

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        """The same mask for each face: in the aligned face the mouth is always at the same place."""
        assert chunk.faces is not None
        mask = np.zeros((512, 512), np.uint8)
        cv2.ellipse(mask, ((256, 385), (self.width, self.height), 0), 255, -1)
        if self.feather:
            mask = cv2.GaussianBlur(mask, (0, 0), self.feather)
        return chunk.with_faces(mask=np.repeat(mask[None], len(chunk.faces), 0))


def main(face: str, speech: str, output: str) -> Report:
    """Dub ``face`` with ``speech``."""
    return HQPipeline().replace(parse=MouthOnly()).run(face, speech, output)


if __name__ == "__main__":
    print(main(*sys.argv[1:4]))
