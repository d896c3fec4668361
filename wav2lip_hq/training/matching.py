"""What each of RetinaFace's anchors is to learn from the faces of a picture."""

from __future__ import annotations

import numpy as np

from ..boxes import iou
from ..models.anchors import as_boxes, encode
from ..types import Array


def match(
    boxes: Array, points: Array, sure: Array, anchors: Array, min_iou: float = 0.35
) -> tuple[Array, Array, Array]:
    """Targets of anchors (A, 3) for boxes (N, 4), points (N, 5, 2), sure (N,) bool.

    Returns labels (A,) int8: 1 face, 0 background, -1 ignored (on a face that is not sure); offsets (A, 4); landmark
    offsets (A, 10). An anchor belongs to the face with the largest intersection over union, from ``min_iou`` on; every
    sure face gets at least its best anchor.
    """
    labels = np.zeros(len(anchors), np.int8)
    if not len(boxes):
        return labels, np.zeros((len(anchors), 4), np.float32), np.zeros((len(anchors), 10), np.float32)
    overlap = iou(boxes, as_boxes(anchors))
    owner, quality = overlap.argmax(0), overlap.max(0)
    for n in np.flatnonzero(sure):
        best = int(overlap[n].argmax())
        owner[best], quality[best] = n, 2.0
    hit = quality >= min_iou
    labels[hit & sure[owner]] = 1
    labels[(quality >= 0.2) & ~sure[owner]] = -1
    box, mark = encode(boxes[owner], points[owner], anchors)
    return labels, box, mark
