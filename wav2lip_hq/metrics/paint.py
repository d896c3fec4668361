"""Changes of a result where speech does not move the face ("paint off the mouth"). This project's own measure.

Two regions of MediaPipe's mesh are used. The mouth's: lips, chin and the skin between nose and jaw that moves with
them. The lower face: everything from the lower eyelids to the jaw. Changes on the cheeks (say, a second mouth on a
turned head) are outside the first, changes of neck or background outside both.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..errors import InputError
from ..mesh import INDICES, JAW, OUTER_LIPS
from ..types import Array
from .mouth import eye_distance

LIPS = INDICES[OUTER_LIPS]
CHIN = (172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397)
NOSE = (98, 97, 2, 326, 327)
MOUTH = (*LIPS, *CHIN, *NOSE)  # its convex hull
LOWER_FACE = (
    INDICES[JAW]
    + (345, 346, 347, 348, 349, 350, 197, 121, 120, 119, 118, 117, 116)  # below the eyes, back to the other ear
)
GROWN = 0.12  # eye distances by which a region is dilated, for soft borders
LEAST = 8.0  # 8-bit steps: smaller changes are the codec's
SIDE = 256  # px: pictures of larger faces are shrunk to it, so that all are measured at one size
REACH = 0.6  # sides of the face: margin around it that is measured


def mouth_region(mesh: Array, shape: tuple[int, int]) -> Array:
    """(H, W) bool: the mouth's own region of one mesh (468, 2 or 3) in pixels of a picture of ``shape`` (H, W)."""
    points = np.asarray(mesh, np.float64)[list(MOUTH), :2]
    return _filled(cv2.convexHull(points.astype(np.float32))[:, 0], mesh, shape)


def lower_face(mesh: Array, shape: tuple[int, int]) -> Array:
    """(H, W) bool: everything of one mesh (468, 2 or 3) from the lower eyelids to the jaw."""
    return _filled(np.asarray(mesh, np.float64)[list(LOWER_FACE), :2], mesh, shape)


def _filled(outline: Array, mesh: Array, shape: tuple[int, int]) -> Array:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.round(outline).astype(np.int32)], 1)
    by = max(1, round(GROWN * float(eye_distance(np.asarray(mesh)[None])[0])))
    return np.asarray(cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))) > 0)


def changed(frame: Array, source: Array) -> Array:
    """(H, W) float32: by how many 8-bit steps two (H, W, 3) uint8 frames differ, the most of the three colors, softened
    over three pixels so that noise does not count as paint."""
    difference = cv2.GaussianBlur(frame.astype(np.float32) - source.astype(np.float32), (0, 0), 1.0)
    return np.asarray(np.abs(difference).max(2))


class Paint:
    """Accumulates the changes of a result around the face, frame by frame.

    ``off_mouth`` and ``off_face``: root mean square in 8-bit steps of the changes outside the mouth's region and
    outside the lower face; >= 0, lower is better, None before the first frame. Changes under 8 steps count as none: a
    codec makes them everywhere. ``peak``: the largest change outside the mouth's region in 8-bit steps, without that
    limit; lower is better.
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.energy = np.zeros(2)  # off the mouth, off the face
        self.pixels = np.zeros(2)
        self.peak = 0.0

    def add(self, frame: Array, source: Array, *meshes: Array) -> None:
        """Add a frame of the result and of the source, (H, W, 3) uint8, and the meshes (468, 2 or 3) of the face in
        both; the regions are the unions of both. A frame without a finite mesh is left out. Raises InputError for
        frames of different shapes."""
        if frame.shape != source.shape:
            raise InputError(f"frames differ in shape: {frame.shape} and {source.shape}")
        meshes = tuple(m for m in meshes if np.isfinite(m).all())
        if not meshes:
            return
        points = np.concatenate([np.asarray(m, np.float64)[:, :2] for m in meshes])
        low, high = points.min(0), points.max(0)
        pad = REACH * float((high - low).max())
        height, width = source.shape[:2]
        (x1, y1), (x2, y2) = np.floor(low - pad).astype(int), np.ceil(high + pad).astype(int)
        x1, y1, x2, y2 = max(0, int(x1)), max(0, int(y1)), min(width, int(x2)), min(height, int(y2))
        if x2 - x1 < 2 or y2 - y1 < 2:  # the face lies outside the picture
            return
        scale = min(1.0, SIDE / max(x2 - x1, y2 - y1))
        size = max(2, round((x2 - x1) * scale)), max(2, round((y2 - y1) * scale))
        result, real = (cv2.resize(f[y1:y2, x1:x2], size, interpolation=cv2.INTER_AREA) for f in (frame, source))
        change = changed(result, real)
        near, face = np.zeros(change.shape, bool), np.zeros(change.shape, bool)
        for mesh in meshes:
            local = (np.asarray(mesh, np.float64)[:, :2] - (x1, y1)) * scale
            near |= mouth_region(local, change.shape)
            face |= lower_face(local, change.shape)
        energy = np.where(change >= LEAST, change, 0).astype(np.float64) ** 2
        for n, off in enumerate((~near, ~(near | face))):
            self.energy[n] += float(energy[off].sum())
            self.pixels[n] += int(off.sum())
        self.peak = max(self.peak, float(change[~near].max(initial=0)))

    def merge(self, other: Paint) -> None:
        """Add another part's frames."""
        self.energy += other.energy
        self.pixels += other.pixels
        self.peak = max(self.peak, other.peak)

    def compute(self) -> dict[str, float | None]:
        """``off_mouth``, ``off_face`` and ``peak``."""
        if not self.pixels.all():
            return {"off_mouth": None, "off_face": None, "peak": None}
        off_mouth, off_face = np.sqrt(self.energy / self.pixels)
        return {"off_mouth": float(off_mouth), "off_face": float(off_face), "peak": self.peak}
