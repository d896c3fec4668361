"""The list of known checkpoints, and where their files are looked for."""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import documents
from ..errors import CheckpointError, OptionError
from .files import atomic, stated_arch

VARIABLE = "WAV2LIP_HQ_CHECKPOINTS"
EXTENSIONS = (".safetensors", ".pth", ".pt", ".model")
EMBEDDED = (
    "embedded-detector",
    "embedded-generator",
    "embedded-landmarks",
    "embedded-parser",
    "embedded-restorer",
    "embedded-expert",
    "embedded-syncnet",
    "embedded-articulation",
)
_NAME = re.compile(r"[A-Za-z0-9_][\w. +-]{0,200}")
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Variant:
    """One published file of a checkpoint. ``sha256`` may be a prefix, or empty if it is not known."""

    urls: tuple[str, ...] = ()  # tried in order; "gdrive:ID" is a Google Drive file
    size: int | None = None  # bytes
    sha256: str = ""
    hash_origin: str = ""
    note: str = ""

    def matches(self, digest: str) -> bool:
        """Whether a file with this SHA-256 may be this variant."""
        return bool(self.sha256) and digest.startswith(self.sha256)


@dataclass(frozen=True)
class Entry:
    """A checkpoint users can name."""

    name: str
    title: str
    file: str
    arch: str | None  # key of models.ARCHS; None = a file other packages read
    license: str
    license_origin: str
    commercial: str  # "yes" | "no" | "unclear"
    variants: tuple[Variant, ...]
    aliases: tuple[str, ...] = ()
    other_files: tuple[str, ...] = ()  # other names the same file goes by
    note: str = ""

    def __post_init__(self) -> None:
        for file in (self.name, self.file, *self.other_files):
            if not _NAME.fullmatch(file):  # it becomes a file in the cache, and must not leave it
                raise CheckpointError(f"the registry names '{file[:100]}', which is not a plain file name")

    @property
    def fetchable(self) -> bool:
        """Whether any download address is known."""
        return any(v.urls for v in self.variants)

    @property
    def files(self) -> tuple[str, ...]:
        """File names under which it is recognized on disk, the usual one first."""
        return (self.file, *self.other_files, f"{self.name}.safetensors")


class Registry:
    """Checkpoints by name or alias. Iterates over entries in the order of the file."""

    def __init__(self, entries: dict[str, Entry], drive: str = "") -> None:
        self.entries = entries
        self.drive = drive  # address of a Google Drive file, with {id}
        self._names = {alias: e.name for e in entries.values() for alias in (e.name, *e.aliases)}

    @classmethod
    def read(cls, path: Path | None = None) -> Registry:
        """From a registry.yaml (default: the project's). Raises CheckpointError if it cannot be used."""
        path = path or _registry_file()
        try:
            document = documents.read(path)
            entries = {str(name): _entry(str(name), facts) for name, facts in document["checkpoints"].items()}
            drive = str(document.get("drive", ""))
        except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: the checkpoint registry cannot be used ({error!r:.300})") from error
        return cls(entries, drive)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def get(self, name: str) -> Entry | None:
        """The entry of a name or alias, or None."""
        return self.entries.get(self._names.get(name, ""))

    def require(self, name: str) -> Entry:
        """As get; raises OptionError with near matches for an unknown name."""
        entry = self.get(name)
        if entry is None:
            near = difflib.get_close_matches(name, (*self._names, *EMBEDDED), n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(self.entries)}"
            raise OptionError(f"no checkpoint is called '{name}'{hint}")
        return entry

    def by_hash(self, digest: str) -> tuple[Entry, Variant] | None:
        """The entry whose published file has this full SHA-256."""
        for entry in self:
            for variant in entry.variants:
                if len(variant.sha256) == 64 and variant.matches(digest):
                    return entry, variant
        return None


def _entry(name: str, facts: dict[str, Any]) -> Entry:
    def texts(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise TypeError(f"a list of names, not {value!r:.100}")
        return tuple(str(item) for item in value)

    def size(value: Any) -> int | None:
        if value is not None and (type(value) is not int or value < 0):
            raise TypeError(f"a number of bytes, not {value!r:.100}")
        return value

    variants = tuple(
        Variant(
            urls=texts(v.get("urls", [])),
            size=size(v.get("size")),
            sha256=str(v.get("sha256", "")).lower(),
            hash_origin=str(v.get("hash_origin", "")),
            note=str(v.get("note", "")),
        )
        for v in facts["variants"]
    )
    return Entry(
        name=name,
        title=str(facts["title"]),
        file=str(facts["file"]),
        arch=None if facts["arch"] is None else str(facts["arch"]),
        license=str(facts["license"]),
        license_origin=str(facts["license_origin"]),
        commercial=str(facts["commercial"]),
        variants=variants,
        aliases=texts(facts.get("aliases", [])),
        other_files=texts(facts.get("other_files", [])),
        note=str(facts.get("note", "")),
    )


def _folders() -> list[Path]:
    """The project's checkpoints folder of a checkout, and the one packed into the wheel."""
    checkout = _PACKAGE.parent / "checkpoints"
    packed = _PACKAGE / "_data" / "checkpoints"
    return [f for f in (checkout, packed) if (f / "registry.yaml").is_file() or (f / "embedded").is_dir()]


def _registry_file() -> Path:
    for folder in _folders():
        if (folder / "registry.yaml").is_file():
            return folder / "registry.yaml"
    raise CheckpointError(f"registry.yaml is missing beside {_PACKAGE}; reinstall the package")


@functools.cache
def registry() -> Registry:
    """The project's registry, read once."""
    return Registry.read()


def cache_dir() -> Path:
    """Folder that fetched and imported checkpoints go to: the first of the variable's, else the user's cache."""
    own = own_dirs()
    if own:
        return own[0]
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "wav2lip_hq" / "checkpoints"


def own_dirs() -> list[Path]:
    """Folders named in the environment variable WAV2LIP_HQ_CHECKPOINTS (separated like PATH)."""
    return [Path(os.path.expanduser(p)) for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p]


def where() -> list[Path]:
    """Folders searched for checkpoints, in order; some may not exist."""
    found: list[Path] = []
    for folder in [*own_dirs(), cache_dir(), *_folders()]:
        for place in (folder, folder / "embedded"):
            if place not in found and (place == folder or place.is_dir()):
                found.append(place)
    return found


def locate(name: str) -> Path | None:
    """The installed file of a checkpoint, by registry name, alias, embedded name or bare file stem; None if absent."""
    entry = registry().get(name)
    if entry is not None:
        candidates: tuple[str, ...] = entry.files
    elif name in ("", ".", "..") or any(sep in name for sep in "/\\"):
        return None
    else:
        stems = (name, name.removeprefix("embedded-")) if name in EMBEDDED else (name,)
        candidates = tuple(f"{stem}{extension}" for stem in stems for extension in EXTENSIONS)
    for folder in where():
        for file in candidates:
            if os.path.isfile(folder / file):  # also for names that no file can have
                return folder / file
    return None


def own_checkpoints() -> dict[str, Path]:
    """Checkpoints under names of the user's own (imported, personalized): name -> file."""
    claimed = {file for entry in registry() for file in entry.files}
    found: dict[str, Path] = {}
    for folder in dict.fromkeys([*own_dirs(), cache_dir()]):
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if path.suffix in EXTENSIONS and path.name not in claimed and path.is_file():
                found.setdefault(path.stem, path)
    return found


def fitting(architectures: tuple[str, ...]) -> list[str]:
    """Names of all checkpoints of these architectures: in the registry, embedded, and the user's own."""
    shipped = {name: path for name in EMBEDDED if (path := locate(name)) is not None}
    others = {**shipped, **own_checkpoints()}
    return [
        *(entry.name for entry in registry() if entry.arch in architectures),
        *(name for name, path in others.items() if stated_arch(path) in architectures),
    ]


class Notes:
    """What this user has agreed to and what has been seen: a small JSON file beside the cached checkpoints."""

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (folder or cache_dir()) / "notes.json"

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            value = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            value = {}
        sections = value.items() if isinstance(value, dict) else ()
        return {name: kept for name, kept in sections if isinstance(kept, dict)}

    def _write(self, section: str, key: str, value: str) -> None:
        notes = self._read()
        notes.setdefault(section, {})[key] = value
        with atomic(self.path) as temporary:
            temporary.write_text(json.dumps(notes, indent=1, sort_keys=True), encoding="utf-8")

    def accepted(self, entry: Entry) -> bool:
        """Whether this license, as it is stated now, has been accepted for this checkpoint."""
        return self._read().get("accepted", {}).get(entry.name) == entry.license

    def accept(self, entry: Entry) -> None:
        """Remember that the license was accepted."""
        self._write("accepted", entry.name, entry.license)

    def trusted(self, name: str) -> str:
        """SHA-256 recorded when a checkpoint without a published one was first installed; "" if never."""
        return self._read().get("trusted", {}).get(name, "")

    def trust(self, name: str, digest: str) -> None:
        """Record what was installed (trust on first use)."""
        self._write("trusted", name, digest)
