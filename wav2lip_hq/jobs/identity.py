"""A job's identity: a hash of the contents of its inputs, its settings and the weights it uses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from .. import __version__, checkpoints, lookup
from ..clip import who
from ..errors import InputError
from ..pipeline import HQPipeline
from .jobfile import Job, Span
from .store import Store

RENDERING = 3  # version of the rendering: increased whenever the same job gives a different result

# Fields that do not affect the pictures.
_ASIDE = {"output", "origin", "metrics", "fault", "require_consent", "shot"}


def settings(job: Job) -> dict[str, Any]:
    """A job's options as plain values, paths by name only (their contents are hashed beside them)."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(Job):
        if field.name not in _ASIDE and field.name not in ("face", "spans", "run"):
            out[field.name] = getattr(job, field.name)
    out |= {name: value for name, value in dataclasses.asdict(job.run).items() if name != "chunk_size"}
    for name in ("sound", "person", "plan", "survey", "ocio", "bed"):
        out[name] = Path(getattr(job.run, name)).name
    if job.consent is not None:
        out["consent"] = job.consent.name
    out["spans"] = [
        {
            "in": s.start,
            "out": s.end,
            "speech": [s.speech_start, s.speech_end],
            "who": Path(s.who).name,
            "set": list(s.set),
        }
        for s in job.spans
    ]
    out["suffix"] = job.output.suffix
    return out


def span_settings(job: Job, span: Span) -> list[str]:
    """The option overrides a span runs with."""
    return [*job.set, *span.set, *(who(span.who) if span.who else [])]


def pipelines(job: Job, base: HQPipeline) -> list[HQPipeline]:
    """One pipeline per span. Raises OptionError."""
    return [base.set(*span_settings(job, span)) for span in job.spans]


def weights(job: Job, base: HQPipeline, store: Store) -> dict[str, dict[str, str]]:
    """Checkpoints a job uses: name -> sha256 and license. Raises CheckpointError when one is missing."""
    found: dict[str, dict[str, str]] = {}
    for pipe in pipelines(job, base):
        for stage in pipe.stages:
            for name in stage.models:
                path = checkpoints.locate(name)
                if path is None and Path(name).is_file():
                    path = Path(name)
                if path is None:
                    raise checkpoints.missing(name)
                entry = checkpoints.registry().get(name)
                license = (
                    entry.license if entry else "see the model card" if name in checkpoints.EMBEDDED else "unknown"
                )
                found[name] = {"sha256": store.sha256(path), "license": license}
    return found


def own_code(job: Job, base: HQPipeline, store: Store) -> dict[str, str]:
    """Sources of the user's own stages and restorers that a job uses: module -> sha256."""
    found: dict[str, str] = {}
    for stage in (stage for pipe in pipelines(job, base) for stage in pipe.stages):
        home = type(stage).__module__
        foreign = [] if home.split(".")[0] == __package__.split(".")[0] else [f"{home}:{type(stage).__name__}"]
        for reference in (*foreign, *stage.code):
            path = lookup.source(reference)
            if path is not None and path.is_file():
                found[reference] = store.sha256(path)
    return found


def identity(job: Job, base: HQPipeline, store: Store) -> str:
    """64 hex digits. Raises InputError when an input does not exist, OSError when it cannot be read, CheckpointError
    when weights are missing."""
    if job.fault:
        return hashlib.sha256(job.fault.encode("utf-8", "backslashreplace")).hexdigest()
    for path in job.inputs:
        if not resolve(path).exists():
            raise InputError(f"{path} does not exist")
    facts = {
        "rendering": RENDERING,
        "version": __version__,
        "inputs": [store.sha256(resolve(path)) for path in job.inputs],
        "who": [store.sha256(Path(s.who)) for s in job.spans if s.who and Path(s.who).is_file()],
        "settings": settings(job),
        "weights": {name: fact["sha256"] for name, fact in sorted(weights(job, base, store).items())},
    }
    if code := own_code(job, base, store):
        facts["code"] = dict(sorted(code.items()))
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def resolve(path: Path) -> Path:
    """The file or folder that stands for an input: the folder of a ``%06d.png`` pattern."""
    return path.parent if re.search(r"%0?\d*d", path.name) and not path.exists() else path
