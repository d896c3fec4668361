"""Finding the manifest of a file that lost its own, by the number that its invisible mark says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import InputError, OptionError
from .library import EMBEDS, OTHERS
from .reading import Found, read


def find(mark: str, folder: Path, anchors: Sequence[str] = ()) -> list[Found]:
    """The files below ``folder`` whose manifests state that their mouths carry this mark, by name.

    mark: 8 hexadecimal digits, as ``wav2lip-hq detect`` shows them. What cannot be read is passed
    over. Raises OptionError: no such mark can be; InputError: no such folder.
    """
    wanted = mark.lower().removeprefix("0x")
    if not re.fullmatch("[0-9a-f]{8}", wanted):
        raise OptionError(f"'{mark}' is no mark: give the 8 hexadecimal digits that `wav2lip-hq detect` shows")
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} to look for manifests in")
    out = []
    for path in _candidates(folder):
        try:
            found = read(path, anchors)
        except InputError:
            continue
        if wanted in found.marks:
            out.append(found)
    return out


def _candidates(folder: Path) -> Iterator[Path]:
    """Files that can have manifests; of a sequence of pictures the first."""
    sequences = set()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        suffix = path.suffix.lower()
        if suffix == ".png":
            if path.parent not in sequences:
                sequences.add(path.parent)
                yield path
        elif suffix in EMBEDS or suffix in OTHERS:
            yield path
