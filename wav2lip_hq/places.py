"""Where results are put: names that fit, and nothing in the way that must not be replaced."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import OutputError

LONGEST = 255  # bytes of a file's name, nearly everywhere


def check_target(path: Path) -> None:
    """Raise OutputError if a file cannot be called that, or if replacing what is there would surprise: a link, a pipe,
    a device."""
    try:
        size = len(os.fsencode(path.name))
    except UnicodeError as error:
        raise OutputError(f"{path} holds characters that no file's name can have") from error
    if "\0" in str(path):
        raise OutputError(f"{str(path)!r} holds a NUL, which no file's name can have")
    if size > LONGEST:
        raise OutputError(f"the output's name has {size} bytes, {LONGEST} are the most: {path.name[:60]}...")
    if os.path.islink(path):
        raise OutputError(f"{path} is a link to {os.readlink(path)}; give that name, or remove the link first")
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OutputError(f"{path} is a pipe or a device, not a file; choose another name")


def beside(path: Path) -> Path:
    """A hidden name beside ``path`` for what is not complete yet, with its ending, and no longer than a name may be."""
    end = f".{os.getpid()}.part{path.suffix}"
    stem = os.fsencode(path.stem)[: LONGEST - 1 - len(os.fsencode(end))]
    return path.with_name(f".{stem.decode('utf-8', 'ignore') if stem else ''}{end}")
