"""The face parser: BiSeNet in the layout of 79999_iter, on CelebAMask-HQ.

Cross-entropy with online hard example mining on the three heads, as the original was trained. The augmentation differs:
faces of any tilt and scale, stretched as box crops are, and often soft, small or compressed, because in the pipeline
the parser is applied to generated faces.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checkpoints, models
from ..errors import InputError
from ..models import imagenet
from ..types import Array
from . import labels
from .data_images import sheet, spoil, tone
from .labels import CLASSES, IGNORE, Pair
from .options.pictures import ParserOptions
from .recipe import Recipe
from .task import Batch, Optimize, Task

MEAN, STD = (np.array(v, np.float32) * 255 for v in (imagenet.MEAN, imagenet.STD))
MOUTH = [CLASSES.index(n) for n in ("mouth", "u_lip", "l_lip")]
LICENSE = "non-commercial research: trained on CelebAMask-HQ"

# Colors of the sample pictures, one per class.
PALETTE: Array = cv2.cvtColor(
    np.stack([np.arange(19) * 180 // 19, np.full(19, 200), np.where(np.arange(19) > 0, 230, 0)], -1)[None].astype(
        np.uint8
    ),
    cv2.COLOR_HSV2RGB,
)[0]


def network_input(images: Array) -> Array:
    """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32, normalized as ImageNet is."""
    return np.ascontiguousarray(((images.astype(np.float32) - MEAN) / STD).transpose(0, 3, 1, 2))


def ohem(logits: Tensor, target: Tensor, threshold: float = 0.7, least: int = 16) -> Tensor:
    """Mean cross-entropy of the pixels whose class has a probability under ``threshold``, at least 1/least of all.

    logits (N, C, H, W), target (N, H, W) int64 with IGNORE left out.
    """
    loss = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none").flatten()
    count = max(1, loss.numel() // least)
    hard = loss > -math.log(threshold)
    if int(hard.sum()) < count:
        return loss.topk(count).values.mean()
    return loss[hard].mean()


class Coarse(nn.Module):
    """A BiSeNet whose three heads are upsampled to 1/``stride`` of the input's resolution.

    The heads work at 1/8; losses at full resolution cost more than the network itself without being more informative.
    """

    def __init__(self, net: nn.Module, stride: int = 2) -> None:
        super().__init__()
        self.net, self.stride = net, stride

    def forward(self, x: Tensor) -> list[Tensor]:
        net: Any = self.net
        feature, context8, context16 = net.cp(x)
        heads = (net.conv_out(net.ffm(feature, context8)), net.conv_out16(context8), net.conv_out32(context16))
        size = (x.shape[2] // self.stride, x.shape[3] // self.stride)
        return [F.interpolate(out[0], size, mode="bilinear", align_corners=True) for out in heads]

    def coarse(self, target: Tensor) -> Tensor:
        """The labels (N, H, W) subsampled to the grid of ``forward`` (align_corners)."""
        rows, columns = (
            torch.linspace(0, n - 1, n // self.stride, device=target.device).round().long() for n in target.shape[1:]
        )
        return target[:, rows][:, :, columns]


def soften(image: Array, rng: np.random.Generator) -> Array:
    """A face as soft as a generator's: reduced to 24 to 110 px and upscaled."""
    side = int(rng.integers(24, 111))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 1.0))
    how = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=how))


def vary(
    image: Array,
    label: Array,
    rng: np.random.Generator,
    size: int,
    strength: float = 1.0,
    windows: tuple[float, float] = (0.42, 1.25),
    tilt: float = 10.0,
) -> tuple[Array, Array]:
    """A random size x size view of an image (H, W, 3) and its labels (H, W): position, scale, tilt, stretch, mirroring,
    light, sharpness.

    windows: smallest and largest side of the view, in sides of the picture; tilt: standard deviation in degrees.
    """
    h, w = label.shape
    if rng.random() < 0.5:
        image, label = np.ascontiguousarray(image[:, ::-1]), labels.mirror(label)
    window = float(np.exp(rng.uniform(*np.log(windows)))) * max(h, w)
    zoom, stretch = size / window, float(np.exp(rng.normal(0, 0.1)))
    angle = np.radians(rng.normal(0, tilt) if rng.random() < 0.95 else rng.uniform(-40, 40))
    c, s = np.cos(angle), np.sin(angle)
    f = min(1.0, 1.4 * zoom)
    if f < 0.9:  # shrink by area first, against aliasing
        image = cv2.resize(image, None, fx=f, fy=f, interpolation=cv2.INTER_AREA)
    linear = zoom * np.array([[c, -s], [s, c]]) @ np.diag([stretch, 1 / stretch])
    # Faces are a little below the middle of these pictures: small views stay near it.
    room = 0.08 + 0.12 * max(0.0, 1 - window / max(h, w))
    center = np.array([0.5 * w, 0.53 * h]) + rng.normal(0, room, 2) * (w, h)
    offset = np.array([size / 2, size / 2]) - linear @ center
    fx, fy = image.shape[1] / w, image.shape[0] / h

    def pixels(x: float, y: float) -> Array:
        m = np.concatenate([linear @ np.diag([1 / x, 1 / y]), offset[:, None]], 1)
        m[:, 2] += m[:, :2] @ np.array([0.5, 0.5]) - 0.5
        return m

    replicate = rng.random() < 0.5  # else black, which is background
    border, outside = (cv2.BORDER_REPLICATE, IGNORE) if replicate else (cv2.BORDER_CONSTANT, 0)
    view = cv2.warpAffine(image, pixels(fx, fy), (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    seen = cv2.warpAffine(
        label, pixels(1, 1), (size, size), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=outside
    )
    if rng.random() < 0.35 * strength:
        view = soften(view, rng)
    return spoil(tone(view, rng, strength), rng, strength), seen


class ParserTask(Task):
    """Trains the parser on pictures and their masks."""

    Options: ClassVar[type[ParserOptions]] = ParserOptions
    options: ParserOptions
    product = "parser"
    monitor = "miou"
    higher_is_better = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        o = self.options
        self.width, self.size, self.windows = o.width, o.size, o.windows
        self.strength, self.tilt = o.augment, o.tilt
        pairs = labels.load_pairs(Path(o.data), o.order, o.longest)
        held = o.validation_last
        if held >= len(pairs):
            raise InputError(f"cannot keep {held} of {len(pairs)} pairs apart; set a smaller validation_last")
        self.train_pairs, self.held = pairs[:-held], pairs[-held:]
        self.net = models.build("bisenet_79999_iter", width=self.width)
        if o.start:
            self.net.load_state_dict(checkpoints.load_state(Path(o.start))[0])
        self.coarse = Coarse(self.net, o.loss_stride)
        self.modules = {"parser": self.coarse}

    def batch(self, rng: np.random.Generator) -> Batch:
        images, targets = [], []
        for _ in range(self.recipe.batch_size):
            _, image, label = self.train_pairs[int(rng.integers(len(self.train_pairs)))]
            view, seen = vary(image, label, rng, self.size, self.strength, self.windows, self.tilt)
            images.append(view)
            targets.append(seen)
        return {"image": network_input(np.stack(images)), "label": np.stack(targets)}

    def step(self, batch: dict[str, Tensor], optimize: Optimize) -> dict[str, float | Tensor]:
        heads = self.live["parser"](batch["image"].contiguous(memory_format=torch.channels_last))
        target = self.coarse.coarse(batch["label"].long())
        with torch.autocast(target.device.type, enabled=False):
            parts = [ohem(h.float(), target) for h in heads]
        loss = parts[0] + parts[1] + parts[2]
        optimize(self.product, loss)
        return {"loss": loss.detach(), "head": parts[0].detach()}

    # ---- held-out figures

    def parse(self, image: Array, side: int, device: torch.device) -> Array:
        """(H, W) uint8 classes of an (H, W, 3) uint8 RGB face, parsed at ``side`` px."""
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        x = torch.from_numpy(network_input(small[None])).to(device)
        logits = self.net(x.contiguous(memory_format=torch.channels_last))[0].float()
        large = F.interpolate(logits, image.shape[:2], mode="bilinear", align_corners=False)
        return large.argmax(1)[0].to(torch.uint8).cpu().numpy()

    def validate(self, device: torch.device) -> dict[str, float]:
        out = scores(confusion(self, self.held, self.size, device))
        if self.options.validate_large:
            large = scores(confusion(self, self.held[::4], 2 * self.size, device))
            out.update({f"large_{k}": large[k] for k in ("miou", "skin", "lips_and_mouth")})
        rng = np.random.default_rng(3)
        soft = [(n, soften(i, rng), m) for n, i, m in self.held[::2]]
        blurred = scores(confusion(self, soft, self.size, device))
        out.update({f"soft_{k}": blurred[k] for k in ("miou", "skin", "lips_and_mouth")})
        return out

    def samples(self, device: torch.device) -> Array:
        rows: list[list[Array]] = [[], [], []]
        for _, image, truth in self.held[:: max(1, len(self.held) // 8)][:8]:
            got = self.parse(image, self.size, device)
            shown = [image, PALETTE[np.minimum(truth, 18)], PALETTE[got]]
            for row, tile in zip(rows, shown, strict=True):
                row.append(cv2.resize(tile, (192, 192), interpolation=cv2.INTER_AREA))
        return sheet(rows)

    def export(self, path: Path, figures: dict[str, float]) -> None:
        card = {"task": "parser", "figures": figures, "recipe": self.recipe.options, "license": LICENSE}
        checkpoints.save(path, self.net, "bisenet_79999_iter", {"width": self.width}, card, half=True)


def confusion(task: ParserTask, pairs: list[Pair], side: int, device: torch.device) -> Array:
    """(19, 19) confusion matrix in pixels, true class by predicted class."""
    n = len(CLASSES)
    total = np.zeros((n, n), np.int64)
    for _, image, truth in pairs:
        got = task.parse(image, side, device)
        known = truth != IGNORE
        total += np.bincount(truth[known].astype(np.int64) * n + got[known], minlength=n * n).reshape(n, n)
    return total


def scores(counts: Array) -> dict[str, float]:
    """IoU of each class that occurs, their mean, and the IoU of lips and mouth taken as one region."""
    hit = counts.diagonal().astype(float)
    union = counts.sum(0) + counts.sum(1) - hit
    out = {name: float(hit[i] / union[i]) for i, name in enumerate(CLASSES) if counts[i].sum()}
    inside = counts[np.ix_(MOUTH, MOUTH)].sum()
    reach = counts[MOUTH].sum() + counts[:, MOUTH].sum() - inside
    mean = float(np.mean(list(out.values()))) if out else 0.0
    return {"miou": mean, "lips_and_mouth": float(inside / max(reach, 1)), **out}


__all__ = ["ParserTask", "confusion", "ohem", "scores", "soften", "vary"]
