"""The part of a frame that a part of the aligned canvas covers, and the maps between them."""

from __future__ import annotations

import cv2
import numpy as np

from .. import geometry
from ..types import Array
from ._coarse import UNIT
from ._paste import Area


class Place:
    """The part of a frame that ``area`` of the canvas covers."""

    def __init__(self, area: Area, to512: Array, end: tuple[int, int], start: tuple[int, int] = (0, 0)) -> None:
        """to512: (2, 3), frame -> canvas; start (x, y) and end (y, x): the part of the frame to stay within."""
        (top, bottom), (left, right) = ((s.start, s.stop) for s in area)
        back = geometry.invert(to512)
        ends = np.array([[x, y] for x in (left - 1, right) for y in (top - 1, bottom)], float) @ back[:, :2].T
        ends += back[:, 2]
        x1, y1 = np.maximum(np.floor(ends.min(0)).astype(int), start).tolist()
        x2, y2 = np.minimum(np.ceil(ends.max(0)).astype(int) + 1, end[::-1]).tolist()
        self.area, self.corner, self.size = area, (x1, y1), (max(0, x2 - x1), max(0, y2 - y1))
        self.to_canvas, self.to_frame = np.asarray(to512, np.float64), back
        self.scale = float(np.hypot(*back[:, 0]))  # frame pixels per canvas pixel

    @property
    def slices(self) -> Area:
        """Rows and columns of the frame."""
        (x, y), (width, height) = self.corner, self.size
        return slice(y, y + height), slice(x, x + width)

    def part(self, area: Area) -> Place:
        """The place of a part of the area, within this one."""
        (x, y), (width, height) = self.corner, self.size
        return Place(area, self.to_canvas, (y + height, x + width), (x, y))

    def placed(self, image: Array, unit: int, border: int = cv2.BORDER_REPLICATE, every: int = 1) -> Array:
        """An image of the area, whose pixels are ``unit`` canvas px wide, as the frame sees it. border: what is beyond
        the area; a mask is nothing there. every: frame px to a pixel that is computed; those between are interpolated,
        in half the time where a frame is much finer than the canvas."""
        shift = np.array([[1.0, 0, self.area[1].start], [0, 1, self.area[0].start]])
        matrix = geometry.compose(self.to_frame, geometry.compose(shift, geometry.scaling(unit)))
        matrix[:, 2] -= self.corner
        (width, height), how = self.size, cv2.INTER_LINEAR
        if every == 1:
            return np.asarray(cv2.warpAffine(image, matrix, self.size, flags=how, borderMode=border))
        few = -(-width // every), -(-height // every)
        matrix = geometry.compose(geometry.scaling(1 / every), matrix)
        small = cv2.warpAffine(image, matrix, few, flags=how, borderMode=border)
        large = cv2.resize(small, (few[0] * every, few[1] * every), interpolation=how)
        return np.asarray(large[:height, :width])

    def turned(self, field: Array) -> Array:
        """A coarse displacement field on the canvas (h, w, 2) as displacements in the frame (H, W, 2)."""
        return self.placed(cv2.transform(field, np.ascontiguousarray(self.to_frame[:, :2])), UNIT)

    def in_frame(self, field: Array) -> Array:
        """A coarse displacement field on the canvas (h, w, 2) as absolute coordinates (H, W, 2) float32 in the
        frame."""
        return np.asarray(cv2.add(self.turned(field), self._pixels()))

    def pictured(self, picture: Array, covers: Area, field: Array) -> Array:
        """(H, W, 3) uint8: a picture of the part ``covers`` of the canvas, displaced by ``field`` (h, w, 2) in canvas
        px and as the frame sees it."""
        shrunk = 1
        while self.scale * shrunk <= 0.5:  # shrinking: average first
            shrunk *= 2
        if shrunk > 1:
            height, width = picture.shape[:2]
            picture = cv2.resize(picture, (width // shrunk, height // shrunk), interpolation=cv2.INTER_AREA)
        shift = np.array([[1.0, 0, -covers[1].start], [0, 1, -covers[0].start]])
        into = geometry.compose(geometry.invert(geometry.scaling(shrunk)), shift)
        places = cv2.transform(self._pixels(), geometry.compose(into, self.to_canvas))
        places += self.placed(field / np.float32(shrunk), UNIT)
        return np.asarray(cv2.remap(picture, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))

    def _pixels(self) -> Array:
        """(H, W, 2) float32: the coordinates (x, y) of each pixel in the frame."""
        (x, y), (width, height) = self.corner, self.size
        across, down = np.arange(x, x + width, dtype=np.float32), np.arange(y, y + height, dtype=np.float32)
        return np.asarray(cv2.merge([cv2.repeat(across[None], height, 1), cv2.repeat(down[:, None], 1, width)]))
