"""The page of a quality run: tables, contact sheets, worst frames, differences and a plot for every clip.

Self-contained: one file without external resources.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from . import machine, tables
from .measure import FIGURES

STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1240px;padding:0 1rem;color:#222;background:#fff}
.wide{overflow-x:auto} table{border-collapse:collapse;margin:.5rem 0}
th,td{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}
td{font-variant-numeric:tabular-nums} tr.published{color:#777} tr.failed td{background:#fdecea;white-space:normal}
h2{margin-top:2.5rem} h3{margin:2rem 0 .3rem} img{max-width:100%;display:block;margin:.3rem 0}
small,figcaption{color:#666}
figure{margin:.5rem 0} dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}
dt{font-weight:600} dd{margin:0}
"""
ARROW = {1: "↑", -1: "↓", 0: ""}


def write(result: tables.Result, tasks: Sequence[Any], target: Path) -> None:
    """Write the page; whole or not at all."""
    body = [
        f"<h1>{html.escape(result.protocol)}: {html.escape(', '.join(result.methods))}</h1>",
        f"<p><code>{html.escape(result.command)}</code><br><small>{html.escape(machine.sentence())}</small></p>",
        _table(tables.papers(result), published=True),
        "<ul>" + "".join(f"<li>{html.escape(note)}" for note in tables.notes(result)) + "</ul>",
        "<h2>Means over clips</h2>",
        _table(tables.details(result)),
        "<details><summary>What the figures mean</summary><dl>",
        *(f"<dt>{html.escape(t)} {ARROW[b]}<dd>{html.escape(m)}" for t, b, m in FIGURES.values()),
        "</dl></details><h2>Clips</h2>",
        _table(tables.clips(result)),
        "<h2>Pictures</h2><p><small>Rows: source, result, four times their difference.</small></p>",
        *(_clip(task) for task in tasks),
    ]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(result.protocol)}</title>'
        f"<style>{STYLE}</style>{''.join(body)}</html>\n"
    )
    part = target.with_name(f".{target.name}.part")
    part.write_text(page, encoding="utf-8")
    os.replace(part, target)


def _table(table: list[list[str]], published: bool = False) -> str:
    rows = []
    for row in table[1:]:
        kind = ' class="published"' if published and row[1].startswith("published") else ""
        rows.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}" for cell in row))
    head = "".join(f"<th>{html.escape(cell)}" for cell in table[0])
    return f'<div class="wide"><table><thead><tr>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _clip(task: Any) -> str:
    try:
        kept = json.loads(task.place.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    title = f"<h3>{html.escape(task.item.name)} <small>{html.escape(task.method.name)}</small></h3>"
    if kept["row"].get("error"):
        return f'{title}<p style="background:#fdecea">{html.escape(kept["row"]["error"])}</p>'
    pictures = [
        _picture(task.place.with_name(f"{task.item.name}.{name}.png"), caption)
        for name, caption in (("sheet", "evenly over the clip"), ("worst", "worst frames, the worst first"))
    ]
    return title + "".join(pictures) + _plot(kept.get("series", {}))


def _picture(path: Path, caption: str) -> str:
    image = cv2.imread(str(path))
    if image is None:
        return ""
    data = base64.b64encode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()).decode()
    return (
        f'<figure><img alt="{html.escape(caption)}: source, result, difference" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _plot(series: dict[str, list[float]]) -> str:
    """Similarity, second difference and sync confidence over time, as SVG."""
    if not series.get("time"):
        return ""
    try:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        return "<p><small>plots need matplotlib: pip install matplotlib</small></p>"
    time = series["time"]
    lines = [
        ("mouth SSIM to the source", time, series.get("mouth_ssim", [])),
        ("second difference", time, series.get("change", [])),
        (
            "sync confidence",
            [time[0] + n / 25 for n in range(len(series.get("confidence", [])))],
            series.get("confidence", []),
        ),
    ]
    lines = [line for line in lines if line[2]]
    figure = Figure(figsize=(11, 1.5 * len(lines)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(len(lines), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (title, x, y) in zip(axes, lines, strict=True):
        axis.plot(x, y, linewidth=1)
        axis.set_ylabel(title, fontsize=7, rotation=0, ha="right")
        axis.tick_params(labelsize=7)
    axes[-1].set_xlabel("seconds", fontsize=7)
    out = io.StringIO()
    figure.savefig(out, format="svg")
    return out.getvalue()[out.getvalue().index("<svg") :]
