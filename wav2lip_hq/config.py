"""YAML <-> stages, and ``--set stage.option=value``: one function sets an option, wherever it comes from."""

from __future__ import annotations

import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .engine import Stage, check_wiring
from .errors import InputError, OptionError
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
    """Where presets are: the checkout's ``pipelines``, or the wheel's copy."""
    return [f for f in (_PACKAGE.parent / "pipelines", _PACKAGE / "_data" / "pipelines") if f.is_dir()][:1]


def preset_names() -> list[str]:
    """Names of the packaged presets."""
    return sorted(p.stem for folder in folders() for p in folder.glob("*.yaml"))


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'restore'?" or the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there is {', '.join(names)}"


def read_preset(preset: str | os.PathLike[str]) -> Preset:
    """A packaged preset by name, or a YAML file. Raises OptionError and InputError."""
    name = os.fspath(preset)
    path = next((f / f"{name}.yaml" for f in folders() if (f / f"{name}.yaml").is_file()), None)
    if path is None:
        path = Path(name)
        if path.suffix.lower() not in (".yaml", ".yml"):
            raise OptionError(f"unknown preset '{name}'{suggestion(name, preset_names())}")
        if not path.is_file():
            raise InputError(f"preset file {path} does not exist")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is not a readable YAML file: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("stages"), list):
        raise OptionError(f"{path}: a preset is 'description' and a list of 'stages'")
    stages = tuple(_stage(item, path) for item in raw["stages"])
    check_wiring(stages)
    return Preset(path.stem, str(raw.get("description", "")).strip(), stages, path)


def load_preset(preset: str | os.PathLike[str]) -> tuple[Stage, ...]:
    """The stages of a preset; see ``read_preset``."""
    return read_preset(preset).stages


def _stage(item: Any, path: Path) -> Stage:
    if isinstance(item, str):
        item = {"stage": item}
    if not isinstance(item, dict) or "stage" not in item:
        raise OptionError(f"{path}: each stage is a name or a mapping with 'stage', not {item!r}")
    options = dict(item)
    name = str(options.pop("stage"))
    if name not in STAGES:
        raise OptionError(f"{path}: unknown stage '{name}'{suggestion(name, STAGES)}")
    return make_stage(name, options)


def make_stage(name: str, options: dict[str, Any]) -> Stage:
    """A stage with options, checked against its fields. Raises OptionError."""
    kind = STAGES[name]
    return kind(**{key: _value(kind, key, value) for key, value in options.items()})


def set_options(stages: Sequence[Stage], settings: Sequence[str]) -> tuple[Stage, ...]:
    """Stages with "stage.option=value" settings applied. A stage that occurs twice is changed everywhere."""
    changed = list(stages)
    for setting in settings:
        target, sign, text = setting.partition("=")
        name, dot, option = target.strip().partition(".")
        if not sign or not dot:
            raise OptionError(f"'{setting}' is not of the form stage.option=value")
        at = [i for i, stage in enumerate(changed) if stage.name == name]
        if not at:
            raise OptionError(f"this pipeline has no stage '{name}'{suggestion(name, [s.name for s in changed])}")
        for i in at:
            changed[i] = dataclasses.replace(changed[i], **{option: _value(type(changed[i]), option, text)})
    return tuple(changed)


@cache
def _fields(kind: type[Stage]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, vars(__import__("sys").modules[kind.__module__]))
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def _value(kind: type[Stage], option: str, value: Any) -> Any:
    """``value`` (YAML or text) as the field's type. Raises OptionError."""
    known = _fields(kind)  # type: ignore[arg-type]  # a class is hashable
    if option not in known:
        raise OptionError(f"stage '{kind.name}' has no option '{option}'{suggestion(option, known)}")
    expected = known[option]
    choices = typing.get_args(expected) if isinstance(expected, types.UnionType) else (expected,)
    if isinstance(value, str) and choices != (str,):
        parsed = yaml.safe_load(value) if value.strip() else ""
        try:
            parsed = float(value) if isinstance(parsed, str) else parsed
        except ValueError:
            pass
    else:
        parsed = value
    for choice in choices:
        result = _as(parsed, choice)
        if result is not None:
            return result
    if type(None) in choices and parsed is None:
        return None
    if str in choices:
        return str(value)
    names = " or ".join(getattr(c, "__name__", str(c)) for c in choices)
    raise OptionError(f"{kind.name}.{option} is {names}, not {value!r}")


def _as(value: Any, kind: Any) -> Any:
    """``value`` as ``kind`` where that loses nothing, else None."""
    origin = typing.get_origin(kind)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if kind is bool:
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return None
    if kind is int:
        return int(value) if isinstance(value, (int, float)) and float(value).is_integer() else None
    if kind is float:
        return float(value) if isinstance(value, (int, float)) else None
    if kind is str:
        return value if isinstance(value, str) else None
    return None
