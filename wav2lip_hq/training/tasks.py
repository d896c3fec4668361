"""TASKS, the table of training tasks, and how a recipe becomes a run. Imports torch only when a run starts."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..errors import InputError, OptionError
from ..options import convert, make, suggestion
from ..progress import Heartbeat, say
from .options.articulation import ArticulationOptions
from .options.common import TaskOptions
from .options.landmarks import LandmarksOptions
from .options.pictures import DetectorOptions, ParserOptions, RestorerOptions
from .options.prepare import PrepareOptions
from .options.talking import ExpertOptions, GeneratorOptions, JudgeOptions, LipGanOptions
from .recipe import Recipe

if TYPE_CHECKING:
    from .task import Task


@dataclass(frozen=True)
class Entry:
    """A task: what it trains, its options, and the module and class that do it, imported when a run starts."""

    title: str
    options: type[TaskOptions]
    task: str


TASKS: dict[str, Entry] = {
    "expert": Entry("the lip-sync expert", ExpertOptions, "expert:ExpertTask"),
    "judge": Entry("an independent sync network with SyncNet v2's layout", JudgeOptions, "judge:JudgeTask"),
    "generator": Entry("the lip-sync generator", GeneratorOptions, "generator:GeneratorTask"),
    "lipgan": Entry(
        "the generator with LipGAN's discriminator, the papers' baseline", LipGanOptions, "lipgan:LipGanTask"
    ),
    "landmarks": Entry("the dense landmarks", LandmarksOptions, "landmarks:LandmarksTask"),
    "articulation": Entry("speech to the shape of the mouth", ArticulationOptions, "articulation:ArticulationTask"),
    "parser": Entry("the face parser", ParserOptions, "parser:ParserTask"),
    "restorer": Entry("the face restorer", RestorerOptions, "restorer:RestorerTask"),
    "detector": Entry("the face detector", DetectorOptions, "detector:DetectorTask"),
}
RECIPES = Path(__file__).parent / "recipes"


def option_classes() -> dict[str, type]:
    """ "recipe" (what steers the loop, the same for all), "prepare" and each task -> the dataclass of its options."""
    return {"recipe": Recipe, "prepare": PrepareOptions, **{name: entry.options for name, entry in TASKS.items()}}


def recipe_path(name: str | Path) -> Path:
    """A recipe file, or one of the packaged recipes by name. Raises InputError."""
    path = Path(name)
    if os.path.isfile(path):
        return path
    packaged = RECIPES / f"{name}.yaml"
    if os.path.isfile(packaged):
        return packaged
    known = [p.stem for p in RECIPES.glob("*.yaml")]
    raise InputError(f"no recipe file '{name}', and no packaged recipe of that name{suggestion(str(name), known)}")


def load_recipe(name: str | Path, settings: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe YAML. ``settings`` (values or text) override: the recipe's own fields by name, anything else as an
    option of its task.

    Raises InputError (no such file, not YAML) and OptionError: unknown field, task or option ("did you mean"), wrong
    type, value out of range.
    """
    path = recipe_path(name)
    try:
        raw = documents.read(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict) or "task" not in raw:
        raise InputError(f"{path} is not a recipe: it has no 'task'")
    try:
        fields, options = _read(raw)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error
    kind = TASKS[fields["task"]].options
    for key, value in (settings or {}).items():
        key = key.removeprefix("options.")
        if key in _names(kind):
            options[key] = convert(kind, key, value)
        elif key in _names(Recipe) - {"task", "options"}:
            fields[key] = convert(Recipe, key, value, "")
        else:
            known = _names(kind) | _names(Recipe) - {"task", "options"}
            raise OptionError(f"'{kind.name}' has no option '{key}'{suggestion(key, known)}")
    missing = [k for k in ("steps", "batch_size") if k not in fields]
    if missing:
        raise OptionError(f"{path}: '{missing[0]}' is missing")
    recipe = Recipe(**fields, options=options)
    make(kind, options)  # checks that involve several options
    return recipe


def _read(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A recipe's fields and its task's options, each checked."""
    task = raw["task"]
    if not isinstance(task, str) or task not in TASKS:
        raise OptionError(f"unknown task '{task}'{suggestion(str(task), TASKS)}")
    kind, given = TASKS[task].options, raw.get("options") or {}
    if not isinstance(given, dict):
        raise OptionError(f"'options' is a mapping of options of the task, not {given!r}")
    for key in raw:
        if key not in _names(Recipe):
            hint = "; put it under 'options'" if key in _names(kind) else suggestion(str(key), _names(Recipe))
            raise OptionError(f"a recipe has no field '{key}'{hint}")
    fields = {key: convert(Recipe, key, value, "") for key, value in raw.items() if key != "options"}
    return fields, {str(key): convert(kind, str(key), value) for key, value in given.items()}


def _names(kind: type[Any]) -> set[str]:
    return {f.name for f in dataclasses.fields(kind)}


def build_task(recipe: Recipe) -> Task:
    """The task of a recipe, its data loaded. Raises OptionError for what is missing and InputError for bad data."""
    entry = TASKS[recipe.task]
    make(entry.options, recipe.options).ready()  # before torch is imported and data is read
    module, _, name = entry.task.partition(":")
    task: Task = getattr(importlib.import_module(f".{module}", __package__), name)(recipe)
    return task


def train(
    recipe: Recipe, folder: Path | str, minutes: float | None = None, on_log: Callable[[str], None] = say
) -> dict[str, float]:
    """Run a recipe in ``folder`` (state, exports, logs and pictures go there); continues what is there.

    minutes: stop after that much wall time (and continue next time). on_log: gets a line at least every 30 s. Returns
    the last held-out figures.
    """
    options, folder = make(TASKS[recipe.task].options, recipe.options), Path(folder)
    if importlib.util.find_spec("lightning_fabric") is None:
        raise OptionError("training needs two more packages: pip install lightning-fabric tensorboard")
    if not (folder / "state.pt").exists():
        options.ready()  # before torch is imported
    from .loop import Trainer, finished

    done = finished(folder, recipe, on_log)
    if done is not None:
        return done
    with Heartbeat(lambda: f"{recipe.task}: reading the data", on_log) as pulse:
        pulse.beat()
        task = build_task(recipe)
    return Trainer(task, folder).run(minutes, on_log)
