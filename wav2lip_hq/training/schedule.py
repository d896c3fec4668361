"""What changes in the course of a training: the learning rate and the averaged weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .recipe import Recipe


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a module's weights and buffers, starting with their present values.

    The first updates use a smaller decay, so that the average is not dominated by the random start.
    """

    def average(old: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        return torch.lerp(old, new.to(old.dtype), 1 - now) if old.is_floating_point() else new

    averaged = AveragedModel(module, avg_fn=average, use_buffers=True)
    averaged.update_parameters(module)  # the first update copies
    return averaged


def learning_rate(recipe: Recipe, step: int, factor: float = 1.0) -> float:
    """Learning rate at a step. factor: of the plateau schedule."""
    lr = recipe.lr * factor
    if recipe.schedule == "cosine":
        lr *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, recipe.steps))))
    if recipe.warmup:
        lr *= min(1.0, (step + 1) / recipe.warmup)
    return lr
