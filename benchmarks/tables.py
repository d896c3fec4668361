"""Tables of a quality run: CSV and JSON of every clip, Markdown in the layout of the papers' tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wav2lip_hq.metrics.agreement import bootstrap
from wav2lip_hq.metrics.frechet import FrechetDistance

from . import machine, published
from .measure import COUNTS, FIGURES

# The papers' columns and where ours come from
PAPERS = {
    "lse_d": "LSE-D ↓",
    "lse_c": "LSE-C ↑",
    "syncnet": "SyncNet ↑",
    "ssim": "SSIM ↑",
    "psnr": "PSNR ↑",
    "fid": "FID ↓",
    "tss": "TSS ↑",
}
OURS = {"ssim": "face_ssim", "psnr": "face_psnr"}


@dataclass
class Result:
    """A finished run. rows: one a clip and method. frechet: (name of the distance, method -> value or what is
    missing)."""

    protocol: str
    rows: list[dict[str, Any]]
    frechet: tuple[str, dict[str, float | str]]
    judge: str | None
    command: str
    missing: dict[str, str] = field(default_factory=dict)  # preset -> why it was left out
    machine: dict[str, Any] = field(default_factory=machine.facts)

    @property
    def methods(self) -> list[str]:
        """In the order they were asked for."""
        return list(dict.fromkeys(r["method"] for r in self.rows))

    def of(self, method: str) -> list[dict[str, Any]]:
        """The rows of a method that could be judged."""
        return [r for r in self.rows if r["method"] == method and not r.get("error")]


def frechet(tasks: Sequence[Any], rows: list[dict[str, Any]], kind: str) -> tuple[str, dict[str, float | str]]:
    """The Frechet distance of each method's faces to the source's, over all its clips."""
    methods = list(dict.fromkeys(t.method.name for t in tasks))
    if kind == "none":
        return "FID", dict.fromkeys(methods, "needs fetch inception-fid")
    good = {(r["method"], r["clip"]) for r in rows if not r.get("error")}
    values: dict[str, float | str] = {}
    for method in methods:
        distance = FrechetDistance(lambda features: features, kind)
        for task in tasks:
            file = task.place.with_suffix(".npz")
            if task.method.name == method and (method, task.item.name) in good and file.exists():
                with np.load(file) as kept:
                    distance.add(kept["real"], real=True)
                    distance.add(kept["made"], real=False)
        values[method] = distance.compute()
    return ("FID" if kind == "inception" else f"FD-{kind}"), values


def summary(result: Result, column: str, method: str) -> tuple[float, float, float, int]:
    """(mean, low, high, clips): mean over the clips with its 95 % interval by bootstrap."""
    values = [float(r[column]) for r in result.of(method) if r.get(column) is not None]
    if not values:
        return float("nan"), float("nan"), float("nan"), 0
    low, high = bootstrap(np.array(values))
    return float(np.mean(values)), low, high, len(values)


def papers(result: Result) -> list[list[str]]:
    """The papers' table: head, our rows with intervals, then the published ones."""
    name, distances = result.frechet
    head = ["method", "origin", *(name + " ↓" if k == "fid" else v for k, v in PAPERS.items()), "clips"]
    table = [head]
    for method in result.methods:
        cells = [method, "measured here"]
        clips = 0
        for key in PAPERS:
            if key == "fid":
                value = distances.get(method, "")
                cells.append(value if isinstance(value, str) else show(value))
                continue
            mean, low, high, count = summary(result, OURS.get(key, key), method)
            clips = max(clips, count)
            cells.append("" if not count else f"{show(mean)} ({show(low)} to {show(high)})")
        table.append([*cells, str(clips)])
    for row in published.rows(result.protocol):
        cells = [str(row["method"]), str(row["source"])]
        for key in PAPERS:
            value = row.get(key)
            cells.append("" if value is None or (key == "fid" and name != "FID") else show(value))
        table.append([*cells, ""])
    return table


def notes(result: Result) -> list[str]:
    """Notes for the reader."""
    out = []
    if result.judge is None:
        out.append("LSE: no sync network is installed; `wav2lip-hq checkpoints fetch syncnet_v2`.")
    elif result.judge != "syncnet_v2":
        out.append(
            f"LSE, SyncNet and TSS are measured with {result.judge}, this project's own small network: they compare "
            "the methods of this table with each other, not with published figures "
            "(`wav2lip-hq checkpoints fetch syncnet_v2` for those)."
        )
    name, distances = result.frechet
    if any(isinstance(v, str) for v in distances.values()):
        out.append(
            "FID: needs `wav2lip-hq checkpoints fetch inception-fid`; `--frechet parser` gives another distance."
        )
    elif name != "FID":
        out.append(f"{name} is a Frechet distance on features of this project's parser; it is not FID.")
    out += [f"{name} is left out: {' '.join(why.split())}" for name, why in result.missing.items()]
    out.append("In brackets: 95 % intervals of the mean over clips, by bootstrap.")
    return out


def details(result: Result) -> list[list[str]]:
    """All figures of all methods, means over clips."""
    used = [k for k in FIGURES if any(r.get(k) is not None for r in result.rows)]
    table = [["method", *(FIGURES[k][0] for k in used)]]
    for method in result.methods:
        table.append([method, *(show(summary(result, k, method)[0]) for k in used)])
    return table


def clips(result: Result) -> list[list[str]]:
    """One line a clip."""
    used = [c for c in (*COUNTS[:4], *FIGURES, *COUNTS[4:]) if any(r.get(c) is not None for r in result.rows)]
    titles = [FIGURES[c][0] if c in FIGURES else c for c in used]
    return [["method", "clip", *titles]] + [
        [r["method"], r["clip"], *(show(r.get(c)) for c in used)] for r in result.rows
    ]


def markdown(table: list[list[str]]) -> list[str]:
    """Lines of a Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in row) + " |" for row in table]
    return [lines[0], "|" + "---|" * len(table[0]), *lines[1:]]


def write(result: Result, folder: Path) -> None:
    """results.csv, results.json, results.md."""
    columns = ["method", "clip", *COUNTS[:4], *FIGURES, *COUNTS[4:]]
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(result.rows)
    means = {
        m: {
            k: dict(zip(("mean", "low", "high", "clips"), _finite(summary(result, k, m)), strict=True)) for k in FIGURES
        }
        for m in result.methods
    }
    name, distances = result.frechet
    document = {
        "command": result.command,
        "machine": result.machine,
        "protocol": result.protocol,
        "judge": result.judge,
        "frechet": {"name": name, **distances},
        "summary": means,
        "rows": result.rows,
    }
    (folder / "results.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    lines = [f"# {result.protocol}", "", f"    {result.command}", "", *markdown(papers(result)), ""]
    lines += [f"- {note}" for note in notes(result)]
    lines += ["", "## Means", "", *markdown(details(result)), "", "## Clips", "", *markdown(clips(result)), ""]
    (folder / "results.md").write_text("\n".join([*lines, machine.sentence(), ""]), encoding="utf-8")


def _finite(values: tuple[float, ...]) -> list[float | None]:
    return [v if np.isfinite(v) else None for v in values]


def show(value: Any) -> str:
    """A cell of a table."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
