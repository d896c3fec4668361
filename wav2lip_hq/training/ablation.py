"""Wav2Lip's Table 3 as one command: off-sync accuracy of sync networks, frozen or trained along with a generator.

Seven runs: experts of 1, 3 and 5 frames; each of them fine-tuned on generated faces along with a generator; and
LipGAN's discriminator, trained that way from scratch. All are measured on the same pairs of held-out people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from .. import checkpoints
from ..errors import OptionError
from ..options import suggestion
from ..progress import Heartbeat
from .expert import ExpertTask
from .recipe import Recipe
from .tasks import TASKS, load_recipe, train

KINDS = ("expert", "lipgan")  # the recipes that are run

# (frames, trained along) -> off-sync accuracy in the paper (Prajwal et al. 2020, Table 3, LRS2)
PUBLISHED = {(1, False): 0.793, (3, True): 0.723, (3, False): 0.874, (5, True): 0.736, (5, False): 0.916}
PUBLISHED_LIPGAN = 0.556


@dataclass(frozen=True)
class Row:
    """One line of the table; accuracies as shares."""

    name: str
    frames: int
    along: bool
    accuracy: float
    published: float | None


def ablation(
    folder: Path,
    settings: dict[str, Any] | None = None,
    minutes: float | None = None,
    *,
    on_row: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Train what is missing in ``folder`` and return the table, which is also written to ``folder``/ablation.md.

    settings: overrides for all recipes (data, validation, width, ...), or for one kind with its name in front
    (``expert.steps``, ``lipgan.steps``). minutes: limit of each run; a run that was cut short continues next
    time, and the table shows what it reached. Raises InputError as training does.
    """
    parts = split(settings or {})

    def recipe(kind: str, **own: Any) -> Recipe:
        return load_recipe(kind, {**parts[kind], **own})

    for kind in KINDS:
        recipe(kind)  # misspelled options are refused before anything is trained
    rows: list[Row] = []

    def add(name: str, frames: int, along: bool, file: Path, published: float | None) -> None:
        rows.append(Row(name, frames, along, accuracy(file, parts["expert"]), published))
        on_row(rows[-1])

    def run(recipe: Recipe, name: str) -> Path:
        train(recipe, folder / name, minutes)
        return folder / name

    for frames in (1, 3, 5):
        expert = run(recipe("expert", frames=frames), f"expert-{frames}") / "best.safetensors"
        add("expert", frames, False, expert, PUBLISHED.get((frames, False)))
        width = checkpoints.load(str(expert), "lipsync_expert").options["width"]
        along = recipe("lipgan", frames=frames, critic=str(expert), critic_width=width)
        tuned = run(along, f"tuned-{frames}") / "critic-last.safetensors"
        add("expert, trained along", frames, True, tuned, PUBLISHED.get((frames, True)))
    lipgan = run(recipe("lipgan", frames=1), "lipgan") / "critic-last.safetensors"
    add("LipGAN", 1, True, lipgan, PUBLISHED_LIPGAN)
    (folder / "ablation.md").write_text(table(rows) + "\n", encoding="utf-8")
    return rows


def split(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings by recipe: those with a recipe's name in front go to that one alone, the others to all that know them.

    Raises OptionError for a name that no recipe knows."""
    known = {kind: {f.name for c in (TASKS[kind].options, Recipe) for f in fields(c)} for kind in KINDS}
    out: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        named = {k.partition(".")[2]: v for k, v in settings.items() if k.startswith(f"{kind}.")}
        out[kind] = {**{k: v for k, v in settings.items() if k in known[kind]}, **named}
    for key in settings:
        whose, dot, _ = key.partition(".")
        if not (dot and whose in KINDS or any(key in names for names in known.values())):
            near = suggestion(key, set().union(*known.values()))
            raise OptionError(f"the recipes of the ablation have no option '{key}'{near}")
    return out


def accuracy(file: Path, settings: dict[str, Any]) -> float:
    """Off-sync accuracy of a sync network on the held-out people of a recipe."""
    model = checkpoints.load(str(file), "lipsync_expert")
    recipe = load_recipe("expert", {**settings, **model.options})
    task = ExpertTask(recipe)
    task.modules["expert"] = model.module.eval()
    with torch.no_grad(), Heartbeat(lambda: f"ablation: measuring {file}"):
        return task.validate(torch.device("cpu"))["off_sync_accuracy"]


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = ["| network | Tv | trained along | off-sync accuracy | published (LRS2) |", "|---|---|---|---|---|"]
    for row in rows:
        published = "" if row.published is None else f"{100 * row.published:.1f} %"
        along = "yes" if row.along else "no"
        lines.append(f"| {row.name} | {row.frames} | {along} | {100 * row.accuracy:.1f} % | {published} |")
    return "\n".join(lines)
