"""The script of a dub: who says what and when, in both languages, as a YAML file to be edited.

from: en
to: es
speakers:
  A: {voice: es+f2, face: left}
lines:
- {start: 1.25, end: 1.92, speaker: A, text: what's your name, translation: ¿Cómo te llamas?}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from .. import documents
from ..errors import InputError
from ..options import suggestion
from ..places import write_text
from .speech import Segment

MOST = 20_000  # lines
FIRST = "A"  # the speaker, unless the script names several
HEAD = """# What is said in {video}, and its translation.
# Correct what you like, then run the same command again: it continues from here. Lines without a translation are
# translated, those with one are spoken as they are: remove the translation of a line whose text you change. Where you
# remove a line, or its translation is '', the footage keeps its own sound and mouth.
# speakers: a voice (`wav2lip-hq voices ENGINE`) and a face (left, right, a number, a picture of the person) each.
"""


@dataclass(frozen=True)
class Role:
    """A speaker: which voice, and whose face. Empty: the next voice, the face that the pipeline chooses."""

    voice: str = ""
    face: str = ""


@dataclass(frozen=True)
class Line:
    """What somebody says from ``start`` to ``end`` seconds. translation: None if it is still to be made."""

    start: float
    end: float
    text: str
    translation: str | None = None
    speaker: str = FIRST

    @property
    def segment(self) -> Segment:
        """In the language of the footage."""
        return Segment(self.start, self.end, self.text, self.speaker)

    def later(self, slower: float) -> Line:
        """In footage that lasts so many times longer."""
        return replace(self, start=self.start * slower, end=self.end * slower)


@dataclass(frozen=True)
class Script:
    """All lines in order of their beginning, and who speaks them. footage: SHA-256 of what it belongs to, or ""."""

    source: str
    to: str
    lines: tuple[Line, ...]
    speakers: Mapping[str, Role] = field(default_factory=dict)
    footage: str = ""

    @property
    def names(self) -> list[str]:
        """All speakers, in order of appearance."""
        return list(dict.fromkeys(line.speaker for line in self.lines))

    def role(self, name: str) -> Role:
        """Voice and face of a speaker."""
        return self.speakers.get(name, Role())

    def cast(self, offered: Sequence[str], default: str) -> tuple[dict[str, str], list[str]]:
        """A voice for each speaker, and warnings. A speaker without a voice here, and without a default, gets one of
        those offered that is still free, as long as there are any."""
        given = {name: self.role(name).voice or default for name in self.names}
        free = [voice for voice in offered if voice not in given.values()]
        warnings = []
        for name, voice in given.items():
            if not voice and free:
                given[name] = free.pop(0)
            elif not voice and len(given) > 1:
                warnings.append(f"there is no voice left for speaker '{name}': it sounds like another")
        return given, warnings

    def translated(self, made: Mapping[int, str]) -> Script:
        """With translations by number of line."""
        lines = tuple(replace(line, translation=made.get(n, line.translation)) for n, line in enumerate(self.lines))
        return replace(self, lines=lines)

    def save(self, path: Path, video: str) -> None:
        """Write it, complete or not at all. Raises OutputError."""
        rows: list[dict[str, Any]] = []
        for line in self.lines:
            row: dict[str, Any] = {"start": round(line.start, 3), "end": round(line.end, 3), "speaker": line.speaker}
            row["text"] = line.text
            if line.translation is not None:
                row["translation"] = line.translation
            rows.append(row)
        people = {name: {"voice": self.role(name).voice, "face": self.role(name).face} for name in self.names}
        whole = {"from": self.source, "to": self.to, "footage": self.footage, "speakers": people, "lines": rows}
        text = yaml.safe_dump(whole, allow_unicode=True, sort_keys=False, width=10_000)
        write_text(path, HEAD.format(video=" ".join(video.split())) + text)


def read(path: Path) -> Script:
    """A script from its file. Raises InputError that names the line."""
    try:
        whole = documents.read(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"the script {path} cannot be read: {why}") from error
    if not isinstance(whole, dict) or not isinstance(whole.get("lines"), list):
        raise InputError(f"{path} is not a script: it has no list of 'lines'")
    _known(path, "", whole, ("from", "to", "footage", "speakers", "lines"))
    if len(whole["lines"]) > MOST:
        raise InputError(f"{path} has {len(whole['lines'])} lines, {MOST} are the most; dub the footage in parts")
    lines = tuple(sorted((_line(path, n, row) for n, row in enumerate(whole["lines"], 1)), key=lambda one: one.start))
    people = whole.get("speakers") or {}
    if not isinstance(people, dict):
        raise InputError(f"{path}: 'speakers' are names with a voice and a face, like 'A: {{voice: es+f2}}'")
    roles = {str(name): _role(path, str(name), row) for name, row in people.items()}
    languages = [str(whole.get(name) or "") for name in ("from", "to")]
    return Script(languages[0], languages[1], lines, roles, str(whole.get("footage") or ""))


def _line(path: Path, number: int, row: Any) -> Line:
    where = f"{path}: line {number}"
    if not isinstance(row, dict):
        raise InputError(f"{where} is not a list of fields like 'start: 1.5'")
    _known(path, f" line {number}:", row, ("start", "end", "speaker", "text", "translation"))
    times = []
    for name in ("start", "end"):
        value = row.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise InputError(f"{where}: '{name}' is a time in seconds, not {str(value)[:40]!r}")
        times.append(float(value))
    if times[1] <= times[0]:
        raise InputError(f"{where}: its end ({times[1]:g}) is not after its start ({times[0]:g})")
    said = []
    for name in ("text", "translation"):
        value = row.get(name)
        if isinstance(value, (dict, list)):
            raise InputError(f"{where}: '{name}' is text; put it in quotes if it holds a colon")
        said.append(None if value is None else " ".join(str(value).split()))
    return Line(times[0], times[1], said[0] or "", said[1], str(row.get("speaker") or FIRST))


def _role(path: Path, name: str, row: Any) -> Role:
    if row is None:
        return Role()
    if not isinstance(row, dict):
        raise InputError(f"{path}: speaker '{name}' has fields like 'voice: es+f2', not {str(row)[:40]!r}")
    _known(path, f" speaker '{name}':", row, ("voice", "face"))
    return Role(*("" if row.get(f) is None else str(row[f]) for f in ("voice", "face")))


def _known(path: Path, where: str, row: Mapping[Any, Any], fields: Sequence[str]) -> None:
    odd = next((str(name) for name in row if name not in fields), None)
    if odd is not None:
        raise InputError(f"{path}:{where} unknown field '{odd[:40]}'{suggestion(odd, fields)}")
