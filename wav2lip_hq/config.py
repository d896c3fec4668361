"""Stages from YAML presets and ``--set stage.option=value``: one function sets an option, wherever it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import documents, lookup, options
from .engine import Stage, check_wiring
from .errors import InputError, OptionError
from .options import suggestion
from .stages import STAGES

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Preset:
    """A named composition."""

    name: str
    description: str
    stages: tuple[Stage, ...]
    path: Path


def folders() -> list[Path]:
    """Folders of presets: the checkout's ``pipelines``, or the wheel's copy."""
    return [f for f in (_PACKAGE.parent / "pipelines", _PACKAGE / "_data" / "pipelines") if f.is_dir()][:1]


def preset_names() -> list[str]:
    """Names of the packaged presets."""
    return sorted(p.stem for folder in folders() for p in folder.glob("*.yaml"))


def read_preset(preset: str | os.PathLike[str]) -> Preset:
    """A packaged preset by name, or a YAML file. Raises OptionError and InputError."""
    if not isinstance(preset, (str, os.PathLike)):
        raise OptionError(f"a preset is a name or a file, not {options.shown(preset)}")
    name = os.fspath(preset)
    path = next((f / f"{name}.yaml" for f in folders() if os.path.isfile(f / f"{name}.yaml")), None)
    if path is None:
        path = Path(name)
        if path.suffix.lower() not in (".yaml", ".yml"):
            raise OptionError(f"unknown preset '{name[:100]}'{suggestion(name, preset_names())}")
        if not os.path.isfile(path):
            raise InputError(f"preset file {path} does not exist")
    try:
        raw = documents.read(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not a readable YAML file: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("stages"), list):
        raise OptionError(f"{path}: a preset is 'description' and a list of 'stages'")
    if unknown := [key for key in raw if key not in ("description", "stages")]:
        raise OptionError(f"{path}: a preset is 'description' and 'stages'; there is no {options.shown(unknown[0])}")
    stages = tuple(_stage(item, path) for item in raw["stages"])
    check_wiring(stages)
    return Preset(path.stem, str(raw.get("description", "")).strip(), stages, path)


def load_preset(preset: str | os.PathLike[str]) -> tuple[Stage, ...]:
    """The stages of a preset; see ``read_preset``."""
    return read_preset(preset).stages


def _stage(item: Any, path: Path | str) -> Stage:
    if isinstance(item, str):
        item = {"stage": item}
    if not isinstance(item, dict) or "stage" not in item:
        raise OptionError(f"{path}: each stage is a name or a mapping with 'stage', not {options.shown(item)}")
    values = dict(item)
    name = values.pop("stage")
    if not isinstance(name, str):
        raise OptionError(f"{path}: a stage's name is text, not {options.shown(name)}")
    try:
        return make_stage(name, values)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error


def parse_stage(text: str) -> Stage:
    """A stage from command-line text: a name, ``module:Class``, or a mapping with options as in YAML presets,
    ``{stage: mymodule:Mask, softness: 3}``. Raises OptionError."""
    try:
        item = documents.parse(text) if text.lstrip().startswith("{") else text.strip()
    except ValueError as error:
        raise OptionError(
            f"'{text}' is neither a stage's name nor a mapping like {{stage: NAME, option: 1}}"
        ) from error
    return _stage(item, text)


def stage_kind(name: str) -> type[Stage]:
    """The class of a stage: one of the project's, one that an installed package registers in the entry point group
    ``wav2lip_hq.stages``, or one of the user's own as ``package.module:Class``. Raises OptionError."""
    if name in STAGES:
        return STAGES[name]
    offered = offered_stages()
    if name in offered:
        try:
            kind = offered[name].load()
        except Exception as error:
            raise OptionError(f"the stage '{name}' of an installed package fails to load: {error}") from error
    elif lookup.is_reference(name):
        kind = lookup.find(name)
    else:
        raise OptionError(f"unknown stage '{name}'{suggestion(name, [*STAGES, *offered])}")
    if not isinstance(kind, type) or not issubclass(kind, Stage):
        raise OptionError(f"'{name}' is not a stage: a stage is a frozen dataclass derived from wav2lip_hq.Stage")
    if not kind.name:
        raise OptionError(f"'{name}' has no name: give the class one, as in name: ClassVar[str] = \"mask\"")
    return kind


def offered_stages() -> dict[str, Any]:
    """Entry points of installed packages in the group ``wav2lip_hq.stages``, by name."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="wav2lip_hq.stages")}


def make_stage(name: str, values: Mapping[str, Any]) -> Stage:
    """A stage by name (see ``stage_kind``) with options, checked against its fields. Raises OptionError."""
    return options.make(stage_kind(name), values)


def set_options(stages: Sequence[Stage], settings: Sequence[str]) -> tuple[Stage, ...]:
    """Stages with "stage.option=value" settings applied, all together: their order does not matter, except that of two
    for one option the last is used. All stages of that name are changed. Raises OptionError."""
    wanted: dict[str, dict[str, str]] = {}
    for setting in settings:
        if not isinstance(setting, str):
            raise OptionError(f"a setting is text like stage.option=value, not {options.shown(setting)}")
        target, sign, text = setting.partition("=")
        name, dot, option = target.strip().partition(".")
        if not sign or not dot:
            raise OptionError(f"'{setting}' is not of the form stage.option=value")
        if name not in (names := [stage.name for stage in stages]):
            raise OptionError(f"this pipeline has no stage '{name}'{suggestion(name, names)}")
        wanted.setdefault(name, {})[option] = text
    return tuple(options.update(s, wanted[s.name]) if s.name in wanted else s for s in stages)
