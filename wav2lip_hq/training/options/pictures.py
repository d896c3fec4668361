"""Options of the tasks trained on pictures: detector, parser, restorer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import OptionError
from ...options import described, option
from .common import TaskOptions

DEGRADATIONS = ("clean", "mild", "generator", "heavy")
MIX = {"clean": 0.35, "mild": 0.35, "generator": 0.3}


@described
@dataclass(frozen=True)
class DetectorOptions(TaskOptions):
    """The face detector, distilled from larger ones."""

    name: ClassVar[str] = "train.detector"

    data: tuple[str, ...] = option((), "Folders of pictures (or single ones) to label; has to be given without a pack.")
    footage: tuple[str, ...] = option((), "Folders of clips (or single ones) to label frames of.")
    pack: str = option(
        "runs/faces.npz", "File of labeled pictures; made from data and footage where it does not exist."
    )
    scrfd: str | None = option(
        None, "The teacher: scrfd_2.5g_bnkps.onnx of InsightFace; has to be given without a pack."
    )
    retina: str | None = option(None, "A second teacher: RetinaFace of Face-Detector-1MB; none: SCRFD alone.")
    validation: tuple[str, ...] = option(
        (), "Beginnings of the names (folder/picture, folder/clip#frame) of pictures to measure on, never trained on."
    )
    validation_last: dict[str, int] = option(
        dict, "Folder: how many of its last pictures to measure on. Without any, a tenth of each folder.", low=1
    )
    validation_pictures: int = option(240, "Held-out pictures to measure on, at most about this many.", low=1)
    exclude: tuple[str, ...] = option((), "Beginnings of the names of pictures to leave out.")
    sides: tuple[int, ...] = option((192, 256, 320, 416), "Sides of the scenes, drawn at random.", unit="px", low=32)
    smallest: float = option(12.0, "Smallest side of a face in a scene.", unit="px", above=0)
    turn: float = option(0.0, "Share of faces turned sideways by a model of a head.", low=0, high=1)
    mark_weight: float = option(2.0, "Weight of the landmarks relative to the score.", low=0)
    mark_beta: float = option(0.25, "Offset at which the landmarks' smooth L1 turns linear; less is stricter.", above=0)

    def ready(self) -> None:
        super().ready()
        if not self.sides:
            raise OptionError(f"{self.name}: sides is empty; give one side in px or more")
        if os.path.exists(self.pack):
            return
        self.folders("data", "folders of photographs", [*self.data, *self.footage])
        if not self.scrfd:
            raise OptionError(
                f"{self.name} has no labeled pictures ({self.pack} does not exist) and learns them from another "
                "detector: set scrfd=FILE to scrfd_2.5g_bnkps.onnx of InsightFace (needs the 'teach' extra), or "
                "pack=FILE to labeled pictures"
            )
        self.files("scrfd", "retina")


@described
@dataclass(frozen=True)
class ParserOptions(TaskOptions):
    """The face parser."""

    name: ClassVar[str] = "train.parser"

    data: str = option("", "CelebAMask-HQ, or a folder with images/ and masks/ (class numbers); has to be given.")
    order: str = option(
        "official",
        "Class numbers in masks/: CelebAMask-HQ's own or those of 79999_iter.",
        choices=("official", "bisenet"),
    )
    longest: int = option(384, "Pictures are shrunk to this longer side.", unit="px", low=32)
    width: float = option(
        0.5, "Channels of the network relative to the published one; less is faster.", above=0, high=4
    )
    size: int = option(256, "Side of the training crops, a multiple of 32.", unit="px", low=32)
    augment: float = option(1.0, "Strength of the augmentation of pictures; 0: none.", low=0)
    windows: tuple[float, float] = option((0.42, 1.25), "Least and largest side of a crop.", unit="pictures", above=0)
    tilt: float = option(10.0, "How much crops are rotated (standard deviation).", unit="degrees", low=0)
    loss_stride: int = option(2, "Stride at which the loss is computed; more is faster.", unit="px", low=1)
    validation_last: int = option(80, "How many pictures, the last by name, to measure on.", low=1)
    validate_large: bool = option(True, "Measure at twice the size, too.")

    def ready(self) -> None:
        super().ready()
        if self.size % 32:
            raise OptionError(f"{self.name}: size is a multiple of 32, not {self.size}")
        if self.windows[0] > self.windows[1]:
            raise OptionError(f"{self.name}: windows is the least and the largest side, not {list(self.windows)}")
        self.folders("data", "CelebAMask-HQ, or a folder with images/ and masks/", [self.data] if self.data else [])


@described
@dataclass(frozen=True)
class RestorerOptions(TaskOptions):
    """The face restorer."""

    name: ClassVar[str] = "train.restorer"

    data: tuple[str, ...] = option((), "Folders of sharp photographs (or single ones); has to be given.")
    pack: str | None = option(
        None,
        "Labeled pictures made by `train detector`: only faces are trained on, stretched as the generator's are. "
        "None: whole pictures of 384 px or more.",
    )
    validation_last: dict[str, int] = option(
        dict, "Folder: how many of its last pictures to measure on. Without any, a tenth of each.", low=1
    )
    validation_pictures: int = option(24, "Held-out pictures to measure on, at most about this many.", low=1)
    arch: str = option("srvgg", "The network: small and fast, or large.", choices=("srvgg", "rrdbnet"))
    arch_options: dict[str, Any] = option(dict, "Its size, say {num_feat: 32, num_conv: 16}; none: the published one.")
    patch: int = option(48, "Side of the small pictures; the large ones have four times it.", unit="px", low=8)
    mix: dict[str, float] = option(
        dict,
        f"Shares of {', '.join(DEGRADATIONS)} in the degradations of pictures; none: {MIX}.".replace("'", ""),
        low=0,
    )
    perceptual: float = option(0.0, "Weight of the distance of VGG-16 features.", low=0)
    perceptual_weights: str | None = option(None, "VGG-16 file of torchvision; has to be given for perceptual.")
    gan: float = option(0.0, "Weight of the adversarial loss; 0 trains without a discriminator.", low=0)
    discriminator_width: int = option(32, "Channels of the discriminator's first layer.", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if set(self.mix) - set(DEGRADATIONS) or (self.mix and sum(self.mix.values()) <= 0):
            raise OptionError(f"{self.name}: mix gives shares to {', '.join(DEGRADATIONS)}, not {', '.join(self.mix)}")

    def ready(self) -> None:
        super().ready()
        if self.perceptual and not self.perceptual_weights:
            raise OptionError(f"{self.name}: set perceptual_weights=FILE, VGG-16 of torchvision (or perceptual=0)")
        self.folders("data", "folders of sharp photographs", self.data)
        self.files("pack", "perceptual_weights")
