"""Training curves of the embedded weights and of the ablation, from the logs that were kept: ``python -m
benchmarks.curves`` draws docs/training-curves.png."""

from __future__ import annotations

import csv
from pathlib import Path

from .plots import check

LOGS = Path(__file__).parent / "results" / "training"
TARGET = Path(__file__).parents[1] / "docs" / "training-curves.png"
# title, column, better is up, {label: log}
PANELS = (
    ("expert: off-sync accuracy", "off_sync_accuracy", {"first phase": "expert-first", "second phase": "expert"}),
    ("Table 3: off-sync accuracy", "off_sync_accuracy", {f"Tv = {n}": f"ablation-expert-{n}" for n in (1, 3, 5)}),
    ("judge: pair accuracy", "pair_accuracy", {"": "syncnet"}),
    ("detector: landmark error / eye distance", "landmark_error", {"": "detector"}),
    (
        "generator, last phases: mouth SSIM",
        "mouth_ssim",
        {"third": "generator-third", "fourth (critic)": "generator-fourth", "last (critic)": "generator"},
    ),
    ("generators compared: mouth SSIM", "mouth_ssim", {n: f"compare-{n}" for n in ("pixels", "gated", "attention")}),
)


def read(name: str, column: str) -> tuple[list[float], list[float]]:
    """Steps and values of a log; rows without the figure are left out."""
    with (LOGS / f"{name}.csv").open(newline="") as file:
        rows = [(float(r["step"]), float(r[column])) for r in csv.DictReader(file) if r.get(column)]
    return [r[0] for r in rows], [r[1] for r in rows]


def main() -> None:
    """Draw all panels."""
    check()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (title, column, logs) in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
        for label, log in logs.items():
            axis.plot(*read(log, column), marker=".", label=label)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.grid(alpha=0.3)
        if len(logs) > 1:
            axis.legend(fontsize=8)
    figure.savefig(TARGET, dpi=110)
    print(TARGET)


if __name__ == "__main__":
    main()
