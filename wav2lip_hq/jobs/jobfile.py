"""The job file: inputs, outputs and settings. YAML, CSV or JSON lines in, a list of ``Job`` out.

A YAML file holds ``defaults`` (fields every job starts from) and ``jobs``. A face may be a glob or a folder: one job
for each clip. ``{face}``, ``{audio}``, ``{parent}`` and ``{index}`` in ``audio`` and ``output`` stand for the names of
the inputs. Paths are relative to the job file."""

from __future__ import annotations

import csv
import glob
import json
import os
import re
import string
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import documents
from ..errors import InputError, OptionError, Wav2LipHQError
from ..options import option, suggestion
from ..places import MOVIES, PICTURES
from ..provenance import read_consent
from ..run_options import RunOptions
from . import schema


@dataclass(frozen=True)
class Span:
    """A piece of the footage with speech of its own. start, end: times as written (None: the whole footage);
    who: a choice of face as in ``track.faces``; set: option overrides for this span alone; speech_start, speech_end:
    in and out point of its speech."""

    audio: Path
    start: Any = None
    end: Any = None
    who: str = ""
    set: tuple[str, ...] = ()
    speech_start: Any = None
    speech_end: Any = None


@dataclass(frozen=True)
class Job:
    """One output. ``run`` holds the options of a run, which stand beside the other fields in a job file. In a reel the
    driving speech is heard in place of the original between in and out. part_seconds: a kill costs at most this much
    footage."""

    face: str
    output: Path
    spans: tuple[Span, ...]
    preset: str = "default"
    set: tuple[str, ...] = ()
    run: RunOptions = field(default_factory=RunOptions)
    part_seconds: float = option(20.0, "Footage that a kill costs at most.", unit="s", low=1, high=3600)
    metrics: bool = option(False, "Write LSE-D and LSE-C of the result into its sidecar.")
    require_consent: bool = option(False, "Refuse the job if it says nothing of consent.")
    shot: int | None = None  # number of the clip in the timeline that the job file was made from
    origin: str = ""  # where in the job file, for messages
    fault: str = ""  # why the job cannot be done, known from the job file alone; then it is called by its origin

    @property
    def name(self) -> str:
        """The output's name: unique in a job file."""
        return str(self.output)

    @property
    def reel(self) -> bool:
        """Whether only pieces of the footage change."""
        return any(span.start is not None for span in self.spans)

    @property
    def consent(self) -> Path | None:
        """The file with the note of consent, if that is one."""
        return Path(self.run.consent) if self.run.consent and os.path.isfile(self.run.consent) else None

    @property
    def inputs(self) -> list[Path]:
        """Files read: footage, speech, a sound mix, what is known of the person."""
        if self.fault:
            return []
        paths = [Path(self.face), *(s.audio for s in self.spans)]
        if self.run.sound not in ("dub", "source"):
            paths.append(Path(self.run.sound))
        paths += [Path(path) for path in (self.run.bed, self.run.person, self.run.plan, self.run.survey) if path]
        if self.consent is not None:
            paths.append(self.consent)
        if self.run.ocio and not self.run.ocio.startswith("ocio://"):
            paths.append(Path(self.run.ocio))
        return list(dict.fromkeys(paths))


JOB_ROW = schema.job_row(Job)
FIELDS = set(schema.names(JOB_ROW))


def read_jobs(path: Path | str) -> list[Job]:
    """All jobs of a file, in its order. A row that cannot be used (not as the schema says, a glob without a match, the
    output of an earlier job) is a job with a ``fault``, which fails by itself. Raises InputError (no such file, not
    readable as what its ending says; no jobs at all, unless ``defaults`` give an output for those to come from a
    watched folder) and OptionError (defaults that do not exist)."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no job file {path}")
    defaults, rows = _rows(path)
    found = watched(path)
    if found.exists():
        rows += _rows(found)[1]
    jobs: list[Job] = []
    taken: dict[str, Job] = {}
    for where, row in rows:
        try:
            for job in _expand(row, defaults, where, path.resolve().parent, len(jobs)):
                real = os.path.realpath(job.output)
                other = taken.setdefault(real, job)
                around = next((taken[str(p)] for p in Path(real).parents if str(p) in taken), None)
                if other is not job:
                    jobs.append(_faulty(where, f"{other.origin} writes the same file, {job.output}", job.face))
                elif around is not None:
                    said = f"{job.output} lies in the folder of pictures that {around.origin} writes"
                    jobs.append(_faulty(where, said, job.face))
                else:
                    jobs.append(job)
        except Wav2LipHQError as error:
            jobs.append(_faulty(where, str(error)))
        except (OSError, ValueError) as error:  # a name that is not valid for a file
            jobs.append(_faulty(where, getattr(error, "strerror", None) or str(error)))
    if not jobs and "output" not in defaults:
        raise InputError(f"{path} holds no jobs")
    return jobs


def _faulty(where: str, fault: str, face: str = "") -> Job:
    return Job("", Path(f"{where} ({face})" if face else where), (), origin=where, fault=fault)


def watched(path: Path) -> Path:
    """The file beside a job file that lists the jobs added from a watched folder."""
    return path.with_name(f"{path.name}.watched.jsonl")


def _rows(path: Path) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Defaults, and (position, row) of each row; the row is an exception if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            return {}, _csv(text, path)
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
            return {}, [(f"{path.name}:{n}", _json(line)) for n, line in lines]
        whole = documents.parse(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file") from error
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if isinstance(whole, list):
        whole = {"jobs": whole}
    if not isinstance(whole, dict) or not isinstance(whole.get("jobs") or [], list):
        raise InputError(f"{path} is not a job file: it has no list of 'jobs'")
    unknown = set(whole) - {"defaults", "jobs", "timeline"}
    if unknown:
        raise OptionError(f"{path}: unknown entry '{min(map(str, unknown))}'; a job file has 'defaults' and 'jobs'")
    defaults = whole.get("defaults") or {}
    if not isinstance(defaults, dict):
        raise OptionError(f"{path}: 'defaults' are fields like 'preset: fast', not {str(defaults)[:80]!r}")
    for name in defaults:
        if name not in FIELDS:
            raise OptionError(f"{path}: defaults: unknown field '{name}'{suggestion(str(name), sorted(FIELDS))}")
    return defaults, [(f"{path.name}: job {n}", row) for n, row in enumerate(whole.get("jobs") or [], 1)]


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return InputError(f"this is not JSON: {error}")


def _csv(text: str, path: Path) -> list[tuple[str, Any]]:
    """Rows with ``in`` and ``out`` of one output are the segments of one reel."""
    rows: list[tuple[str, Any]] = []
    reels: dict[tuple[str, str], dict[str, Any]] = {}
    for number, raw in enumerate(csv.DictReader(text.splitlines()), 2):
        row = {k.strip(): v.strip() for k, v in raw.items() if k and isinstance(v, str) and v.strip()}
        if "set" in row:
            row["set"] = row["set"].split()  # type: ignore[assignment]
        typed = {k: (_cell(v) if k not in PLAIN and isinstance(v, str) else v) for k, v in row.items()}
        where = f"{path.name}:{number}"
        if "in" not in row and "out" not in row:
            rows.append((where, typed))
            continue
        span = {k: typed.pop(k) for k in SPAN if k in typed}
        key = (str(typed.get("face")), str(typed.get("output")))
        if key in reels:
            reels[key]["segments"].append(span)
        else:
            reels[key] = {**typed, "segments": [span]}
            rows.append((where, reels[key]))
    return rows


SPAN = ("in", "out", "audio", "who", "speech_start", "speech_end")
OWN = ("preset", "set", "part_seconds", "metrics", "require_consent", "shot")
PLAIN = {
    *("face", "audio", "output", "preset", "in", "out", "who", "timecode", "set", "sound", "person", "plan", "survey"),
    *("consent", "label", "ocio", "start", "end", "speech_start", "speech_end", "bed", "language"),
}


def _cell(text: str) -> Any:
    """The value of a table's cell: a number, a boolean, else its text."""
    try:
        return documents.parse(text)
    except ValueError:
        return text


def _faces(text: str, base: Path) -> list[str]:
    """The clips a face stands for: itself, a glob's matches, a folder's clips (or the folder, if it holds images)."""
    full = text if Path(text).is_absolute() else str(base / text)
    if Path(full).is_dir():
        clips = sorted(p for p in Path(full).iterdir() if p.suffix.lower() in MOVIES)
        return [str(p) for p in clips] or [full]
    if any(c in text for c in "*?[") and not Path(full).exists():
        found = sorted(glob.glob(full, recursive=True))
        if not found:
            raise InputError(f"no file matches '{text}'")
        return found
    return [full]


def _expand(row: Any, defaults: dict[str, Any], where: str, base: Path, index: int) -> list[Job]:
    """The jobs that a row stands for. Raises InputError, OptionError, and OSError for names that no file can have."""
    if isinstance(row, Exception):
        raise row
    given = schema.checked(JOB_ROW, {**defaults, **row} if isinstance(row, dict) else row)
    options = {name: getattr(given, name) for name in given.model_fields_set}
    run = RunOptions(**{name: value for name, value in options.items() if name in schema.RUN_FIELDS})
    if run.sound not in ("dub", "source"):
        run = replace(run, sound=str(base / run.sound))
    if run.bed:
        run = replace(run, bed=str(base / run.bed))
    if run.person:
        run = replace(run, person=str(base / run.person))
    if run.ocio and not run.ocio.startswith("ocio://"):
        run = replace(run, ocio=str(base / run.ocio))
    if run.plan:
        run = replace(run, plan=str(base / run.plan))
    if run.survey:
        run = replace(run, survey=str(base / run.survey))
    if run.consent:
        run = replace(run, consent=_consent(run.consent, base))
    if given.require_consent and not run.consent:
        raise OptionError("require_consent: this job says nothing of consent; add 'consent', a sentence or a file")
    own = {name: options[name] for name in OWN if name in options}
    jobs = []
    for number, face in enumerate(_faces(given.face, base)):
        names = {"face": Path(face).stem, "parent": Path(face).parent.name, "index": index + number + 1, "audio": ""}
        if given.audio:
            audio = base / filled(given.audio, names)
            names["audio"] = audio.stem
            spans: tuple[Span, ...] = (
                Span(
                    audio,
                    who=_who(given.who, base),
                    speech_start=run.speech_start,
                    speech_end=run.speech_end,
                ),
            )
        else:
            spans = tuple(
                Span(
                    base / filled(s.audio, names),
                    s.start,
                    s.end,
                    _who(s.who, base) or _who(given.who, base),
                    s.set,
                    s.speech_start,
                    s.speech_end,
                )
                for s in given.segments
            )
        jobs.append(Job(face, base / filled(given.output, names), spans, run=run, origin=where, **own))
    return jobs


def _who(choice: str | int, base: Path) -> str:
    """The choice of face; the path of a picture is relative to the job file, like other inputs."""
    return str(base / str(choice)) if Path(str(choice)).suffix.lower() in PICTURES else str(choice)


def _consent(given: str, base: Path) -> str:
    """A note of consent, or the path of the file it names. Raises InputError, OptionError."""
    try:
        inside = base / given
        given = str(inside) if inside.is_file() else given
    except (OSError, ValueError):  # a long sentence is not a file name
        pass
    read_consent(given)
    return given


def literal(text: str) -> str:
    """A name as it is written where placeholders are filled in."""
    return text.replace("{", "{{").replace("}", "}}")


def filled(text: str, names: dict[str, Any]) -> str:
    """Text with its placeholders filled in. Raises OptionError: only names and widths up to 99 are taken, as in
    ``{index:03}``; attributes and conversions are not."""
    made = []
    try:
        for before, name, width, conversion in string.Formatter().parse(text):
            made.append(before)
            if name is not None:
                if name not in names or conversion or not re.fullmatch(r"\d{0,2}", width or ""):
                    raise ValueError
                made.append(format(names[name], width or ""))
    except ValueError as error:
        known = ", ".join(f"{{{name}}}" for name in names)
        raise OptionError(f"'{text[:200]}' has a placeholder that is not one of {known}") from error
    return "".join(made)
