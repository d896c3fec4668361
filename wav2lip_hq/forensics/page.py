"""Findings as one HTML page, with a strip of color over time for each face."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import cv2
import numpy as np

from ..places import check_target, write_text
from ..types import Array
from .judge import Judge, installed
from .verdict import FaceFound, Findings

STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;color:#222;background:#fff}
section{border-top:1px solid #ddd;padding:1rem 0;display:grid;grid-template-columns:170px 1fr;gap:1rem}
img{max-width:160px} svg{width:100%;height:46px} small{color:#666} b.yes{color:#b3261e} b.no{color:#1b6e3c}
dl{display:grid;grid-template-columns:9rem 1fr;margin:.3rem 0} dt{color:#666} dd{margin:0}
"""
WORDS = {"lip-synced": "yes", "real": "no"}


def report(findings: Findings, target: Path) -> Path:
    """Write the self-contained page and return its path. Raises OutputError."""
    check_target(target)
    judge = installed()
    faces = "".join(_face(face, judge) for face in findings.faces)
    name = html.escape(findings.path.name)
    known = "the invisible mark of wav2lip_hq was found" if findings.marked else "no mark of wav2lip_hq was found"
    manifest = f"<dt>manifest<dd>{html.escape(findings.manifest)}" if findings.manifest else ""
    if findings.voice is not None:
        said = "found" if findings.voice.marked else "not found"
        manifest += f"<dt>sound<dd>the mark of a synthesized voice: {said} (score {findings.voice.score:.1f})"
    write_text(
        target,
        f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>
<h1>{name}</h1><p><b class="{WORDS.get(findings.verdict, "")}">{findings.verdict}</b></p>
<dl><dt>mark<dd>{known}{manifest}</dl>{faces}
<p><small>Colors: log odds of lip-sync around each frame, from {judge.below:.1f} and less (green: like real footage) to
{judge.above:.1f} and more (red: like lip-synced footage); gray: not measured. {html.escape(_rates(judge))} A verdict is
evidence, no proof; its limits are in docs/detect.md.</small></p></html>
""",
    )
    return target


def _rates(judge: Judge) -> str:
    return str(judge.facts.get("stated", ""))


def _face(face: FaceFound, judge: Judge) -> str:
    said = f"{face.judgment.verdict}{': ' + face.judgment.why if face.judgment.why else ''}"
    mark = f"score {face.mark.score:.1f} (chance {face.mark.chance:.0e})"
    if face.mark.marked:
        mark = f"<b class=yes>found</b>, says {face.mark.number:08x}, {mark}"
    odds = "" if face.judgment.score != face.judgment.score else f", log odds {face.judgment.score:.1f}"
    return f"""<section><div>{_image(face.picture)}</div><div>
<dl><dt>face {face.track}<dd>{face.first:.2f} to {face.last:.2f} s, {len(face.times)} frames
<dt>mark<dd>{mark}<dt>picture and sound<dd>{html.escape(said)}{odds}</dl>{_strip(face, judge)}</div></section>"""


def _image(picture: Array | None) -> str:
    if picture is None:
        return ""
    data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    return f'<img alt="the face" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'


def _strip(face: FaceFound, judge: Judge) -> str:
    """One bar per frame, or per stretch of frames in long footage."""
    values = face.judgment.framewise
    pieces = np.array_split(np.arange(len(values)), min(len(values), 600))
    width = 1000 / len(pieces)
    bars = []
    for n, piece in enumerate(pieces):
        part = values[piece][np.isfinite(values[piece])]
        color = _color(float(part.mean()), judge) if len(part) else "#ccc"
        when = f"{face.times[piece[0]]:.2f} s" + (f": {part.mean():.1f}" if len(part) else ": not measured")
        place = f'x="{n * width:.2f}" width="{width + 0.3:.2f}" height="40"'
        bars.append(f'<rect {place} fill="{color}"><title>{when}</title></rect>')
    return f'<svg viewBox="0 0 1000 40" preserveAspectRatio="none" role="img">{"".join(bars)}</svg>'


def _color(odds: float, judge: Judge) -> str:
    at = float(np.clip((odds - judge.below) / max(judge.above - judge.below, 1e-6), 0, 1))
    return f"hsl({120 - 120 * at:.0f} 65% 50%)"
