"""The library: a folder of faces, each with the note of consent it was added with, its surveys and its weights."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, OptionError, OutputError
from ..options import suggestion
from ..places import beside, check_target, make_folder, write_text
from ..provenance.consent import path_of, read_consent
from .keeping import copied, copied_as, keep_note, learned_weights, looked_at, surveyed

if TYPE_CHECKING:
    from ..pipeline import HQPipeline
    from ..survey import Survey

VARIABLE = "WAV2LIP_HQ_AVATARS"  # environment variable: another folder
FORMAT, VERSION = "wav2lip_hq avatar", 1
NOTE = "avatar.json"
LARGEST = 1 << 20  # bytes of a note
KINDS = ("video", "photograph")
# Letters and digits of any script, and - and _ between them: no dots and no separators, so that a name is one folder.
_NAME = re.compile(r"\w(?:[\w-]{0,62}\w)?")
_RESERVED = re.compile(r"(?i)con|prn|aux|nul|com\d|lpt\d")


@dataclass(frozen=True)
class Avatar:
    """A face of the library.

    kind: "video" or "photograph". consent: file with the note of consent. said: what it says, if it is short text.
    added: when, ISO 8601 in UTC. size: (width, height) in pixels. seconds: of footage, 0 for photographs. weights:
    personalized weights by task ("generator", "restorer"). problem: why it cannot be used; "" if it can.
    """

    name: str
    folder: Path
    kind: str = ""
    face: Path = Path()
    consent: Path = Path()
    said: str = ""
    added: str = ""
    size: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    sha256: str = ""
    weights: dict[str, Path] = field(default_factory=dict)
    problem: str = ""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        row = {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}
        return {**row, "size": list(self.size), "weights": {task: str(path) for task, path in self.weights.items()}}


def default_folder() -> Path:
    """Where the library is: $WAV2LIP_HQ_AVATARS, else in the user's data. Raises OutputError: no home folder."""
    if given := os.environ.get(VARIABLE):
        return Path(os.path.expanduser(given))
    try:
        if os.name == "nt":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        else:
            base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    except RuntimeError as error:
        raise OutputError(f"there is no home folder for avatars; set {VARIABLE} to a folder") from error
    return base / "wav2lip_hq" / "avatars"


def check_name(name: str) -> str:
    """The name, if a face can be called that. Raises OptionError."""
    if not _NAME.fullmatch(name) or len(os.fsencode(name)) > 120 or _RESERVED.fullmatch(name):
        raise OptionError(
            f"an avatar's name has letters, digits, - and _, and at most 64 of them, as in anna-2; not {name[:80]!r}"
        )
    return name


class AvatarLibrary:
    """Faces in a folder; each user of a server may have one.

    Args:
        folder: The library's folder, made when needed; default: $WAV2LIP_HQ_AVATARS, else the user's data folder.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder)

    def add(
        self,
        name: str,
        face: str | os.PathLike[str],
        *,
        consent: str,
        weights: str = "",
        pipeline: HQPipeline | None = None,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> Avatar:
        """Keep a copy of a face under a name, complete or not at all.

        Args:
            name: Letters, digits, ``-`` and ``_``.
            face: A video file or a photograph.
            consent: Who agreed to what: a sentence, or the path of a file, which is kept, too.
            weights: Personalized weights: the name given to ``wav2lip-hq personalize``, or a file. Copied.
            pipeline: If given, the face is surveyed with it now, so that a face that is not found is known now.
            on_progress: As for ``HQPipeline.survey``.

        Raises:
            OptionError: A name that cannot be, or is taken; no consent.
            InputError: A face or a note that cannot be read.
            NoFaceError: No face was found in it (with ``pipeline``).
            CheckpointError: No such weights.
            OutputError: The library cannot be written.
        """
        check_name(name)
        if not consent.strip():
            raise OptionError("say who agreed to what, in a sentence or a file: an avatar needs a note of consent")
        note = read_consent(consent)
        assert note is not None
        if self._taken(name):
            raise OptionError(f"there is an avatar '{name}' already; remove it first, or choose another name")
        source = Path(face)
        facts = looked_at(source)
        learned = learned_weights(weights)
        with self._new(name) as place:
            copy = place / f"face{source.suffix.lower()}"
            facts["sha256"] = copied(source, copy)
            files = {"face": copy.name, "consent": keep_note(note, path_of(consent), place)}
            files |= {task: copied_as(path, place / f"{task}{path.suffix}") for task, path in learned.items()}
            if pipeline is not None:
                surveyed(place, copy, pipeline, on_progress, source.name)
            row = {
                "format": FORMAT, "version": VERSION, "name": name, "files": files, "said": note.text,
                "from": source.name, "added": datetime.now(UTC).isoformat(timespec="seconds"), **facts,
            }  # fmt: skip
            write_text(place / NOTE, json.dumps(row, indent=1, ensure_ascii=False))
        return self.get(name)

    def list(self) -> Sequence[Avatar]:
        """All avatars by name, damaged ones included: their ``problem`` says what is wrong."""
        try:
            names = sorted(p.name for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"the avatars in {self.folder} cannot be read ({error.strerror})") from error
        return [self._read(name) for name in names if _NAME.fullmatch(name)]

    def get(self, name: str) -> Avatar:
        """One of them. Raises OptionError (a name that cannot be), InputError: there is none, or it is damaged."""
        place = self._there(name)
        found = self._read(place.name)
        if found.problem:
            raise InputError(f"the avatar '{name}' is damaged: {found.problem}; remove it, and add it again")
        return found

    def remove(self, name: str) -> None:
        """Remove a face with all that is kept of it, a damaged one, too. Raises what ``get`` does, and OutputError."""
        place = self._there(name)
        hidden = beside(place)
        try:
            place.rename(hidden)  # at once: nobody sees half an avatar
            shutil.rmtree(hidden)
        except OSError as error:
            raise OutputError(f"the avatar '{name}' cannot be removed ({error.strerror or error})") from error

    def survey(
        self, avatar: Avatar, pipeline: HQPipeline, on_progress: Callable[[int, int | None], None] | None = None
    ) -> Survey | None:
        """What ``pipeline`` needs to know of a face: kept from an earlier time, else made now and kept; None for
        stages without a survey. Raises NoFaceError, and what ``HQPipeline.survey`` raises."""
        return surveyed(avatar.folder, avatar.face, pipeline, on_progress, avatar.name)

    # ---- inside

    def _taken(self, name: str) -> bool:
        """Whether there is a face of that name, on file systems that ignore case, too."""
        return (self.folder / name).exists() or any(a.name.casefold() == name.casefold() for a in self.list())

    def _there(self, name: str) -> Path:
        place = self.folder / check_name(name)
        if not place.is_dir() or place.is_symlink():
            known = [one.name for one in self.list()]
            hint = suggestion(name, known) if known else "; `wav2lip-hq avatar add` keeps one"
            raise InputError(f"there is no avatar '{name}' in {self.folder}{hint}")
        return place

    @contextmanager
    def _new(self, name: str) -> Iterator[Path]:
        """A hidden folder that gets its name when it is complete."""
        make_folder(self.folder)
        place = self.folder / name
        check_target(place)
        hidden = beside(place)
        try:
            hidden.mkdir()
            yield hidden
            os.rename(hidden, place)
        except OSError as error:
            if isinstance(error, (InputError, OutputError)):
                raise
            raise OutputError(f"the avatar '{name}' cannot be written to {self.folder} ({error.strerror})") from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def _read(self, name: str) -> Avatar:
        place = self.folder / name
        try:
            return _entry(name, place)
        except OSError as error:
            why = f"{NOTE} is missing" if isinstance(error, FileNotFoundError) else f"{NOTE}: {error.strerror}"
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = str(error) if isinstance(error, _Damaged) else f"{NOTE} is not what was written"
        return Avatar(name, place, problem=why)


class _Damaged(ValueError):
    """What is wrong with an entry."""


def _entry(name: str, place: Path) -> Avatar:
    with (place / NOTE).open("rb") as file:
        row = json.loads(file.read(LARGEST).decode("utf-8"))
    if row["format"] != FORMAT or row["version"] != VERSION:
        raise _Damaged(f"it was made by another version ({row['format']} {row['version']})")
    if row["kind"] not in KINDS:
        raise _Damaged(f"{NOTE} knows no kind {str(row['kind'])[:20]!r}")
    files = {task: place / _plain(str(file)) for task, file in row["files"].items()}
    lost = next((path.name for path in files.values() if not path.is_file()), None)
    if lost is not None:
        raise _Damaged(f"{lost} is missing")
    return Avatar(
        name=name,
        folder=place,
        kind=row["kind"],
        face=files.pop("face"),
        consent=files.pop("consent"),
        said=str(row["said"]),
        added=str(row["added"]),
        size=(int(row["size"][0]), int(row["size"][1])),
        seconds=float(row["seconds"]),
        sha256=str(row["sha256"]),
        weights=files,
    )


def _plain(name: str) -> str:
    """A file's name inside an entry: no way out of it."""
    if not name or name.startswith(".") or Path(name).name != name or "\\" in name or "\0" in name:
        raise _Damaged(f"{NOTE} names a file elsewhere: {name[:80]!r}")
    return name
