"""``python -m benchmarks forensics``: trains the judge of ``wav2lip-hq detect``, and says how often it errs.

    python -m benchmarks forensics --clips CLIPS --out build/forensics --install

For each person a real part of a clip, and the same part with other speech by every preset that works offline, all
without a mark, each encoded in two of the ways in CHAINS. People are divided into folds; a person is dubbed with the
speech of another one of the same fold, so that neither a face nor a voice is in two folds. Videos of other tools go
to ``OUT/videos/PERSON/TOOL.mp4`` beforehand. What is measured is kept in ``OUT/measured.jsonl``; an interrupted run
continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from wav2lip_hq import HQPipeline, audio, video
from wav2lip_hq.errors import InputError, Wav2LipHQError
from wav2lip_hq.forensics import judge, look
from wav2lip_hq.types import Array

from . import items, machine
from .attacks import Attack, Clip, encoded, same, scaled
from .marks import lasts, one_a_person

PRESETS = ("default", "generated", "fast")
REAL, PLAIN = "real", "generated, unrestored"
MOVED = ("default", "fast")  # methods that move the footage's own mouth; all others generate one
FOLDS = 6
ALLOWED = 0.05  # share of real footage that may be called lip-synced, and of lip-synced footage that may be called real
# What befalls videos before they are judged: (a first encoding or none, codec, crf).
CHAINS: dict[str, tuple[Attack | None, str, int]] = {
    "crf 18": (None, "h264", 18),
    "crf 23": (None, "h264", 23),
    "crf 28": (None, "h264", 28),
    "HEVC 26": (None, "hevc", 26),
    "again": (Attack("H.264", "crf 26", same, crf=26), "h264", 23),
    "smaller": (Attack("scaled", "3/4, crf 23", scaled(0.75, False)), "h264", 23),
}


def main(args: argparse.Namespace) -> int:
    """Write measured.jsonl, forensics.md and roc.svg; with --install the judge, too."""
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "measured.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    if args.clips:
        _make(args)
    pipe = HQPipeline("default")
    known = {(row["person"], row["method"], row["chain"]) for row in rows}
    with kept.open("a") as file:
        for path in sorted((args.out / "videos").glob("*/*.mp4")):
            method, _, chain = path.stem.partition(" (")
            if (path.parent.name, method, chain.rstrip(")")) in known:
                continue
            try:
                face = look(path, pipe.runtime)[0]
            except InputError as error:
                print(error, flush=True)
                continue
            values = [round(float(v), 5) for v in judge.summary(face)]
            row = {"person": path.parent.name, "method": method, "chain": chain.rstrip(")")}
            row |= {"values": values, "size": face.size}
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(path, flush=True)
    scores, said, final = evaluated(rows)
    text = table(rows, scores, said, final)
    (args.out / "forensics.md").write_text(text)
    (args.out / "roc.svg").write_text(curves(rows, scores))
    print(text)
    if args.install:
        judge.write(final, judge.FILE)
        print(judge.FILE)
    return 0


# ---- videos


def fold_of(person: str) -> int:
    """Which fold a person, with all videos and the speech, belongs to."""
    return hashlib.sha256(person.encode()).digest()[0] % FOLDS


def _make(args: argparse.Namespace) -> None:
    """OUT/videos/PERSON/METHOD (CHAIN).mp4 of the first people's clips."""
    clips = list(islice((c for c in one_a_person(items.movies(args.clips)) if lasts(c, args.seconds)), args.people))
    base = HQPipeline("default")
    pipes = {name: HQPipeline(name, runtime=base.runtime) for name in PRESETS}
    pipes[PLAIN] = pipes["generated"].without("restore").set("blend.texture=0")
    for clip in clips:
        fold = [other for other in clips if fold_of(other.stem) == fold_of(clip.stem)]
        speaker = fold[(fold.index(clip) + 1) % len(fold)]
        folder = args.out / "videos" / clip.stem
        if (folder / "done").exists() or speaker == clip:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _versions(clip, speaker, folder, base, pipes, args.seconds)
            (folder / "done").write_text(f"{clip}\n{speaker}\n")
            print(clip.stem, "says what", speaker.stem, "said", flush=True)
        except Wav2LipHQError as error:
            print(f"{clip.name}: {error}", flush=True)


def _versions(
    clip: Path, speaker: Path, folder: Path, base: HQPipeline, pipes: dict[str, HQPipeline], seconds: float
) -> None:
    with video.open_video(clip) as opened:
        rate = opened.info.fps
        frames = np.stack([frame for time, frame, _ in opened if time < Fraction(seconds)])
    samples = round(len(frames) / rate * audio.RATE)
    own, dub = (audio.load_audio(path)[:samples] for path in (clip, speaker))
    survey = base.survey(frames, fps=rate)
    made = {REAL: (frames, own)}
    for name, pipe in pipes.items():
        with pipe.open(frames, (dub, audio.RATE), survey=survey, fps=rate, extend="stop", watermark=False) as chunks:
            made[name] = np.concatenate([chunk.frames for chunk in chunks]), dub
    for name, (pictures, wav) in made.items():
        for chain in _chains(f"{clip.name}{name}"):
            _write(pictures, rate, wav, chain, folder / f"{name} ({chain}).mp4")


def _chains(name: str) -> list[str]:
    """Two ways of encoding that follow from a name."""
    first, second = hashlib.sha256(name.encode()).digest()[:2]
    names = list(CHAINS)
    at = first % len(names)
    return [names[at], names[(at + 1 + second % (len(names) - 1)) % len(names)]]


def _write(pictures: Array, rate: Fraction, wav: Array, chain: str, target: Path) -> None:
    attack, codec, crf = CHAINS[chain]
    if attack is not None:
        before = encoded(attack, Clip(pictures, rate, np.zeros(4)), target.with_suffix(".first.mp4"))
        with video.open_video(before) as opened:
            pictures = np.stack([frame for _, frame, _ in opened])
        before.unlink()
    sound = video.Sound(samples=wav.astype(np.float32), rate=audio.RATE)
    with video.open_video(pictures, fps=rate) as reader:
        with video.VideoWriter(target, reader.info, codec=codec, crf=crf, sound=sound, mark=False) as writer:
            for time, frame, _ in reader:
                writer.write(frame, time)


# ---- figures


def evaluated(rows: list[dict[str, Any]]) -> tuple[Array, Array, judge.Judge]:
    """((N,) log odds of each row by judges that have not seen its fold, (N,) what they say of it by thresholds that
    were not set by it either: 1 lip-synced, 0 cannot tell, -1 real; the judge of all, with its thresholds)."""
    values = np.array([row["values"] for row in rows], float)
    kinds = np.array([_kind(row["method"]) for row in rows])
    synthetic = kinds != ""
    fold = np.array([fold_of(row["person"]) for row in rows])
    scores = np.zeros(len(rows))
    for k in set(fold.tolist()):
        test = fold == k
        if not synthetic[~test].any() or synthetic[~test].all():
            raise InputError("these are too few people: in the other folds there are no real or no lip-synced videos")
        scores[test] = judge.fitted(values[~test], kinds[~test]).odds(values[test])
    said = np.zeros(len(rows), int)
    for k in set(fold.tolist()):
        test = fold == k
        above, below = _thresholds(scores[~test], synthetic[~test])
        said[test] = (scores[test] >= above).astype(int) - (scores[test] <= below)
    above, below = _thresholds(scores, synthetic)
    people = len({row["person"] for row in rows})
    errors = {
        "real called lip-synced": round(float((said[~synthetic] > 0).mean()), 3),
        "real, cannot tell": round(float((said[~synthetic] == 0).mean()), 3),
        "lip-synced called real": round(float((said[synthetic] < 0).mean()), 3),
        "lip-synced, cannot tell": round(float((said[synthetic] == 0).mean()), 3),
    }
    method = np.array([row["method"] for row in rows])
    auc = {name: round(area(scores[~synthetic], scores[method == name]), 3) for name in sorted(_names(rows))}
    false, unsure, missed, open_ = (100 * share for share in errors.values())
    stated = (
        f"On {people} people it had not seen (cross-validation) it called {false:.0f} % of real footage lip-synced and "
        f"{missed:.0f} % of lip-synced footage real, and could not tell in {unsure:.0f} and {open_:.0f} %."
    )
    facts = {"people": people, "videos": len(rows), "auc": auc, "errors": errors, "stated": stated}
    final = replace(judge.fitted(values, kinds), above=above, below=below, facts=facts)
    return scores, said, final


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


def table(rows: list[dict[str, Any]], scores: Array, said: Array, final: judge.Judge) -> str:
    """The figures as Markdown."""
    synthetic = np.array([row["method"] != REAL for row in rows])
    method = np.array([row["method"] for row in rows])
    lines = ["# Is it lip-synced? On people that the judge has not seen", "", final.facts["stated"], ""]
    lines += ["| | videos | AUC against real | called lip-synced | cannot tell | called real |"]
    lines += ["|---|---|---|---|---|---|"]
    for name in [REAL, *sorted(_names(rows))]:
        mine = scores[method == name]
        auc = "-" if name == REAL else f"{area(scores[~synthetic], mine):.2f}"
        shown = [f"{100 * (said[method == name] == verdict).mean():.0f} %" for verdict in (1, 0, -1)]
        lines.append(f"| {name} | {len(mine)} | {auc} | {' | '.join(shown)} |")
    lines += ["", "Weights of the standardized measurements (positive: more of it in lip-synced footage):", ""]
    for name, kind in final.kinds.items():
        told = [f"{judge.MEASURES[i]} {weight:+.2f}" for i, weight in zip(kind.uses, kind.weights, strict=True)]
        lines.append(f"- {name}: {', '.join(told)}")
    lines.append("")
    return "\n".join([*lines, machine.sentence(), ""])


def curves(rows: list[dict[str, Any]], scores: Array) -> str:
    """ROC curves, one a method, as SVG."""
    method = np.array([row["method"] for row in rows])
    real = scores[method == REAL]
    lines = []
    for n, name in enumerate(sorted(_names(rows))):
        made = scores[method == name]
        steps = np.sort(np.concatenate([real, made, [np.inf, -np.inf]]))[::-1]
        points = " ".join(f"{20 + 200 * (real >= t).mean():.1f},{220 - 200 * (made >= t).mean():.1f}" for t in steps)
        color = f"hsl({90 * n} 70% 40%)"
        lines.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        lines.append(f'<text x="235" y="{40 + 16 * n}" fill="{color}">{name}, AUC {area(real, made):.2f}</text>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 430 250" font-family="sans-serif" font-size="10">'
        '<rect width="430" height="250" fill="#fff"/><path d="M20 20V220H220" fill="none" stroke="#888"/>'
        '<path d="M20 220L220 20" stroke="#ccc"/><text x="60" y="238">real footage called lip-synced</text>'
        '<text x="12" y="150" transform="rotate(-90 12 150)">lip-synced footage found</text>'
        + "".join(lines)
        + "</svg>\n"
    )
