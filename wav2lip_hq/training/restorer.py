"""The restorer: 4x super-resolution of faces, by the compact SRVGGNet or ESRGAN's RRDBNet.

L1 alone by default, which neither invents detail nor changes colors from frame to frame. A recipe can add a perceptual
loss (with VGG-16 weights) and an adversarial loss (a U-Net discriminator, as in Real-ESRGAN) for a second, sharper
phase.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checkpoints, compat, models  # noqa: F401 - compat before realesrgan
from ..errors import CheckpointError, InputError
from ..geometry import GENERATOR_PADS, box_to_crop, pad_box, sample
from ..metrics.image import psnr, ssim
from ..metrics.perceptual import Lpips
from ..models import imagenet
from ..types import Array
from . import facepack
from .data_images import find_images, read_rgb, sheet
from .degrade import degrade, enlarge
from .options.pictures import MIX, RestorerOptions
from .recipe import Recipe
from .task import Batch, Optimize, Task

SCALE = 4
FACE = 384  # side of a face crop at full size; the generator's 96 px times four
MARGIN = 32  # px kept around it, for random crops
MOST_DB = 100.0
LICENSE = "non-commercial research: trained on CelebA-HQ / CelebAMask-HQ pictures"


class Perceptual(nn.Module):
    """Distance of VGG-16 features (relu2_2, relu3_3), weights from a torchvision file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        from torchvision.models import vgg16

        net = vgg16(weights=None)
        net.load_state_dict(checkpoints.load_state(path)[0])
        self.first, self.second = net.features[:9], net.features[9:16]
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(imagenet.MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(imagenet.STD).view(1, 3, 1, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        x = self.first((torch.cat([a, b]) - self.mean) / self.std)
        y = self.second(x)
        return sum((F.l1_loss(*f.chunk(2)) for f in (x, y)), torch.zeros((), device=a.device))


class RestorerTask(Task):
    """Trains the restorer on photographs and their degraded copies."""

    Options: ClassVar[type[RestorerOptions]] = RestorerOptions
    options: RestorerOptions
    product = "restorer"
    monitor = "gain"
    higher_is_better = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        o = self.options
        self.patch, mix = o.patch, o.mix or MIX
        self.kinds, self.shares = list(mix), np.array(list(mix.values()), float) / sum(mix.values())
        self.faces, self.held = load_faces(o.data, Path(o.pack) if o.pack else None, o.validation_last)
        self.arch, self.arch_options = o.arch, o.arch_options
        self.modules = {"restorer": models.build(self.arch, **self.arch_options)}
        if self.arch == "srvgg":  # begin near plain upscaling: the residual starts small
            with torch.no_grad():
                body: Any = self.modules["restorer"].body
                body[-1].weight.mul_(0.1)
        if o.start:
            self.modules["restorer"].load_state_dict(checkpoints.load_state(Path(o.start))[0])
        self.gan, self.perceptual = o.gan, o.perceptual
        if self.perceptual:
            self.modules["perceptual"] = Perceptual(Path(o.perceptual_weights or ""))
        if self.gan:
            from realesrgan.archs.discriminator_arch import UNetDiscriminatorSN

            self.modules["discriminator"] = UNetDiscriminatorSN(3, o.discriminator_width)

    @property
    def trained(self) -> tuple[str, ...]:
        return ("restorer", "discriminator") if self.gan else ("restorer",)

    # ---- training

    def batch(self, rng: np.random.Generator) -> Batch:
        small, large = [], []
        side = self.patch * SCALE
        for _ in range(self.recipe.batch_size):
            face = self.faces[int(rng.integers(len(self.faces)))]
            h, w = face.shape[:2]
            if h < side or w < side:
                face = cv2.resize(face, (max(w, side), max(h, side)), interpolation=cv2.INTER_CUBIC)
                h, w = face.shape[:2]
            y, x = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
            target = face[y : y + side, x : x + side]
            if rng.random() < 0.5:
                target = np.ascontiguousarray(target[:, ::-1])
            if rng.random() < 0.5:  # other light
                gain, bias = np.exp(rng.normal(0, 0.12, 3)), rng.normal(0, 8)
                target = np.clip(target * gain + bias, 0, 255).astype(np.uint8)
            kind = self.kinds[int(rng.choice(len(self.kinds), p=self.shares))]
            small.append(degrade(target, rng, kind))
            large.append(target)
        return {"small": np.stack(small).transpose(0, 3, 1, 2), "large": np.stack(large).transpose(0, 3, 1, 2)}

    def step(self, batch: dict[str, Tensor], optimize: Optimize) -> dict[str, float | Tensor]:
        x, y = (batch[k].float().div(255).contiguous(memory_format=torch.channels_last) for k in ("small", "large"))
        got = self.live["restorer"](x).float()
        loss = pixel = F.l1_loss(got, y)
        out: dict[str, float | Tensor] = {"l1": pixel.detach()}
        if self.perceptual:
            term = self.modules["perceptual"](got, y)
            loss = loss + self.perceptual * term
            out["perceptual"] = term.detach()
        if self.gan:
            judge = self.modules["discriminator"]
            judge.requires_grad_(False)
            term = F.softplus(-self.live["discriminator"](got).float()).mean()
            judge.requires_grad_(True)
            loss = loss + self.gan * term
            out["adversarial"] = term.detach()
        optimize("restorer", loss)
        if self.gan:
            real, fake = self.live["discriminator"](y).float(), self.live["discriminator"](got.detach()).float()
            judged = F.softplus(-real).mean() + F.softplus(fake).mean()
            optimize("discriminator", judged)
            out["discriminator"] = judged.detach()
        return out

    # ---- held-out figures

    def restore(self, image: Array, device: torch.device) -> Array:
        """(h, w, 3) uint8 RGB -> (4 h, 4 w, 3)."""
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None])).to(device).float() / 255
        out = self.modules["restorer"](x.contiguous(memory_format=torch.channels_last))[0].float()
        pixels: Array = (out.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        return pixels

    @functools.cached_property
    def lpips(self) -> Lpips | None:
        """LPIPS, or None with a warning where its weights or package are not installed."""
        try:
            return Lpips(next(self.modules["restorer"].parameters()).device)
        except CheckpointError as error:
            warnings.warn(f"the restorer's figures go without LPIPS: {error}", stacklevel=3)
            return None

    def validate(self, device: torch.device) -> dict[str, float]:
        """For each degradation: PSNR (dB) and its ``gain`` over bicubic and ``over_lanczos``, SSIM and, where its
        weights are installed, LPIPS, both also of the classical upscalings; ``gain`` is the mean over the degradations.

        SSIM is that of ``metrics.image``, over color channels. The embedded restorer's card states that of luma with a
        Gaussian window, which is within 0.012 of it.
        """
        out: dict[str, float] = {}
        faces = self.held[:: max(1, len(self.held) // self.options.validation_pictures)]
        for kind in ("clean", "mild", "generator"):
            rows = []
            for number, face in enumerate(faces):
                small = degrade(face, np.random.default_rng([7, number]), kind)
                size = face.shape[1::-1]
                answers = (self.restore(small, device), enlarge(small, size), enlarge(small, size, "lanczos"))
                rows.append([self.compare(answer, face) for answer in answers])
            restored, bicubic, lanczos = np.mean(rows, 0)
            out[f"{kind}_psnr"] = restored[0]
            out[f"{kind}_gain"] = restored[0] - bicubic[0]
            out[f"{kind}_over_lanczos"] = restored[0] - lanczos[0]
            for n, name in enumerate(("ssim", "lpips")[: len(restored) - 1], 1):
                out[f"{kind}_{name}"] = restored[n]
                out[f"{kind}_{name}_bicubic"] = bicubic[n]
                out[f"{kind}_{name}_lanczos"] = lanczos[n]
        out["gain"] = (out["clean_gain"] + out["mild_gain"] + out["generator_gain"]) / 3
        return out

    def compare(self, image: Array, face: Array) -> list[float]:
        """[PSNR in dB, at most MOST_DB (equal pictures); SSIM; LPIPS where it is installed]."""
        figures = [min(MOST_DB, psnr(image, face)), ssim(image, face)]
        return figures if self.lpips is None else [*figures, self.lpips(image, face)]

    def samples(self, device: torch.device) -> Array:
        rows = []
        for number, kind in enumerate(("clean", "mild", "generator", "generator")):
            row = []
            for face in (self.held[number % len(self.held)], self.held[-1 - number % len(self.held)]):
                small = degrade(face, np.random.default_rng([8, number]), kind)
                row += [enlarge(small, face.shape[1::-1]), self.restore(small, device), face]
            rows.append([cv2.resize(t, (288, 288), interpolation=cv2.INTER_AREA) for t in row])
        return sheet(rows)

    def export(self, path: Path, figures: dict[str, float]) -> None:
        card = {"task": "restorer", "figures": figures, "recipe": self.recipe.options, "license": LICENSE}
        checkpoints.save(path, self.modules["restorer"], self.arch, self.arch_options, card, half=True)


def load_faces(folders: Sequence[str], pack: Path | None, last: Mapping[str, int]) -> tuple[list[Array], list[Array]]:
    """Training crops (FACE + 2 MARGIN px) and held-out faces (FACE px), uint8 RGB. Raises InputError.

    last: folder -> how many of its last pictures are held out; where it says nothing, a tenth of each of ``folders``. A
    picture whose largest face would have to be enlarged more than 1.5 times is left out. Without a pack whole pictures
    are used: shrunk to at most twice FACE (training), or their middle (held-out).
    """
    boxes: dict[str, tuple[Array, int]] = {}
    if pack is not None:
        for p in facepack.load(pack):
            if p.sure.any():
                sides = (p.boxes[:, 2:] - p.boxes[:, :2]).prod(1) * p.sure
                boxes[p.name] = p.boxes[int(sides.argmax())], p.image.shape[1]
    train: list[Array] = []
    held: list[Array] = []
    for folder in folders:
        paths = find_images([folder])
        keep = {p for name in last for p in sorted(q for q in paths if q.parent.name == name)[-last[name] :]}
        if not last:
            keep = set(paths[len(paths) - math.ceil(len(paths) / 10) :])
        for path in paths:
            image = read_rgb(path)
            known = boxes.get(f"{path.parent.name}/{path.stem}")
            if known is None:
                plain = read_rgb(path, 2 * FACE)
                if pack is None and min(plain.shape[:2]) >= FACE:
                    y, x = (n // 2 - FACE // 2 for n in plain.shape[:2])
                    (held if path in keep else train).append(
                        plain[y : y + FACE, x : x + FACE] if path in keep else plain
                    )
                continue
            box, width = known
            region = pad_box(box[None] * image.shape[1] / width, GENERATOR_PADS)
            if FACE / np.sqrt((region[0, 2:] - region[0, :2]).prod()) > 1.5:
                continue
            if path in keep:
                held.append(sample(image, box_to_crop(region, FACE)[0], FACE))
            else:
                grow = MARGIN / FACE
                train.append(
                    sample(image, box_to_crop(pad_box(region, (grow,) * 4), FACE + 2 * MARGIN)[0], FACE + 2 * MARGIN)
                )
    if not train or not held:
        raise InputError(
            f"{', '.join(folders)}: {len(train)} faces to train on, {len(held)} to measure on; it takes both, "
            f"of {FACE if pack is None else round(FACE / 1.5)} px or more (see validation_last)"
        )
    return train, held
