"""YAML from files and the command line, bounded in size, with one kind of error."""

from __future__ import annotations

import os
import re
from typing import Any

import yaml

LONGEST = 4 << 20  # characters; a reel of ten thousand lines has two million
_BASE_60 = re.compile(r"[-+]?\d[\d_]*(:\d+)+(\.\d*)?")
MOST = 200_000  # values, counting each repetition by an alias


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes 10:00:00:08 for a number of base 60; here it is a time, that is text."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0] and ":" in value and _BASE_60.fullmatch(value):
            return "tag:yaml.org,2002:str"
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


def parse(text: str) -> Any:
    """The value of a YAML document. Raises ValueError with a reason in one line: no YAML, a value that its tag does not
    fit, infinite nesting, or aliases that stand for more than MOST values."""
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text)} characters, more than {LONGEST}")
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > MOST:
            raise ValueError(f"its aliases stand for more than {MOST} values")
        return loader.construct_document(node)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, ArithmeticError, LookupError) as error:
        raise ValueError(" ".join(str(error).split())[:300] or "a value does not fit its tag") from error
    finally:
        if loader is not None:
            loader.dispose()


def read(path: str | os.PathLike[str]) -> Any:
    """The value of a YAML file in UTF-8. Raises OSError and ValueError as ``open`` and ``parse`` do."""
    with open(path, "rb") as file:
        return parse(file.read(4 * LONGEST + 1).decode("utf-8"))


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, those of its aliases included."""
    if id(node) not in known:
        known[id(node)] = MOST + 1  # a node that contains itself
        inside: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            inside = node.value
        elif isinstance(node, yaml.MappingNode):
            inside = [part for pair in node.value for part in pair]
        known[id(node)] = min(MOST + 1, 1 + sum(_count(part, known) for part in inside))
    return known[id(node)]
