"""What users upload: kept under names of our own, known by their owner, looked at before they are taken."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..places import MOVIES, PICTURES
from . import errands
from .choices import StudioOptions
from .database import Database

SOUNDS = frozenset((".wav", ".mp3", ".m4a", ".flac", ".aac", ".ogg", ".opus", ".oga", ".weba"))
TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".bmp": "image/bmp",
         ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm",
         ".mkv": "video/x-matroska", ".wav": "audio/wav", ".mp3": "audio/mpeg", ".m4a": "audio/mp4",
         ".flac": "audio/flac", ".aac": "audio/aac", ".ogg": "audio/ogg", ".opus": "audio/ogg"}  # fmt: skip
LONGEST = 120  # characters of a file's name that are kept
FREE = 256 * 2**20  # bytes that stay free on the disk


class TooLarge(InputError):
    """A file, or all of an account's together, beyond what is allowed."""


class Absent(InputError):
    """There is no such thing, or it is somebody else's: it is not said which."""


@dataclass(frozen=True)
class File:
    """One file of a user. kind: video, picture or sound."""

    id: str
    owner: str
    name: str
    kind: str
    suffix: str
    size: int
    facts: dict[str, Any]
    made: float

    def plain(self) -> dict[str, Any]:
        """For JSON, without where it lies."""
        return {"id": self.id, "name": self.name, "kind": self.kind, "size": self.size, "made": self.made, **self.facts}


class Files:
    """The files of all accounts; each call names whose."""

    def __init__(self, database: Database, options: StudioOptions) -> None:
        self.database, self.options = database, options
        self._looking = threading.Semaphore(2)  # processes at a time

    def sweep(self) -> None:
        """Remove what was arriving when the studio ended."""
        with self.database.open() as db:
            known = {row["id"] for row in db.execute("SELECT id FROM file")}
        for path in (self.database.folder / "users").glob("*/files/*"):
            if path.name.partition(".")[0] not in known:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    # ---- finding

    def get(self, owner: str, number: Any) -> File:
        """A file by its id. Raises Absent."""
        with self.database.open() as db:
            row = db.execute("SELECT * FROM file WHERE id = ? AND owner = ?", (str(number), owner)).fetchone()
        if row is None:
            raise Absent("there is no such file")
        return _file(row)

    def all(self, owner: str) -> list[File]:
        """Newest first."""
        with self.database.open() as db:
            rows = db.execute("SELECT * FROM file WHERE owner = ? ORDER BY made DESC", (owner,))
            return [_file(row) for row in rows]

    def folder(self, owner: str) -> Path:
        """Where an account's uploads lie."""
        made = self.database.home(owner) / "files"
        made.mkdir(exist_ok=True)
        return made

    def path(self, file: File) -> Path:
        """Where a file lies: its name there is its id."""
        return self.folder(file.owner) / f"{file.id}{file.suffix}"

    def poster(self, file: File) -> Path:
        """A small picture of it, which need not exist."""
        return self.folder(file.owner) / f"{file.id}.poster.jpg"

    def looks(self, file: File) -> Path:
        """The folder of what was found in it."""
        return self.folder(file.owner) / f"{file.id}.faces"

    # ---- taking

    def room(self, owner: str) -> int:
        """Bytes that an account may still store. Raises TooLarge if the disk is nearly full."""
        home = self.database.home(owner)
        if shutil.disk_usage(home).free < FREE:
            raise TooLarge("the disk of the studio is full")
        used = sum(p.stat().st_size for p in home.rglob("*") if p.is_file())
        return round(self.options.max_storage * 1e6) - used

    def begin(self, owner: str, name: str) -> Incoming:
        """Take a file that is called ``name``. Raises InputError, TooLarge."""
        shown = clean(name)
        suffix = Path(shown).suffix.lower()
        if suffix not in MOVIES | PICTURES | SOUNDS:
            raise InputError(
                f"'{shown}' is no video, picture or sound by its ending; say .mp4, .mov, .mkv, .webm, .png, .jpg, .wav "
                "or .mp3"
            )
        most = round(self.options.max_upload * 1e6)
        room = self.room(owner)
        number = secrets.token_hex(16)
        return Incoming(number, owner, shown, suffix, min(most, room), most <= room, self.folder(owner))

    def finish(self, coming: Incoming, **more: Any) -> File:
        """Look at a file that has arrived, and keep it with ``more`` facts. Raises InputError: nothing that can be
        used, or too long."""
        path = coming.path
        try:
            if not path.stat().st_size:
                raise InputError(f"{coming.name} is empty")
            if self.room(coming.owner) < 0:  # several arrived at once
                raise TooLarge(f"{coming.name} is too large: your storage is full; delete something first")
            with self._looking:
                facts = errands.run(
                    "look",
                    hide={str(path): coming.name, path.name: coming.name},
                    path=str(path),
                    poster=str(path.with_name(f"{coming.id}.poster.jpg")),
                    wav=str(path.with_suffix(".rewritten.wav")),
                    seconds=self.options.max_minutes * 60,
                )
            if (new := str(facts.pop("suffix", path.suffix))) != path.suffix:
                os.replace(path.with_suffix(".rewritten.wav"), path.with_suffix(new))
                path.unlink()
                path = path.with_suffix(new)
                coming.name = str(Path(coming.name).with_suffix(new))
            return self._keep(coming.owner, coming.id, coming.name, path, {**facts, **more})
        except BaseException:
            for left in path.parent.glob(f"{coming.id}.*"):
                left.unlink(missing_ok=True)
            raise

    def speak(self, owner: str, text: str, language: str, speaker: str, voice: str) -> File:
        """A text as a file of speech. Raises InputError."""
        self.room(owner)
        number = secrets.token_hex(16)
        path = self.folder(owner) / f"{number}.wav"
        try:
            with self._looking:
                facts = errands.run(
                    "speak",
                    patience=1800,
                    hide={str(path): "the speech"},
                    text=text,
                    language=language,
                    speaker=speaker,
                    voice=voice,
                    wav=str(path),
                    seconds=self.options.max_minutes * 60,
                )
            words = " ".join(text.split())
            name = words if len(words) <= 60 else f"{words[:57]}..."
            return self._keep(owner, number, f"\u201c{name}\u201d", path, facts)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(path.with_suffix(".voice"), ignore_errors=True)
            path.with_suffix(".json").unlink(missing_ok=True)

    def _keep(self, owner: str, number: str, name: str, path: Path, facts: dict[str, Any]) -> File:
        made = File(number, owner, name, facts.pop("kind"), path.suffix, path.stat().st_size, facts, time.time())
        row = (made.id, owner, name, made.kind, made.suffix, made.size, json.dumps(facts), made.made)
        with self.database.open() as db:
            db.execute("INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return made

    def remove(self, owner: str, number: str) -> None:
        """Delete a file and what was found in it. Raises Absent."""
        file = self.get(owner, number)
        with self.database.open() as db:
            db.execute("DELETE FROM file WHERE id = ? AND owner = ?", (file.id, owner))
        self.path(file).unlink(missing_ok=True)
        self.poster(file).unlink(missing_ok=True)
        shutil.rmtree(self.looks(file), ignore_errors=True)


class Incoming:
    """A file that is arriving. ``write`` what comes; leaving it half-way removes it."""

    def __init__(self, number: str, owner: str, name: str, suffix: str, most: int, own: bool, folder: Path) -> None:
        self.id, self.owner, self.name, self.most, self._own = number, owner, name, most, own
        self.path = folder / f"{number}{suffix}"
        self._file = self.path.open("xb")
        self.size = 0

    def expect(self, size: int) -> None:
        """Refuse what says beforehand that it is too large. Raises TooLarge."""
        if size > self.most:
            self.abandon()
            limit = f"{max(0, self.most) / 1e6:g} MB"
            raise TooLarge(
                f"{self.name} is too large: files may have {limit}"
                if self._own
                else f"{self.name} is too large: {limit} are left to you; delete something first"
            )

    def write(self, data: bytes) -> None:
        """Some more of it. Raises TooLarge."""
        self.size += len(data)
        self.expect(self.size)
        self._file.write(data)

    def close(self) -> None:
        """All of it is there."""
        self._file.close()

    def abandon(self) -> None:
        """It will not be."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def clean(name: str) -> str:
    """A file's name to show: without folders and control characters, shortened in the middle of nothing."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(c for c in last if c.isprintable()).strip() or "file"
    stem, suffix = os.path.splitext(plain)
    return f"{stem[: LONGEST - len(suffix[:10])]}{suffix[:10]}"


def _file(row: Any) -> File:
    facts = json.loads(row["facts"])
    return File(row["id"], row["owner"], row["name"], row["kind"], row["suffix"], row["size"], facts, row["made"])
