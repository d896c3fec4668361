"""Detect: faces and their five landmarks in every frame, or in every k-th, with RetinaFace."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk
from ._anchors import anchors, decode, suppress, vote
from ._cuts import Jumps, thumbnail

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime import Model, Runtime

ARCHITECTURES = ("retinaface_mobilenet0.25", "retinaface_resnet50")
MEAN = (104.0, 117.0, 123.0)  # blue, green, red; what both networks were trained with
GRID = 32  # coarsest stride: inputs are padded to whole cells, so that the three levels' anchors line up
# Frames a network call. Always exactly this many (short batches are filled up): kernels differ in the last bit between
# batch sizes, and results must not depend on how the video is cut into chunks. Larger gained under 5 % on a CPU.
BATCH = 4
MAX_EVERY = 12  # what track bridges: see GAP_FRAMES there
LARGE = 320  # px at detection size: beyond, both networks' boxes get unsteady (their largest anchors are 256 or 512)
CANDIDATES = 400  # best-scored anchors a frame that reach suppression; a face occupies ten or so


@described
@dataclass(frozen=True)
class Detect(Stage):
    """Find faces. Adds ``boxes``: a frame, an (n, 15) float32 array, best score first, or None = not looked at.

    Finds faces down to about 20 pixels at detection size (measured with RetinaFace-mobilenet: 5 of 6 at 20 px, all at
    24), that is ``20 * longest side of the frame / size`` in the frame, 60 px in 1920x1080: raise ``size`` for smaller
    ones, at a cost growing with its square. Faces of any larger size, up to filling the frame, are found too.
    Frames are never enlarged. Deeper frames (uint16) are looked at in 8 bits.
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
        "Frames are shrunk so that their longest side has this length; more finds smaller faces and takes longer, with "
        "its square.",
        unit="px",
        low=GRID,
        high=8192,
    )
    every: int = option(
        1,
        "Look at every k-th frame, and at the first after a cut; the frames between are filled in, so that more is "
        "faster and follows sudden movements less well.",
        unit="frames",
        low=1,
        high=MAX_EVERY,
    )
    threshold: float = option(
        0.7,
        "The lowest score that counts as a face: real faces score above 0.9, most false alarms below 0.6; less finds "
        "more faces and more false alarms.",
        above=0,
        below=1,
    )
    nms: float = option(
        0.4,
        "Of two boxes that overlap by more than this share only the better counts; the authors' value, less drops "
        "faces that stand close together.",
        above=0,
        high=1,
    )

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,)

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Look at the frames that are due. What a frame is given depends on earlier frames only, never on chunks."""
        model = runtime.model(self.model, expect=ARCHITECTURES)
        jumps = Jumps()
        due = 0  # frames until the next look
        last: tuple[Array, Array] | None = None  # the frame looked at last, at detection size, and its faces
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
                small = [shrink(chunk.frames[i], self.size) for i in looked]
                # Stills and frames repeated to raise the rate: look once.
                previous = [last[0] if last else None, *small[:-1]]
                fresh = [n for n, (a, b) in enumerate(zip(small, previous, strict=True)) if b is None or not same(a, b)]
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
    return find(network, runtime, [shrink(image, size)], image.shape[:2], threshold, nms)[0]


def same(a: Array, b: Array) -> bool:
    """Equal in shape and every pixel."""
    return a.shape == b.shape and bool(np.array_equal(a, b))


def shrink(frame: Array, size: int) -> Array:
    """``frame`` (H, W, 3) uint8 or uint16 with its longest side at most ``size``, area-averaged; (h, w, 3) uint8."""
    height, width = frame.shape[:2]
    scale = min(1.0, size / max(height, width))
    small = frame
    if scale < 1:
        target = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(frame, target, interpolation=cv2.INTER_AREA)
    if small.dtype == np.uint16:
        small = ((small.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return small


def find(
    model: Model, runtime: Runtime, images: Sequence[Array], shape: tuple[int, int], threshold: float, nms: float
) -> list[Array]:
    """Faces of equally sized ``images`` (h, w, 3) uint8 that are copies of frames of ``shape`` (H, W).

    Where nothing or a very large face was found, half the size is looked at too and has the say about large faces.
    """
    found = _look(model, runtime, images, shape, threshold, nms)
    scale = max(shape) / max(images[0].shape[:2]) if images else 1.0
    again = [n for n, rows in enumerate(found) if not len(rows) or _side(rows).max() > LARGE * scale]
    if not again or min(images[0].shape[:2]) < 2 * GRID:
        return found
    height, width = images[0].shape[:2]
    halves = [cv2.resize(images[n], (width // 2, height // 2), interpolation=cv2.INTER_AREA) for n in again]
    for n, rows in zip(again, _look(model, runtime, halves, shape, threshold, nms), strict=True):
        if len(rows):
            joined = np.concatenate([rows, found[n][_side(found[n]) <= LARGE * scale]])
            found[n] = joined[suppress(joined[:, :4], joined[:, 4], nms)]
    return found


def _side(rows: Array) -> Array:
    """(n,) longer sides of boxes (n, 4 or more)."""
    return np.asarray((rows[:, 2:4] - rows[:, :2]).max(1))


def _look(
    model: Model, runtime: Runtime, images: Sequence[Array], shape: tuple[int, int], threshold: float, nms: float
) -> list[Array]:
    """One pass of the network over equally sized images."""
    if not images:
        return []
    import torch

    from ..models.retinaface import fit_to_weights

    size = min(BATCH, runtime.batch_size)
    count = -(-len(images) // size) * size
    bgr = [cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in images]
    batch = np.stack([*bgr, *[bgr[-1]] * (count - len(images))])
    height, width = batch.shape[1:3]
    down, across = -height % GRID, -width % GRID
    mean = torch.tensor(MEAN * width, device=runtime.device)  # of a whole row: three at a time are slow

    def look(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        centered = (pixels.flatten(2).float() - mean).view(pixels.shape)
        # Filled up with the mean color, which is zero to the network.
        padded = torch.nn.functional.pad(centered, (0, 0, 0, across, 0, down))
        offsets, logits, points = model(padded.permute(0, 3, 1, 2))
        return offsets, logits[..., 1] - logits[..., 0], points

    sides = fit_to_weights(model.module, model.sha256, model.options)
    offsets, odds, points = runtime.map(look, batch, batch=size)
    grid = anchors(height + down, width + across, sides)
    ratio = np.array([shape[1] / width, shape[0] / height])
    return [
        _faces(offsets[n], odds[n], points[n], grid, ratio, (height, width), threshold, nms) for n in range(len(images))
    ]


def _faces(
    offsets: Array,
    odds: Array,
    points: Array,
    grid: Array,
    ratio: Array,
    shape: tuple[int, int],
    threshold: float,
    nms: float,
) -> Array:
    """One image's faces, (n, 15) float32 in frame pixels. ``odds`` (A,): logarithm of face : no face."""
    keep = np.flatnonzero(odds >= math.log(threshold / (1 - threshold)))
    if len(keep) > CANDIDATES:
        keep = keep[np.argsort(-odds[keep], kind="stable")[:CANDIDATES]]
    boxes, marks = decode(offsets[keep], points[keep], grid[keep])
    inside = (boxes[:, 2] > 0) & (boxes[:, 3] > 0) & (boxes[:, 0] < shape[1]) & (boxes[:, 1] < shape[0])
    sane = inside & np.isfinite(boxes).all(1) & np.isfinite(marks).all((1, 2))
    boxes, marks, odds = boxes[sane], marks[sane], odds[keep][sane].astype(np.float64)
    scores = 1 / (1 + np.exp(-odds))
    best = suppress(boxes, odds, nms)
    rows = vote(np.concatenate([boxes, marks.reshape(-1, 10)], 1), boxes, scores, best)
    apart = suppress(rows[:, :4], odds[best], nms)  # means may have moved onto each other
    rows, best = rows[apart], best[apart]
    # To the frame's scale, then from pixel edges at integers to pixel centers at integers.
    rows = rows * np.tile(ratio, 7) - 0.5
    return np.concatenate([rows[:, :4], scores[best, None], rows[:, 4:]], 1).astype(np.float32)
