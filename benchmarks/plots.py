"""Plots of timings: frames per second, milliseconds by stage, peak memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wav2lip_hq.errors import OptionError


def check() -> None:
    """Raise OptionError if matplotlib is missing, before hours of measuring."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise OptionError("the plots need matplotlib: pip install matplotlib, or leave them out: --no-plot") from error


def draw(rows: Sequence[dict[str, Any]], labels: Sequence[str], title: str, path: Path) -> None:
    """One bar a row of ``timed.measure``, in three panels, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a screen
    figure.suptitle(title)
    speed, stages, memory = figure.subplots(1, 3)
    at = range(len(rows))
    rate = [r["fps"] for r in rows]
    spread = [[r["fps"] - r["fps_low"] for r in rows], [r["fps_high"] - r["fps"] for r in rows]]
    speed.bar(at, rate, yerr=spread, capsize=4)
    speed.set_title("frames a second (median, slowest, fastest)")
    below = [0.0] * len(rows)
    for name in dict.fromkeys(name for r in rows for name in r["ms"]):
        part = [r["ms"].get(name, 0.0) for r in rows]
        if max(part) > 0:
            stages.bar(at, part, bottom=below, label=name)
            below = [a + b for a, b in zip(below, part, strict=True)]
    stages.set_title("milliseconds a frame")
    handles, names = stages.get_legend_handles_labels()  # from top to bottom, as they are stacked
    stages.legend(handles[::-1], names[::-1], fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    graphics = any(r["vram_mb"] for r in rows)
    memory.bar([x - 0.2 * graphics for x in at], [r["peak_mb"] for r in rows], width=0.4, label="RAM")
    if graphics:
        memory.bar([x + 0.2 for x in at], [r["vram_mb"] or 0 for r in rows], width=0.4, label="VRAM")
    memory.set_title("peak memory, MB")
    memory.legend(fontsize="x-small")
    for panel in (speed, stages, memory):
        panel.set_xticks(list(at), list(labels))
    figure.savefig(path, dpi=110)
