"""A trained checkpoint -> ``checkpoints/embedded``: 16 or 8 bits, without local paths, with a model card beside it.

Beside ``NAME.safetensors`` lie ``NAME.yaml``, the recipe that made it, and ``NAME.md``, its card: the recipe's opening
comment says what it is and where it fails, the rest is read from the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import checkpoints, documents
from ..errors import InputError
from .tasks import build_task, load_recipe

LICENSE = (
    "research only: taught by footage and photographs released for research (GRID, public demo clips, CelebAMask-HQ)"
)

KINDS = {16: "float16 safetensors", 8: "safetensors in 8 bits (small tensors in float16, vectors in float32)"}


def tidy(value: Any) -> Any:
    """Recipe values with absolute paths reduced to their last component, as the folder is this machine's."""
    if isinstance(value, dict):
        return {k: tidy(v) for k, v in value.items()}
    if isinstance(value, list):
        return [tidy(v) for v in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


def embed(source: Path, name: str, folder: Path, mean: Sequence[Path] = (), bits: int = 16) -> Path:
    """Write ``folder/NAME.safetensors`` and ``NAME.md`` from a training run's checkpoint; returns the weights' path.

    ``folder/NAME.yaml`` must exist: the recipe, with a comment on top. mean: other checkpoints of the same network; the
    mean of all weights is embedded (a model soup, Wortsman et al. 2022) and measured on the recipe's held-out data.
    bits: 16, or 8 for half the size. Raises InputError, CheckpointError.
    """
    recipe = folder / f"{name}.yaml"
    if not recipe.exists():
        raise InputError(
            f"{recipe} is missing: put the recipe that made {source} there, with a comment that describes it"
        )
    model = checkpoints.load(str(source))
    card = dict(model.card)
    if mean:
        average(model.module, [checkpoints.load(str(other), model.arch.name).module for other in mean])
        card["figures"] = {**card.get("figures", {}), **measure(recipe, model.module)}
    card["recipe"], card["license"] = tidy(card.get("recipe", {})), LICENSE
    target = folder / f"{name}.safetensors"
    checkpoints.save(target, model.module, model.arch.name, model.options, card, half=True, packed=bits == 8)
    (folder / f"{name}.md").write_text(describe(name, target, recipe.read_text(), model.module, model.arch, card, bits))
    return target


def average(module: nn.Module, others: Sequence[nn.Module]) -> None:
    """Put the mean of all networks' weights into ``module``."""
    theirs = [other.state_dict() for other in others]
    for key, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_((value + sum(state[key] for state in theirs)) / (1 + len(theirs)))


def measure(recipe: Path, module: nn.Module) -> dict[str, float]:
    """Held-out figures of a network by the task of a recipe."""
    task = build_task(load_recipe(recipe, {"start": None}))
    # Into the task's own network: tasks hold it under names of their own, too.
    task.modules[task.product].load_state_dict(module.state_dict())
    task.modules[task.product].eval()
    with torch.no_grad():
        return task.validate(torch.device("cpu"))


def describe(name: str, path: Path, recipe: str, module: Any, arch: Any, card: dict[str, Any], bits: int) -> str:
    """The model card as Markdown."""
    comments = []
    for line in recipe.splitlines():
        if not line.startswith("#"):
            break
        comments.append(line[1:].strip())
    task = documents.parse(recipe).get("task", card.get("task"))
    count = sum(p.numel() for p in module.parameters())
    rows = [f"| {key} | {value:.4g} |" for key, value in card.get("figures", {}).items()]
    return "\n".join(
        [
            f"# embedded-{name}",
            "",
            *comments,
            "",
            f"- network: {arch.title} (`{arch.name}`), {count / 1e6:.2f} M parameters",
            f"- file: {path.stat().st_size / 1e6:.1f} MB as {KINDS[bits]}",
            f"- made by `wav2lip-hq train {task} checkpoints/embedded/{name}.yaml` on two CPU cores, then "
            f"`wav2lip-hq train embed RUN/best.safetensors {name}{'' if bits == 16 else f' --bits {bits}'}`",
            f"- license: {card['license']}",
            "",
            "Held-out figures (people and clips that were not trained on), and how long the last run took:",
            "",
            "| figure | value |",
            "|---|---|",
            *rows,
            "",
        ]
    )
