"""Options of articulation: speech to the shape of the mouth."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from ...errors import InputError
from ...options import described, option
from .common import TaskOptions


@described
@dataclass(frozen=True)
class ArticulationOptions(TaskOptions):
    """Speech to the shape of the mouth, learned from face meshes of talking people."""

    name: ClassVar[str] = "train.articulation"

    data: str = option("runs/data", "Folder of clips made by `wav2lip-hq train prepare`.")
    labels: str = option("runs/articulate-data", "Folder of their face meshes; missing ones are made.")
    mesh: str = option("facemesh468", "Network that makes the meshes: checkpoint name or file.")
    validation: tuple[str, ...] | None = option(
        None, "People to measure on, never trained on; none: those that `train prepare` held back (split.json)."
    )
    tuning: float = option(
        0.1, "Share of the other people that choose the best weights and the calibration.", low=0, below=1
    )
    shifts: dict[str, float] = option(dict, "By how much the sound of a person or a clip is late.", unit="frames")
    exclude: tuple[str, ...] = option((), "People, or single clips, to leave out.")
    width: int = option(96, "Channels of the network.", low=8)
    coefficients: int = option(16, "Numbers that describe a mouth's shape.", low=1)
    seconds: float = option(2.0, "Length of a sample.", unit="s", above=0)
    augment: float = option(1.0, "Strength of the augmentation of sound; 0: none.", low=0)
    velocity: float = option(1.0, "Weight of the loss on velocities.", low=0)
    agreement: float = option(0.5, "Weight of the loss on the correlation with the truth.", low=0)
    life: float = option(0.1, "Weight of the loss against movement that is smoother than the truth.", low=0)
    closure: float = option(1.0, "Additional weight of frames with nearly closed lips.", low=0)
    silence: float = option(0.25, "Share of the samples in which the sound stops.", low=0, high=1)

    def ready(self) -> None:
        if not os.path.isdir(self.data):
            raise InputError(
                f"{self.name}: data={self.data} does not exist; make it with `wav2lip-hq train prepare FOOTAGE "
                f"{self.data}`, or set data=FOLDER"
            )
        super().ready()
