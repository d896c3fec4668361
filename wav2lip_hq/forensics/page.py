"""Findings as one HTML page, with a heat map over time for each face."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import cv2
import numpy as np

from ..places import check_target, write_text
from ..types import Array
from .judge import SYNTHETIC, Judge, installed
from .verdict import FaceFound, Findings

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem auto;padding:0 1rem;max-width:60rem;color:#222;background:#fff}
h1{font-size:1.3rem;overflow-wrap:anywhere;margin:0} h2{font-size:1rem;margin:0 0 .3rem}
.said{font-size:1.3rem;margin:.2rem 0 1rem}
section{border-top:1px solid #ddd;padding:1rem 0;margin-top:1rem;display:grid;grid-template-columns:160px 1fr;gap:1rem}
section>div{min-width:0} img{max-width:100%;display:block} small{color:#555} .yes{color:#a3152a} .no{color:#1c5a9c}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1rem;margin:.3rem 0 .8rem} dt{color:#555} dd{margin:0}
.map{width:100%;height:44px;display:block;background:#ccc}
.time{position:relative;height:1.6rem;font-size:12px;color:#555}
.time span{position:absolute;border-left:1px solid #888;padding:4px 0 0 3px;white-space:nowrap}
.key{display:grid;grid-template-columns:1fr 1fr 1fr;max-width:26rem;font-size:12px;color:#555;margin-top:.4rem}
.key i{grid-column:1/4;height:10px;background:linear-gradient(90deg,COLORS)} .key :nth-child(3){text-align:center}
.key :nth-child(4){text-align:right}
@media(max-width:36rem){section{grid-template-columns:1fr} section img{width:96px}
dl{grid-template-columns:1fr} dd{margin:0 0 .4rem}}
"""
SCALE = ("#2166ac", "#f2ead2", "#b2182b")  # like real footage, cannot tell, like lip-synced footage: not red and green
WORDS = {"lip-synced": "yes", "real": "no"}
MOST = 600  # bars of a heat map; of more frames several share one


def report(findings: Findings, target: Path) -> Path:
    """Write the self-contained page and return its path. Raises OutputError."""
    check_target(target)
    judge = installed()
    faces = "".join(_face(face, judge) for face in sorted(findings.faces, key=lambda face: (face.first, face.track)))
    name = html.escape(findings.path.name)
    known = "that of wav2lip_hq was found" if findings.marked else "none of wav2lip_hq was found"
    manifest = f"<dt>manifest<dd>{html.escape(findings.manifest)}" if findings.manifest else ""
    if findings.voice is not None:
        said = "found" if findings.voice.marked else "not found"
        manifest += f"<dt>sound<dd>the mark of a synthesized voice: {said} (score {findings.voice.score:.1f})"
    style = STYLE.replace("COLORS", ",".join(SCALE))
    write_text(
        target,
        f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{name}: {findings.verdict}</title><style>{style}</style>
<h1>{name}</h1><p class="said">Lip-synced? <b class="{WORDS.get(findings.verdict, "")}">{findings.verdict}</b></p>
<dl><dt>mark in the mouth<dd>{known}{manifest}</dl>{faces}
<p><small>A color is what the two seconds around a frame look like: log odds of lip-sync of {judge.below:.1f} and less
like real footage, of {judge.above:.1f} and more like lip-synced footage; gray: not measured.
{html.escape(_rates(judge))} A verdict is evidence, no proof; its limits are in docs/detect.md.</small></p></html>
""",
    )
    return target


def _rates(judge: Judge) -> str:
    return str(judge.facts.get("stated", ""))


def _face(face: FaceFound, judge: Judge) -> str:
    judged = face.judgment
    said = f"{judged.verdict}{': ' + judged.why if judged.why else ''}"
    mark = f"not found (score {face.mark.score:.1f})"
    if face.mark.marked:
        mark = f'<b class="yes">found</b>, says {face.mark.number:08x} (score {face.mark.score:.1f})'
    odds = "" if judged.score != judged.score else f" (log odds {judged.score:.1f})"
    rows = f"<dt>mark<dd>{mark}<dt>picture and sound<dd>{html.escape(said)}{odds}"
    if judged.stretches and judged.verdict == SYNTHETIC:
        parts = ", ".join(f"{first:.1f} to {last:.1f} s" for first, last in judged.stretches)
        rows += f"<dt>looks lip-synced<dd>{parts}"
    key = (
        "<div class=key><i></i><span>like real footage</span><span>cannot tell</span><span>like lip-synced</span></div>"
    )
    return f"""<section><div>{_image(face.picture)}</div><div>
<h2>Face {face.track}, {face.first:.2f} to {face.last:.2f} s, {len(face.times)} frames</h2>
<dl>{rows}</dl>{_strip(face, judge)}{key}</div></section>"""


def _image(picture: Array | None) -> str:
    if picture is None:
        return ""
    data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return f'<img alt="the face" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'


def _strip(face: FaceFound, judge: Judge) -> str:
    """One bar per frame, or per stretch of frames in long footage, and the time below."""
    values, times = face.judgment.framewise, face.times
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    long = max(times[-1] + step - times[0], 1e-6)
    bars = []
    for piece in np.array_split(np.arange(len(values)), min(len(values), MOST)):
        part = values[piece][np.isfinite(values[piece])]
        color = _color(float(part.mean()), judge) if len(part) else "#ccc"
        when = f"{times[piece[0]]:.2f} s" + (f": {part.mean():.1f}" if len(part) else ": not measured")
        left, width = (1000 * t / long for t in (times[piece[0]] - times[0], times[piece[-1]] + step - times[piece[0]]))
        place = f'x="{left:.2f}" width="{width + 0.3:.2f}" height="40"'
        bars.append(f'<rect {place} fill="{color}"><title>{when}</title></rect>')
    ticks = "".join(
        f'<span style="left:{100 * (t - times[0]) / long:.2f}%">{t:g} s</span>'
        for t in _ticks(times[0], times[0] + long)
    )
    drawn = f'viewBox="0 0 1000 40" preserveAspectRatio="none" shape-rendering="crispEdges" role="img">{"".join(bars)}'
    return f'<svg class="map" aria-label="lip-sync over time" {drawn}</svg><div class="time">{ticks}</div>'


def _ticks(first: float, last: float) -> list[float]:
    """Five to seven round times in [first, last), seconds; the last leaves room for its own label."""
    wanted = (last - first) / 6
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if s >= wanted), 1800.0)
    ticks = step * np.arange(max(0, np.ceil(first / step - 1e-6)), np.ceil(last / step))
    return [round(float(t), 3) for t in ticks if t <= last - 0.08 * (last - first)]


def _color(odds: float, judge: Judge) -> str:
    """From SCALE: its ends are the thresholds."""
    at = 2 * float(np.clip((odds - judge.below) / max(judge.above - judge.below, 1e-6), 0, 1))
    ends = [np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in SCALE]
    mixed = ends[int(at)] if at in (0, 1, 2) else ends[int(at)] * (1 - at % 1) + ends[int(at) + 1] * (at % 1)
    return "#" + "".join(f"{round(float(c)):02x}" for c in mixed)
