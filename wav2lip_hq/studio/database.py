"""The studio's SQLite file: accounts, sessions, files, jobs. How far a job is stands in its job file's own state."""

from __future__ import annotations

import os
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

from ..errors import OutputError
from ..jobs.sqlite import connected

_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, salt BLOB NOT NULL, hash BLOB NOT NULL, made REAL);
CREATE TABLE IF NOT EXISTS session (token BLOB PRIMARY KEY, account TEXT NOT NULL, ends REAL NOT NULL);
CREATE TABLE IF NOT EXISTS file (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, suffix TEXT NOT NULL,
    size INTEGER NOT NULL, facts TEXT NOT NULL, made REAL);
CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, row TEXT NOT NULL,
    asked TEXT NOT NULL, made REAL);
CREATE INDEX IF NOT EXISTS file_owner ON file (owner);
CREATE INDEX IF NOT EXISTS job_owner ON job (owner);
"""


class Database:
    """``studio.sqlite`` in the studio's folder, which only its user may read. Opening it makes both."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.chmod(folder, 0o700)
        except OSError as error:
            raise OutputError(f"the studio's folder {folder} cannot be used ({error.strerror or error})") from error
        self.folder = folder.resolve()
        self.path = self.folder / "studio.sqlite"
        with self.open() as db:
            db.executescript(_SCHEMA)

    def open(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection, for one piece of work; each statement is a transaction. Raises OutputError."""
        return connected(self.path, "accounts and uploads start anew, results stay in their folders")

    def home(self, owner: str) -> Path:
        """The folder of what an account owns. Its name is one that ``accounts.check_name`` lets through."""
        path = self.folder / "users" / owner
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path
