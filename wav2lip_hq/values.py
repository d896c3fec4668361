"""Conversion of values from Python, YAML and command-line text to the types of dataclass fields."""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from . import documents

NOTHING: Any = object()  # "this value is not of that type"


def as_type(value: Any, expected: Any, parse: bool) -> Any:
    """``value`` as ``expected`` if that is lossless, else NOTHING. parse: text may represent other types."""
    branches = branches_of(expected)
    if parse and isinstance(value, str):
        for reading in _readings(value, branches):
            found = next((f for b in branches if (f := _as_one(reading, b, parse)) is not NOTHING), NOTHING)
            if found is not NOTHING:
                return found
        return NOTHING
    found = next((f for b in branches if (f := _as_one(value, b, parse)) is not NOTHING), NOTHING)
    if found is NOTHING and parse and str in branches and isinstance(value, (int, float)) and value is not True:
        return str(value) if value is not False else NOTHING  # YAML reads a name made of digits as a number
    return found


def _readings(value: str, branches: Sequence[Any]) -> list[Any]:
    """Values that a text may represent, the likeliest first."""
    if branches == (str,):
        return [value]
    readings: list[Any] = []
    if type(None) in branches and value.strip().lower() in ("none", "null", "~"):
        readings.append(None)
    if any(typing.get_origin(b) in (tuple, list) for b in branches) and not value.lstrip().startswith("["):
        readings.append([part.strip() for part in value.split(",")] if value.strip() else [])
    try:
        parsed = documents.parse(value) if value.strip() else value
    except ValueError:
        parsed = value
    if isinstance(parsed, str):
        try:
            parsed = float(value)  # YAML 1.1 takes 1e-4 for text
        except ValueError:
            pass
    return [*readings, *([] if parsed is None else [parsed]), value]


def _as_one(value: Any, kind: Any, parse: bool) -> Any:
    """``value`` as one type of a union, or NOTHING."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if kind is type(None):
        return None if value is None else NOTHING
    if origin is typing.Literal:
        return value if value in inner else NOTHING
    if origin in (tuple, list):
        return _sequence(value, origin, inner, parse)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(value, inner, parse)
    if kind is bool:
        return value if isinstance(value, bool) else NOTHING
    if isinstance(value, bool):
        return value if kind is object else NOTHING
    if kind is int:
        whole = isinstance(value, Integral) or (parse and isinstance(value, float) and value.is_integer())
        return int(value) if whole else NOTHING
    if kind is float:
        if not isinstance(value, Real) or isinstance(value, Fraction):
            return NOTHING
        try:
            return float(value)
        except OverflowError:  # an integer of hundreds of digits
            return NOTHING
    if kind is Path:
        return Path(value) if isinstance(value, (str, Path)) else NOTHING
    if kind is Fraction:
        return _fraction(value, parse)
    if isinstance(kind, type):
        return value if isinstance(value, kind) else NOTHING
    if origin is Callable:
        return value if callable(value) else NOTHING
    return NOTHING if parse else value  # text cannot represent anything else


def _sequence(value: Any, origin: Any, inner: tuple[Any, ...], parse: bool) -> Any:
    if not isinstance(value, (list, tuple)):
        return NOTHING
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            return NOTHING
        items = [as_type(v, kind, parse) for v, kind in zip(value, inner, strict=True)]
    else:
        items = [as_type(v, inner[0] if inner else Any, parse) for v in value]
    return NOTHING if any(i is NOTHING for i in items) else origin(items)


def _mapping(value: Any, inner: tuple[Any, ...], parse: bool) -> Any:
    """A new dict with keys and values of the given types, or NOTHING."""
    if not isinstance(value, Mapping):
        return NOTHING
    key_type, value_type = inner or (Any, Any)
    items = {as_type(k, key_type, parse): as_type(v, value_type, parse) for k, v in value.items()}
    return NOTHING if any(k is NOTHING or v is NOTHING for k, v in items.items()) else items


def _fraction(value: Any, parse: bool) -> Any:
    """30, 29.97 or "30000/1001" as a Fraction; NOTHING for infinity and NaN."""
    if not isinstance(value, (Real, str)) or (isinstance(value, str) and not parse):
        return NOTHING
    text = str(value).strip()
    if len(text) > 40 or len(re.sub(r".*[eE]", "", text)) > 20:  # 1e999999999 would be a number of a billion digits
        return NOTHING
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        return NOTHING


@cache
def hints(kind: Any) -> dict[str, Any]:
    """Types of a dataclass's options. One that cannot be resolved (imported for type checkers only) is Any."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        owner = next(c for c in kind.__mro__ if field.name in vars(c).get("__annotations__", {}))
        alone = types.SimpleNamespace(__annotations__={field.name: field.type})
        try:
            found |= typing.get_type_hints(alone, vars(sys.modules[owner.__module__]))
        except NameError:
            found[field.name] = Any
    return found


def branches_of(expected: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    union = isinstance(expected, types.UnionType) or typing.get_origin(expected) is typing.Union
    return typing.get_args(expected) if union else (expected,)


def type_text(expected: Any) -> str:
    """ "float", "int or None", "tuple[float, float]"."""
    if isinstance(expected, str):
        return " or ".join(part.strip() for part in expected.split("|"))
    named = [getattr(b, "__name__", str(b)) if not typing.get_args(b) else str(b) for b in branches_of(expected)]
    return " or ".join(n.replace("NoneType", "None") for n in named)
