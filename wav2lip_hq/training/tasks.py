"""The visible table of training tasks, and how a recipe becomes a run."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError, OptionError
from .loop import Recipe, Task, Trainer

# task -> module and class; imported when asked for, so that `--help` stays fast
TASKS: dict[str, tuple[str, str]] = {
    "articulation": ("articulation", "ArticulationTask"),
    "detector": ("detector", "DetectorTask"),
    "expert": ("expert", "ExpertTask"),
    "judge": ("judge", "JudgeTask"),
    "generator": ("generator", "GeneratorTask"),
    "lipgan": ("lipgan", "LipGanTask"),
    "parser": ("parser", "ParserTask"),
    "restorer": ("restorer", "RestorerTask"),
}
RECIPES = Path(__file__).parent / "recipes"


def recipe_path(name: str | Path) -> Path:
    """A recipe file, or one of the packaged recipes by name. Raises InputError."""
    path = Path(name)
    if path.exists():
        return path
    packaged = RECIPES / f"{name}.yaml"
    if packaged.exists():
        return packaged
    known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml")))
    raise InputError(f"no recipe file '{name}', and no packaged recipe of that name; packaged: {known}")


def load_recipe(name: str | Path, settings: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe YAML. ``settings`` override: loop fields by name, anything else as a task option.

    Raises InputError (no such file, not YAML) and OptionError (unknown field, unknown task).
    """
    path = recipe_path(name)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict) or "task" not in raw:
        raise InputError(f"{path} is not a recipe: it has no 'task'")
    fields = {f.name for f in dataclasses.fields(Recipe)}
    unknown = set(raw) - fields
    if unknown:
        raise OptionError(f"{path}: unknown field '{sorted(unknown)[0]}'; a recipe has {', '.join(sorted(fields))}")
    raw.setdefault("options", {})
    for key, value in (settings or {}).items():
        if key in fields and key != "options":
            raw[key] = value
        else:
            raw["options"][key.removeprefix("options.")] = value
    if raw["task"] not in TASKS:
        raise OptionError(f"{path}: unknown task '{raw['task']}'; choose {', '.join(TASKS)}")
    return Recipe(**raw)


def build_task(recipe: Recipe) -> Task:
    """The task of a recipe, its data loaded. Raises InputError for bad data."""
    module, name = TASKS[recipe.task]
    task: Task = getattr(importlib.import_module(f".{module}", __package__), name)(recipe)
    return task


def train(recipe: Recipe, folder: Path | str, minutes: float | None = None, **options: Any) -> dict[str, float]:
    """Run a recipe in ``folder`` (state, exports, logs and pictures go there); continues what is there.

    minutes: stop after that much wall time (and continue next time). Returns the last held-out figures.
    """
    return Trainer(build_task(recipe), Path(folder)).run(minutes, **options)
