"""Results of a sync check for people and programs: lines, rows for CSV and JSON, and a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import page
from .metrics.mouthfit import REACH
from .metrics.offset import CERTAIN
from .options import counted
from .synccheck import SyncCheck

COLUMNS = ("file", "shot", "from", "to", "face", "faces", "offset_ms", "lead", "certain", "confidence")
WIDEST = 1000 / 25 * REACH  # ms that can be measured
STYLE = """
.scale{position:relative;width:260px;height:16px;background:#f3f4f6;border-radius:3px}
.scale i{position:absolute;top:0;bottom:0} .scale .zone{background:#d1fae5} .scale .zero{width:1px;background:#9ca3af}
.scale .mark{width:8px;margin-left:-4px;border-radius:4px;background:#059669} .scale .far{background:#dc2626}
.scale .faint{background:#9ca3af} td img{height:72px!important}
"""


def rows(found: SyncCheck) -> list[dict[str, Any]]:
    """One shot a row, as plain values."""
    return [
        {
            "file": str(found.path),
            "shot": number,
            "from": shot.start,
            "to": shot.end,
            "face": shot.face,
            "faces": len(shot.faces),
            "offset_ms": shot.offset_ms,
            "lead": shot.lead,
            "certain": shot.certain,
            "confidence": shot.confidence,
        }
        for number, shot in enumerate(found.shots, 1)
    ]


def plain(found: SyncCheck) -> dict[str, Any]:
    """All that was measured of a file, for JSON."""
    return {
        "file": str(found.path),
        "offset_ms": found.offset_ms,
        "verdict": found.verdict,
        "spread_ms": round(found.spread_ms, 1),
        "shots": rows(found),
    }


def lines(found: SyncCheck) -> list[str]:
    """For a terminal: the file, then its shots."""
    out = [f"{found.path}: {page.milliseconds(found.offset_ms).replace('–', 'no offset')}, {found.verdict}"]
    for number, shot in enumerate(found.shots, 1):
        who = f"face {shot.face}" + (f" of {len(shot.faces)} ({shot.confidence:.0%})" if len(shot.faces) > 1 else "")
        offset = "not measured" if shot.offset_ms is None else f"{shot.offset_ms:+7.0f} ms, lead {shot.lead:4.1f}"
        sure = "" if shot.certain or shot.offset_ms is None else "  (not certain)"
        out.append(f"  shot {number:3}  {page.clock(shot.start)} to {page.clock(shot.end)}  {who:18} {offset}{sure}")
    return out


def table(found: Sequence[SyncCheck]) -> str:
    """Rows of all files as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in found:
        writer.writerows({**row, "file": _cell(row["file"])} for row in rows(one))
    return out.getvalue()


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@" else text


def write_page(found: Sequence[SyncCheck], failed: Sequence[tuple[Path, str]], path: Path) -> None:
    """The page, whole or not at all. failed: files that could not be measured, with the reason. Raises OutputError."""
    body = ["<h1>Sync check</h1>", f"<p>{counted(len(found) + len(failed), 'file')}. {page.made()}</p>"]
    body.append(
        "<p><small>Offset: by how much the picture is late against the sound (negative: early). Lead: how many "
        "standard deviations that offset fits better than others; it is taken as certain from "
        f"{CERTAIN:g} on. The green zone is what counts as in sync.</small></p>"
    )
    head = ("file", "offset", "verdict")
    body.append(page.table(head, [_summary(one) for one in found] + [_failure(*one) for one in failed]))
    for one in found:
        body.append(f"<h2>{page.escape(one.path.name)}</h2>")
        body.append(page.table(("face", "shot", "from", "to", "who", "offset", "", "lead"), _shots(one)))
    page.write(path, page.document("Sync check", body, style=STYLE))


def _summary(found: SyncCheck) -> str:
    kind = "good" if found.verdict == "in sync" else "warn"
    cells = (page.escape(found.path.name), page.milliseconds(found.offset_ms), f'<span class="{kind}">{found.verdict}')
    return page.row((*cells[:2], f"{cells[2]}</span>"))


def _failure(path: Path, why: str) -> str:
    return page.row((page.escape(path.name), "–", page.escape(why)), "failed")


def _shots(found: SyncCheck) -> list[str]:
    out = []
    for number, shot in enumerate(found.shots, 1):
        who = f"face {shot.face}" if len(shot.faces) == 1 else f"face {shot.face}, {shot.confidence:.0%}"
        out.append(
            page.row(
                (
                    "" if shot.view is None else page.image(shot.view, f"face {shot.face}"),
                    str(number),
                    page.clock(shot.start),
                    page.clock(shot.end),
                    page.escape(who),
                    page.milliseconds(shot.offset_ms),
                    _scale(shot.offset_ms, shot.certain, found.tolerance_ms),
                    f"{shot.lead:.1f}" if shot.offset_ms is not None else "not measured",
                )
            )
        )
    return out


def _scale(offset: float | None, certain: bool, tolerance: float) -> str:
    """Where an offset lies between WIDEST early and WIDEST late."""

    def at(value: float) -> float:
        return 50 + 50 * max(-1.0, min(1.0, value / WIDEST))

    zone = f'<i class="zone" style="left:{at(-tolerance):.1f}%;width:{at(tolerance) - at(-tolerance):.1f}%"></i>'
    mark = ""
    if offset is not None:
        kind = "faint" if not certain else "far" if abs(offset) > tolerance else ""
        mark = f'<i class="mark {kind}" style="left:{at(offset):.1f}%"></i>'
    return f'<div class="scale">{zone}<i class="zero" style="left:50%"></i>{mark}</div>'
