"""Restore face: sharpen the whole face, not the synthesized mouth alone, after the mouth is in the frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from .. import geometry
from .. import mesh as points
from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk, Faces
from ._coarse import weighted
from ._generated import GRID, transfer
from ._outline import on_canvas, within
from ._paste import CANVAS, Area
from ._restorers import FITS, Restorer, is_own, opened
from .parse import HAIR, MOUTH, NOSE, classes, feathered

if TYPE_CHECKING:
    from ..runtime import Runtime

# Skin, brows, eyes and glasses, nose, mouth and lips, as the parser numbers them; no ears, hair, neck.
WHOLE = (*range(1, 7), *range(NOSE, MOUTH + 3))
SIDE = 128  # px, at which small holes in the parser's classes are closed
BLUNT = 1.5  # how many times as large as ``size`` a face may be before it visibly loses detail


@described
@dataclass(frozen=True)
class RestoreFace(Stage):
    """Restore the whole face, for footage whose faces are soft: the mouth would be sharper than the rest.

    For after ``blend`` (``--insert-after blend=restore_face``); no preset has it, since it changes the whole face.
    Works on faces whose mouth was synthesized, in the frames of the speech; all others, and all pixels outside of the
    face's outline, keep their exact values. ``mask`` becomes that of the whole face, for mattes and patches. What the
    network changed is *added* to the frame, so that detail finer than the network's picture stays.

    Networks that keep the size (GFPGAN, CodeFormer) are shown the aligned 512 px face, those that enlarge are shown it
    at ``size`` px. ``model`` is as in ``restore``.
    """

    name: ClassVar[str] = "restore_face"
    reads: ClassVar[tuple[str, ...]] = ("frames", "faces.frame", "faces.to512")
    optional: ClassVar[tuple[str, ...]] = ("faces.mesh", "faces.mask", "faces.strength")
    adds: ClassVar[tuple[str, ...]] = ("frames", "faces.mask")
    fits: ClassVar[tuple[str, ...]] = FITS

    model: str | Restorer = option(
        "embedded-restorer",
        "The restorer: embedded-restorer works offline; or a name from `checkpoints list` (gfpgan_v1.4, codeformer, "
        "realesr_general_x4v3), a file, a function, or your own as package.module:name.",
    )
    strength: float = option(1.0, "Share of the network's output in the result; 0 changes nothing.", low=0, high=1)
    size: int = option(
        256,
        "Side of the aligned face as networks that enlarge are shown it: about twice the width that faces have in the "
        "footage.",
        unit="px",
        choices=(128, 256, 512),
    )
    fidelity: float = option(
        0.5, "CodeFormer only: less looks better, more is closer to its input; the authors' default.", low=0, high=1
    )
    parser: str = option(
        "embedded-parser",
        'The face parser, which leaves out hair and hands over the face; "" takes the outline of the landmarks alone.',
    )
    feather: float = option(
        24.0, "Width of the mask's soft edge in the aligned 512 px face.", unit="px", low=1, high=100
    )

    @property
    def models(self) -> tuple[str, ...]:
        names = () if is_own(self.model) else (str(self.model),)
        return (*names, self.parser) if self.parser else names

    @property
    def code(self) -> tuple[str, ...]:
        return (self.model,) if isinstance(self.model, str) and is_own(self.model) else ()

    def load(self, runtime: Runtime) -> None:
        """Load the networks. Raises CheckpointError, OptionError."""
        opened(self.model, runtime, self.fidelity)
        if self.parser:
            runtime.model(self.parser, "bisenet_79999_iter")

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        faces = chunk.faces
        assert faces is not None and faces.to512 is not None
        if not len(faces) or not self.strength:
            return chunk if faces.mask is not None else chunk.with_faces(mask=_empty(len(faces)))
        frames = chunk.frames.copy()
        shown = geometry.eight_bits(geometry.warp(frames, faces.frame, faces.to512, CANVAS))
        masks = self._masks(faces, shown, runtime)
        if chunk.active is not None:
            masks[~chunk.active[faces.frame]] = 0
        wanted = np.flatnonzero(masks.any((1, 2)))
        if len(wanted):
            made = self._restored(shown[wanted], faces.to512[wanted], runtime)
            for n, face in zip(wanted.tolist(), made, strict=True):
                share = self.strength * (1.0 if faces.strength is None else float(faces.strength[n]))
                self._write(frames[faces.frame[n]], shown[n], face, masks[n], share, faces.to512[n])
        if faces.mask is not None:
            masks = np.maximum(masks, faces.mask)
        return replace(chunk.with_faces(mask=masks), frames=frames)

    def _restored(self, shown: Array, to512: Array, runtime: Runtime) -> Array:
        """(N, 512, 512, 3) uint8."""
        run, scale, _ = opened(self.model, runtime, self.fidelity)
        if scale == 1:
            return run(shown)
        seen = CANVAS / float(np.hypot(*np.moveaxis(to512[:, :, 0], 1, 0)).min())  # px of the frame, the largest face
        if seen > BLUNT * self.size:
            runtime.warn(
                f"restore_face.size is {self.size}, and the footage has up to {seen:.0f} px there: faces lose detail; "
                "take more, or a network that keeps the size (gfpgan_v1.4, codeformer)"
            )
        small = np.stack([cv2.resize(f, (self.size, self.size), interpolation=cv2.INTER_AREA) for f in shown])
        large = run(small)
        way = cv2.INTER_AREA if large.shape[1] >= CANVAS else cv2.INTER_CUBIC
        return np.stack([cv2.resize(f, (CANVAS, CANVAS), interpolation=way) for f in large])

    def _write(self, frame: Array, before: Array, after: Array, mask: Array, share: float, to512: Array) -> None:
        """Add what changed to the frame, in place; exactly nothing where the mask is 0."""
        area = _area(mask)
        change = cv2.subtract(after[area], before[area], dtype=cv2.CV_32F)
        transfer(frame, weighted(change, mask[area].astype(np.float32) * np.float32(share / 255)), area, to512)

    def _masks(self, faces: Faces, shown: Array, runtime: Runtime) -> Array:
        """(N, 512, 512) uint8, 255 = the whole face."""
        assert faces.to512 is not None
        labels = classes(shown, runtime, self.parser, 256) if self.parser else [None] * len(faces)
        out = _empty(len(faces))
        for n, to512 in enumerate(faces.to512):
            mesh = None if faces.mesh is None else on_canvas(faces.mesh[n], to512)
            if mesh is not None and not np.isfinite(mesh).all():
                mesh = None
            shape = whole_face(labels[n], mesh)
            out[n] = np.round(255 * feathered(shape, self.feather))
        return out


def whole_face(labels: Array | None, mesh: Array | None) -> Array:
    """(512, 512) uint8 in {0, 1}: the face, without what covers it.

    labels: the parser's classes (S, S), if known; mesh: (POINTS, 2) on the canvas, if known, which also tells beards
    from other hair. Without either it is an oval."""
    oval = np.zeros((CANVAS, CANVAS), np.uint8)
    if mesh is None:
        cv2.ellipse(oval, (256, 290), (165, 215), 0, 0, 360, 1, -1)
    else:
        outline = np.concatenate([mesh[points.JAW], mesh[points.FOREHEAD]]).astype(np.float32)
        cv2.fillPoly(oval, [np.round(cv2.convexHull(outline)[:, 0]).astype(np.int32)], 1)
    if labels is not None:
        table = np.zeros(256, np.uint8)
        table[list(WHOLE)] = 255
        seen = cv2.LUT(labels, table)
        if mesh is not None:
            beard = cv2.resize(within(mesh, 0.85, 0.5), labels.shape[::-1], interpolation=cv2.INTER_NEAREST)
            seen[(labels == HAIR) & (beard > 0)] = 255
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
        closed = cv2.morphologyEx(cv2.resize(seen, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.MORPH_CLOSE, disc)
        oval &= (cv2.resize(closed, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR) > 127).astype(np.uint8)
    oval[[0, -1]] = 0  # it ends with the canvas, and fades there
    oval[:, [0, -1]] = 0
    return oval


def _empty(count: int) -> Array:
    return np.zeros((count, CANVAS, CANVAS), np.uint8)


def _area(mask: Array) -> Area:
    """The part of the canvas where the mask is, in whole cells of GRID."""
    x, y, width, height = cv2.boundingRect(mask)
    top, left = (v // GRID * GRID for v in (y, x))
    bottom, right = (min(CANVAS, -(-v // GRID) * GRID) for v in (y + height, x + width))
    return slice(top, bottom), slice(left, right)
