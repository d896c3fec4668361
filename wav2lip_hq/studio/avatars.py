"""The library of avatars of each account: faces that are kept with the note of who agreed to their use."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..avatars import AvatarLibrary
from ..errors import InputError, OptionError
from ..places import write_text
from ..provenance.consent import LONGEST
from . import errands
from .database import Database
from .files import Absent, File, Files

POSTER = "poster.jpg"


class Avatars:
    """The avatars of all accounts; each call names whose."""

    def __init__(self, database: Database, files: Files) -> None:
        self.database, self.files = database, files

    def library(self, owner: str) -> AvatarLibrary:
        """An account's own library."""
        return AvatarLibrary(self.database.home(owner) / "avatars")

    def all(self, owner: str) -> list[dict[str, Any]]:
        """Name, kind, note of consent, size and length of each; ``problem`` of damaged ones."""
        named = ("name", "kind", "said", "added", "size", "seconds", "problem")
        return [{name: getattr(one, name) for name in named} for one in self.library(owner).list()]

    def keep(self, owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Keep an uploaded face under a name. Raises InputError, OptionError: no face or note, a name that is taken."""
        name, note = given.get("name"), given.get("consent")
        file = self.files.get(owner, given.get("file"))
        if not isinstance(name, str) or not isinstance(note, str) or not note.strip() or len(note) > LONGEST:
            raise OptionError(f"give the avatar a name, and say who agreed to what, in at most {LONGEST} characters")
        if file.kind == "sound":
            raise InputError(f"{file.name} is sound; an avatar is a video or a picture")
        if self.files.room(owner) < file.size:
            raise InputError("your storage is full: delete some files or results first")
        path, library = self.files.path(file), self.library(owner)
        written = self.files.folder(owner) / f"{secrets.token_hex(16)}.txt"  # never taken for the name of a file
        try:
            write_text(written, note.strip())
            errands.run(
                "keep",
                hide={str(path): file.name, path.name: file.name, f" in {library.folder}": ""},
                folder=str(library.folder),
                name=name,
                face=str(path),
                consent=str(written),
            )
        finally:
            written.unlink(missing_ok=True)
        if self.files.poster(file).is_file():
            shutil.copyfile(self.files.poster(file), library.get(name).folder / POSTER)
        return next(one for one in self.all(owner) if one["name"] == name)

    def use(self, owner: str, name: str) -> File:
        """An avatar's face as a file that can be dubbed, with its note of consent. Raises InputError, OptionError."""
        library = self.library(owner)
        if name not in [one.name for one in library.list()]:
            raise Absent(f"there is no avatar '{name[:80]}'")
        one = library.get(name)
        coming = self.files.begin(owner, f"{one.name}{one.face.suffix}")
        try:
            coming.expect(one.face.stat().st_size)
            with one.face.open("rb") as face:
                while data := face.read(1 << 20):
                    coming.write(data)
            coming.close()
        except BaseException:
            coming.abandon()
            raise
        return self.files.finish(coming, consent=one.said)

    def poster(self, owner: str, name: str) -> Path:
        """A small picture. Raises Absent."""
        library = self.library(owner)
        if name not in [one.name for one in library.list()]:
            raise Absent("there is no such avatar")
        return library.folder / name / POSTER

    def remove(self, owner: str, name: str) -> None:
        """Remove an avatar with all that is kept of it; videos made with it stay. Raises Absent, OutputError."""
        library = self.library(owner)
        if name not in [one.name for one in library.list()]:
            raise Absent(f"there is no avatar '{name[:80]}'")
        library.remove(name)
