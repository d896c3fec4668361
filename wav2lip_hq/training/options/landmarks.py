"""Options of the dense landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...options import described, option
from .common import TaskOptions


@described
@dataclass(frozen=True)
class LandmarksOptions(TaskOptions):
    """Dense landmarks, head pose and visibility, distilled from the published face mesh."""

    name: ClassVar[str] = "train.landmarks"

    data: str = option("", "Folder of clips made by `wav2lip-hq train prepare`; has to be given without a pack.")
    photographs: tuple[str, ...] = option((), "Folders of pictures of faces to train on as well.")
    teacher: str = option("facemesh468", "File of the published face mesh, which labels both.")
    pack: str = option("runs/landmarks-data", "Folder of labeled faces; made of these where it does not exist.")
    held: tuple[str, ...] = option((), "People to measure on, beside those that `train prepare` holds back.")
    photos: float = option(0.35, "Share of the training pictures that are photographs.", low=0, high=1)
    width: int = option(48, "Channels at a quarter of the input's side; 48 makes 0.3 M parameters.", low=8, high=512)
    lips: float = option(3.0, "Weight of points of the lips; others have 1.", low=0)
    shape: float = option(3.0, "Weight of the opening and width of the mouth, in the same unit.", low=0)
    pairs: float = option(0.3, "Weight of the difference between two openings of one person, relative to it.", low=0)

    def ready(self) -> None:
        super().ready()
        if not (Path(self.pack) / "labels.npz").exists():
            self.folders("data", "clips made by `wav2lip-hq train prepare`", [self.data] if self.data else [])
            self.files("teacher")
