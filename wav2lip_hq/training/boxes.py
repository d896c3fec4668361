"""RetinaFace's arithmetic: priors, encoding, decoding, matching, non-maximum suppression. numpy, no torch.

Boxes are x1, y1, x2, y2 in pixels counted from the image's left and top edge; landmarks (5, 2) likewise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..types import Array

STRIDES = (8, 16, 32)
SIZES = ((16, 32), (64, 128), (256, 512))  # facexlib's; two square priors per cell and stride
VARIANCE = (0.1, 0.2)


def priors(height: int, width: int, sizes: Sequence[Sequence[int]] = SIZES) -> Array:
    """(A, 4) float32 center x, center y, width, height, in facexlib's order."""
    out = []
    for stride, pair in zip(STRIDES, sizes, strict=True):
        y, x = np.mgrid[: -(-height // stride), : -(-width // stride)].astype(np.float32)
        center = np.repeat(np.stack([x, y], -1).reshape(-1, 1, 2) + 0.5, len(pair), 1) * stride
        side = np.broadcast_to(np.array(pair, np.float32)[None, :, None], (*center.shape[:2], 2))
        out.append(np.concatenate([center, side], -1).reshape(-1, 4))
    return np.concatenate(out).astype(np.float32)


def corners(centered: Array) -> Array:
    """Center form -> x1, y1, x2, y2."""
    half = centered[..., 2:] / 2
    return np.concatenate([centered[..., :2] - half, centered[..., :2] + half], -1)


def encode(boxes: Array, points: Array, anchors: Array) -> tuple[Array, Array]:
    """Offsets (A, 4) and (A, 10) that the network is to output for boxes (A, 4) and landmarks (A, 5, 2)."""
    center, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    shift = (center - anchors[:, :2]) / (VARIANCE[0] * anchors[:, 2:])
    grow = np.log(np.maximum(side, 1e-3) / anchors[:, 2:]) / VARIANCE[1]
    marks = (points - anchors[:, None, :2]) / (VARIANCE[0] * anchors[:, None, 2:])
    return np.concatenate([shift, grow], 1).astype(np.float32), marks.reshape(-1, 10).astype(np.float32)


def decode(box: Array, mark: Array, anchors: Array) -> tuple[Array, Array]:
    """The inverse: boxes (A, 4) and landmarks (A, 5, 2)."""
    center = anchors[:, :2] + box[:, :2] * VARIANCE[0] * anchors[:, 2:]
    side = anchors[:, 2:] * np.exp(box[:, 2:] * VARIANCE[1])
    points = anchors[:, None, :2] + mark.reshape(-1, 5, 2) * VARIANCE[0] * anchors[:, None, 2:]
    return corners(np.concatenate([center, side], 1)), points


def overlaps(a: Array, b: Array) -> Array:
    """(N, M) intersection over union."""
    top, bottom = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(bottom - top, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    out: Array = common / np.maximum(area_a[:, None] + area_b[None] - common, 1e-9)
    return out


def match(
    boxes: Array, points: Array, sure: Array, anchors: Array, positive: float = 0.35
) -> tuple[Array, Array, Array]:
    """What each prior is to learn.

    boxes (N, 4), points (N, 5, 2), sure (N,) bool. Returns labels (A,) int8: 1 face, 0 background, -1 leave out (on a
    face that is not sure); offsets (A, 4); landmark offsets (A, 10). Every sure face gets at least its best prior.
    """
    labels = np.zeros(len(anchors), np.int8)
    if not len(boxes):
        return labels, np.zeros((len(anchors), 4), np.float32), np.zeros((len(anchors), 10), np.float32)
    cross = overlaps(boxes, corners(anchors))
    owner, quality = cross.argmax(0), cross.max(0)
    for n in np.flatnonzero(sure):
        best = int(cross[n].argmax())
        owner[best], quality[best] = n, 2.0
    hit = quality >= positive
    labels[hit & sure[owner]] = 1
    labels[(quality >= 0.2) & ~sure[owner]] = -1
    box, mark = encode(boxes[owner], points[owner], anchors)
    return labels, box, mark


def nms(boxes: Array, scores: Array, iou: float = 0.4) -> Array:
    """Indices of the boxes that stay, best first."""
    order = np.argsort(-scores, kind="stable")
    keep = []
    while len(order):
        keep.append(order[0])
        order = order[1:][overlaps(boxes[order[:1]], boxes[order[1:]])[0] <= iou]
    return np.array(keep, np.int64)
