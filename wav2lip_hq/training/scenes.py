"""Training scenes for the detector, composed at random: faces of any size, position, angle and light on backgrounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..types import Array
from .data_images import spoil, tone
from .facepack import Picture
from .teachers import MIRROR
from .turning import turned


@dataclass
class Faces:
    """Labels of a scene: boxes (N, 4), points (N, 5, 2), sure (N,)."""

    boxes: Array
    points: Array
    sure: Array

    @staticmethod
    def none() -> Faces:
        return Faces(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, bool))

    def add(self, other: Faces) -> Faces:
        return Faces(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.points, other.points]),
            np.concatenate([self.sure, other.sure]),
        )

    def at(self, keep: Array) -> Faces:
        return Faces(self.boxes[keep], self.points[keep], self.sure[keep])


Rect = tuple[int, int, int, int]


def move(faces: Faces, matrix: Array) -> Faces:
    """Labels under an affine map (2, 3) of edge-counted coordinates; a tilted box bounds its inscribed ellipse."""
    if not len(faces.boxes):
        return faces
    linear, shift = matrix[:, :2], matrix[:, 2]
    center = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 @ linear.T + shift
    half = (faces.boxes[:, 2:] - faces.boxes[:, :2]) / 2
    reach = np.sqrt((half[:, None, :] ** 2 * linear[None] ** 2).sum(-1))
    points = faces.points @ linear.T + shift
    if np.linalg.det(linear) < 0:
        points = points[:, MIRROR]
    boxes = np.concatenate([center - reach, center + reach], 1)
    return Faces(boxes.astype(np.float32), points.astype(np.float32), faces.sure.copy())


def covered(boxes: Array, rect: Sequence[float]) -> Array:
    """(N,) share of each box that lies in a rectangle."""
    top, bottom = np.maximum(boxes[:, :2], rect[:2]), np.minimum(boxes[:, 2:], rect[2:])
    area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    out: Array = np.clip(bottom - top, 0, None).prod(1) / area
    return out


class Painter:
    """Composes scenes of pictures. smallest: side in px below which faces are not trained on; turn: share of faces that
    are turned sideways (see ``turning``)."""

    def __init__(self, pictures: list[Picture], smallest: float = 12.0, turn: float = 0.0) -> None:
        self.pictures, self.smallest, self.turn = pictures, smallest, turn
        groups: dict[str, list[Picture]] = {}
        for picture in pictures:
            if picture.sure.any():
                groups.setdefault(_group(picture), []).append(picture)
        self.groups = list(groups.values())
        # A folder of photographs shows many people, a clip one person in many frames.
        weight = np.array([len(g) if "#" not in g[0].name else 14.0 for g in self.groups], float)
        self.p = weight / weight.sum()
        self.empty = [p for p in pictures if not len(p.boxes)]

    def pick(self, rng: np.random.Generator) -> Picture:
        group = self.groups[int(rng.choice(len(self.groups), p=self.p))]
        return group[int(rng.integers(len(group)))]

    # ---- background

    def patch(self, rng: np.random.Generator, w: int, h: int) -> Array | None:
        """A part of a picture with hardly any face in it; None if none was found."""
        for _ in range(4):
            with_faces = not self.empty or rng.random() < 0.6
            picture = self.pick(rng) if with_faces else self.empty[int(rng.integers(len(self.empty)))]
            ih, iw = picture.image.shape[:2]
            f = float(np.exp(rng.uniform(np.log(0.1), np.log(0.9))))
            pw, ph = max(16, int(iw * f)), max(16, int(iw * f * h / w))
            if ph >= ih or pw >= iw:
                continue
            x, y = int(rng.integers(iw - pw)), int(rng.integers(ih - ph))
            if len(picture.boxes) and covered(picture.boxes, (x, y, x + pw, y + ph)).max() > 0.04:
                continue
            part = picture.image[y : y + ph, x : x + pw]
            how = cv2.INTER_AREA if pw > w else cv2.INTER_LINEAR
            part = cv2.resize(part, (w, h), interpolation=how)
            return np.ascontiguousarray(part[:, ::-1]) if rng.random() < 0.5 else part
        return None

    def background(self, rng: np.random.Generator, w: int, h: int) -> Array:
        """(h, w, 3) uint8."""
        kind = rng.random()
        if kind < 0.6:
            part = self.patch(rng, w, h)
            if part is not None:
                return part
        if kind < 0.8:  # a strongly defocused picture
            image = cv2.resize(self.pick(rng).image, (w, h), interpolation=cv2.INTER_AREA)
            wide = (w // 3 | 1, h // 3 | 1)
            return np.asarray(cv2.blur(cv2.blur(image, wide), wide))
        coarse = rng.integers(0, 256, (int(rng.integers(1, 5)), int(rng.integers(1, 5)), 3), dtype=np.uint8)
        if kind < 0.9:
            coarse = rng.integers(0, 256, (int(rng.integers(6, 40)), int(rng.integers(6, 40)), 3), dtype=np.uint8)
        return np.asarray(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR))

    # ---- faces

    def place(self, rng: np.random.Generator, canvas: Array, rect: Rect, side: float) -> Faces:
        """Paint a picture into a rectangle so that one of its faces measures about ``side`` px."""
        x0, y0, x1, y1 = rect
        w, h = x1 - x0, y1 - y0
        picture = self.pick(rng)
        faces = Faces(picture.boxes, picture.points, picture.sure)
        number = int(rng.choice(np.flatnonzero(faces.sure)))
        chosen, image = faces.boxes[number], picture.image
        if self.turn and rng.random() < self.turn:
            points = faces.points.copy()
            image, points[number] = turned(image, chosen, points[number], np.radians(rng.normal(0, 20)))
            faces = Faces(faces.boxes, points, faces.sure)
        size = np.sqrt(np.prod(chosen[2:] - chosen[:2]))
        scale = side / size
        f = min(1.0, 2 * scale)
        if f < 0.75:  # shrink by area first, against aliasing
            image = cv2.resize(image, None, fx=f, fy=f, interpolation=cv2.INTER_AREA)
        fx, fy = image.shape[1] / picture.image.shape[1], image.shape[0] / picture.image.shape[0]
        angle = np.radians(rng.normal(0, 10) if rng.random() < 0.85 else rng.uniform(-45, 45))
        stretch = np.exp(rng.normal(0, 0.06))
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        c, s = np.cos(angle), np.sin(angle)
        linear = scale * np.array([[c, -s], [s, c]]) @ np.diag([mirror * stretch, 1 / stretch])
        center = linear @ ((chosen[:2] + chosen[2:]) / 2)
        # Mostly inside, sometimes cut by the edge.
        slack = max(0.0, 0.5 if rng.random() < 0.8 else 0.25) * side
        goal = [rng.uniform(min(slack, d / 2), max(d - slack, d / 2)) for d in (w, h)]
        matrix = np.concatenate([linear, (np.array(goal) - center)[:, None]], 1)
        pixels = matrix @ np.array([[1 / fx, 0, 0], [0, 1 / fy, 0], [0, 0, 1]])
        pixels[:, 2] += pixels[:, :2] @ np.array([0.5, 0.5]) - 0.5  # from edges to pixel centers
        cell = np.ascontiguousarray(canvas[y0:y1, x0:x1])
        border = int(rng.choice([cv2.BORDER_TRANSPARENT, cv2.BORDER_TRANSPARENT, cv2.BORDER_REPLICATE]))
        if border == cv2.BORDER_REPLICATE:
            cell = cv2.warpAffine(image, pixels, (w, h), flags=cv2.INTER_LINEAR, borderMode=border)
        else:
            cv2.warpAffine(image, pixels, (w, h), dst=cell, flags=cv2.INTER_LINEAR, borderMode=border)
        canvas[y0:y1, x0:x1] = cell
        moved = move(faces, matrix)
        seen = covered(moved.boxes, (0, 0, w, h))
        small = np.sqrt((moved.boxes[:, 2:] - moved.boxes[:, :2]).prod(1)) < self.smallest * 0.9
        moved.sure &= (seen > 0.6) & ~small
        moved = moved.at(seen > 0.12)
        moved.boxes += np.array([x0, y0, x0, y0], np.float32)
        moved.points += np.array([x0, y0], np.float32)
        return moved

    def side(self, rng: np.random.Generator, limit: float) -> float:
        """A face's side in px, log-uniform."""
        return float(np.exp(rng.uniform(np.log(self.smallest), np.log(max(limit, self.smallest * 1.5)))))

    def scene(self, rng: np.random.Generator, size: int) -> tuple[Array, Faces]:
        """A (size, size, 3) uint8 RGB picture and its labels."""
        canvas = np.ascontiguousarray(self.background(rng, size, size))
        faces = Faces.none()
        kind = rng.random()
        if kind < 0.5:
            # Larger faces more often, as in real clips.
            side = self.side(rng, 0.95 * size) if rng.random() < 0.5 else rng.uniform(0.15, 0.95) * size
            faces = self.place(rng, canvas, (0, 0, size, size), side)
        elif kind < 0.72:
            x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * size)
            for rect in ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)):
                if rng.random() < 0.8:
                    limit = 0.9 * min(rect[2] - rect[0], rect[3] - rect[1])
                    faces = faces.add(self.place(rng, canvas, rect, self.side(rng, limit)))
        elif kind < 0.95:
            for _ in range(int(rng.integers(1, 6))):
                w, h = (int(v) for v in rng.uniform(0.15, 0.6, 2) * size)
                x, y = int(rng.integers(size - w)), int(rng.integers(size - h))
                rect = (x, y, x + w, y + h)
                hidden = covered(faces.boxes, rect)
                faces.sure &= hidden < 0.25
                faces = faces.at(hidden < 0.8)
                faces = faces.add(self.place(rng, canvas, rect, self.side(rng, 0.9 * min(w, h))))
        if rng.random() < 0.15 and len(faces.boxes):
            self.occlude(rng, canvas, faces)
        return spoil(tone(canvas, rng), rng), faces

    def occlude(self, rng: np.random.Generator, canvas: Array, faces: Faces) -> None:
        """Something in front of part of a face: a bar or a patch of another picture."""
        x1, y1, x2, y2 = faces.boxes[int(rng.integers(len(faces.boxes)))]
        w, h = (x2 - x1) * rng.uniform(0.15, 0.6), (y2 - y1) * rng.uniform(0.1, 0.4)
        x, y = rng.uniform(x1, x2 - w), rng.uniform(y1, y2 - h)
        ax, ay = max(0, int(x)), max(0, int(y))
        bx, by = min(canvas.shape[1], int(x + w)), min(canvas.shape[0], int(y + h))
        if bx - ax < 2 or by - ay < 2:
            return
        part = self.patch(rng, bx - ax, by - ay) if rng.random() < 0.6 else None
        canvas[ay:by, ax:bx] = rng.integers(0, 256, 3, dtype=np.uint8) if part is None else part


def _group(picture: Picture) -> str:
    """A clip's or a photo folder's name; GRID speakers by folder."""
    folder, _, name = picture.name.partition("/")
    return folder if "#" not in name or folder not in ("talking", "sync_reference") else name.split("#")[0]
