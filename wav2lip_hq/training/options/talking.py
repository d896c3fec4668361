"""Options of the tasks trained on talking people: expert, judge, generator, lipgan."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...errors import InputError, OptionError
from ...options import described, option
from .common import TaskOptions


@dataclass(frozen=True)
class TalkingOptions(TaskOptions):
    """Prepared clips, and which of them a network may see."""

    data: str = option("", "Folder of clips made by `wav2lip-hq train prepare`; has to be given.")
    validation: tuple[str, ...] | None = option(
        None, "People to measure on, never trained on; none: those that `train prepare` held back (split.json)."
    )
    exclude: tuple[str, ...] = option((), "People, or single clips, to leave out.")
    shifts: dict[str, float] = option(
        dict, "By how much the sound of a person or a clip is late; overrides what `train resync` found.", unit="frames"
    )
    width: float = option(
        1.0, "Channels of the network relative to the published one; less is faster.", above=0, high=4
    )

    def ready(self) -> None:
        if not self.data:
            raise OptionError(
                f"{self.name} needs clips: `wav2lip-hq train prepare FOOTAGE FOLDER`, then set data=FOLDER"
            )
        if not os.path.isdir(self.data):
            raise InputError(
                f"{self.name}: data={self.data} does not exist; make it with `wav2lip-hq train prepare FOOTAGE "
                f"{self.data}`, or set data=FOLDER"
            )
        super().ready()


@dataclass(frozen=True)
class SyncOptions(TalkingOptions):
    """Options that the two sync networks share."""

    windows: int = option(12, "Windows of one clip in a batch, contrasted with one another; more is harder.", low=2)
    augment: float = option(1.0, "Strength of the augmentation of pictures and sound; 0: none.", low=0)
    temperature: float = option(0.1, "What similarities are divided by in the softmax; less is stricter.", above=0)
    validation_clips: int = option(40, "Held-out clips to measure on, at most about this many.", low=1)


@described
@dataclass(frozen=True)
class ExpertOptions(SyncOptions):
    """The lip-sync expert."""

    name: ClassVar[str] = "train.expert"

    frames: int = option(5, "Frames of a window (Tv); 1 and 3 are the paper's ablation.", choices=(1, 3, 5))
    binary: float = option(1.0, "Weight of the binary cross-entropy, which calibrates the probabilities.", low=0)


@described
@dataclass(frozen=True)
class JudgeOptions(SyncOptions):
    """The independent sync network that measures LSE. Its similarities are Euclidean distances."""

    name: ClassVar[str] = "train.judge"


@dataclass(frozen=True)
class DrawingOptions(TalkingOptions):
    """Options that all ways to train the generator share."""

    gated: bool = option(False, "Squeeze and excitation in the residual blocks.")
    attention: bool = option(False, "Cross-attention from the face to the speech.")
    frames: int = option(5, "Frames of a window; with 1 more faces are seen in the same time.", low=1, high=5)
    lower_weight: float = option(1.0, "Weight of the lower half in L1 relative to the upper one.", low=0)
    augment: float = option(0.6, "Strength of the augmentation of pictures and sound; 0: none.", low=0)
    bend: float = option(
        0.0, "Standard deviation of random changes of a face's proportions.", unit="crop widths", low=0, high=0.5
    )
    reference_near: float = option(
        0.0, "Share of references from within half a second, as at inference.", low=0, high=1
    )
    reference_hard: int = option(1, "Candidates of which the one whose mouth differs most is the reference.", low=1)
    freeze_norm: bool = option(False, "Batch norm keeps its statistics: for fine-tuning on few people.")
    validation_windows: int = option(32, "Held-out windows to measure on.", low=1)


@described
@dataclass(frozen=True)
class GeneratorOptions(DrawingOptions):
    """The lip-sync generator: (1 - sync_weight - gan_weight) L1 + sync_weight E_sync + gan_weight L_gen."""

    name: ClassVar[str] = "train.generator"

    expert: str | None = option(None, "Lip-sync expert: checkpoint name or file. The sync loss needs one.")
    sync_weight: float = option(0.03, "Weight of the expert's sync loss; 0 trains without an expert.", low=0, high=1)
    sync_after: float = option(0.03, "The sync loss starts when the moving average of L1 falls below this.", low=0)
    sync_step: int | None = option(
        None, "The sync loss starts after this step at the latest; none: by L1 alone.", low=0
    )
    gan_weight: float = option(0.07, "Weight of the adversarial loss; 0 trains without a critic.", low=0, high=1)
    gan_step: int = option(
        0, "Step after which the adversarial loss is used; its critic starts 100 steps earlier.", low=0
    )
    discriminator: str = option(
        "visual_quality_disc",
        "The critic: of the whole lower half (visual_quality_disc, as published) or of patches of the mouth.",
        choices=("visual_quality_disc", "patch"),
    )
    critic_lr: float | None = option(None, "The critic's learning rate times lr; none: 4 for patch, else 1.", above=0)
    feature_weight: float = option(1.0, "Weight of matching a patch critic's features of the real face.", low=0)

    def ready(self) -> None:
        super().ready()
        if self.sync_weight + self.gan_weight > 1:
            raise OptionError(f"{self.name}: sync_weight and gan_weight together are at most 1")
        if self.sync_weight and not self.expert:
            raise OptionError(f"{self.name}: the sync loss needs expert=NAME or FILE (or set sync_weight=0)")
        if self.sync_weight and self.expert and Path(self.expert).suffix:
            self.files("expert", trained=True)


@described
@dataclass(frozen=True)
class LipGanOptions(DrawingOptions):
    """The generator along with a sync discriminator; no expert, no other critic."""

    name: ClassVar[str] = "train.lipgan"

    frames: int = option(1, "Frames of a window; LipGAN judges single ones.", choices=(1, 3, 5))
    critic: str | None = option(None, "Checkpoint file the discriminator starts from, of an expert; none: random.")
    critic_weight: float = option(0.03, "Weight of the adversarial loss.", low=0, high=1)
    critic_width: float | None = option(
        None, "Channels of the discriminator relative to the published one; none: as the generator's.", above=0, high=4
    )

    def ready(self) -> None:
        super().ready()
        self.files("critic", trained=True)
