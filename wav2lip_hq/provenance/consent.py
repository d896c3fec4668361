"""Consent: a note that says who agreed to what, or the file in which they did."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, OptionError

LONGEST = 4000  # characters that are stored
_NAME = re.compile(r"\S+\.[A-Za-z0-9]{1,5}|\S*[/\\]\S*")


@dataclass(frozen=True)
class Consent:
    """text: as given, or of a short text file; "" for other files, of which only name and SHA-256 are stored."""

    text: str
    name: str = ""
    sha256: str = ""

    def plain(self) -> dict[str, str]:
        """What is stored of it."""
        return {name: value for name, value in vars(self).items() if value}


def path_of(given: str) -> Path | None:
    """The file that ``given`` names, or None if it is the note itself. Raises InputError if it looks like a file's
    name and there is none."""
    if "\0" in given:
        raise OptionError("a note of consent holds no NUL")
    if os.path.isfile(given):
        return Path(given)
    if _NAME.fullmatch(given.strip()):
        raise InputError(f"there is no file {given[:300]} with a note of consent; give a file, or a sentence")
    return None


def read_consent(given: str) -> Consent | None:
    """The note that ``given`` is, or the file it names; None for "". Raises InputError (no such file, unreadable),
    OptionError (blank, or longer than LONGEST)."""
    if not given:
        return None
    if not given.strip():
        raise OptionError("the note of consent is blank; write who agreed to what, or name a file")
    path = path_of(given)
    if path is None:
        if len(given) > LONGEST:
            raise OptionError(f"the note of consent has {len(given)} characters, {LONGEST} are the most; name a file")
        return Consent(given.strip())
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            short = path.suffix.lower() in (".txt", ".md") and size <= 4 * LONGEST
            data = file.read() if short else b""
    except OSError as error:
        raise InputError(f"the note of consent {path} cannot be read ({error.strerror or error})") from error
    if not size:
        raise InputError(f"the note of consent {path} is empty")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        text = ""
    return Consent(text if len(text) <= LONGEST else "", path.name, digest)
