"""A task: a thing to train, with its modules, data and losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..options import make
from ..types import Array
from .options.common import TaskOptions
from .recipe import Recipe

Batch = dict[str, Array]
# optimize(name, loss): backward; after the last accumulated batch also clip, step and update the moving average.
Optimize = Callable[[str, Tensor], None]


class Task(ABC):
    """A thing to train. ``modules[product]`` is what gets exported.

    ``Options`` is the dataclass of its options; ``options`` is one made from what the recipe gives, checked and ready.
    """

    Options: ClassVar[type[TaskOptions]] = TaskOptions
    options: TaskOptions
    product: str = "model"
    monitor: str = "loss"  # the validation figure that decides which weights are best
    higher_is_better: bool = False

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.options = recipe, make(self.Options, recipe.options)
        self.options.ready()
        torch.manual_seed(recipe.seed)  # the initial weights follow from the recipe, too
        self.modules: dict[str, nn.Module] = {}
        self.betas: tuple[float, float] = (0.9, 0.999)
        self.lr_scale: dict[str, float] = {}  # per trained module, times recipe.lr
        self.state: dict[str, float] = {}  # numbers to resume with (say, whether the sync loss is on)
        self.live: dict[str, Any] = {}  # the modules as the loop wrapped them (several GPUs), for ``step`` to call

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the modules that get an optimizer; the others are frozen."""
        return (self.product,)

    @abstractmethod
    def batch(self, rng: np.random.Generator) -> Batch:
        """A training batch, numpy arrays, determined by ``rng`` alone."""

    @abstractmethod
    def step(self, batch: dict[str, Tensor], optimize: Optimize) -> dict[str, float | Tensor]:
        """Compute losses, call ``optimize(name, loss)`` once for each trained module, return figures to log."""

    @abstractmethod
    def validate(self, device: torch.device) -> dict[str, float]:
        """Figures on held-out data; contains ``monitor``. Modules are in eval mode with averaged weights."""

    def samples(self, device: torch.device) -> Array | None:
        """A picture (H, W, 3) uint8 RGB of present results, or None."""
        return None

    @abstractmethod
    def export(self, path: Path, figures: dict[str, float]) -> None:
        """Write the product as a safetensors checkpoint in its official layout, with its card."""
