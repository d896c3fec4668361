"""The matte: which share of each pixel of a frame is the synthesized face's."""

from __future__ import annotations

import cv2
import numpy as np

from ..types import Array, Chunk
from ._place import Place
from ._spoken import EDGE

FULL = 65535


def matte(chunk: Chunk, before: Array | None = None) -> Array:
    """(T, H, W) uint16: 0 = the footage's pixel, 65535 = the synthesized face's, where ``chunk.faces`` were written.

    Needs ``faces.mask`` and ``faces.to512``, without which it is empty. before: another voice's matte of the same
    frames, to which this one's is added.
    """
    out = np.zeros(chunk.frames.shape[:3], np.uint16) if before is None else before.copy()
    faces = chunk.faces
    if faces is None or faces.mask is None or faces.to512 is None:
        return out
    for n, i in enumerate(faces.frame.tolist()):
        left, top, width, height = cv2.boundingRect(faces.mask[n])
        area = slice(top, top + height), slice(left, left + width)
        place = Place(area, faces.to512[n], out.shape[1:])
        if min(width, height, *place.size) < 1:
            continue
        soft = faces.mask[n][area].astype(np.float32) / 255
        share = np.minimum(place.placed(soft, 1, cv2.BORDER_CONSTANT) / EDGE, 1)
        part = out[i][place.slices]
        part[:] = np.maximum(part, np.round(share * FULL).astype(np.uint16))
    return out
