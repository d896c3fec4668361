"""The shot plan as a page: each shot with its faces, who speaks and how sure that is; choices are saved as YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import geometry, page
from ..options import counted
from ..types import Array
from ..video import VideoReader
from .plan import Plan, PlannedShot
from .shots import frames_of
from .speakers import UNSURE
from .spoken import Spoken
from .table import Survey

WIDTH = 400  # px of a shot's picture
COLORS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")
STYLE = """
.shot{display:grid;grid-template-columns:420px 1fr;gap:1.2rem;padding:1rem 0;border-bottom:1px solid #ddd}
.shot h3{margin:0 0 .4rem} .faces{display:flex;flex-wrap:wrap;gap:.8rem}
.face{border:2px solid #ddd;border-radius:8px;padding:.5rem;width:150px;cursor:pointer}
.face img{width:112px;height:112px}
.face:has(input:checked){background:#f3f6ff;border-color:#2563eb}
.bar{height:6px;background:#e5e7eb;border-radius:3px;margin:.3rem 0} .bar i{display:block;height:6px;border-radius:3px}
.unsure{color:#8a5a00;font-weight:600} .line{position:relative;height:18px;background:#f3f4f6;margin:3px 0}
.line b{position:absolute;left:4px;font-size:11px;line-height:18px;z-index:1}
.line i{position:absolute;top:0;height:18px}
@media (max-width:700px){.shot{grid-template-columns:1fr}} .save code{overflow-wrap:anywhere}
.save{position:sticky;top:0;background:#fff;padding:.6rem 0;border-bottom:1px solid #ddd;z-index:2}
button{font:inherit;padding:.35rem .9rem;border:1px solid #2563eb;background:#2563eb;color:#fff;border-radius:6px;
cursor:pointer}
"""
# Saved as JSON, which is YAML too.
SCRIPT = """
const plan = JSON.parse(document.getElementById('plan').textContent);
document.querySelectorAll('input[data-shot]').forEach(box => box.addEventListener('change', () => {
  const shot = plan.shots[+box.dataset.shot];
  shot.speaks = [...document.querySelectorAll(`input[data-shot="${box.dataset.shot}"]:checked`)].map(b => +b.value);
  shot.confidence = null;
  document.getElementById('state').textContent = 'changed, not saved';
}));
document.getElementById('save').addEventListener('click', () => {
  const lines = JSON.stringify(plan, null, 1);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([lines], {type: 'text/yaml'}));
  link.download = document.body.dataset.name;
  link.click();
  document.getElementById('state').textContent = 'saved as ' + link.download;
});
"""


def text(plan: Plan, survey: Survey, reader: VideoReader, name: str) -> str:
    """The page. name: of the plan's YAML file, under which changes are saved."""
    spoken = list(survey.speakers) if survey.speakers else [None] * len(plan.shots)
    shots = [
        _shot(number, shot, survey, reader, one)
        for number, (shot, one) in enumerate(zip(plan.shots, spoken, strict=True))
    ]
    unsure = sum(s.confidence is not None and s.confidence < UNSURE for s in plan.shots)
    data = json.dumps(plan.model_dump(by_alias=True)).replace("<", "\\u003c")
    title = f"Shot plan of {plan.footage}"
    body = [
        f'<body data-name="{page.escape(name)}"><h1>{page.escape(title)}</h1>',
        f"<p>{counted(len(plan.shots), 'shot')}, {counted(len(plan.faces), 'face')} in "
        f"{page.clock(float(survey.times[-1]))}; "
        f"{f'<span class=unsure>{unsure} shots are not certain</span>' if unsure else 'all shots are certain'}. "
        f"{page.made()}</p>",
        '<p class="save"><button id="save">Save plan</button> <span id="state">Tick who speaks in each shot, save, then'
        f"</span><br><code>wav2lip-hq run {page.escape(plan.footage)} SPEECH OUTPUT --plan {page.escape(name)}</code>",
        _lines(plan, survey),
        *shots,
        f'<script type="application/json" id="plan">{data}</script></body>',
    ]
    return page.document(title, body, style=STYLE, script=SCRIPT)


def _lines(plan: Plan, survey: Survey) -> str:
    """A line of time for each face: pale where it is seen, strong where it speaks."""
    end = max(s.end for s in plan.shots) if plan.shots else 1.0
    out = []
    for number in sorted(plan.faces):
        color = COLORS[number % len(COLORS)]
        spans = [(s.start, s.end, number in s.speaks) for s in plan.shots if number in s.faces]
        bars = []
        for start, stop, speaks in spans:
            frames = frames_of(survey, number)
            times = survey.times[frames]
            inside = times[(times >= start) & (times <= stop)]
            a, b = (float(inside[0]), float(inside[-1])) if len(inside) else (start, stop)
            bars.append(
                f'<i style="left:{100 * a / end:.2f}%;width:{100 * (b - a) / end:.2f}%;background:{color};'
                f'opacity:{1 if speaks else 0.2}" title="face {number}, {page.clock(a)} to {page.clock(b)}"></i>'
            )
        out.append(f'<div class="line"><b>face {number}</b>{"".join(bars)}</div>')
    return "".join(out)


def _shot(number: int, shot: PlannedShot, survey: Survey, reader: VideoReader, spoken: Spoken | None) -> str:
    heard = {h.track: h for h in spoken.heard} if spoken is not None else {}
    faces = []
    for track in shot.faces:
        view = survey.tracks[track].portrait if track in survey.tracks else None
        picture = "" if view is None else page.image(view, f"face {track}")
        one = heard.get(track)
        figures = "not measured" if one is None or one.score is None else (
            f"fits by {one.score:.1f} sd, {page.milliseconds(one.offset_ms)}"
        )  # fmt: skip
        checked = " checked" if track in shot.speaks else ""
        faces.append(
            f'<label class="face"><input type="checkbox" data-shot="{number}" value="{track}"{checked}> '
            f'<b style="color:{COLORS[track % len(COLORS)]}">face {track}</b>{picture}<small>{figures}</small></label>'
        )
    sure = ""
    if len(shot.faces) > 1 and shot.confidence is not None:
        color = "#059669" if shot.confidence >= UNSURE else "#d97706"
        kind = "" if shot.confidence >= UNSURE else "unsure"
        share = f"{100 * shot.confidence:.0f}"
        sure = (
            f'<div class="bar" style="width:240px"><i style="width:{share}%;background:{color}"></i></div>'
            f'<small class="{kind}">confidence {share} %</small>'
        )
    picture = _picture(survey, reader, (shot.start + shot.end) / 2)
    return (
        f'<section class="shot"><div>{picture}</div><div><h3>Shot {number + 1} <small>{page.clock(shot.start)} to '
        f'{page.clock(shot.end)}</small></h3>{sure}<div class="faces">{"".join(faces)}</div></div></section>'
    )


def _picture(survey: Survey, reader: VideoReader, time: float) -> str:
    """A frame of the shot with its faces numbered."""
    frame = min(int(np.searchsorted(survey.times, time)), len(survey) - 1)
    found = next(iter(reader.start_at(_exact(survey.times[frame]))), None)
    if found is None:
        return ""
    image = geometry.eight_bits(reader.shown(found[1]))[..., :3]
    scale = WIDTH / image.shape[1]
    small: Array = cv2.resize(image, (WIDTH, round(image.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    small = np.ascontiguousarray(small)
    for left in (False, True):
        faces, rows = survey.left if left else survey.faces, survey.rows(frame, left)
        if faces.track is None or faces.box is None:
            continue
        for track, box in zip(faces.track[rows].tolist(), faces.box[rows] * scale, strict=True):
            _framed(small, box, track)
    return page.image(small, f"frame {frame}, faces numbered")


def _framed(image: Array, box: Array, track: int) -> None:
    text_color = COLORS[track % len(COLORS)].lstrip("#")
    color: Any = tuple(int(text_color[n : n + 2], 16) for n in (0, 2, 4))
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    cv2.rectangle(image, (x1, y1), (x2, y2), color, 2, cv2.LINE_AA)
    cv2.rectangle(image, (x1, y1 - 18), (x1 + 12 + 10 * len(str(track)), y1), color, -1)
    cv2.putText(image, str(track), (x1 + 5, y1 - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)


def _exact(time: float) -> Any:
    from fractions import Fraction

    return Fraction(float(time)).limit_denominator(10**6)


def write(plan: Plan, survey: Survey, reader: VideoReader, path: Path, name: str) -> None:
    """Write the page, whole or not at all. Raises OutputError."""
    page.write(path, text(plan, survey, reader, name))
