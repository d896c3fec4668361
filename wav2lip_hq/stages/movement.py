"""Movement: photographs hold their head less still."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from .. import mesh as meshes
from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk
from ._sway import Sway, sway

if TYPE_CHECKING:
    from ..runtime import Runtime

HEAD = (1.18, 1.45, 1.12)  # half width, height above and below the eyes' and mouth's middle, in the face's own measures
FAR = 1.75  # in half axes of the head: what is farther away stays where it is
NECK = 1.1  # from the middle down to what roll turns about, in half axes of the head
DEEP = 0.85  # depth of a face over its half width
LASHES = 0.02  # of an eye's width: what moves with the edge of the lid
SOFT = 0.02  # of an eye's width: half the softness of the edge of the lid


@described
@dataclass(frozen=True)
class Movement(Stage):
    """Small movements of the head, for photographs: the picture is warped smoothly, so that the head turns and nods a
    few degrees. The path depends on the time alone.

    For after ``blend``. It moves what all other stages have made, and only near a face that is synthesized: pixels
    farther from the head than three quarters of its size keep their values. Footage has movements of its own.
    """

    name: ClassVar[str] = "movement"
    whole: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("frames", "pts", "faces.frame", "faces.mesh")
    optional: ClassVar[tuple[str, ...]] = ("faces.track",)
    adds: ClassVar[tuple[str, ...]] = ("frames",)

    amount: float = option(1.0, "How far the head moves; 1 is what people do who speak to a camera.", low=0, high=2)
    blink: bool = option(
        False, "Close the eyelids now and then; right for wide eyes seen from the front, in others slits stay open."
    )

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        faces = chunk.faces
        if faces is None or not len(faces) or faces.mesh is None or (not self.amount and not self.blink):
            return chunk
        frames = chunk.frames.copy()
        alpha = None if chunk.alpha is None else chunk.alpha.copy()
        tracks = np.zeros(len(faces), int) if faces.track is None else faces.track
        known: dict[bytes, Field] = {}  # photographs: one a face
        for at, mesh, track in zip(faces.frame, faces.mesh.astype(np.float64), tracks, strict=True):
            where = sway(float(chunk.pts[at]), int(track))
            if self.blink and where.lids > 0:
                for eye in (meshes.LEFT_EYE, meshes.RIGHT_EYE):
                    blinked(frames[at], mesh[eye], where.lids)
            if self.amount:
                name = mesh.tobytes()
                if name not in known:
                    known[name] = field(mesh, frames.shape[1:])
                for pictures in (frames, alpha):
                    if pictures is not None:
                        known[name].move(pictures[at], where, self.amount)
        return replace(chunk, frames=frames, alpha=alpha)


@dataclass(frozen=True)
class Field:
    """What a degree of each turn does to the pixels near one head. window: (x1, y1, x2, y2). place: (h, w, 2) float32,
    the pixels themselves; yaw, pitch, roll: (h, w, 2) float32, px a degree. near: (h, w) bool, what may move."""

    window: tuple[int, int, int, int]
    place: Array
    yaw: Array
    pitch: Array
    roll: Array
    near: Array

    def move(self, picture: Array, where: Sway, amount: float) -> None:
        """Turn the head in (H, W) or (H, W, 3), in place."""
        x1, y1, x2, y2 = self.window
        if x2 - x1 < 4 or y2 - y1 < 4:
            return
        yaw, pitch, roll = (np.float32(amount * v) for v in (where.yaw, where.pitch, where.roll))
        at = self.place - yaw * self.yaw - pitch * self.pitch - roll * self.roll
        made = cv2.remap(
            np.ascontiguousarray(picture), at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        window = picture[y1:y2, x1:x2]
        window[self.near] = made[self.near]


def field(mesh: Array, shape: tuple[int, ...]) -> Field:
    """The field of the head with these landmarks, (POINTS, 2), in a picture of this shape."""
    across, down, center, size = _head(mesh)
    x1, y1, x2, y2 = _window(across, down, center, size, shape)
    place = np.stack(np.meshgrid(np.arange(x1, x2), np.arange(y1, y2)), -1).astype(np.float64)
    x, y = (place - center) @ across, (place - center) @ down
    # The head as an ellipsoid that faces the camera: its depth is what yaw and pitch move, and it has none at the
    # outline, so that they leave what is behind the head alone.
    far = np.hypot(x / size[0], np.where(y < 0, y / size[1], y / size[2]))
    depth = math.radians(1) * DEEP * size[0] * np.clip(1 - far**2, 0, None) ** 1.5
    # Roll turns the whole head about the neck, and what is around it a little, ever less.
    rest = np.clip((FAR - far) / (FAR - 1), 0, 1)
    rest = math.radians(1) * rest * rest * (3 - 2 * rest)
    turn = (rest * (NECK * size[2] - y))[..., None] * across + (rest * x)[..., None] * down
    yaw, pitch = depth[..., None] * across, -depth[..., None] * down
    moves = [v.astype(np.float32) for v in (place, yaw, pitch, turn)]
    return Field((x1, y1, x2, y2), moves[0], moves[1], moves[2], moves[3], far < FAR)


def blinked(image: Array, ring: Array, closed: float) -> None:
    """Close an eye by ``closed`` (0 to 1), in place. ring: (16, 2), from one corner over the upper lid to the other and
    back: skin from above the lid is stretched down over the eye, and takes the lashes with it."""
    a, b = ring[0], ring[8]
    wide = float(np.linalg.norm(b - a))
    if wide < 6:
        return
    across = (b - a) / wide
    down = np.array([-across[1], across[0]])
    points = (ring - a) @ np.stack([across, down], 1)
    upper, lower = points[:9], points[[8, 15, 14, 13, 12, 11, 10, 9, 0][::-1]]
    above = 0.42 * wide  # how far up skin is stretched
    corners = a + np.array([[-0.1, -1], [1.1, -1], [-0.1, 1], [1.1, 1]]) * wide @ np.stack([across, down])
    x1, y1 = np.floor(corners.min(0)).astype(int) - 2
    x2, y2 = np.ceil(corners.max(0)).astype(int) + 3
    x1, y1, x2, y2 = max(0, x1), max(0, y1), min(image.shape[1], x2), min(image.shape[0], y2)
    if x2 - x1 < 4 or y2 - y1 < 4:
        return
    grid = np.stack(np.meshgrid(np.arange(x1, x2), np.arange(y1, y2)), -1).astype(np.float64) - a
    x, y = grid @ across, grid @ down
    top = np.interp(x, *_sorted(upper)) + LASHES * wide  # the edge of the lid, with its lashes
    gap = np.clip(np.interp(x, *_sorted(lower)) - np.interp(x, *_sorted(upper)), 0, None)
    drop = closed * gap
    # From the skin above, which stays, to the edge, which has come down: straight in between.
    share = np.clip((y - (top - above)) / (above + drop), 0, 1)
    back = drop * share
    lid = cv2.remap(
        np.ascontiguousarray(image), (a[0] + x * across[0] + (y - back) * down[0]).astype(np.float32),
        (a[1] + x * across[1] + (y - back) * down[1]).astype(np.float32), cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    soft = max(0.7, SOFT * wide)
    cover = np.clip((top + drop - y) / (2 * soft) + 0.5, 0, 1) * np.clip(drop / 0.5, 0, 1)
    window = image[y1:y2, x1:x2]
    mixed = window + (lid.astype(np.float64) - window) * cover[..., None]
    window[:] = np.clip(np.rint(mixed), 0, np.iinfo(image.dtype).max).astype(image.dtype)


def _sorted(points: Array) -> tuple[Array, Array]:
    order = np.argsort(points[:, 0])
    return points[order, 0], points[order, 1]


def _head(mesh: Array) -> tuple[Array, Array, Array, tuple[float, float, float]]:
    """(across, down, center, half axes) of the head: unit vectors, px, and px to the side, up and down."""
    left, right = mesh[meshes.LEFT_EYE].mean(0), mesh[meshes.RIGHT_EYE].mean(0)
    across = (right - left) / max(1e-6, float(np.linalg.norm(right - left)))
    down = np.array([-across[1], across[0]])
    outline = np.concatenate([mesh[meshes.JAW], mesh[meshes.FOREHEAD]])
    x, y = outline @ across, outline @ down
    half = (x.max() - x.min()) / 2
    middle = (left + right) @ down / 2
    middle += 0.25 * (y.max() - middle)
    center = across * (x.max() + x.min()) / 2 + down * middle
    up, low = middle - y.min(), y.max() - middle
    return across, down, center, (HEAD[0] * half, HEAD[1] * up, HEAD[2] * low)


def _window(
    across: Array, down: Array, center: Array, size: tuple[float, float, float], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    reach = FAR * np.array([[x, y] for x in (-size[0], size[0]) for y in (-size[1], size[2])])
    corners = center + reach @ np.stack([across, down])
    low = np.clip(np.floor(corners.min(0)).astype(int), 0, [shape[1], shape[0]])
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, [shape[1], shape[0]])
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
