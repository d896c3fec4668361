"""The lip-sync of a dub: passages of speech as a job of ``jobs``, in parts, so that a kill costs seconds of footage."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from .. import documents
from ..errors import InputError, OptionError, OutputError
from ..jobs import Job, Span, Store, schema
from ..jobs import identity as identities
from ..jobs.jobfile import literal
from ..jobs.render import render
from ..pipeline import HQPipeline
from ..places import make_folder, write_text
from ..run_options import RunOptions
from ..survey.shared import described
from ..types import Array
from .mix import RATE
from .narrate import save
from .speech import Spoken

LEAD = 0.1  # seconds: lips move before they are heard
PAUSE = 1.0  # seconds: between lines that are further apart the mouth stays as it is
MOST = 24  # passages of one speaker: further pauses are bridged, the shortest first


@dataclass(frozen=True)
class Passage:
    """A stretch of footage in which a face gets a new mouth. who: a choice of face, or ""."""

    start: float
    end: float
    sound: Path
    who: str = ""


@dataclass(frozen=True)
class Synced:
    """What the lip-sync did. kept: parts that were made before."""

    frames: int
    faces: int
    parts: int
    kept: int
    offset_ms: float | None
    warnings: tuple[str, ...] = ()


def stretches(spans: Sequence[tuple[float, float]], length: float) -> list[tuple[float, float]]:
    """(start, end) in seconds of what is lip-synced in one go: lines with short pauses bridged, from a moment before
    they are heard. spans: of somebody's lines, in order; length: of the footage."""
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < PAUSE:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    while len(joined) > MOST:
        at = min(range(1, len(joined)), key=lambda n: joined[n][0] - joined[n - 1][1])
        joined[at - 1 : at + 1] = [(joined[at - 1][0], joined[at][1])]
    return [(max(0.0, start - LEAD), min(end, length)) for start, end in joined]


def passage(start: float, end: float, wav: Array, who: str, folder: Path) -> Passage:
    """A stretch with its sound, (n,) float32 at 48 kHz, in a file named after its content. Raises OutputError."""
    path = folder / "passages" / f"{hashlib.sha256(wav.tobytes()).hexdigest()[:32]}.wav"
    if not path.exists():
        make_folder(path.parent)
        save(Spoken(wav, RATE), path)
    return Passage(start, end, path, who)


def sync(
    face: Path,
    output: Path,
    found: Sequence[Passage],
    run: RunOptions,
    pipeline: HQPipeline,
    folder: Path,
    on_frames: Callable[[int, int | None], None],
) -> Synced:
    """Render the passages into ``output``; folder: where parts, surveys and state are kept meanwhile. What is already
    there, made of the same, is left. Raises what ``jobs`` raises."""
    whole = run.extend == "stretch"  # slowed footage has no spans of its own time
    spans = tuple(
        Span(p.sound, who=p.who) if whole else Span(p.sound, p.start, p.end, p.who)
        for p in sorted(found, key=lambda p: p.start)
    )
    job = Job(str(face), output.absolute(), spans, run=replace(run, compare=False), origin=str(output))
    make_folder(folder)
    store = Store(folder / "job")
    facts = [identities.identity(job, pipeline, store), described(pipeline.stages)]
    name = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]
    note = folder / "done.json"
    with store.hold(job.name) as mine:
        if not mine:
            raise OutputError(f"{output} is being dubbed by another process; wait for it, or choose another name")
        known = _done(note, name, output, store)
        if known is not None:
            return known
        parts = folder / "parts" / name
        done = render(job, pipeline, parts, on_frames=on_frames)
        made = Synced(done.frames, done.faces, done.parts, done.reused, done.offset_ms, tuple(done.warnings))
        row = {"identity": name, "sha256": store.sha256(output) if output.is_file() else "", "made": vars(made)}
        write_text(note, json.dumps(row))
        shutil.rmtree(folder / "parts" / name, ignore_errors=True)
    return made


def add_job(
    jobfile: Path,
    face: Path,
    output: Path,
    found: Sequence[Passage],
    run: RunOptions,
    preset: str = "default",
    settings: Sequence[str] = (),
) -> None:
    """Put the lip-sync of a dub into a job file for ``batch run``, in place of an earlier one with the same output.
    Raises InputError (a file that is no job file), OutputError."""
    if jobfile.suffix.lower() not in (".yaml", ".yml"):
        raise OptionError(f"a job file of dubs is a .yaml, not {jobfile.name}")
    whole = _there(jobfile) if jobfile.exists() else {}
    plain = RunOptions()
    given = {n: getattr(run, n) for n in sorted(schema.RUN_FIELDS) if getattr(run, n) != getattr(plain, n)}
    given |= {n: str(Path(given[n]).absolute()) for n in ("sound", "bed") if n in given and Path(given[n]).exists()}
    row: dict[str, Any] = {"face": str(face.absolute()), "output": literal(str(output.absolute())), **given}
    if preset != "default":
        row["preset"] = preset
    if settings:
        row["set"] = list(settings)
    if run.extend == "stretch":
        if len(found) > 1:
            raise OptionError(
                "a job file holds one speaker of slowed footage (overlong = slow); dub it without --batch"
            )
        row |= {"audio": literal(str(found[0].sound.absolute())), **({"who": found[0].who} if found[0].who else {})}
    row["segments"] = [
        {
            **{"in": round(p.start, 6), "out": round(p.end, 6), "audio": literal(str(p.sound.absolute()))},
            **({"who": p.who} if p.who else {}),
        }
        for p in sorted(found, key=lambda p: p.start)
        if run.extend != "stretch"
    ]
    others = [r for r in whole.get("jobs") or [] if not isinstance(r, dict) or r.get("output") != row["output"]]
    text = yaml.safe_dump({**whole, "jobs": [*others, row]}, allow_unicode=True, sort_keys=False, width=10_000)
    write_text(jobfile, text)


def _there(jobfile: Path) -> dict[str, Any]:
    """What a job file holds. Raises InputError."""
    try:
        whole = documents.read(jobfile)
    except (OSError, ValueError) as error:
        raise InputError(f"{jobfile} cannot be read: {error}") from error
    whole = {"jobs": whole} if isinstance(whole, list) else whole or {}
    if not isinstance(whole, dict) or not isinstance(whole.get("jobs") or [], list):
        raise InputError(f"{jobfile} is not a job file: it has no list of 'jobs'")
    return whole


def _done(note: Path, name: str, output: Path, store: Store) -> Synced | None:
    """What is known of a result that is complete and unchanged."""
    try:
        row = json.loads(note.read_text(encoding="utf-8"))
        if row["identity"] != name or not output.is_file() or store.sha256(output) != row["sha256"]:
            return None
        return Synced(**{**row["made"], "kept": row["made"]["parts"], "warnings": tuple(row["made"]["warnings"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
