"""The job file: what is to be made of what. YAML, CSV or JSON lines in, a list of ``Job`` out.

A YAML file holds ``defaults`` (fields every job starts from) and ``jobs``. A face may be a glob or a folder: one job
for each clip. ``{face}``, ``{audio}``, ``{parent}`` and ``{index}`` in ``audio`` and ``output`` stand for the names of
the inputs. Paths are relative to the job file."""

from __future__ import annotations

import csv
import glob
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from .. import options
from ..errors import InputError, OptionError
from ..options import option, suggestion
from ..run_options import RunOptions

MOVIES = {".mp4", ".mov", ".mkv", ".m4v", ".avi", ".mpg", ".mpeg", ".webm", ".mxf", ".ts"}


@dataclass(frozen=True)
class Span:
    """A piece of the footage that is to say something else. start, end: times as written (None: the whole footage);
    who: a choice of face as in ``track.faces``; set: option overrides for this span alone."""

    audio: Path
    start: Any = None
    end: Any = None
    who: str = ""
    set: tuple[str, ...] = ()


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
    timecode: str | None = None  # of the first frame; default: what the file says, else 00:00:00:00
    part_seconds: float = option(20.0, "Footage that a kill costs at most.", unit="s", low=1, high=3600)
    metrics: bool = option(False, "Write LSE-D and LSE-C of the result into its sidecar.")
    origin: str = ""  # where in the job file, for messages

    @property
    def name(self) -> str:
        """The output's name: unique in a job file."""
        return str(self.output)

    @property
    def reel(self) -> bool:
        """Whether only pieces of the footage change."""
        return any(span.start is not None for span in self.spans)

    @property
    def inputs(self) -> list[Path]:
        """Files read: footage, speech, a sound mix."""
        paths = [Path(self.face), *(s.audio for s in self.spans)]
        if self.run.sound not in ("dub", "source"):
            paths.append(Path(self.run.sound))
        return list(dict.fromkeys(paths))


# A batch measures and surveys in its own way.
RUN_FIELDS = {f.name for f in fields(RunOptions)} - {"compare", "measure", "survey"}
JOB_FIELDS = {f.name for f in fields(Job)} - {"spans", "origin", "run"} | {"audio", "who", "segments"} | RUN_FIELDS
SPAN_FIELDS = {"audio", "in", "out", "who", "set"}


def read_jobs(path: Path | str) -> list[Job]:
    """All jobs of a file, in its order. Raises InputError (no such file, not readable as what its ending says, a job
    without a face, audio or output; no jobs at all, unless ``defaults`` give an output for those to come from a watched
    folder) and OptionError (a field that does not exist); both say where."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no job file {path}")
    defaults, rows = _rows(path)
    found = watched(path)
    if found.exists():
        rows += _rows(found)[1]
    jobs: list[Job] = []
    for where, row in rows:
        jobs += _expand({**defaults, **_check(row, JOB_FIELDS, where)}, where, path.resolve().parent, len(jobs))
    if not jobs and "output" not in defaults:
        raise InputError(f"{path} holds no jobs")
    return jobs


def watched(path: Path) -> Path:
    """The list beside a job file of what a watched folder added to it."""
    return path.with_name(f"{path.name}.watched.jsonl")


def _rows(path: Path) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            return {}, _csv(text, path)
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
            return {}, [(f"{path.name}:{n}", json.loads(line)) for n, line in lines]
        whole = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file") from error
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if isinstance(whole, list):
        whole = {"jobs": whole}
    if not isinstance(whole, dict) or not isinstance(whole.get("jobs", []), list):
        raise InputError(f"{path} is not a job file: it has no list of 'jobs'")
    unknown = set(whole) - {"defaults", "jobs"}
    if unknown:
        raise OptionError(f"{path}: unknown entry '{sorted(unknown)[0]}'; a job file has 'defaults' and 'jobs'")
    defaults = whole.get("defaults") or {}
    return defaults, [(f"{path.name}: job {n}", row) for n, row in enumerate(whole.get("jobs") or [], 1)]


def _csv(text: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Rows with ``in`` and ``out`` of one output are the segments of one reel."""
    rows: list[tuple[str, dict[str, Any]]] = []
    reels: dict[tuple[str, str], dict[str, Any]] = {}
    for number, raw in enumerate(csv.DictReader(text.splitlines()), 2):
        row = {k.strip(): v.strip() for k, v in raw.items() if k and isinstance(v, str) and v.strip()}
        if "set" in row:
            row["set"] = row["set"].split()  # type: ignore[assignment]
        typed = {k: (yaml.safe_load(v) if k not in PLAIN and isinstance(v, str) else v) for k, v in row.items()}
        where = f"{path.name}:{number}"
        if "in" not in row and "out" not in row:
            rows.append((where, typed))
            continue
        span = {k: typed.pop(k) for k in SPAN_FIELDS - {"set"} if k in typed}
        key = (str(typed.get("face")), str(typed.get("output")))
        if key in reels:
            reels[key]["segments"].append(span)
        else:
            reels[key] = {**typed, "segments": [span]}
            rows.append((where, reels[key]))
    return rows


PLAIN = {"face", "audio", "output", "preset", "in", "out", "who", "timecode", "set", "sound"}


def _check(row: Any, known: set[str], where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise OptionError(f"{where}: a job is a list of fields like 'face: clip.mp4', not '{row}'")
    for key in row:
        if key not in known:
            raise OptionError(f"{where}: unknown field '{key}'{suggestion(str(key), sorted(known))}")
    return row


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, dict):
        return tuple(f"{k}={v}" for k, v in value.items())
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise OptionError(f"{where}: 'set' is a list like [restore.strength=0.8], not '{value}'")


def _faces(text: str, base: Path, where: str) -> list[str]:
    """The clips a face stands for: itself, a glob's matches, a folder's clips (or the folder, if it holds images)."""
    full = text if Path(text).is_absolute() else str(base / text)
    if Path(full).is_dir():
        clips = sorted(p for p in Path(full).iterdir() if p.suffix.lower() in MOVIES)
        return [str(p) for p in clips] or [full]
    if any(c in text for c in "*?[") and not Path(full).exists():
        found = sorted(glob.glob(full, recursive=True))
        if not found:
            raise InputError(f"{where}: no file matches '{text}'")
        return found
    return [full]


def _expand(row: Any, where: str, base: Path, index: int) -> list[Job]:
    row = dict(_check(row, JOB_FIELDS, where))
    for need in ("face", "output"):
        if not row.get(need):
            raise InputError(f"{where}: '{need}' is missing")
    segments, audio, who = row.pop("segments", None), row.pop("audio", None), str(row.pop("who", "") or "")
    if bool(segments) == bool(audio):
        raise InputError(f"{where}: give either 'audio' for the whole clip or 'segments' with their own")
    settings = _texts(row.pop("set", None), where)
    face_text, output_text = str(row.pop("face")), str(row.pop("output"))
    jobs = []
    for number, face in enumerate(_faces(face_text, base, where)):
        names = {
            "face": Path(face).stem,
            "parent": Path(face).parent.name,
            "index": index + number + 1,
            "audio": Path(str(audio)).stem if audio else "",
        }

        def place(text: str, names: dict[str, Any] = names) -> Path:
            try:
                filled = text.format(**names)
            except (KeyError, IndexError, ValueError) as error:
                known = ", ".join(f"{{{n}}}" for n in names)
                raise OptionError(f"{where}: '{text}' has a placeholder that is none of {known}") from error
            return Path(filled) if Path(filled).is_absolute() else base / filled

        if segments:
            spans = tuple(_span(s, where, place, who) for s in segments)
        else:
            path = place(str(audio))
            names["audio"] = path.stem
            spans = (Span(path, who=who),)
        own = {name: value for name, value in row.items() if name not in RUN_FIELDS}
        try:
            run = options.make(RunOptions, {name: row[name] for name in row if name in RUN_FIELDS}, label="")
            checked = {name: options.convert(Job, name, value, label="") for name, value in own.items()}
            job = Job(face, place(output_text), spans, set=settings, run=run, origin=where, **checked)
        except (OptionError, TypeError) as error:
            raise OptionError(f"{where}: {error}") from error
        jobs.append(job)
    return jobs


def _span(row: Any, where: str, place: Any, who: str) -> Span:
    row = _check(row, SPAN_FIELDS, where)
    for need in ("in", "out", "audio"):
        if row.get(need) is None:
            raise InputError(f"{where}: a segment needs '{need}'")
    return Span(
        place(str(row["audio"])), row["in"], row["out"], str(row.get("who") or who), _texts(row.get("set"), where)
    )
