"""Detect: faces and their five landmarks in every frame, or in every k-th, with RetinaFace."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from ..boxes import box_voting, nms
from ..engine import Stage
from ..geometry import eight_bits, shrink
from ..models.anchors import MEAN_BGR, anchors, decode
from ..options import described, option
from ..types import Array, Chunk
from ._cuts import Jumps, thumbnail

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime import Model, Runtime

ARCHITECTURES = ("retinaface_mobilenet0.25", "retinaface_resnet50")
MAX_STRIDE = 32  # inputs are padded to multiples of it, so that the anchors of all three strides line up
BATCH = 4  # frames in a network call; larger gained under 5 % on a CPU
MAX_EVERY = 12  # frames; as many as track bridges, see MAX_BLIND_FRAMES there
MAX_STEADY_SIDE = 320  # px at detection size: boxes of larger faces jitter (the largest anchors are 256 or 512 px)
MAX_CANDIDATES = 400  # best-scored anchors of a frame that reach non-maximum suppression; a face has about ten
# Share of the smaller box that may lie inside a better one: half a face beside the whole one is a second detection of
# the same face. Of a person in front of or behind another less is covered while both can be seen.
MAX_INSIDE = 0.55


@described
@dataclass(frozen=True)
class Detect(Stage):
    """Find faces. Adds ``boxes``: for each frame an (n, 15) float32 array, best score first, or None = not looked at.

    Finds faces down to about 20 pixels at detection size (measured with RetinaFace-mobilenet: 5 of 6 at 20 px, all at
    24), that is ``20 * longer side of the frame / size`` in the frame, 60 px in 1920x1080: raise ``size`` to find
    smaller ones; the cost grows with its square. Faces up to the size of the frame are found. Frames are never
    enlarged, and frames of 16 bits are converted to 8 first.
    """

    name: ClassVar[str] = "detect"
    reads: ClassVar[tuple[str, ...]] = ("frames", "pts")
    adds: ClassVar[tuple[str, ...]] = ("boxes",)
    fits: ClassVar[tuple[str, ...]] = ARCHITECTURES

    model: str = option(
        "embedded-detector", "The RetinaFace checkpoint that finds the faces: a name from `checkpoints list` or a file."
    )
    size: int = option(
        640,
        "Frames are shrunk so that their longer side has this length; more finds smaller faces, at a cost that grows "
        "with its square.",
        unit="px",
        low=MAX_STRIDE,
        high=8192,
    )
    every: int = option(
        1,
        "Detect faces in every k-th frame and in the first after a cut, and interpolate between them; more is faster "
        "but follows sudden movements less well.",
        unit="frames",
        low=1,
        high=MAX_EVERY,
    )
    threshold: float = option(
        0.7,
        "The lowest probability that counts as a face: real faces score above 0.9, most false alarms below 0.6; less "
        "finds more faces and more false alarms.",
        above=0,
        below=1,
    )
    nms: float = option(
        0.4,
        "Non-maximum suppression: of two boxes whose intersection over union is larger, only the better-scored counts "
        "(the authors' value); less drops faces that are close together.",
        above=0,
        high=1,
    )

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,)

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Detect in the frames that are due. A frame's result depends on earlier frames alone, never on chunks."""
        model = runtime.model(self.model, expect=ARCHITECTURES)
        jumps = Jumps()
        due = 0  # frames until the next detection
        last: tuple[Array, Array] | None = None  # the last frame detected in, at detection size, and its faces
        for chunk in chunks:
            looked: list[int] = []
            for i, frame in enumerate(chunk.frames):
                if self.every > 1 and jumps.push(thumbnail(frame)):
                    due = 0
                if due == 0:
                    looked.append(i)
                    due = self.every
                due -= 1
            found: list[Array | None] = [None] * len(chunk)
            if looked:
                small = [eight_bits(shrink(chunk.frames[i], self.size)) for i in looked]
                # Stills, and frames repeated to raise the frame rate: detect once.
                previous = [last[0] if last else None, *small[:-1]]
                fresh = [
                    n for n, (a, b) in enumerate(zip(small, previous, strict=True)) if b is None or not _same(a, b)
                ]
                shape = chunk.frames.shape[1:3]
                faces = find(model, runtime, [small[n] for n in fresh], shape, self.threshold, self.nms)
                results = iter(faces)
                for n, i in enumerate(looked):
                    rows = next(results) if n in fresh else (last[1] if last else None)
                    assert rows is not None
                    found[i] = rows
                    last = (small[n], rows)
            yield replace(chunk, boxes=tuple(found))


def detect_faces(
    image: Array, runtime: Runtime, model: str, *, size: int = 640, threshold: float = 0.7, nms: float = 0.4
) -> Array:
    """Faces of one image (H, W, 3) uint8 or uint16: (n, 15) float32, best first, as in ``Chunk.boxes``."""
    network = runtime.model(model, expect=ARCHITECTURES)
    return find(network, runtime, [eight_bits(shrink(image, size))], image.shape[:2], threshold, nms)[0]


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool(np.array_equal(a, b))


def find(
    model: Model, runtime: Runtime, images: Sequence[Array], shape: tuple[int, int], threshold: float, max_iou: float
) -> list[Array]:
    """Faces, as in ``Chunk.boxes``, of equally sized ``images`` (h, w, 3) uint8: frames of ``shape`` (H, W), shrunk.

    Images in which nothing or a very large face was found are searched again at half the size, whose results replace
    those of large faces.
    """
    found = _detect(model, runtime, images, shape, threshold, max_iou)
    scale = max(shape) / max(images[0].shape[:2]) if images else 1.0
    again = [n for n, rows in enumerate(found) if not len(rows) or _side(rows).max() > MAX_STEADY_SIDE * scale]
    if not again or min(images[0].shape[:2]) < 2 * MAX_STRIDE:
        return found
    height, width = images[0].shape[:2]
    halves = [cv2.resize(images[n], (width // 2, height // 2), interpolation=cv2.INTER_AREA) for n in again]
    for n, rows in zip(again, _detect(model, runtime, halves, shape, threshold, max_iou), strict=True):
        if len(rows):
            joined = np.concatenate([rows, found[n][_side(found[n]) <= MAX_STEADY_SIDE * scale]])
            found[n] = joined[nms(joined[:, :4], joined[:, 4], max_iou, MAX_INSIDE)]
    return found


def _side(rows: Array) -> Array:
    """(n,) longer sides of boxes (n, 4 or more)."""
    return np.asarray((rows[:, 2:4] - rows[:, :2]).max(1))


def _detect(
    model: Model, runtime: Runtime, images: Sequence[Array], shape: tuple[int, int], threshold: float, max_iou: float
) -> list[Array]:
    """One pass of the network over equally sized images."""
    if not images:
        return []
    import torch

    from ..models.retinaface import fit_to_weights

    bgr = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in images])
    height, width = bgr.shape[1:3]
    down, across = -height % MAX_STRIDE, -width % MAX_STRIDE
    mean = torch.tensor(MEAN_BGR * width, device=runtime.device)  # of a whole row: three at a time are slow

    def look(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        centered = (pixels.flatten(2).float() - mean).view(pixels.shape)
        # Padded with the mean color, which is zero to the network.
        padded = torch.nn.functional.pad(centered, (0, 0, 0, across, 0, down))
        offsets, logits, points = model(padded.permute(0, 3, 1, 2))
        return offsets, logits[..., 1] - logits[..., 0], points

    sides = fit_to_weights(model.module, model.sha256, model.options)
    offsets, logits, points = runtime.map(look, bgr, batch=min(BATCH, runtime.batch_size))
    grid = anchors(height + down, width + across, sides)
    ratio = np.array([shape[1] / width, shape[0] / height])
    return [
        _faces(offsets[n], logits[n], points[n], grid, ratio, (height, width), threshold, max_iou)
        for n in range(len(images))
    ]


def _faces(
    offsets: Array,
    logits: Array,
    points: Array,
    grid: Array,
    ratio: Array,
    shape: tuple[int, int],
    threshold: float,
    max_iou: float,
) -> Array:
    """One image's faces, (n, 15) float32 in frame pixels. logits (A,): of the probability that there is a face."""
    keep = np.flatnonzero(logits >= math.log(threshold / (1 - threshold)))
    if len(keep) > MAX_CANDIDATES:
        keep = keep[np.argsort(-logits[keep], kind="stable")[:MAX_CANDIDATES]]
    boxes, marks = decode(offsets[keep], points[keep], grid[keep])
    inside = (boxes[:, 2] > 0) & (boxes[:, 3] > 0) & (boxes[:, 0] < shape[1]) & (boxes[:, 1] < shape[0])
    sane = inside & np.isfinite(boxes).all(1) & np.isfinite(marks).all((1, 2))
    boxes, marks, logits = boxes[sane], marks[sane], logits[keep][sane].astype(np.float64)
    scores = 1 / (1 + np.exp(-logits))
    best = nms(boxes, logits, max_iou, MAX_INSIDE)
    rows = box_voting(np.concatenate([boxes, marks.reshape(-1, 10)], 1), boxes, scores, best)
    apart = nms(rows[:, :4], logits[best], max_iou, MAX_INSIDE)  # the means may have moved onto each other
    rows, best = rows[apart], best[apart]
    # To the frame's scale, then from pixel edges at integers to pixel centers at integers.
    rows = rows * np.tile(ratio, 7) - 0.5
    return np.concatenate([rows[:, :4], scores[best, None], rows[:, 4:]], 1).astype(np.float32)
