"""A recipe: what is trained, for how long, with which options. Imports no torch."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Any, ClassVar

from ..options import check, described, option


@described
@dataclass(frozen=True)
class Recipe:
    """The content of a recipe YAML. ``options`` are the task's; the others are the training loop's.

    Raises OptionError for a wrong type or a value out of range.
    """

    name: ClassVar[str] = "recipe"

    task: str = option(MISSING, "What is trained: detector, expert, generator, ...")
    steps: int = option(MISSING, "The run's last step.", low=1)
    batch_size: int = option(MISSING, "Pictures (frames, for the generator) in a step.", low=1)
    lr: float = option(1e-4, "Learning rate of Adam.", above=0)
    seed: int = option(0, "Determines the initial weights and all batches.", low=0)
    precision: str = option(
        "auto", "auto: bfloat16 where it is fast.", choices=("auto", "32-true", "bf16-mixed", "16-mixed")
    )
    schedule: str = option(
        "constant",
        "Learning-rate schedule: cosine (to lr/50 at the last step), plateau (halved when held-out figures stall).",
        choices=("constant", "cosine", "plateau"),
    )
    warmup: int = option(0, "Steps over which lr rises from 0.", unit="steps", low=0)
    clip: float = option(0.0, "Largest gradient norm; 0 does not clip.", low=0)
    accumulate: int = option(1, "Batches whose gradients make one update; more saves memory.", low=1)
    ema: float = option(
        0.0, "Decay of the moving average of the weights, which is what is exported; 0: none.", low=0, below=1
    )
    validate_every: int = option(500, "How often to measure on held-out data and export.", unit="steps", low=1)
    save_minutes: float = option(3.0, "How often to save in between: what a killed run can lose.", unit="min", low=0)
    patience: int = option(0, "Validations without improvement before an early stop; 0: never.", low=0)
    workers: int = option(1, "Threads that prepare batches.", low=1)
    threads: int = option(0, "torch's threads; 0 leaves them as they are.", low=0)
    devices: int = option(1, "GPUs to train on.", low=1)
    options: dict[str, Any] = option(dict, "Options of the task; see `wav2lip-hq options train.TASK`.")

    def __post_init__(self) -> None:
        check(self)
