"""A part of a job, as it is stored beside its file, and what a finished job was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..provenance import Consent
from ..types import Reason, Stretch


class Stopped(Exception):
    """The user asked for the job to stop."""


@dataclass
class Part:
    """Facts about a finished part; stored beside it."""

    number: int
    file: str
    sha256: str
    zero: Fraction  # seconds of the output at which its clock begins
    frames: int
    faces: int
    empty: int  # frames of the speech in which no face was synthesized
    why: str  # reasons for those
    offset_ms: float | None
    last: bool  # nothing comes after it
    seconds: dict[str, float]
    stretches: tuple[Stretch, ...]  # numbered from the part's first frame

    def text(self) -> str:
        rows = [(s.first, s.last, s.track, s.reason) for s in self.stretches]
        return json.dumps({**self.__dict__, "zero": str(self.zero), "stretches": rows})

    @staticmethod
    def read(path: Path) -> Part | None:
        """A part whose file is whole, or None."""
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            facts["zero"] = Fraction(facts["zero"])
            rows = facts["stretches"]
            facts["stretches"] = tuple(Stretch(a, b, t, None if r is None else Reason(r)) for a, b, t, r in rows)
            part = Part(**facts)
            return part if content_hash(path.parent / part.file) == part.sha256 else None
        except (OSError, ValueError, TypeError, KeyError):
            return None


@dataclass
class Rendered:
    """What a finished job was."""

    output: Path
    frames: int
    faces: int
    empty: int
    parts: int
    reused: int
    offset_ms: float | None
    seconds: dict[str, float]
    warnings: list[str]
    duration: float
    provenance: str = ""  # who signed the output, or that it is not signed
    consent: Consent | None = None
    sheet: Path | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    loudness: float | None = None


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder of pictures."""
    if path.is_dir():
        inside = hashlib.sha256()
        for item in sorted(path.iterdir()):
            inside.update(f"{item.name}\0{content_hash(item)}\n".encode())
        return inside.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
