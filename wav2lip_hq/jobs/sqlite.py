"""SQLite files that several processes use at once, and what is wrong with one in readable words."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError


class DiskFull(OutputError):
    """There is no room for results or for the state. Nothing can continue, and nothing is lost."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = errno.ENOSPC


@contextmanager
def connected(path: Path, lost: str) -> Iterator[sqlite3.Connection]:
    """A connection, for one piece of work; each statement is a transaction.

    lost: what happens when a damaged file is moved away. Raises OutputError, DiskFull.
    """
    db = None
    try:
        db = sqlite3.connect(path, timeout=30, isolation_level=None)
        db.row_factory = sqlite3.Row
        # A rollback journal, not WAL: it works on network shares too, and survives a kill at any instant.
        yield db
    except sqlite3.Error as error:
        raise _unusable(path, error, lost) from error
    finally:
        if db is not None:
            db.close()


def _unusable(path: Path, error: sqlite3.Error, lost: str) -> OutputError:
    """SQLite's error in readable words. Without room for its journal it only reports that it cannot open or write
    files."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return OutputError(f"{path} is damaged ({error}); move it away: {lost}")
    room = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 1 << 20
    if code == sqlite3.SQLITE_FULL or (code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and room < 1 << 16):
        return DiskFull(f"the disk of {path} is full; make room and run again: it continues where it was")
    return OutputError(f"{path} cannot be used ({error}); is its folder there and writable?")
