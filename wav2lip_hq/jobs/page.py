"""One HTML page of a batch: thumbnails before and after, timings, offsets, warnings, failures."""

from __future__ import annotations

import base64
import html
import json
import time
from pathlib import Path
from typing import Any

from ..places import write_text
from . import sidecar
from .jobfile import Job, read_jobs
from .runner import summary
from .store import Row, Store, key

STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}
th,td{padding:.5rem .7rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
th{position:sticky;top:0;background:#fff} td.number{text-align:right;font-variant-numeric:tabular-nums}
td:last-child{overflow-wrap:anywhere} td.number{white-space:nowrap}
img{height:150px;display:block} .failed{background:#fdecea} .done{} .cancelled{color:#888}
.warn{color:#8a5a00} small{color:#777} code{font-size:12px}
"""


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
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(jobfile.name)}</title>
<style>{STYLE}</style><h1>{html.escape(jobfile.name)}</h1>
<p>{total.jobs} jobs: {states}{"; failed: " + kinds if kinds else ""}.
<small>{time.strftime("%Y-%m-%d %H:%M")}</small></p>
<table><thead><tr><th>output<th>before, above after<th>frames<th>faces<th>time<th>offset<th>notes</tr></thead>
<tbody>{"".join(body)}</tbody></table></html>
"""
    write_text(target, page)
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
        data = base64.b64encode(picture.read_bytes()).decode()
        image = f'<img alt="frames before, above the same frames after" src="data:image/png;base64,{data}">'
    faces = facts.get("faces", {})
    offset = facts.get("offset_ms")
    notes = [f'<span class="warn">{html.escape(w)}</span>' for w in facts.get("warnings", [])]
    if row.status != "done":
        notes.insert(0, f"<b>{html.escape(row.kind or row.status)}</b> {html.escape(row.message)}")
    if facts.get("provenance"):
        notes.append(html.escape(f"provenance: {facts['provenance']}"))
    if facts.get("metrics"):
        notes.append(html.escape(", ".join(f"{k} {v}" for k, v in facts["metrics"].items())))
    spoken = f"{Path(job.face).name} + {', '.join(dict.fromkeys(s.audio.name for s in job.spans))}"
    return (
        f'<tr class="{row.status}"><td><b>{html.escape(job.output.name)}</b><br><small>'
        f"{html.escape(spoken)}<br>{html.escape(job.preset)} {html.escape(' '.join(job.set))}</small>"
        f'<td>{image}<td class="number">{row.frames or ""}<td class="number">{faces.get("synthesized", "")}'
        f'<td class="number">{f"{row.seconds:.1f} s" if row.seconds else ""}'
        f'<td class="number">{"" if offset is None else f"{offset:+.0f} ms"}<td>{"<br>".join(notes)}</tr>\n'
    )
