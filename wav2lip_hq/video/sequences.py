"""Sequences of pictures: which files belong to one, in which order, and how those of a result are named."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

_NUMBERED = re.compile(r"(.*?)(\d+)(\.\w+)", re.DOTALL)
_PLACE = re.compile(r"%0?(\d*)d")


@dataclass(frozen=True)
class Naming:
    """How the files of a sequence are named: shot.1001.exr has the stem "shot.", 4 digits and begins at 1001."""

    stem: str = ""
    digits: int = 6
    first: int = 1

    def name(self, index: int, suffix: str) -> str:
        """Of the picture ``index``, counted from 0."""
        return f"{self.stem}{self.first + index:0{self.digits}d}{suffix}"


def is_pattern(path: Path) -> bool:
    """Whether a name has a place for a number, as in shot.%04d.exr."""
    return _PLACE.search(path.name) is not None


def of_pattern(path: Path) -> list[Path]:
    """The files that a pattern describes, in order of their numbers. Raises InputError."""
    match = _PLACE.search(path.name)
    assert match is not None
    digits = rf"\d{{{int(match[1])},}}" if match[1] else r"\d+"
    expression = re.compile(re.escape(path.name[: match.start()]) + f"({digits})" + re.escape(path.name[match.end() :]))
    if not os.path.isdir(path.parent):
        raise InputError(f"{path.parent} does not exist")
    found = {int(m[1]): p for p in path.parent.iterdir() if (m := expression.fullmatch(p.name))}
    paths = [found[k] for k in sorted(found)]
    naming(paths)
    return paths


def of_folder(folder: Path, suffixes: Many[str], film: Many[str]) -> list[Path]:
    """The pictures of a folder, in order of their numbers, or of their names where these are no numbers. film: kinds
    that stand alone. Raises InputError: a gap; pictures of film among others, or several sequences of them."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    kinds = {p.suffix.lower() for p in paths}
    if len(kinds) > 1 and kinds & set(film):
        raise InputError(f"{folder} holds pictures of several kinds ({', '.join(sorted(kinds))}); name one: x.%04d.exr")
    named = naming(paths)
    if named is None and kinds & set(film) and len(paths) > 1:
        stems = sorted({m[1] if (m := _NUMBERED.fullmatch(p.name)) else p.name for p in paths})
        raise InputError(
            f"{folder} holds several sequences ({', '.join(s + '#' for s in stems[:4])}); name one, as in "
            f"{folder / (stems[0] + '%04d' + paths[0].suffix)}"
        )
    return paths if named is None else sorted(paths, key=number)


def naming(paths: Many[Path]) -> Naming | None:
    """How a sequence is named; None if its names are not one stem with numbers. Raises InputError for a gap."""
    matches = [_NUMBERED.fullmatch(p.name) for p in paths]
    found = [m for m in matches if m is not None]
    if not found or len(found) != len(paths) or len({(m[1], m[3]) for m in found}) != 1:
        return None
    numbers = sorted(int(m[2]) for m in found)
    for a, b in zip(numbers, numbers[1:], strict=False):
        if b - a > 1:
            folder, (stem, end) = paths[0].parent, (found[0][1], found[0][3])
            missing = f"{a + 1}" if b - a == 2 else f"{a + 1} to {b - 1}"
            raise InputError(
                f"{folder / (stem + '#' + end)}: picture {missing} is missing between {a} and {b}; a gap would "
                "shift the picture against the sound"
            )
    return Naming(found[0][1], min(len(m[2]) for m in found), numbers[0])


def number(path: Path) -> int:
    """The number in the name of one of a sequence's pictures."""
    match = _NUMBERED.fullmatch(path.name)
    assert match is not None
    return int(match[2])
