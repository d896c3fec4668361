"""File names: which endings mean footage or pictures, which outputs are safe to write, and temporary names."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
from pathlib import Path

from .errors import OutputError

MOVIES = frozenset((".mp4", ".mov", ".mkv", ".m4v", ".avi", ".mpg", ".mpeg", ".webm", ".mxf", ".ts"))
PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp"))
LONGEST = 255  # bytes of a file's name, nearly everywhere
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_PART = re.compile(r"\..*\.([0-9a-f]{6})-(\d+)\.part(\.[^.]*)?", re.DOTALL)
_ours: set[str] = set()  # temporary names in use by this process


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


def make_folder(folder: Path) -> None:
    """Make a folder for results and those above it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made ({error.strerror}); choose another") from error


def existing(folder: Path) -> Path:
    """The folder, or the nearest existing one above it, where ``make_folder`` begins. Raises OutputError if that is a
    file."""
    for place in (folder, *folder.parents):
        if os.path.exists(place):
            if not os.path.isdir(place):
                raise OutputError(f"the folder {folder} cannot be made: {place} is a file")
            return place
    raise OutputError(f"the folder {folder} cannot be made")


def beside(path: Path) -> Path:
    """A hidden name beside ``path`` for an incomplete file, with the same ending and within the length limit.

    The name contains the process id, so that files left behind by dead processes of this machine are removed here
    first."""
    sweep(path.parent)
    end = f".{_HOST}-{os.getpid()}.part{path.suffix}"
    stem = os.fsencode(path.stem)[: LONGEST - 1 - len(os.fsencode(end))]
    made = path.with_name(f".{stem.decode('utf-8', 'ignore') if stem else ''}{end}")
    _ours.add(made.name)
    return made


def sweep(folder: Path) -> None:
    """Remove temporary files that dead processes of this machine left in a folder; files being written stay."""
    if os.name != "posix":  # elsewhere there is no way to check for a process without affecting it
        return
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            match = _PART.fullmatch(entry.name)
            if match is None or match[1] != _HOST or entry.name in _ours or _alive(int(match[2])):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    """Whether another process with this id is running."""
    if pid == os.getpid():  # left by an earlier process that had our id
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a file, complete or not at all. Raises OutputError."""
    temporary = beside(path)
    try:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
