"""Accounts: passwords hashed by scrypt, sessions kept as hashes, and a pause after wrong passwords."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time

from ..errors import InputError, OptionError
from .database import Database

ALONE = "local"  # who owns everything where there are no accounts
SHORTEST, LONGEST = 10, 200  # characters of a password
LASTS = 14 * 24 * 3600.0  # seconds of a session
TRIES, PAUSE = 5, 60.0  # wrong passwords in a row, and seconds until the next may be tried
_COST = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 2**20, "dklen": 32}  # 32 MB and about 0.1 s each


class TooMany(InputError):
    """Too many wrong passwords."""


class WrongPassword(InputError):
    """No such account, or not its password: it is not said which."""


def check_name(name: str) -> str:
    """A name that may be an account's and a folder's. Raises OptionError."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name) or name == ALONE:
        raise OptionError(
            f"an account's name is 1 to 32 of a-z, 0-9, _ and -, begins with a letter or digit and is not '{ALONE}'; "
            f"'{name[:40]}' is not"
        )
    return name


class Accounts:
    """Who may use the studio."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._wrong: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._one = threading.Semaphore(2)  # hashes at a time: nobody can ask for all memory at once

    def names(self) -> list[str]:
        """All accounts."""
        with self.database.open() as db:
            return [row["name"] for row in db.execute("SELECT name FROM account ORDER BY name")]

    def add(self, name: str, password: str = "") -> str:
        """Make an account, or give one a new password, which ends its sessions; returns the password, a random one if
        none is given. Raises OptionError."""
        check_name(name)
        password = password or secrets.token_urlsafe(12)
        if not SHORTEST <= len(password) <= LONGEST:
            raise OptionError(f"a password has {SHORTEST} to {LONGEST} characters")
        salt = secrets.token_bytes(16)
        found = (name, salt, self._hash(password, salt), time.time())
        with self.database.open() as db:
            db.execute("INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?)", found)
            db.execute("DELETE FROM session WHERE account = ?", (name,))
        with self._lock:
            self._wrong.pop(name, None)
        return password

    def remove(self, name: str) -> None:
        """Remove an account. What it owns stays in its folder. Raises OptionError."""
        with self.database.open() as db:
            if not db.execute("DELETE FROM account WHERE name = ?", (name,)).rowcount:
                raise OptionError(f"there is no account '{name[:40]}'")
            db.execute("DELETE FROM session WHERE account = ?", (name,))

    def login(self, name: str, password: str) -> str:
        """A new session's token. Raises WrongPassword, TooMany."""
        with self._lock:
            count, last = self._wrong.get(name, (0, 0.0))
            if count >= TRIES and time.time() - last < PAUSE:
                raise TooMany(f"too many wrong passwords; try again in {PAUSE - (time.time() - last):.0f} s")
            if len(self._wrong) > 10_000:  # names that somebody makes up
                self._wrong.clear()
            self._wrong[name] = (count + 1, time.time())  # counted before it is looked at: tries may come at once
        with self.database.open() as db:
            row = db.execute("SELECT * FROM account WHERE name = ?", (name,)).fetchone()
        salt, wanted = (row["salt"], row["hash"]) if row else (b"\0" * 16, b"")
        given = self._hash(password[:LONGEST], salt)  # in any case, so that time does not tell which names there are
        if not row or not hmac.compare_digest(given, wanted):
            raise WrongPassword("wrong name or password")
        with self._lock:
            self._wrong.pop(name, None)
        token = secrets.token_urlsafe(32)
        with self.database.open() as db:
            db.execute("DELETE FROM session WHERE ends < ?", (time.time(),))
            db.execute("INSERT INTO session VALUES (?, ?, ?)", (_digest(token), name, time.time() + LASTS))
        return token

    def logout(self, token: str) -> None:
        """End a session."""
        with self.database.open() as db:
            db.execute("DELETE FROM session WHERE token = ?", (_digest(token),))

    def whose(self, token: str) -> str | None:
        """The account of a session, None if there is no such session or it is over."""
        with self.database.open() as db:
            row = db.execute(
                "SELECT account FROM session WHERE token = ? AND ends > ?", (_digest(token), time.time())
            ).fetchone()
        return str(row["account"]) if row else None

    def _hash(self, password: str, salt: bytes) -> bytes:
        with self._one:
            return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, **_COST)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
