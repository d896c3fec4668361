"""Detectors that label pictures for the student: SCRFD 2.5g (ONNX), RetinaFace-mobilenet0.25 (Face-Detector-1MB).

Both are trained on WIDER FACE and give the same kind of box and landmarks (eyes, nose tip, mouth corners, image left
first), but make different mistakes. A face that both find is labeled with the mean of the two and of each one's result
on the mirror image; one that only one finds is neither face nor background.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from .. import checkpoints, models
from ..boxes import iou, nms
from ..errors import OptionError
from ..models.anchors import MEAN_BGR, anchors, decode
from ..models.retinaface import FACE_DETECTOR_1MB_SIDES, use_plain_relu
from ..types import Array

MIRROR = [1, 0, 2, 4, 3]  # landmark order in the mirror image
Found = tuple[Array, Array, Array]  # boxes (N, 4), scores (N,), landmarks (N, 5, 2)


def letterbox(image: Array, size: int) -> tuple[Array, float]:
    """The image scaled to fit the top left of a size x size canvas (black elsewhere), and the scale."""
    h, w = image.shape[:2]
    f = min(size / h, size / w)
    how = cv2.INTER_AREA if f < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (max(1, round(w * f)), max(1, round(h * f))), interpolation=how)
    out = np.zeros((size, size, 3), np.uint8)
    out[: small.shape[0], : small.shape[1]] = small
    return out, f


class Scrfd:
    """SCRFD with key points, from its onnx file (needs onnxruntime)."""

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise OptionError("onnxruntime is needed to label pictures with SCRFD: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def __call__(self, image: Array, size: int, threshold: float) -> Found:
        canvas, f = letterbox(image, size)
        x = ((canvas.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        out = [o.reshape(-1, o.shape[-1]) for o in self.session.run(None, {self.input: x})]
        boxes, scores, points = [], [], []
        for level, stride in enumerate((8, 16, 32)):
            score = out[level][:, 0]
            n = size // stride
            y, x_ = np.mgrid[:n, :n]
            center = np.repeat(np.stack([x_, y], -1).reshape(-1, 2) * stride, 2, 0).astype(np.float32)
            keep = score > threshold
            c, side, mark = center[keep], out[level + 3][keep] * stride, out[level + 6][keep] * stride
            boxes.append(np.concatenate([c - side[:, :2], c + side[:, 2:]], 1))
            points.append(c[:, None] + mark.reshape(-1, 5, 2))
            scores.append(score[keep])
        b, s, p = np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)
        keep = nms(b, s, 0.4)
        return b[keep] / f, s[keep], p[keep] / f


class Retina:
    """The RetinaFace of Face-Detector-1MB: facexlib's layout, but plain ReLUs and smaller anchors (10 to 256 px)."""

    def __init__(self, path: Path) -> None:
        self.net = models.build("retinaface_mobilenet0.25")
        self.net.load_state_dict(checkpoints.load_state(path)[0])
        use_plain_relu(self.net)

    @torch.no_grad()
    def __call__(self, image: Array, size: int, threshold: float) -> Found:
        canvas, f = letterbox(image, size)
        x = canvas[..., ::-1].astype(np.float32) - np.array(MEAN_BGR, np.float32)
        box, score, mark = self.net(torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)[None])))
        s = score[0, :, 1].numpy()
        keep = s > threshold
        grid = anchors(size, size, FACE_DETECTOR_1MB_SIDES)
        b, p = decode(box[0].numpy()[keep], mark[0].numpy()[keep], grid[keep])
        chosen = nms(b, s[keep], 0.4)
        return b[chosen] / f, s[keep][chosen], p[chosen] / f


def both_ways(detector: Scrfd | Retina, image: Array, size: int, threshold: float) -> Found:
    """A detector's faces averaged with those in the mirror image; faces found in one of the two are kept."""
    boxes, scores, points = detector(image, size, threshold)
    b, s, p = detector(np.ascontiguousarray(image[:, ::-1]), size, threshold)
    width = image.shape[1]
    b = np.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], -1)
    p = p[:, MIRROR].copy()
    p[..., 0] = width - p[..., 0]  # both nets count from pixel edges, so x mirrors to W - x
    return merge((boxes, scores, points), (b, s, p))[0]


def merge(first: Found, second: Found, weight: float = 0.5, min_iou: float = 0.5) -> tuple[Found, Array]:
    """Union of two sets of faces, where those with an intersection over union above ``min_iou`` are averaged (with
    ``weight`` for the first), and (N,) bool, which faces were averaged."""
    b1, s1, p1 = (a.copy() for a in first)
    b2, s2, p2 = second
    both = np.zeros(len(b1), bool)
    left = np.ones(len(b2), bool)
    if len(b1) and len(b2):
        cross = iou(b1, b2)
        for i in range(len(b1)):
            j = int(cross[i].argmax())
            if cross[i, j] > min_iou and left[j]:
                b1[i] = weight * b1[i] + (1 - weight) * b2[j]
                p1[i] = weight * p1[i] + (1 - weight) * p2[j]
                s1[i] = weight * s1[i] + (1 - weight) * s2[j]
                both[i], left[j] = True, False
    faces = np.concatenate([b1, b2[left]]), np.concatenate([s1, s2[left]]), np.concatenate([p1, p2[left]])
    return faces, np.concatenate([both, np.zeros(int(left.sum()), bool)])


class Teachers:
    """Both detectors together."""

    def __init__(self, scrfd: Path, retina: Path | None) -> None:
        self.scrfd = Scrfd(scrfd)
        self.retina = Retina(retina) if retina else None

    def __call__(self, image: Array, size: int = 320) -> tuple[Array, Array, Array]:
        """Boxes (N, 4) and landmarks (N, 5, 2) in the image's pixels, and (N,) bool: sure (True) or neither face nor
        background (False)."""
        faces = both_ways(self.scrfd, image, size, 0.3)
        agreed = np.ones(len(faces[0]), bool)
        if self.retina:
            faces, agreed = merge(faces, both_ways(self.retina, image, size, 0.5), 0.6)
        boxes, scores, points = faces
        return boxes, points, (scores > 0.5) & (agreed | (scores > 0.75))
