"""The page of one run: before and after, worst frames, what was left as it is and why, figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import page
from .options import counted
from .run_watch import RunWatch
from .types import Reason, Report, Stretch

STYLE = """
.pair{position:relative;display:inline-block;max-width:600px;overflow:hidden;border-radius:6px;touch-action:none}
.pair img{display:block;width:100%} .pair img+img{position:absolute;inset:0;clip-path:inset(0 0 0 var(--at,50%))}
.pair input{position:absolute;inset:0;width:100%;height:100%;opacity:0;cursor:ew-resize;margin:0}
.pair i{position:absolute;top:0;bottom:0;left:var(--at,50%);width:2px;background:#fff;box-shadow:0 0 3px #000}
.pair span{position:absolute;top:6px;padding:1px 7px;background:#0009;color:#fff;font-size:12px;border-radius:4px}
.pair .was{left:6px} .pair .is{right:6px}
.worst img{height:180px;width:180px;display:inline-block}
.line{position:relative;height:16px;background:#f3f4f6;margin:3px 0} .line i{position:absolute;top:0;height:16px}
.line b{position:absolute;left:4px;font-size:11px;line-height:16px;z-index:1}
svg{width:100%;height:90px;background:#f9fafb}
"""
SCRIPT = """
document.querySelectorAll('.pair').forEach(pair => pair.querySelector('input').addEventListener('input', event =>
  pair.style.setProperty('--at', event.target.value + '%')));
"""
COLORS = {
    None: ("synthesized", "#059669"),
    Reason.NOT_DETECTED: ("", "#9ca3af"),
    Reason.NOT_CHOSEN: ("", "#93c5fd"),
    Reason.SAID: ("", "#a7f3d0"),
    Reason.BEFORE: ("", "#e5e7eb"),
    Reason.AFTER: ("", "#e5e7eb"),
}
OTHER = "#d97706"


def write(report: Report, watch: RunWatch, path: Path, *, face: str, speech: str, stages: Sequence[str]) -> None:
    """Write the page, whole or not at all. face, speech: what the run was given; stages: what made it, in words.
    Raises OutputError."""
    name = report.output.name if report.output is not None else "a run"
    body = [
        f"<h1>{page.escape(name)}</h1>",
        f"<p>{page.escape(Path(face).name or 'footage from memory')} says {page.escape(speech)}. {page.made()}</p>",
        page.facts(_facts(report, watch)),
        f"<p>{page.notes(report.warnings)}</p>" if report.warnings else "",
        "<h2>Before and after</h2><p><small>Drag across a picture.</small></p>",
        f'<div class="row">{"".join(_pair(*pair) for pair in watch.pairs)}</div>',
        "<h2>Worst frames</h2>",
        "<p><small>Where a synthesized mouth jumps from frame to frame most, beyond what the footage does there; look "
        "at these first.</small></p>",
        f'<div class="row">{"".join(_worst(w.number, w.track, w.jump, w.before, w.after) for w in watch.worst)}</div>',
        _curve(watch.jumps, report.frames),
        "<h2>What was left as it is, and why</h2>",
        _lines(report.stretches, report.frames),
        page.table(("face", "frames", "in all", "reason"), _reasons(report.stretches)),
        "<h2>Made by</h2>",
        f"<p>{'<br>'.join(page.escape(stage) for stage in stages)}</p>",
        page.table(("stage", "seconds"), [page.row((page.escape(n), f"{s:.2f}")) for n, s in report.seconds.items()]),
    ]
    page.write(path, page.document(name, body, style=STYLE, script=SCRIPT))


def _facts(report: Report, watch: RunWatch) -> list[tuple[str, str]]:
    change = f"{np.mean(watch.changes):.1f} of 255" if watch.changes else "–"
    return [
        ("frames", f"{report.frames}, {page.clock(float(report.duration))}"),
        ("faces synthesized", f"{report.faces}, in {counted(report.tracks, 'track')}"),
        ("frames of the speech without one", str(report.frames_without_face)),
        ("audio-video offset", page.milliseconds(report.offset_ms).replace("–", "not measured")),
        ("moved against the sound", page.milliseconds(report.sync_offset)),
        ("mean change of the lower face", change),
        ("speed", f"{report.fps:.1f} frames a second, {report.seconds.get('total', 0.0):.1f} s in all"),
        ("peak memory", f"{report.peak_memory / 2**30:.2f} GiB"),
    ]


def _pair(number: int, before: bytes, after: bytes) -> str:
    inside = (
        page.image(before, f"frame {number} before")
        + page.image(after, f"frame {number} after")
        + '<i></i><span class="was">before</span><span class="is">after</span>'
        + f'<input type="range" min="0" max="100" value="50" aria-label="frame {number}: how much is shown as before">'
    )
    return page.figure(f'<div class="pair">{inside}</div>', f"frame {number}")


def _worst(number: int, track: int, jump: float, before: bytes, after: bytes) -> str:
    both = page.image(before, f"frame {number} before") + page.image(after, f"frame {number} after")
    return f'<figure class="worst">{both}<figcaption>frame {number}, face {track}: {jump:+.2f}</figcaption></figure>'


def _curve(jumps: Sequence[tuple[int, float]], frames: int) -> str:
    """Jumps over the frames as a line; peaks are kept however long the clip."""
    if len(jumps) < 3:
        return ""
    columns: dict[int, float] = {}
    for number, jump in jumps:
        at = round(1000 * number / max(frames, 1))
        columns[at] = max(columns.get(at, -np.inf), jump)
    top = max(max(columns.values()), 1.0)
    points = " ".join(f"{x},{86 - 80 * max(y, 0.0) / top:.1f}" for x, y in sorted(columns.items()))
    return (
        '<svg viewBox="0 0 1000 90" preserveAspectRatio="none" role="img" aria-label="jumps over the frames">'
        f'<polyline points="{points}" fill="none" stroke="#2563eb" vector-effect="non-scaling-stroke"/>'
        f"</svg><small>jumps over the {frames} frames; the highest is {top:.2f} of 255</small>"
    )


def _lines(stretches: Sequence[Stretch], frames: int) -> str:
    """A line for each face: green where it was synthesized."""
    out = []
    for track in sorted({s.track for s in stretches}, key=lambda t: -1 if t is None else t):
        bars = []
        for s in (s for s in stretches if s.track == track):
            word, color = COLORS.get(s.reason, ("", OTHER))
            text = word or (s.reason.text if s.reason is not None else "")
            left, width = 100 * s.first / max(frames, 1), 100 * (s.last - s.first + 1) / max(frames, 1)
            bars.append(
                f'<i style="left:{left:.2f}%;width:{width:.2f}%;background:{color}" '
                f'title="{page.escape(f"frames {s.first} to {s.last}: {text}")}"></i>'
            )
        name = "no face" if track is None else f"face {track}"
        out.append(f'<div class="line"><b>{name}</b>{"".join(bars)}</div>')
    return "".join(out)


def _reasons(stretches: Sequence[Stretch]) -> list[str]:
    groups: dict[tuple[int | None, Reason | None], list[Stretch]] = {}
    for s in stretches:
        groups.setdefault((s.track, s.reason), []).append(s)
    out = []
    for (track, reason), some in sorted(groups.items(), key=lambda g: g[1][0].first):
        spans = [f"{s.first} to {s.last}" if s.last > s.first else str(s.first) for s in some]
        shown = ", ".join(spans[:8]) + (f" and {len(spans) - 8} more" if len(spans) > 8 else "")
        count = sum(s.last - s.first + 1 for s in some)
        why = "synthesized" if reason is None else reason.text
        kind = "good" if reason is None else ""
        whose = "" if track is None else f"face {track}"
        out.append(page.row((whose, shown, str(count), f'<span class="{kind}">{page.escape(why)}</span>')))
    return out
