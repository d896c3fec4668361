"""One HTML page of a batch: thumbnails before and after, timings, offsets, warnings, failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import page
from . import sidecar
from .jobfile import Job, read_jobs
from .standing import summary
from .store import Row, Store, key


def report(jobfile: Path | str, target: Path | None = None) -> Path:
    """Write the page (default ``JOBFILE.html``) and return its path. Self-contained, so it can be sent by mail."""
    jobfile = Path(jobfile)
    target = target or jobfile.with_name(f"{jobfile.name}.html")
    store = Store(jobfile)
    rows = store.all()
    total = summary(jobfile)
    body = [_row(job, rows.get(job.name, Row(job.name)), store) for job in read_jobs(jobfile)]
    states = ", ".join(f"{n} {name}" for name, n in total.status.items())
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(total.kinds.items()))
    head = ("output", "before, above after", "frames", "faces", "time", "offset", "notes")
    text = page.document(
        jobfile.name,
        [
            f"<h1>{page.escape(jobfile.name)}</h1>",
            f"<p>{total.jobs} jobs: {states}{'; failed: ' + kinds if kinds else ''}. {page.made()}</p>",
            page.table(head, body),
        ],
    )
    page.write(target, text)
    return target


def _row(job: Job, row: Row, store: Store) -> str:
    facts: dict[str, Any] = {}
    try:
        facts = json.loads(sidecar.path_of(job.output).read_text(encoding="utf-8")) if row.status == "done" else {}
    except (OSError, ValueError):
        pass
    picture = store.work / "sheets" / f"{key(job.name)}.png"
    image = ""
    if picture.exists():
        image = page.image(picture.read_bytes(), "frames before, above the same frames after")
    notes = [page.notes(facts["warnings"])] if facts.get("warnings") else []
    if row.status != "done":
        notes.insert(0, f"<b>{page.escape(row.kind or row.status)}</b> {page.escape(row.message)}")
    if facts.get("provenance"):
        notes.append(page.escape(f"provenance: {facts['provenance']}"))
    if facts.get("metrics"):
        notes.append(page.escape(", ".join(f"{k} {v}" for k, v in facts["metrics"].items())))
    spoken = f"{Path(job.face).name} + {', '.join(dict.fromkeys(s.audio.name for s in job.spans))}"
    offset = facts.get("offset_ms")
    named = (
        f"<b>{page.escape(job.output.name)}</b><br><small>{page.escape(spoken)}<br>"
        f"{page.escape(job.preset)} {page.escape(' '.join(job.set))}</small>"
    )
    cells = (
        named,
        image,
        str(row.frames or ""),
        str(facts.get("faces", {}).get("synthesized", "")),
        f"{row.seconds:.1f} s" if row.seconds else "",
        "" if offset is None else page.milliseconds(offset),
        "<br>".join(notes),
    )
    return page.row(cells, row.status)
