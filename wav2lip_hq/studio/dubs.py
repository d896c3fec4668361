"""What users have made: each account has a job file, which ``wav2lip_hq.jobs`` works through and keeps the state of."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, OptionError
from ..jobs.jobfile import read_jobs
from ..jobs.page import report
from ..jobs.runner import cancel, retry
from ..jobs.sidecar import path_of
from ..jobs.store import Row, Store, key
from ..page import escape
from ..places import write_text
from ..provenance import identity
from ..provenance.consent import LONGEST
from ..provenance.seal import sidecar_of
from . import offers
from .choices import StudioOptions
from .database import Database
from .faces import Faces
from .files import Absent, Files, TooLarge

ENDED = ("done", "failed", "canceled")


@dataclass(frozen=True)
class Dub:
    """One video that was asked for. row: its line of the job file; asked: what the page or a program said."""

    id: str
    owner: str
    title: str
    row: dict[str, Any]
    asked: dict[str, Any]
    made: float


class Dubs:
    """The videos of all accounts; each call names whose."""

    def __init__(self, database: Database, options: StudioOptions, files: Files, faces: Faces) -> None:
        self.database, self.options, self.files, self.faces = database, options, files, faces
        self.changed = threading.Event()  # there may be something to do
        self._writing = threading.Lock()

    # ---- asking

    def ask(self, owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Put a dub in the queue. Raises OptionError, InputError: what is asked for cannot be."""
        unknown = set(given) - {"face", "speech", "preset", "options", "speaker", "consent", "format", "codec"}
        if unknown:
            raise OptionError(f"a dub has no '{min(unknown)[:40]}'")
        face, speech = self.files.get(owner, given.get("face")), self.files.get(owner, given.get("speech"))
        if face.kind == "sound":
            raise InputError(f"{face.name} is sound; the face is a video or a picture")
        if speech.kind == "picture" or (speech.kind == "video" and not speech.facts.get("sound")):
            raise InputError(f"{speech.name} has no sound to take the speech from")
        format = given.get("format") or ".mp4"
        preset, run, settings = offers.checked(
            given.get("preset") or "default", given.get("options") or {}, format, given.get("codec")
        )
        note = self._consent(given.get("consent"))
        if sum(d["status"] not in ENDED for d in self.all(owner)) >= self.options.max_queue:
            raise InputError(f"{self.options.max_queue} videos are waiting already; let them finish, or cancel some")
        if self.files.room(owner) <= 0:
            raise TooLarge("your storage is full: delete some files or results first")
        number = secrets.token_hex(16)
        home = self.database.home(owner)
        row: dict[str, Any] = {
            "face": _inside(home, self.files.path(face)),
            "audio": _inside(home, self.files.path(speech)),
            "output": f"results/{number}{format}",
            "preset": preset,
            "set": settings,
            **run,
        }
        row |= self.faces.row(face, given.get("speaker"), preset, row)
        if note:  # a file, so that a note never is taken for the name of one
            (home / "consent").mkdir(exist_ok=True)
            write_text(home / "consent" / f"{number}.txt", note)
            row["consent"] = f"consent/{number}.txt"
        asked = {**given, "face_name": face.name, "speech_name": speech.name, "face_kind": face.kind}
        made = Dub(number, owner, f"{Path(face.name).stem} + {speech.name}", row, asked, time.time())
        with self.database.open() as db:
            values = (made.id, owner, made.title, json.dumps(row), json.dumps(asked), made.made)
            db.execute("INSERT INTO job VALUES (?, ?, ?, ?, ?, ?)", values)
        self._write(owner)
        self.changed.set()
        return self.get(owner, number)

    def _consent(self, note: Any) -> str:
        note = "" if note is None else note
        if not isinstance(note, str) or len(note) > LONGEST:
            raise OptionError(f"the note of consent is a text of at most {LONGEST} characters")
        if self.options.require_consent and not note.strip():
            raise OptionError("say who agreed to this video: the note of consent is empty")
        return note.strip()

    # ---- knowing

    def get(self, owner: str, number: Any) -> dict[str, Any]:
        """What is known of a dub. Raises Absent."""
        return self._plain(self._one(owner, number), self._rows(owner))

    def all(self, owner: str) -> list[dict[str, Any]]:
        """Newest first."""
        rows = self._rows(owner)
        return [self._plain(dub, rows) for dub in reversed(self._listed(owner))]

    def result(self, owner: str, number: Any) -> tuple[Path, str]:
        """The finished video and a name for it. Raises Absent."""
        dub = self._one(owner, number)
        path = self._output(dub)
        if not path.is_file():
            raise Absent("there is no finished video of this yet")
        return path, f"{Path(str(dub.asked.get('face_name', 'dub'))).stem}-dub{path.suffix}"

    def manifest(self, owner: str, number: Any) -> tuple[Path, str]:
        """The manifest beside a video that cannot hold it (Matroska), and a name for it. Raises Absent."""
        path, name = self.result(owner, number)
        if not sidecar_of(path).is_file():
            raise Absent("its manifest is inside the video")
        return sidecar_of(path), sidecar_of(Path(name)).name

    def sheet(self, owner: str, number: Any) -> Path:
        """The contact sheet, frames before above after. Raises Absent."""
        store = Store(self.jobfile(owner))
        path = store.work / "sheets" / f"{key(str(self._output(self._one(owner, number))))}.png"
        if not path.is_file():
            raise Absent("there is no contact sheet of this yet")
        return path

    def facts(self, owner: str, number: Any) -> dict[str, Any]:
        """The sidecar: what was made of what, without where it lies. Raises Absent."""
        dub = self._one(owner, number)
        try:
            text = path_of(self._output(dub)).read_text(encoding="utf-8")
        except OSError as error:
            raise Absent("there is no report of this yet") from error
        found = json.loads(self._told(dub, text, lambda name: json.dumps(name)[1:-1]))
        for private in ("host", "worker"):
            found.get("made", {}).pop(private, None)
        return dict(found)

    def report(self, owner: str) -> str:
        """One HTML page of everything an account has made. Raises Absent."""
        if not self._listed(owner):
            raise Absent("nothing was made yet")
        page = report(self.jobfile(owner), self.database.home(owner) / "report.html").read_text(encoding="utf-8")
        for dub in self._listed(owner):
            page = self._told(dub, page, escape)
        return page

    # ---- changing

    def cancel(self, owner: str, number: Any) -> dict[str, Any]:
        """Stop a dub, also one that is being rendered. Raises Absent."""
        cancel(self.jobfile(owner), [str(self._output(self._one(owner, number)))])
        return self.get(owner, number)

    def retry(self, owner: str, number: Any) -> dict[str, Any]:
        """Try one that failed or was canceled once more: finished parts are kept. Raises Absent."""
        retry(self.jobfile(owner), [str(self._output(self._one(owner, number)))])
        self.changed.set()
        return self.get(owner, number)

    def remove(self, owner: str, number: Any) -> None:
        """Delete a dub and its files. Raises Absent, and InputError while it is being made."""
        dub = self._one(owner, number)
        if self._plain(dub, self._rows(owner))["status"] == "running":
            raise InputError("this is being made: cancel it first")
        with self.database.open() as db:
            db.execute("DELETE FROM job WHERE id = ? AND owner = ?", (dub.id, owner))
        output = self._output(dub)
        store = Store(self.jobfile(owner))
        store.put(str(output), status="canceled")
        self._write(owner)
        for path in (output, path_of(output), sidecar_of(output), store.work / "sheets" / f"{key(str(output))}.png"):
            path.unlink(missing_ok=True)
        for parts in store.work.glob(f"{key(str(output))}-*"):
            shutil.rmtree(parts, ignore_errors=True)
        (self.database.home(owner) / "consent" / f"{dub.id}.txt").unlink(missing_ok=True)

    # ---- the queue's view

    def owners(self) -> list[str]:
        """Who has asked for anything, whoever did so first before the others."""
        with self.database.open() as db:
            return [row["owner"] for row in db.execute("SELECT owner FROM job GROUP BY owner ORDER BY min(made)")]

    def next(self, owner: str) -> str | None:
        """The output of the next dub to be made, None if nothing is left to do."""
        waiting = [name for name, row in self._rows(owner).items() if row.status == "pending"]
        if not waiting:
            return None
        usable = {job.name for job in read_jobs(self.jobfile(owner)) if not job.fault}
        for name in waiting:
            if name in usable:
                return name
            self.failed(owner, name, "what was asked for cannot be made by this version any more; ask for it anew")
        return None

    def failed(self, owner: str, name: str, why: str) -> None:
        """Record what no worker could."""
        Store(self.jobfile(owner)).put(name, status="failed", kind="studio", message=why, finished=time.time())

    def jobfile(self, owner: str) -> Path:
        """The job file of an account: JSON lines, which ``wav2lip-hq batch`` reads as well."""
        return self.database.home(owner) / "dubs.jsonl"

    # ---- inside

    def _rows(self, owner: str) -> dict[str, Row]:
        if not self._listed(owner):
            return {}
        store = Store(self.jobfile(owner))
        names = [str(self._output(dub)) for dub in self._listed(owner)]
        known = store.all()
        rows = {name: known.get(name, Row(name)) for name in names}
        for name, row in rows.items():
            if row.status == "running" and not store.held(name):  # its worker was killed: it waits to go on
                rows[name] = Row(name)
        return rows

    def _write(self, owner: str) -> None:
        with self._writing:
            lines = [json.dumps(dub.row) for dub in self._listed(owner)]
            write_text(self.jobfile(owner), "".join(f"{line}\n" for line in lines))

    def _listed(self, owner: str) -> list[Dub]:
        with self.database.open() as db:
            return [_dub(row) for row in db.execute("SELECT * FROM job WHERE owner = ? ORDER BY made", (owner,))]

    def _one(self, owner: str, number: Any) -> Dub:
        with self.database.open() as db:
            row = db.execute("SELECT * FROM job WHERE id = ? AND owner = ?", (str(number), owner)).fetchone()
        if row is None:
            raise Absent("there is no such dub")
        return _dub(row)

    def _output(self, dub: Dub) -> Path:
        return self.database.home(dub.owner) / str(dub.row["output"])

    def _plain(self, dub: Dub, rows: Mapping[str, Row]) -> dict[str, Any]:
        output = self._output(dub)
        row = rows.get(str(output), Row(str(output)))
        seconds = row.seconds or (time.time() - row.started if row.status == "running" and row.started else 0.0)
        return {
            "id": dub.id,
            "title": dub.title,
            "status": row.status,
            "kind": row.kind,
            "message": self._told(dub, row.message),
            "frames": row.frames,
            "total": row.total,
            "seconds": round(seconds, 1),
            "made": dub.made,
            "face": dub.asked.get("face"),
            "speech": dub.asked.get("speech"),
            "face_name": dub.asked.get("face_name"),
            "speech_name": dub.asked.get("speech_name"),
            "preset": dub.row["preset"],
            "extend": dub.row.get("extend", "loop"),
            "format": output.suffix,
            "manifest": sidecar_of(output).is_file(),
            "size": output.stat().st_size if output.is_file() else None,
            "sheet": (Store(self.jobfile(dub.owner)).work / "sheets" / f"{key(str(output))}.png").is_file(),
        }

    def _told(self, dub: Dub, text: str, written: Callable[[str], str] = str) -> str:
        """A text with users' names of files in place of where they lie. written: a name as the text needs it."""
        home = self.database.home(dub.owner)
        face, speech, output = (str(dub.row[name]) for name in ("face", "audio", "output"))
        names = {face: str(dub.asked.get("face_name")), speech: str(dub.asked.get("speech_name")), output: dub.title}
        for path, name in names.items():
            safe = written(name)
            for shown in (str(home / path), path, Path(path).name):
                text = text.replace(shown, safe)
        text = text.replace("Try set: [detect.threshold=0.3]", "Try a detect threshold of 0.3 (All options)")
        return text.replace(f"{home}{os.sep}", "").replace(f", in {identity.folder()}", "")


def _inside(home: Path, path: Path) -> str:
    return str(path.relative_to(home))


def _dub(row: Any) -> Dub:
    return Dub(row["id"], row["owner"], row["title"], json.loads(row["row"]), json.loads(row["asked"]), row["made"])
