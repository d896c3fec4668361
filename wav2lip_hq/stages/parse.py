"""Parse: the blending mask, from a segmentation of the face."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from ..engine import Stage
from ..errors import StageError
from ..models import imagenet
from ..options import described, option
from ..types import Array, Chunk, Faces, Reason
from ._covers import brought, clear, clothes, lips_end
from ._outline import lower_face, on_canvas, within
from ._overshoot import overshoots, trusted
from ._paste import CANVAS, Area, painted_part, to_canvas

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime import Runtime

# Classes of CelebAMask-HQ in the order of the widely used BiSeNet weights (zllrunning's 79999_iter).
BACKGROUND, SKIN, GLASSES, NOSE, MOUTH, UPPER_LIP, LOWER_LIP = 0, 1, 6, 10, 11, 12, 13
CLOTH, HAIR, HAT = 16, 17, 18
REGIONS = {
    "mouth": (MOUTH, UPPER_LIP, LOWER_LIP),
    "lower-face": (SKIN, NOSE, MOUTH, UPPER_LIP, LOWER_LIP),
    "face": (SKIN, NOSE, MOUTH, UPPER_LIP, LOWER_LIP),
}
# Flags of a pixel's class. AMBIGUOUS: background and cloth, which is also what parsers call hands and microphones.
REGION, OCCLUDER, AMBIGUOUS, IS_HAIR = 1, 2, 4, 8
LIPS_SIDE = CANVAS // 4  # of the lips' masks, px; that of blend's coarse pictures
MASK_WINDOW = 2  # frames to either side over which the mask is averaged


@described
@dataclass(frozen=True)
class Parse(Stage):
    """Build the blending mask. Adds ``mask``: (N, 512, 512) uint8, 255 = take the synthesized face, and ``lips``:
    (N, 2, 128, 128) uint8, 255 = lips, in the source and in the synthesized face (empty where they are not needed).

    With target landmarks (``faces.target``) the mask is the outline of the lower face, before and after it is moved.
    Otherwise it is the union of the region in the source and in the synthesized face, so that a lowered jaw is covered
    either way, within the part that the generator painted. Occluders are left out (hair, glasses, hat; hands and
    microphones as far as the classes show them). The mask is feathered, and averaged over neighboring frames of the
    track.

    Where landmarks put the mouth of a turned head beside the lips that are seen, the head is turned further than they
    say: ``faces.strength`` falls, and at 0 the face is moved to ``left``.
    """

    name: ClassVar[str] = "parse"
    reads: ClassVar[tuple[str, ...]] = ("faces.frame", "faces.track", "faces.aligned", "faces.to512")
    optional: ClassVar[tuple[str, ...]] = (
        "left",
        "faces.pose",
        "faces.strength",
        "faces.mesh",
        "faces.target",
        "faces.synced",
        "faces.synced96",
        "faces.to96",
    )
    adds: ClassVar[tuple[str, ...]] = ("faces.mask", "faces.lips", "faces.strength", "left")
    fits: ClassVar[tuple[str, ...]] = ("bisenet_79999_iter",)

    model: str = option(
        "embedded-parser",
        'The face parser, a BiSeNet checkpoint; "" uses none, and the plain shape of the lower face as the mask, hair '
        "and hands over it included.",
    )
    region: str = option(
        "lower-face",
        "What may be replaced of a generated face: chin and cheeks move with the mouth, and a mask of the mouth alone "
        "shows a seam. The mask of a face that is moved is always the outline of the lower face.",
        choices=tuple(REGIONS),
    )
    feather: float = option(
        14.0,
        "Width of the mask's soft edge in the aligned 512 px face; it should be wider than skin texture and narrower "
        "than the chin.",
        unit="px",
        low=0,
        high=100,
    )
    size: int = option(
        256,
        "Side of the parser's input; 512 follows fine outlines a little better and costs four times as much.",
        unit="px",
        choices=(128, 256, 512),
    )

    # Heads turned by less than 30 degrees are below 0.23 in 99 of 100 frames, profiles above 0.3 (38 clips, 25 people).
    max_beyond: float = option(
        0.38,
        "Turned faces are left as they are where landmarks put more than this share of the mouth's width beyond the "
        "lips that are seen; more admits profiles.",
        low=0.1,
        high=1,
    )

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,) if self.model else ()

    @property
    def lookahead(self) -> int:
        """Frames the temporal average waits for."""
        return MASK_WINDOW

    @property
    def context(self) -> int:
        """Frames before a span that the temporal average looks at."""
        return MASK_WINDOW

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Masks of single frames first, then the average over neighboring frames of each track."""
        waiting: deque[Chunk] = deque()
        rows: deque[dict[int, tuple[Array, float]]] = deque()  # for each frame: track -> mask, overshoot
        past: deque[dict[int, tuple[Array, float]]] = deque(maxlen=MASK_WINDOW)

        def ready(final: bool) -> Iterator[Chunk]:
            while waiting and (final or len(rows) >= len(waiting[0]) + MASK_WINDOW):
                chunk = waiting.popleft()
                assert chunk.faces is not None and chunk.faces.track is not None
                masks = np.zeros((len(chunk.faces), CANVAS, CANVAS), np.uint8)
                trust = np.ones(len(chunk.faces), np.float32)
                for i in range(len(chunk)):
                    window = [*past, *list(rows)[: MASK_WINDOW + 1]]
                    for n in np.flatnonzero(chunk.faces.frame == i):
                        track = int(chunk.faces.track[n])
                        found = [w[track] for w in window if track in w]
                        masks[n] = _mean([mask for mask, _ in found])
                        if chunk.faces.pose is not None:
                            yaw, far = float(chunk.faces.pose[n, 0]), [far for _, far in found]
                            trust[n] = trusted(far, yaw, self.max_beyond)
                    past.append(rows.popleft())
                if chunk.active is not None:  # the average must not reach into frames without speech
                    masks[~chunk.active[chunk.faces.frame]] = 0
                yield chunk.with_faces(mask=masks).faded(trust, Reason.BESIDE)

        for chunk in chunks:
            assert chunk.faces is not None and chunk.faces.track is not None
            made, lips, far = self._masks(chunk, runtime)
            for i in range(len(chunk)):
                there = np.flatnonzero(chunk.faces.frame == i).tolist()
                rows.append({int(chunk.faces.track[n]): (made[n], float(far[n])) for n in there})
            waiting.append(chunk.with_faces(lips=lips))
            yield from ready(False)
        yield from ready(True)

    def _masks(self, chunk: Chunk, runtime: Runtime) -> tuple[Array, Array, Array]:
        """(N, 512, 512) uint8 masks of single frames, the lips, and (N,) float64 the overshoot of the landmarks."""
        faces = chunk.faces
        assert faces is not None and faces.aligned is not None and faces.to512 is not None
        lips = np.zeros((len(faces), 2, LIPS_SIDE, LIPS_SIDE), np.uint8)
        far = np.full(len(faces), np.nan)
        if not len(faces):
            return np.zeros((0, CANVAS, CANVAS), np.uint8), lips, far
        before = classes(faces.aligned, runtime, self.model, self.size) if self.model else None
        if faces.mesh is not None and faces.target is not None:
            if self.region != "lower-face":
                runtime.warn(
                    f"parse.region={self.region} has no effect where faces are moved: the mask is the lower face's "
                    "outline there; for another shape, put a stage of your own in place of parse"
                )
            if before is not None:
                far = overshoots(faces, np.isin(before, REGIONS["mouth"]))
            return self._outlines(faces, before), lips, far
        if faces.synced is None or faces.synced96 is None or faces.to96 is None:
            raise StageError("stage 'parse' has neither landmarks with a target nor a generated face to look at")
        if before is not None:
            after = classes(faces.synced, runtime, self.model, self.size)
            shape, lips = self._shapes(before, after), _lips(before, after)
        else:
            shape = np.broadcast_to(default_shape(), (len(faces), CANVAS, CANVAS))
        masks = np.zeros(shape.shape, np.uint8)
        for n, matrix in enumerate(to_canvas(faces.to96, faces.to512)):
            area, where = painted_part(matrix, faces.synced96.shape[1])
            if where.size:
                masks[n][area] = np.round(255 * feathered(shape[n], self.feather, area) * where)
        return masks, lips, far

    def _outlines(self, faces: Faces, before: Array | None) -> Array:
        """(N, 512, 512) uint8 masks from landmarks. before: the source's classes (N, S, S), to leave out occluders."""
        assert faces.mesh is not None and faces.target is not None and faces.to512 is not None
        out = np.zeros((len(faces), CANVAS, CANVAS), np.uint8)
        for n, to512 in enumerate(faces.to512):
            mesh, target = (on_canvas(m[n], to512) for m in (faces.mesh, faces.target))
            if not (np.isfinite(mesh).all() and np.isfinite(target).all()):
                continue
            shape = lower_face(mesh, target)
            if before is not None:
                covers, front = self._occluders(before[n], mesh)
                end = lips_end(mesh)
                covers[:end] |= brought(covers[:end], mesh, target)
                front[:end] = 0
                shape = shape & ~covers
            x, y, width, height = cv2.boundingRect(shape)
            area = slice(y, y + height), slice(x, x + width)
            soft = feathered(shape, self.feather, area)
            if before is not None:
                soft *= clear(front, mesh, target, area)
            out[n][area] = np.round(255 * soft)
        return out

    def _shapes(self, before: Array, after: Array) -> Array:
        """(N, 512, 512) uint8 in {0, 1}: region minus occluders, from the classes of source and synthesized faces."""
        wanted = np.zeros(256, np.uint8)
        wanted[list(REGIONS[self.region])] = 1
        wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (31, 31))
        out = np.empty((len(before), CANVAS, CANVAS), np.uint8)
        for n in range(len(before)):
            # Mouth lines and shadows under the chin flip single pixels: close small holes, keep the outline.
            both = cv2.LUT(before[n], wanted) | cv2.LUT(after[n], wanted)
            region = _scaled(_closed(both, CANVAS // 2, 15), CANVAS)
            if self.region == "mouth":
                region = cv2.dilate(region, wide)
            out[n] = region & ~self._occluders(before[n])[0]
        return out

    def _occluders(self, source: Array, mesh: Array | None = None) -> tuple[Array, Array]:
        """(512, 512) uint8 in {0, 1}: what covers the face, from the source's classes (S, S), and that without hair.

        mesh: (POINTS, 2) on the canvas, if known. It tells beards from hair that hangs into the face, and hands and
        microphones (which a parser calls background or cloth) from what is below the chin. Beside the face, what the
        parser calls background counts even where the landmarks say face: those of turned heads lie beyond the
        silhouette. Without a mesh, background and cloth enclosed by the face count as occluders.
        """
        table = np.zeros(256, np.uint8)
        table[list(REGIONS[self.region])] |= REGION
        table[HAIR] |= IS_HAIR
        table[[GLASSES, HAT]] |= OCCLUDER
        table[[BACKGROUND, CLOTH]] |= AMBIGUOUS
        near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
        flags = cv2.LUT(source, table)
        hair = (flags & IS_HAIR) // IS_HAIR
        kept = np.zeros_like(hair)
        if mesh is None:
            face = _scaled(_closed(flags & REGION, CANVAS // 4, 17), self.size)
        else:
            face, beard = within(mesh, 0.9), within(mesh, 0.85, 0.5)
            # Down to the lower lip nothing but the face itself moves; the chin moves over what is behind it.
            face[: lips_end(mesh)] = 1
            shapes = face, beard, within(mesh, 1.0)
            face, beard, inside = (cv2.resize(x, hair.shape[::-1], interpolation=cv2.INTER_NEAREST) for x in shapes)
            hair &= 1 - beard
            kept = clothes(np.asarray(source == CLOTH, np.uint8), inside, near)
        ambiguous = np.where(flags & AMBIGUOUS, face, 0).astype(np.uint8)
        things = kept | (flags & OCCLUDER) // OCCLUDER | cv2.morphologyEx(ambiguous, cv2.MORPH_OPEN, near)
        front = np.asarray(cv2.dilate(_scaled(things, CANVAS), near))
        return front | np.asarray(cv2.dilate(_scaled(hair, CANVAS), near)), front


def _lips(before: Array, after: Array) -> Array:
    """(N, 2, 128, 128) uint8 from classes (N, S, S): coverage of each pixel by lips, 255 = all of it."""
    table = np.zeros(256, np.uint8)
    table[[UPPER_LIP, LOWER_LIP]] = 255
    small = [
        [cv2.resize(cv2.LUT(x, table), (LIPS_SIDE, LIPS_SIDE), interpolation=cv2.INTER_AREA) for x in pair]
        for pair in zip(before, after, strict=True)
    ]
    return np.asarray(small, np.uint8)


def _mean(masks: list[Array]) -> Array:
    """Mean of uint8 pictures."""
    if len(masks) == 1:
        return masks[0]
    total = masks[0].astype(np.float32)
    for mask in masks[1:]:
        cv2.accumulate(mask, total)
    return np.asarray(cv2.convertScaleAbs(total, alpha=1 / len(masks)))


def _scaled(mask: Array, side: int) -> Array:
    """A {0, 1} mask at another size with a smooth outline."""
    if mask.shape[0] == side:
        return mask
    large = cv2.resize(mask * np.uint8(255), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.threshold(large, 128, 1, cv2.THRESH_BINARY)[1])


def _closed(mask: Array, side: int, width: int) -> Array:
    """A {0, 1} mask at size ``side`` after a morphological closing with a disc of ``width`` px.

    Large discs are slow on large pictures: prefer a smaller side to a larger width.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return np.asarray(cv2.morphologyEx(_scaled(mask, side), cv2.MORPH_CLOSE, disc))


def feathered(mask: Array, width: float, area: Area = (slice(0, CANVAS), slice(0, CANVAS))) -> Array:
    """The ``area`` of a mask with a soft edge, float32: 0 outside the mask, 1 deeper in it than about ``width`` px."""
    if width <= 0:
        return np.asarray(mask[area], np.float32)
    # Pixels further away than edge and blur reach have no influence.
    reach = int(2 * width) + 8
    (y1, y2), (x1, x2) = ((max(0, s.start - reach), min(CANVAS, s.stop + reach)) for s in area)
    inside = (mask[y1:y2, x1:x2] > 0.5).astype(np.uint8)
    # Beyond the canvas is outside.
    ringed = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(ringed, cv2.DIST_L2, 3)[1:-1, 1:-1]
    x = np.minimum(depth / np.float32(width), 1)
    soft = cv2.GaussianBlur(x * x * (3 - 2 * x), (0, 0), max(width / 6, 0.8)) * inside
    return np.asarray(soft[area[0].start - y1 : area[0].stop - y1, area[1].start - x1 : area[1].stop - x1])


def default_shape() -> Array:
    """(512, 512) float32 in {0, 1}: cheeks, mouth and chin of the FFHQ template."""
    shape = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.ellipse(shape, (256, 350), (130, 150), 0, 0, 360, 1, -1)
    shape[:290] = 0
    return shape.astype(np.float32)


def classes(images: Array, runtime: Runtime, name: str, size: int) -> Array:
    """(N, size, size) uint8 class of every pixel of faces (N, 512, 512, 3) uint8 RGB."""
    import torch

    model = runtime.model(name, expect="bisenet_79999_iter")
    small = np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images])

    def run(pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (imagenet.MEAN, imagenet.STD))
        x = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
        labels: Tensor = model(x, method="parse").argmax(1)
        return labels.to(torch.uint8)

    return np.asarray(runtime.map(run, small))
