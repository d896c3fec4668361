"""Tables of a leakage run: CSV and JSON of every trial, Markdown with a line for each method and set-up."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wav2lip_hq.metrics.agreement import bootstrap
from wav2lip_hq.metrics.theval import REAL, score

from . import machine, offsets
from .tables import markdown, show

# column -> (title, better: 1 higher, -1 lower, 0 neither; meaning)
FIGURES: dict[str, tuple[str, int, str]] = {
    "leak": ("leak", -1, "correlation of the mouth's opening with the source's; for own words high is right"),
    "leak_lag": ("leak, a frame's lag", -1, "the largest when the result may be a frame early or late"),
    "by_chance": ("by chance", 0, "the leak that other people's results of this speech have: coincidence"),
    "beyond": ("beyond chance", -1, "leak without that coincidence: what only the footage itself can have given"),
    "closure": ("closed", 1, "share of frames at the clip's own closed level; meant for silence"),
    "lip_leak": ("LipLeak", -1, "KeySync: share of the footage's open frames that stay open; meant for silence"),
    "amplitude": ("amplitude", 0, "spread of the opening relative to the person's own; 1 is right"),
    "jumps": ("jumps", 0, "second difference of the opening relative to the person's own; 1 is right, more is jitter"),
    "bilabial": ("p b m", 1, "share of the p, b and m at which the mouth closes, where the words' times are known"),
    "silent_stability": ("silent stability", 0, "THEval: movement of the lips in pauses; real footage 0.0263"),
    "lip_sync": ("lip sync", 0, "THEval: opening against loudness in speech; real footage 0.2528"),
    "lip_dynamics": ("lip dynamics", 0, "THEval: spread of distances between lip points; real footage 1.7166"),
    "off_mouth": ("off the mouth", -1, "RMS change beside lips and chin, 8-bit steps; changes under 8 count as none"),
    "off_face": ("off the face", -1, "RMS change outside the lower face, likewise"),
    "peak": ("peak", -1, "largest change off the mouth, 8-bit steps"),
    "covered": ("covered", -1, "largest change where a drawn hand or microphone covers, 8-bit steps"),
    "ring": ("ring", 1, "PSNR in the 16 px around it, dB"),
    "beside": ("beside", 1, "PSNR of the mouth's region that is not covered, dB; own words"),
    "lse_c": ("LSE-C", 1, "SyncNet confidence, see the judge"),
    "lse_d": ("LSE-D", -1, "SyncNet distance, see the judge"),
}
BETTER = {1: True, -1: False, 0: None}
PAIRS = ("method", "speech", "a", "b", "agreement", "agreement_lag", "lag")
COUNTS = ("frames", "seen", "short", "still", "closed")


@dataclass
class Result:
    """A finished run. rows: one a method and trial; pairs: the agreements, see ``agreement.pairs``."""

    rows: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    judge: str | None
    command: str
    machine: dict[str, Any]

    @property
    def methods(self) -> list[str]:
        """In the order they were asked for."""
        return list(dict.fromkeys(r["method"] for r in self.rows))

    def values(self, column: str, method: str, kind: str) -> list[float]:
        """A figure of a method in a set-up, of the trials that have it."""
        rows = [r for r in self.rows if r["method"] == method and r["kind"] == kind and not r.get("error")]
        return [float(r[column]) for r in rows if r.get(column) is not None]

    def clips(self, column: str, method: str) -> list[float]:
        """A figure of a method's clips, each the mean over other people's speeches.

        Two speeches of a few seconds may pause and open together: a clip's correlation with one of them scatters by
        0.3 about what the footage causes.
        """
        found: dict[str, list[float]] = {}
        for row in self.rows:
            if row["method"] == method and row["kind"] == "mismatched" and row.get(column) is not None:
                found.setdefault(row["clip"], []).append(float(row[column]))
        return [float(np.mean(v)) for v in found.values()]

    def agreement(self, method: str, column: str = "agreement") -> list[float]:
        """Of all pairs of a method."""
        return [float(p[column]) for p in self.pairs if p["method"] == method]


def headline(result: Result) -> list[list[str]]:
    """The main figures: leak, agreement, silent closure, amplitude, paint."""
    head = ["method", "leak (mean)", "worst clip", "worst trial", "beyond chance", "worst clip"]
    head += ["agreement", "a frame's lag", "pairs"]
    head += ["silent closure", "LipLeak", "amplitude", "jumps", "p b m", "off the mouth", "peak", "own words", "clips"]
    table = [head]
    for method in result.methods:
        leaks, beyond = (result.values(k, method, "mismatched") for k in ("leak", "beyond"))
        pairs = result.agreement(method)
        table.append(
            [method, _mean(leaks), *(show(max(v, default=None)) for v in (result.clips("leak", method), leaks))]
            + [_mean(beyond), show(max(result.clips("beyond", method), default=None))]
            + [_mean(pairs)]
            + [_mean(result.agreement(method, "agreement_lag")), str(len(pairs) or "")]
            + [_mean(result.values(k, method, "silent")) for k in ("closure", "lip_leak")]
            + [_mean(result.values(k, method, _speaking(method))) for k in ("amplitude", "jumps", "bilabial")]
            + [_mean(result.values("off_mouth", method, _speaking(method)))]
            + [show(max(result.values("peak", method, _speaking(method)), default=None))]
            + [_mean(result.values("leak", method, "matched"))]
            + [str(len({r["clip"] for r in result.rows if r["method"] == method and not r.get("error")}))]
        )
    return table


def _speaking(method: str) -> str:
    """The set-up in which a method speaks: the real footage says its own words."""
    return "matched" if method == "source" else "mismatched"


def means(result: Result) -> list[list[str]]:
    """All figures, a line for each method and set-up."""
    used = [k for k in FIGURES if any(r.get(k) is not None for r in result.rows)]
    table = [["method", "set-up", *(FIGURES[k][0] for k in used), "clips"]]
    for method in result.methods:
        for kind in dict.fromkeys(r["kind"] for r in result.rows if r["method"] == method):
            cells = [_mean(result.values(k, method, kind), bracket=False) for k in used]
            table.append([method, kind, *cells, str(len(result.values("frames", method, kind)))])
    return table


def scores(result: Result) -> list[list[str]]:
    """THEval's scores against this run's real footage, or the published one's where the run has none."""
    table = [["method", "set-up", *(FIGURES[k][0] for k in REAL), "against"]]
    own = {k: result.values(k, "source", "matched") for k in REAL}
    for method in result.methods:
        for kind in dict.fromkeys(r["kind"] for r in result.rows if r["method"] == method):
            cells = []
            for key, published in REAL.items():
                values = result.values(key, method, kind)
                real = float(np.mean(own[key])) if own[key] else published
                cells.append(show(score(float(np.mean(values)), real)) if values and real else "")
            table.append([method, kind, *cells, "source of this run" if all(own.values()) else "published, in part"])
    return table


def sync_gap(result: Result) -> list[list[str]]:
    """LSE-C with own and with other words, and the difference (Yaman et al. 2025)."""
    table = [["method", "LSE-C matched", "LSE-C mismatched", "difference"]]
    for method in result.methods:
        both = [result.values("lse_c", method, kind) for kind in ("matched", "mismatched")]
        if all(both):
            own, other = (float(np.mean(v)) for v in both)
            table.append([method, show(own), show(other), show(own - other)])
    return table


def listing(result: Result) -> list[list[str]]:
    """One line a trial."""
    used = [k for k in FIGURES if any(r.get(k) is not None for r in result.rows)]
    columns = ["frames", "seen", *used, *(c for c in ("short", "still", "note", "error") if _any(result, c))]
    titles = [FIGURES[c][0] if c in FIGURES else c for c in columns]
    rows = [[r["method"], r["clip"], r["setup"], *(show(r.get(c)) for c in columns)] for r in result.rows]
    return [["method", "clip", "set-up", *titles], *rows]


def _any(result: Result, column: str) -> bool:
    return any(r.get(column) for r in result.rows)


def notes(result: Result) -> list[str]:
    """Notes for the reader."""
    out = [
        "source: real footage with its own words, the ideal figures. copy: the unchanged footage with other speech. "
        "codec: the footage re-encoded (H.264, crf 23): differences no larger than between codec and copy are noise.",
        "In brackets: 95 % intervals of the mean by bootstrap, over clips and over pairs. "
        "Pairs of a clip in common are not independent. Worst clip: the largest mean of a clip over the speeches.",
    ]
    quiet = [f"{r['method']} {r['clip']} {r['setup']}" for r in result.rows if r.get("still")]
    if quiet:
        out.append("The mouth does not move at all, its correlations are 0 by convention: " + ", ".join(quiet) + ".")
    if result.judge not in (None, "syncnet_v2"):
        out.append(f"LSE is measured with {result.judge} and does not compare with published figures.")
    return out


def write(result: Result, folder: Path) -> list[str]:
    """results.csv, .json and .md, and pairs.csv, the agreements. Returns the headline's lines."""
    columns = ["method", "clip", "setup", "kind", *COUNTS, *FIGURES, "note", "error"]
    for name, names, rows in (("results", columns, result.rows), ("pairs", PAIRS, result.pairs)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    document = {
        "command": result.command,
        "machine": result.machine,
        "protocol": "leakage",
        "judge": result.judge,
        "figures": {k: {"title": t, "higher_is_better": BETTER[b], "is": m} for k, (t, b, m) in FIGURES.items()},
        "summary": {
            method: {
                kind: {k: float(np.mean(v)) for k in FIGURES if (v := result.values(k, method, kind))}
                for kind in dict.fromkeys(r["kind"] for r in result.rows if r["method"] == method)
            }
            | ({"agreement": float(np.mean(pairs))} if (pairs := result.agreement(method)) else {})
            for method in result.methods
        },
        "rows": result.rows,
        "pairs": result.pairs,
    }
    (folder / "results.json").write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    top = markdown(headline(result))
    lines = ["# leakage", "", f"    {result.command}", "", *top, "", *(f"- {note}" for note in notes(result))]
    gap, late = sync_gap(result), offsets.table(result.rows)
    sections = {
        "Means": means(result),
        "THEval's scores": scores(result),
        **({"Speech and mouth, LSE": gap} if len(gap) > 1 else {}),
        **({"Audio-video offset, by clip": late} if len(late) > 1 else {}),
        "Trials": listing(result),
    }
    for title, table in sections.items():
        lines += ["", f"## {title}", "", *markdown(table)]
    meanings = [f"- {title}: {meaning}" for title, _, meaning in FIGURES.values()]
    lines += ["", "## Figures", "", *meanings, "", machine.sentence(), ""]
    (folder / "results.md").write_text("\n".join(lines), encoding="utf-8")
    return top


def _mean(values: list[float], bracket: bool = True) -> str:
    if not values:
        return ""
    mean = f"{np.mean(values):.3f}"
    if not bracket or len(values) < 2:
        return mean
    low, high = bootstrap(np.array(values))
    return f"{mean} ({low:.2f} to {high:.2f})"
