"""``python -m benchmarks forensics``: trains the judge of ``wav2lip-hq detect``, and says how often it errs.

    python -m benchmarks forensics --clips CLIPS --out build/forensics --install

For each person a real part of a clip, and the same part with other speech by every preset that works offline, all
without a mark, each encoded in two of the ways in ``dubs.CHAINS``. A quarter of the people are held back, by a hash of
their names: they decide nothing, and are judged at the end with ``--held-back``. The others are divided into folds. A
person is dubbed with the speech of another one of the same fold, so that neither a face nor a voice is in two folds.
Videos of other tools go to ``OUT/videos/PERSON/TOOL.mp4`` beforehand. What is measured is kept in
``OUT/videos/PERSON/measured.jsonl``, and around each frame in .npz files; an interrupted run continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wav2lip_hq.errors import InputError
from wav2lip_hq.forensics import judge, look
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.types import Array

from . import items, machine
from .dubs import REAL, Dub, dubs, known, make

MOVED = ("default", "fast")  # methods that move the footage's own mouth; all others generate one
FOLDS = 7
LEAST = 2.0  # seconds that a person's clip must have
ALLOWED = 0.05  # share of real footage that may be called lip-synced, and of lip-synced footage that may be called real
HELD = "held back"


def main(args: argparse.Namespace) -> int:
    """Write measured.jsonl, forensics.md and roc.svg; with --install the judge, too."""
    videos = args.out / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    if args.clips:
        work = dubs(items.movies(args.clips), args.seconds, LEAST, group_of, videos)[: args.people]
        for told in _each(_made, work, args.workers):
            print(told, flush=True)
    folders = sorted(folder for folder in videos.iterdir() if folder.is_dir())
    rows = [row for some in _each(measured, folders, args.workers) for row in some]
    rows.sort(key=lambda row: (row["person"], row["method"], row["chain"]))
    apart = [row for row in rows if group_of(row["person"]) == HELD]
    rows = [row for row in rows if group_of(row["person"]) != HELD]
    scores, said, final = evaluated(rows, args.out)
    sets = {"In cross-validation": (rows, scores, said)}
    if args.held_back and apart:
        odds = final.odds(np.array([row["values"] for row in apart], float))
        told = np.array([_verdict(row, final, args.out) for row in apart])
        sets["Held back: nothing was chosen or learned by them"] = apart, odds, told
        rates = figures(apart, odds, told)
        final = replace(final, facts={**final.facts, "held back": rates, **_stated(final.facts["folds"], rates)})
    every, *judged = ([v for part in parts for v in part] for parts in zip(*sets.values(), strict=True))
    some = np.array([row["person"] in known()["unseen"] for row in every])
    if some.any():
        mine = [row for row, yes in zip(every, some, strict=True) if yes]
        sets["Of all these, people that none of our networks has seen"] = mine, *(np.array(v)[some] for v in judged)
    drawn = [(rows, scores), *([(apart, odds)] if args.held_back and apart else [])]
    (args.out / "forensics.md").write_text(text := table(sets, final))
    (args.out / "roc.svg").write_text(curves(drawn))
    print(text)
    if args.install:
        judge.write(final, judge.FILE)
        print(judge.FILE)
    return 0


# ---- videos


def group_of(person: str) -> int | str:
    """Which fold a person, with all videos and the speech, belongs to; HELD for a quarter of the people, by a hash of
    the name. Those by whom a judge was designed are never held back; the quarter that was held back from the judge
    before this one is a fold of its own."""
    digest, before = (hashlib.sha256(text.encode()).digest()[0] for text in (person, f"held back {person}"))
    if person not in known()["designed"]:
        if digest >= 186:
            return HELD
        if before < 64:
            return FOLDS - 1
    return digest % (FOLDS - 1)


def _made(dub: Dub) -> str:
    told = make(dub)
    measured(dub.folder)
    return told or f"{dub.person} is done"


@cache
def _runtime() -> Runtime:
    return Runtime()


def measured(folder: Path) -> list[dict[str, Any]]:
    """What is measured of the videos in a folder; what was measured before is read."""
    kept = folder / "measured.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    there = {row["file"] for row in rows}
    with kept.open("a") as file:
        for path in sorted(folder.glob("*.mp4")):
            if path.name in there or ".first" in path.name:
                continue
            method, _, chain = path.stem.partition(" (")
            row = {"person": folder.name, "method": method, "chain": chain.rstrip(")"), "file": path.name}
            try:
                face = look(path, _runtime())[0]
                row |= {"values": [round(float(v), 5) for v in judge.summary(face)], "size": face.size}
                np.savez_compressed(path.with_suffix(".npz"), each=judge.around(face), times=face.times)
                row |= {"error": why} if (why := judge.hidden(face)) else {}
            except InputError as error:
                row |= {"error": str(error)}
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    return [row for row in rows if "error" not in row]


def _each(work: Any, tasks: Sequence[Any], workers: int) -> Any:
    """work(task) of each task, as they are finished."""
    if workers <= 1:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _share, (workers,)) as pool:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()


def _share(workers: int) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


# ---- figures


def evaluated(rows: list[dict[str, Any]], out: Path) -> tuple[Array, Array, judge.Judge]:
    """((N,) log odds of each row by judges that have not seen its fold, (N,) what they say of it by thresholds that
    were not set by it either: 1 lip-synced, 0 cannot tell, -1 real; the judge of all, with its thresholds).

    out: folder in which ``measured`` left what it measured around each frame."""
    values = np.array([row["values"] for row in rows], float)
    kinds = np.array([_kind(row["method"]) for row in rows])
    synthetic = kinds != ""
    fold = np.array([group_of(row["person"]) for row in rows])
    scores, said, judges = np.zeros(len(rows)), np.zeros(len(rows), int), {}
    for k in set(fold.tolist()):
        test = fold == k
        if not synthetic[~test].any() or synthetic[~test].all():
            raise InputError("these are too few people: in the other folds there are no real or no lip-synced videos")
        judges[k] = judge.fitted(values[~test], kinds[~test])
        scores[test] = judges[k].odds(values[test])
    for k, fitted in judges.items():
        above, below = _thresholds(scores[fold != k], synthetic[fold != k])
        strict = replace(fitted, above=above, below=below)
        for n in np.flatnonzero(fold == k):
            said[n] = _verdict(rows[n], strict, out)
    above, below = _thresholds(scores, synthetic)
    rates = figures(rows, scores, said)
    final = replace(judge.fitted(values, kinds), above=above, below=below, facts={"folds": rates, **_stated(rates)})
    return scores, said, final


def figures(rows: list[dict[str, Any]], scores: Array, said: Array) -> dict[str, Any]:
    """People, videos, AUC of each method against real footage, and shares of errors."""
    method = np.array([row["method"] for row in rows])
    real = method == REAL
    errors = {
        "real called lip-synced": (said[real] > 0).mean(),
        "real, cannot tell": (said[real] == 0).mean(),
        "lip-synced called real": (said[~real] < 0).mean(),
        "lip-synced, cannot tell": (said[~real] == 0).mean(),
    }
    return {
        "people": len({row["person"] for row in rows}),
        "videos": len(rows),
        "auc": {name: round(area(scores[real], scores[method == name]), 3) for name in sorted(_names(rows))},
        "errors": {name: round(float(share), 3) for name, share in errors.items()},
    }


def _stated(rates: dict[str, Any], held: dict[str, Any] | None = None) -> dict[str, Any]:
    """The errors as `wav2lip-hq detect` states them: those of cross-validation, on more people, first."""
    false, unsure, missed, open_ = (f"{100 * share:.0f}" for share in rates["errors"].values())
    text = (
        f"On {rates['people']} people it had not seen it called {false} % of real footage lip-synced and {missed} % of "
        f"footage lip-synced by this project real, and could not tell in {unsure} and {open_} %"
    )
    if held is not None:
        false, unsure, missed, open_ = (f"{100 * share:.0f}" for share in held["errors"].values())
        text += f"; on {held['people']} put aside until the end: {false}, {missed}, {unsure} and {open_} %"
    return {"errors": rates["errors"], "stated": f"{text}."}


def _verdict(row: dict[str, Any], judged: judge.Judge, out: Path) -> int:
    """1 lip-synced, 0 cannot tell, -1 real, as `wav2lip-hq detect` would say it."""
    with np.load((out / "videos" / row["person"] / row["file"]).with_suffix(".npz")) as kept:
        said = judged.told(np.array(row["values"], float), kept["each"], kept["times"])
    return {judge.SYNTHETIC: 1, judge.OPEN: 0, judge.REAL: -1}[said.verdict]


def _thresholds(scores: Array, synthetic: Array) -> tuple[float, float]:
    """Log odds from which footage is called lip-synced, and up to which it is called real."""
    above = float(np.quantile(scores[~synthetic], 1 - ALLOWED, method="higher")) + 1e-3
    return above, min(float(np.quantile(scores[synthetic], ALLOWED, method="lower")) - 1e-3, above - 1e-3)


def _kind(method: str) -> str:
    return "" if method == REAL else "moved" if method in MOVED else "generated"


def _names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["method"] for row in rows} - {REAL}


def area(real: Array, made: Array) -> float:
    """Area under the ROC curve: how often a lip-synced video scores higher than a real one.

    >>> area(np.array([0.0, 1.0]), np.array([0.5, 2.0]))
    0.75
    """
    pairs = made[:, None] - real[None]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def table(sets: dict[str, tuple[list[dict[str, Any]], Array, Array]], final: judge.Judge) -> str:
    """The figures of sets of rows with their scores and verdicts, as Markdown."""
    lines = ["# Is it lip-synced? On people that the judge has not seen", "", final.facts["stated"], ""]
    for title, (rows, scores, said) in sets.items():
        method = np.array([row["method"] for row in rows])
        lines += [f"{title}: {len({row['person'] for row in rows})} people", ""]
        lines += ["| | videos | AUC against real | called lip-synced | cannot tell | called real |"]
        lines += ["|---|---|---|---|---|---|"]
        for name in [REAL, *sorted(_names(rows))]:
            mine = scores[method == name]
            auc = "-" if name == REAL else f"{area(scores[method == REAL], mine):.2f}"
            shown = [f"{100 * (said[method == name] == verdict).mean():.0f} %" for verdict in (1, 0, -1)]
            lines.append(f"| {name} | {len(mine)} | {auc} | {' | '.join(shown)} |")
        lines.append("")
    lines += ["Weights of the standardized measurements (positive: more of it in lip-synced footage):", ""]
    for name, kind in final.kinds.items():
        told = [f"{judge.MEASURES[i]} {weight:+.2f}" for i, weight in zip(kind.uses, kind.weights, strict=True)]
        lines.append(f"- {name}: {', '.join(told)}")
    lines.append("")
    return "\n".join([*lines, machine.sentence(), ""])


def curves(sets: list[tuple[list[dict[str, Any]], Array]]) -> str:
    """ROC curves, one a method, as SVG. sets: rows and scores of cross-validation and, dashed, of those held back."""
    lines: list[str] = []
    names = sorted(_names(sets[0][0]))
    for n, name in enumerate(names):
        color, areas = f"hsl({90 * n} 70% 40%)", []
        for (rows, scores), dashes in zip(sets, ("", ' stroke-dasharray="4 2"'), strict=False):
            method = np.array([row["method"] for row in rows])
            real, made = scores[method == REAL], scores[method == name]
            steps = np.sort(np.concatenate([real, made, [np.inf, -np.inf]]))[::-1]
            points = " ".join(
                f"{20 + 200 * (real >= t).mean():.1f},{220 - 200 * (made >= t).mean():.1f}" for t in steps
            )
            lines.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.3"{dashes}/>')
            areas.append(f"{area(real, made):.2f}")
        lines.append(f'<text x="235" y="{40 + 16 * n}" fill="{color}">{name}: {", ".join(areas)}</text>')
    told = "AUC in cross-validation" + (", held back (dashed)" if len(sets) > 1 else "")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 450 250" font-family="sans-serif" font-size="10">'
        '<rect width="450" height="250" fill="#fff"/><path d="M20 20V220H220" fill="none" stroke="#888"/>'
        '<path d="M20 220L220 20" stroke="#ccc"/><text x="60" y="238">real footage called lip-synced</text>'
        '<text x="12" y="150" transform="rotate(-90 12 150)">lip-synced footage found</text>'
        f'<text x="235" y="22">{told}</text>' + "".join(lines) + "</svg>\n"
    )
