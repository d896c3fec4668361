"""Finding footage: which files belong to a data set, and who is in them.

The layout follows from the names of the folders:
- GRID: ``s1/bbaf2n.mpg`` (the folder is the speaker);
- LRS2 / LRS3: ``main/5535415699068794046/00001.mp4``, ``trainval/VIDEO/50001.mp4`` (the video is the identity: speakers
  are not named, and according to the data sets nobody appears in two videos);
- LRW: ``ABOUT/train/ABOUT_00001.mp4`` (no identities: every clip is its own);
- a list file: one ``path [identity]`` a line, relative to the list;
- anything else: clips in a folder; a sub-folder names an identity, a file at the top is its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..places import MOVIES


@dataclass(frozen=True)
class Footage:
    """One source file. ``name`` is unique within a data set and safe as a file name."""

    path: Path
    identity: str

    @property
    def name(self) -> str:
        return f"{self.identity}__{_safe(self.path.stem)}"


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("_") or "x"


def layout(folder: Path) -> str:
    """ "lrw", "lrs" or "folder" (which covers GRID)."""
    for word in (p for p in folder.iterdir() if p.is_dir()):
        for split in ("train", "val", "test"):
            if (word / split).is_dir() and any((word / split).glob(f"{word.name}_*")):
                return "lrw"
    for split in ("main", "pretrain", "trainval", "test"):
        if (folder / split).is_dir() and any(re.fullmatch(r"\d{5}", p.stem) for p in (folder / split).glob("*/*.mp4")):
            return "lrs"
    return "folder"


def find(source: Path) -> list[Footage]:
    """All clips of a folder or list file, sorted. Raises InputError when there is nothing, or a listed file is gone."""
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source} does not exist; give a folder of clips or a list file")
    if source.is_file():
        return _listed(source)
    kind = layout(source)
    found = []
    for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in MOVIES and p.is_file()):
        parts = path.relative_to(source).parts
        if kind == "lrw":
            identity = path.stem
        elif kind == "lrs":
            identity = parts[-2]
        else:
            identity = parts[-2] if len(parts) > 1 else path.stem
        found.append(Footage(path, _safe(identity)))
    if not found:
        raise InputError(f"no video files under {source} (looked for {', '.join(sorted(MOVIES))})")
    return found


def _listed(source: Path) -> list[Footage]:
    if source.suffix.lower() in MOVIES:
        return [Footage(source, _safe(source.stem))]
    found, missing = [], []
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not a list of clips (text, one 'path [identity]' a line)") from error
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        name, _, identity = line.strip().partition("\t") if "\t" in line else line.strip().rpartition(" ")
        if not name or (identity and (source.parent / line.strip()).exists()):
            name, identity = line.strip(), ""
        path = source.parent / name
        if not path.exists():
            missing.append(name)
            continue
        found.append(Footage(path, _safe(identity or path.parent.name or path.stem)))
    if missing:
        raise InputError(f"{source}: {len(missing)} listed files do not exist, the first is {missing[0]}")
    if not found:
        raise InputError(f"{source} lists no clips")
    return found
