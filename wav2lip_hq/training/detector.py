"""The face detector: RetinaFace-mobilenet0.25 in facexlib's layout, distilled from other detectors.

No data set with boxes of faces is needed: two detectors trained on WIDER FACE label pictures (``facepack``), and the
student is trained on scenes composed of them at random (``scenes``), which vary size, position, tilt, light and
background of a small number of pictures. The losses are RetinaFace's (Deng et al. 2019):
cross-entropy with hard negative mining (7 : 1), smooth L1 on box and landmark offsets of the matched anchors.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checkpoints, models
from ..boxes import iou, nms
from ..errors import InputError
from ..geometry import shrink
from ..models.anchors import MEAN_BGR, anchors, decode
from ..progress import say
from ..types import Array
from . import facepack
from .data_images import sheet
from .facepack import Picture
from .matching import match
from .options.pictures import DetectorOptions
from .recipe import Recipe
from .scenes import Painter
from .task import Batch, Optimize, Task

LICENSE = "research only: taught on CelebAMask-HQ / CelebA-HQ (non-commercial) and footage for research"


def network_input(images: Array) -> Array:
    """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32, BGR minus the mean."""
    return np.ascontiguousarray(
        (images[..., ::-1].astype(np.float32) - np.array(MEAN_BGR, np.float32)).transpose(0, 3, 1, 2)
    )


def pad_to_stride(image: Array, stride: int = 32) -> Array:
    """The image, zero-padded at the right and bottom to a multiple of the largest stride."""
    h, w = image.shape[:2]
    return np.pad(image, ((0, -h % stride), (0, -w % stride), (0, 0)))


def multibox_loss(
    out: tuple[Tensor, Tensor, Tensor],
    label: Tensor,
    box: Tensor,
    mark: Tensor,
    negatives: int = 7,
    mark_weight: float = 2.0,
    mark_beta: float = 0.25,
) -> dict[str, Tensor]:
    """RetinaFace's losses. out: (B, A, 4), (B, A, 2) logits, (B, A, 10); label (B, A) in {1, 0, -1}; box (B, A, 4);
    mark (B, A, 10). Box and landmark terms are means over the matched anchors. ``mark_beta`` is the offset at which
    the landmarks' smooth L1 turns from quadratic to linear: RetinaFace's 1 is a tenth of a face, too large for little
    data.
    """
    box_out, logits, mark_out = (o.float() for o in out)
    hit = label == 1
    count = hit.sum().clamp(min=1)
    loss = F.cross_entropy(logits.flatten(0, 1), (label == 1).long().flatten(), reduction="none").view_as(
        logits[..., 0]
    )
    # Hard negatives: the background anchors of each picture with the largest loss; at least 16, also without a face.
    wrong = loss.detach().masked_fill(label != 0, -1)
    rank = wrong.argsort(1, descending=True).argsort(1)
    many = (negatives * hit.sum(1, keepdim=True)).clamp(min=16)
    chosen = hit | ((rank < many) & (label == 0))
    score = loss[chosen].sum() / count
    box_loss = F.smooth_l1_loss(box_out[hit], box[hit], reduction="sum") / count
    mark_loss = F.smooth_l1_loss(mark_out[hit], mark[hit], reduction="sum", beta=mark_beta) / count
    return {"loss": score + 2 * box_loss + mark_weight * mark_loss, "score": score, "box": box_loss, "mark": mark_loss}


class DetectorTask(Task):
    """Trains the detector on scenes composed of pictures that teachers labeled."""

    Options: ClassVar[type[DetectorOptions]] = DetectorOptions
    options: DetectorOptions
    product = "detector"
    monitor = "score"
    higher_is_better = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        o = self.options
        pictures = [p for p in load_pack(o) if not (o.exclude and p.name.startswith(o.exclude))]
        apart = held_names([p.name for p in pictures], o)
        held = [p for p in pictures if p.name in apart]
        train = [p for p in pictures if p.name not in apart]
        if not held or not train:
            raise InputError(
                f"{o.pack} has no pictures to measure on, or none besides; check 'validation' and 'validation_last'"
            )
        self.held = held[:: max(1, len(held) // o.validation_pictures)]
        self.painter, self.held_painter = Painter(train, o.smallest, o.turn), Painter(held, o.smallest)
        self.sides = list(o.sides)
        self.modules = {"detector": models.build("retinaface_mobilenet0.25")}
        net: Any = self.modules["detector"]
        net.phase = "train"  # logits, not probabilities
        if o.start:
            self.modules["detector"].load_state_dict(checkpoints.load_state(Path(o.start))[0])
        self.anchors = {s: anchors(s, s) for s in self.sides}

    # ---- training

    def batch(self, rng: np.random.Generator) -> Batch:
        side = self.sides[int(rng.integers(len(self.sides)))]
        count = max(2, round(self.recipe.batch_size * (256 / side) ** 2))
        images, labels, boxes, marks = [], [], [], []
        for _ in range(count):
            image, faces = self.painter.scene(rng, side)
            label, box, mark = match(faces.boxes, faces.points, faces.sure, self.anchors[side])
            images.append(image)
            labels.append(label)
            boxes.append(box)
            marks.append(mark)
        return {
            "image": network_input(np.stack(images)),
            "label": np.stack(labels),
            "box": np.stack(boxes),
            "mark": np.stack(marks),
        }

    def step(self, batch: dict[str, Tensor], optimize: Optimize) -> dict[str, float | Tensor]:
        out = self.live["detector"](batch["image"].contiguous(memory_format=torch.channels_last))
        with torch.autocast(out[0].device.type, enabled=False):
            truth = batch["label"], batch["box"], batch["mark"]
            losses = multibox_loss(out, *truth, mark_weight=self.options.mark_weight, mark_beta=self.options.mark_beta)
        optimize(self.product, losses["loss"])
        return {k: v.detach() for k, v in losses.items()}

    # ---- held-out figures

    def detect(self, image: Array, device: torch.device, threshold: float = 0.5) -> tuple[Array, Array, Array]:
        """Boxes, scores, landmarks in an (H, W, 3) uint8 RGB image, at its own size."""
        return detect(self.modules["detector"], image, device, threshold)

    def validate(self, device: torch.device) -> dict[str, float]:
        plain = [(shrink(p.image, 320), p) for p in self.held]
        figures = measure(self, [(i, *_scaled(i, p)) for i, p in plain], device)
        rng = np.random.default_rng(1)
        made = []
        for _ in range(48):
            image, faces = self.held_painter.scene(rng, 320)
            made.append((image, faces.boxes, faces.points, faces.sure))
        hard = measure(self, made, device)
        out = {**figures, **{f"scenes_{k}": v for k, v in hard.items()}}
        out["score"] = figures["found"] - figures["landmark_error"] - 0.1 * figures["false_per_picture"]
        out["score"] += 0.25 * (hard["found"] - hard["landmark_error"] - 0.1 * hard["false_per_picture"])
        return out

    def samples(self, device: torch.device) -> Array:
        rng = np.random.default_rng(2)
        pictures = [self.held[i].image for i in np.linspace(0, len(self.held) - 1, 12).astype(int)]
        scenes = [self.held_painter.scene(rng, 256)[0] for _ in range(6)]
        tiles = []
        for image in [*(shrink(p, 256) for p in pictures), *scenes]:
            boxes, _, points = self.detect(image, device)
            tiles.append(draw(image, boxes, points, 256))
        return sheet([tiles[i : i + 6] for i in range(0, len(tiles), 6)])

    def export(self, path: Path, figures: dict[str, float]) -> None:
        card = {"task": "detector", "figures": figures, "recipe": self.recipe.options, "license": LICENSE}
        checkpoints.save(path, self.modules["detector"], "retinaface_mobilenet0.25", {}, card, half=True)


@torch.no_grad()
def detect(module: nn.Module, image: Array, device: torch.device, threshold: float) -> tuple[Array, Array, Array]:
    """Run a detector in phase "train" on one image (H, W, 3) uint8 RGB: boxes (N, 4), scores (N,), marks (N, 5, 2)."""
    padded = pad_to_stride(image)
    x = torch.from_numpy(network_input(padded[None])).to(device)
    box, logits, mark = (o.float()[0].cpu() for o in module(x))
    scores = logits.softmax(-1)[:, 1].numpy()
    keep = scores > threshold
    b, p = decode(box.numpy()[keep], mark.numpy()[keep], anchors(*padded.shape[:2])[keep])
    chosen = nms(b, scores[keep], 0.4)
    return b[chosen], scores[keep][chosen], p[chosen]


def measure(
    task: DetectorTask, pictures: list[tuple[Array, Array, Array, Array]], device: torch.device
) -> dict[str, float]:
    """found: share of sure faces with a detection of IoU > 0.5; landmark_error: mean distance of landmarks over the
    eye distance (of found faces whose eyes are at least 4 px apart); false_per_picture: detections with an IoU
    below 0.3 with every face."""
    total, found, wrong = 0, 0, 0
    errors: list[float] = []
    for image, boxes, points, sure in pictures:
        got, _, marks = task.detect(image, device)
        cross = iou(boxes, got) if len(boxes) and len(got) else np.zeros((len(boxes), len(got)))
        wrong += int((cross.max(0, initial=0) < 0.3).sum()) if len(got) else 0
        for n in np.flatnonzero(sure):
            total += 1
            if len(got) and cross[n].max() > 0.5:
                found += 1
                apart = float(np.linalg.norm(points[n, 0] - points[n, 1]))
                if apart >= 4:
                    off = np.linalg.norm(marks[int(cross[n].argmax())] - points[n], axis=-1).mean()
                    errors.append(float(off) / apart)
    return {
        "found": found / max(total, 1),
        "landmark_error": float(np.mean(errors)) if errors else 1.0,
        "false_per_picture": wrong / len(pictures),
    }


def draw(image: Array, boxes: Array, points: Array, side: int) -> Array:
    """Boxes and landmarks on a side x side canvas."""
    out = np.zeros((side, side, 3), np.uint8)
    out[: image.shape[0], : image.shape[1]] = image
    for box, mark in zip(boxes, points, strict=True):
        x1, y1, x2, y2 = (int(v) for v in box)
        cv2.rectangle(out, (x1, y1), (x2, y2), (0, 255, 0), 1)
        for x, y in mark:
            cv2.circle(out, (int(x), int(y)), 1, (255, 0, 0), -1)
    return out


def load_pack(options: DetectorOptions) -> list[Picture]:
    """The labeled pictures; the teachers label them first if there are none."""
    path = Path(options.pack)
    if path.exists():
        if options.data or options.footage:
            say(f"{path}: pictures labeled earlier; delete it to label 'data' and 'footage' anew")
    else:
        from .teachers import Teachers

        teachers = Teachers(Path(options.scrfd or ""), Path(options.retina) if options.retina else None)
        facepack.build(path, options.data, options.footage, teachers, on_log=say)
    return facepack.load(path)


def held_names(names: list[str], options: DetectorOptions) -> set[str]:
    """Held-out pictures: by the beginning of the name, and the last so many of a folder, as the options say; by default
    the last tenth of each folder."""
    starts, last = options.validation, options.validation_last
    out = {n for n in names if starts and n.startswith(starts)}
    if not starts and not last:
        sizes = Counter(n.partition("/")[0] for n in names)
        last = {folder: math.ceil(size / 10) for folder, size in sizes.items()}
    for folder, count in last.items():
        out.update(sorted(n for n in names if n.startswith(folder + "/"))[-count:])
    return out


def _scaled(image: Array, picture: Picture) -> tuple[Array, Array, Array]:
    f = image.shape[1] / picture.image.shape[1]
    sure = picture.sure & (np.sqrt((picture.boxes[:, 2:] - picture.boxes[:, :2]).prod(1)) * f > 12)
    return picture.boxes * f, picture.points * f, sure
