"""Which faces footage shows: surveyed once in the background, shown to be picked from, and used by the render."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import config
from ..errors import InputError, OptionError, Wav2LipHQError, told
from ..places import write_text
from ..survey import plan
from ..survey.collector import split_stages
from ..survey.shared import described
from . import errands, offers
from .choices import StudioOptions
from .files import Absent, File, Files

PATIENCE = 6 * 3600.0  # seconds that a survey may take
# Options with which the footage is read in another way than it was surveyed.
OTHERWISE = ("start", "end", "deinterlace", "fps")


@dataclass
class _Search:
    """One that is under way, or has failed."""

    done: int = 0
    total: int | None = None
    error: str = ""
    stopped: bool = False
    process: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Faces:
    """Searches for faces in users' footage, one at a time."""

    def __init__(self, files: Files, options: StudioOptions) -> None:
        self.files, self.options = files, options
        self._searches: dict[str, _Search] = {}
        self._lock = threading.Lock()
        self._turn = threading.Semaphore(1)

    def start(self, file: File, preset: str = "default") -> dict[str, Any]:
        """Begin to look for faces, unless that is done or under way; what is known now. Raises InputError."""
        if file.kind == "sound":
            raise InputError(f"{file.name} is sound and shows no face")
        preset = offers.checked(preset, {}, ".mp4", None)[0]
        with self._lock:
            search = self._searches.get(file.id)
            if self._found(file) is None and (search is None or search.error):
                if sum(not s.error for s in self._searches.values()) >= self.options.max_queue:
                    raise InputError("other footage is being looked at; try again when that is done")
                self._searches[file.id] = search = _Search()
                threading.Thread(target=self._search, args=(file, preset, search), daemon=True).start()
        return self.known(file)

    def known(self, file: File) -> dict[str, Any]:
        """How far it is: ``status`` is none, running, failed or done."""
        found = self._found(file)
        if found is not None:
            return {"status": "done", **found}
        search = self._searches.get(file.id)
        if search is None:
            return {"status": "none"}
        if search.error:
            return {"status": "failed", "message": search.error}
        return {"status": "running", "done": search.done, "total": search.total}

    def picture(self, file: File, number: int) -> Path:
        """A view of one face. Raises Absent."""
        path = self.files.looks(file) / f"face-{number}.jpg"
        if not path.is_file():
            raise Absent("there is no picture of that face")
        return path

    def stop(self, file: File) -> None:
        """Give up a search: the file is deleted."""
        with self._lock:
            search = self._searches.pop(file.id, None)
        if search is not None:
            with search.lock:
                search.stopped = True
                if search.process is not None:
                    search.process.kill()

    def close(self) -> None:
        """End all searches."""
        for search in list(self._searches.values()):
            with search.lock:
                search.stopped = True
                if search.process is not None:
                    search.process.kill()

    def row(self, file: File, speaker: Any, preset: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """What a job says of the faces: a survey that fits, and who speaks. speaker: "", a choice as for
        ``track.faces``, or the number of a face that was found. Raises OptionError."""
        folder = self.files.looks(file)
        found = self._found(file)
        said: dict[str, Any] = {}
        if found is not None and found["faces"] and self._serves(found["preset"], preset, row):
            said["survey"] = str((folder / "survey.npz").relative_to(self._home(file)))
        if isinstance(speaker, int) and not isinstance(speaker, bool):
            if found is None or speaker not in [f["face"] for f in found["faces"]]:
                raise OptionError(f"there is no face {speaker} in {file.name}; look for its faces first")
            said["plan"] = str(self._plan(folder, speaker).relative_to(self._home(file)))
        elif speaker not in (None, ""):
            if speaker not in ("largest", "all", "speaker"):
                raise OptionError("who speaks is the number of a face, largest, all or speaker")
            said["who"] = speaker
        return said

    def _serves(self, made: str, preset: str, row: Mapping[str, Any]) -> bool:
        """Whether a survey by the preset ``made`` is what a job would make itself, or better."""
        if any(name in row for name in OTHERWISE) or row.get("extend") == "stretch":
            return False
        looks = [split_stages(config.load_preset(name))[0] for name in (made, preset)]
        if any(setting.partition(".")[0] in [stage.name for stage in looks[1]] for setting in row["set"]):
            return False
        first, second = (described([s for s in stages if s.name != "detect"]) for stages in looks)
        return first == second

    def _plan(self, folder: Path, face: int) -> Path:
        """A shot plan in which only this face speaks."""
        path = folder / f"plan-{face}.yaml"
        whole = plan.read(folder / "plan.yaml")
        shots = tuple(s.model_copy(update={"speaks": (face,) if face in s.faces else ()}) for s in whole.shots)
        plan.write(whole.model_copy(update={"shots": shots}), path)
        return path

    def _home(self, file: File) -> Path:
        return self.files.database.home(file.owner)

    def _found(self, file: File) -> dict[str, Any] | None:
        try:
            found = json.loads((self.files.looks(file) / "faces.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _search(self, file: File, preset: str, search: _Search) -> None:
        folder = self.files.looks(file)
        path = self.files.path(file)

        def progress(done: int, total: int | None) -> None:
            search.done, search.total = done, total

        def started(process: Any) -> None:
            with search.lock:
                search.process = process
                if search.stopped:
                    process.kill()

        try:
            with self._turn:
                if search.stopped:
                    return
                folder.mkdir(exist_ok=True)
                found = errands.run(
                    "faces",
                    patience=PATIENCE,
                    hide={str(path): file.name, path.name: file.name},
                    on_progress=progress,
                    on_start=started,
                    path=str(path),
                    preset=preset,
                    folder=str(folder),
                    device=self.options.device,
                    proxy=not file.facts.get("plays", True),
                )
            write_text(folder / "faces.json", json.dumps(found))
            with self._lock:
                self._searches.pop(file.id, None)
        except Exception as error:  # noqa: BLE001 - this is a thread's end: whatever it is, the page says it
            text = told(error)[0] if isinstance(error, Wav2LipHQError) else "the search failed; see the studio's log"
            search.error = text
            shutil.rmtree(folder, ignore_errors=True)
