"""What is known of each job, in SQLite beside the job file. No server; several processes may use it at once."""

from __future__ import annotations

import errno
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import OutputError
from .sqlite import DiskFull, connected

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    name TEXT PRIMARY KEY, identity TEXT, status TEXT NOT NULL DEFAULT 'pending', kind TEXT DEFAULT '',
    message TEXT DEFAULT '', attempts INTEGER DEFAULT 0, crashes INTEGER DEFAULT 0, batch INTEGER, due REAL DEFAULT 0,
    frames INTEGER DEFAULT 0, total INTEGER, worker TEXT DEFAULT '', updated REAL DEFAULT 0, started REAL,
    finished REAL, seconds REAL DEFAULT 0, output_sha TEXT);
CREATE TABLE IF NOT EXISTS file (path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, sha256 TEXT);
CREATE TABLE IF NOT EXISTS flag (name TEXT PRIMARY KEY, value TEXT);
"""


def key(name: str) -> str:
    """A job's name as a file name."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Row:
    """One job's state. kind: why it failed ("input", "memory", ...); due: not before this time (retries)."""

    name: str
    identity: str | None = None
    status: str = "pending"
    kind: str = ""
    message: str = ""
    attempts: int = 0
    crashes: int = 0
    batch: int | None = None
    due: float = 0.0
    frames: int = 0
    total: int | None = None
    worker: str = ""
    updated: float = 0.0
    started: float | None = None
    finished: float | None = None
    seconds: float = 0.0
    output_sha: str | None = None


def is_full(error: BaseException | None) -> bool:
    """Whether an error comes of a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


class Store:
    """The state of a job file: ``JOBFILE.state``. Opening it makes it."""

    def __init__(self, jobfile: Path | str) -> None:
        jobfile = Path(jobfile).resolve()
        self.path = jobfile.with_name(f"{jobfile.name}.state")
        self.work = jobfile.with_name(f"{jobfile.name}.work")  # finished parts of unfinished jobs, thumbnails, locks
        with self._open() as db:
            db.executescript(_SCHEMA)

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return connected(self.path, "finished outputs are made again")

    # ---- jobs

    def get(self, name: str) -> Row:
        """A job's state; that of a new one if nothing is known."""
        with self._open() as db:
            found = db.execute("SELECT * FROM job WHERE name = ?", (name,)).fetchone()
        return Row(**dict(found)) if found else Row(name)

    def all(self) -> dict[str, Row]:
        """State by name."""
        with self._open() as db:
            return {row["name"]: Row(**dict(row)) for row in db.execute("SELECT * FROM job")}

    def put(self, name: str, **values: Any) -> None:
        """Change some fields of a job."""
        values["updated"] = time.time()
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        changes = ", ".join(f"{c} = excluded.{c}" for c in values)
        with self._open() as db:
            db.execute(
                f"INSERT INTO job (name, {columns}) VALUES (?, {marks}) ON CONFLICT(name) DO UPDATE SET {changes}",  # noqa: S608 - columns are ours
                (name, *values.values()),
            )

    def held(self, name: str) -> bool:
        """Whether a worker holds the job now."""
        path = self.work / "locks" / key(name)
        if not path.exists():  # it has never been held
            return False
        try:
            with FileLock(path).acquire(blocking=False):
                return False
        except Timeout:
            return True
        except OSError:
            return False

    @contextmanager
    def hold(self, name: str) -> Iterator[bool]:
        """Try to hold a job; False if another worker does. The system releases the lock however its holder ends."""
        folder = self.work / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / key(name))
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        except OSError as error:
            if is_full(error):
                raise DiskFull(f"the disk of {folder} is full; make room and run again") from error
            raise OutputError(f"{folder} cannot be written ({error.strerror})") from error
        try:
            yield True
        finally:
            lock.release()

    # ---- flags: what a person asked for while the jobs run

    def ask(self, name: str, value: str = "1") -> None:
        """Set a flag, say ``cancel:NAME``."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO flag VALUES (?, ?)", (name, value))

    def asked(self, name: str) -> bool:
        """Whether a flag is set."""
        with self._open() as db:
            return db.execute("SELECT 1 FROM flag WHERE name = ?", (name,)).fetchone() is not None

    def forget(self, name: str) -> None:
        """Clear a flag."""
        with self._open() as db:
            db.execute("DELETE FROM flag WHERE name = ?", (name,))

    # ---- hashes of inputs, so that an hour of footage is not read again at each start

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file's contents, or of a folder's names and contents; remembered by size and time of change."""
        if path.is_dir():
            inside = hashlib.sha256()
            for item in sorted(p for p in path.rglob("*") if p.is_file()):
                inside.update(f"{item.relative_to(path)}\0{self.sha256(item)}\n".encode())
            return inside.hexdigest()
        facts = path.stat()
        with self._open() as db:
            known = db.execute("SELECT * FROM file WHERE path = ?", (str(path),)).fetchone()
        if known and (known["size"], known["modified"]) == (facts.st_size, facts.st_mtime_ns):
            return str(known["sha256"])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._open() as db:
            row = (str(path), facts.st_size, facts.st_mtime_ns, digest)
            db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?)", row)
        return digest
