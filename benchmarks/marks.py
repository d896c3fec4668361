"""``python -m benchmarks marks``: does the invisible mark survive, can it be seen, what does it cost, is it ever found
where there is none?

The mark alone is written into real footage, where the mask of the preset ``fast`` is, so that marked and unmarked
clips differ in nothing else. It is read blind, from the encoded file. Every reading is kept in ``readings.jsonl``; an
interrupted run continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wav2lip_hq import HQPipeline, audio, forensics, geometry, video
from wav2lip_hq.errors import InputError, Wav2LipHQError
from wav2lip_hq.run_options import RunOptions
from wav2lip_hq.types import Array, Chunk
from wav2lip_hq.watermark import BITS, reader

from . import items, machine
from .attacks import ATTACKS, BASE, Attack, Clip, encoded


def main(args: argparse.Namespace) -> int:
    """Write readings.jsonl and marks.md."""
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "readings.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(row["clip"], row["attack"], row["strength"], row["marked"]) for row in rows}
    pipe = HQPipeline("fast").without("blend")
    clips = one_a_person(items.movies([args.data]))
    with kept.open("a") as file:
        for number, path in enumerate(clips[: args.clips]):
            attacks = ATTACKS if number < args.attacked else (BASE,)
            wanted = [(a, m) for a in attacks for m in (True, False) if m or a is BASE]
            wanted = [(a, m) for a, m in wanted if (path.stem, a.name, a.strength, m) not in done]
            if not wanted:
                continue
            try:
                for row in _clip(path, wanted, pipe, args):
                    rows.append(row)
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    print({k: v for k, v in row.items() if k not in ("others",)}, flush=True)
            except Wav2LipHQError as error:
                print(f"{path.name}: {error}", flush=True)
    (args.out / "marks.md").write_text(table(rows, args.seconds))
    print(args.out / "marks.md")
    return 0


def one_a_person(clips: list[Path]) -> list[Path]:
    """One clip of each person, in an order that does not depend on their names."""
    people: dict[str, Path] = {}
    for path in clips:
        parts = path.stem.split("_")
        person = next((p for p in parts if p[:1] == "p" and p[1:].isdigit()), path.stem)
        if "grid" in str(path.parent):  # a folder a speaker
            person = path.parent.name.replace("grid_s1_extra", "s1")
        people.setdefault(person, path)
    return sorted(people.values(), key=lambda p: hashlib.sha256(p.name.encode()).digest())


def _clip(
    path: Path, wanted: list[tuple[Attack, bool]], pipe: HQPipeline, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    with video.open_video(path) as opened:
        rate = opened.info.fps
        frames = np.stack([frame for time, frame, _ in opened if time < Fraction(args.seconds)])
    if len(frames) < 25 or frames.dtype != np.uint8:
        raise InputError("too short for this benchmark")
    number = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4], "big")
    wav = np.asarray(audio.load_audio(path)[: round(args.seconds * audio.RATE)])
    marked, facts, box = _marked(frames, rate, wav, number, pipe)
    for attack, with_mark in wanted:
        file = encoded(attack, Clip(marked if with_mark else frames, rate, box), args.out / "attacked.mp4")
        row: dict[str, Any] = {"clip": path.stem, "attack": attack.name, "strength": attack.strength}
        row |= {"marked": with_mark} | facts
        try:
            faces = forensics.look(file, pipe.runtime, judged=False)
        except InputError:
            yield row | {"score": 0.0, "chance": 1.0, "bits": 0.5, "found": False}
            continue
        finally:
            file.unlink()
        best = min((f.marks.reading(others=len(faces)) for f in faces), key=lambda r: r.chance)
        same = 1 - (best.number ^ number).bit_count() / BITS
        row |= {"score": best.score, "chance": best.chance, "bits": same, "found": best.marked, "read": best.frames}
        if not with_mark:
            chances = [faces[0].marks.reading(f"other {k}").chance for k in range(args.keys)]
            row["others"] = [sum(c <= 10.0**-n for c in chances) for n in range(6)]
        yield row


def _marked(
    frames: Array, rate: Fraction, wav: Array, number: int, pipe: HQPipeline
) -> tuple[Array, dict[str, Any], Array]:
    """Marked frames; PSNR inside the mask, size of face and mask, ms a frame; the box around the face."""
    out, boxes, masks = frames.copy(), [], []
    keep = ("faces.mask", "faces.to512", "faces.box")
    told = RunOptions(fps=float(rate), extend="stop", watermark_id=f"{number:08x}")
    with pipe.open(frames, (wav, audio.RATE), keep=keep, run=told) as chunks:
        for chunk in chunks:
            out[chunk.start : chunk.start + len(chunk)] = chunk.frames
            boxes.append(chunk.faces.box)
            masks.append(_inside(chunk))
    change = out.astype(np.float32) - frames
    inside = np.concatenate(masks)
    if not inside.any():
        raise InputError("no mouth was marked")
    noise = float((change[inside] ** 2).mean())
    every = np.concatenate(boxes)
    facts = {"psnr": float(10 * np.log10(255**2 / noise)), "face": float((every[:, 3] - every[:, 1]).mean())}
    facts |= {"pixels": float(inside.sum() / max(1, inside.any((1, 2)).sum())), "size": list(frames.shape[1:3])}
    return out, facts, np.concatenate([every[:, :2].min(0), every[:, 2:].max(0)])


def _inside(chunk: Chunk) -> Array:
    """(T, H, W) bool: where the mask is at least half."""
    out = np.zeros(chunk.frames.shape[:3], bool)
    for n, i in enumerate(chunk.faces.frame.tolist()):
        back = geometry.invert(chunk.faces.to512[n])
        out[i] |= cv2.warpAffine(chunk.faces.mask[n], back, chunk.frames.shape[2:0:-1]) >= 128
    return out


def table(rows: list[dict[str, Any]], seconds: float) -> str:
    """The figures as Markdown."""
    base = [r for r in rows if (r["attack"], r["strength"]) == (BASE.name, BASE.strength)]
    clean = [r for r in base if not r["marked"]]
    marked = {r["clip"]: r for r in base if r["marked"]}
    lines = ["# The invisible mark", ""]
    lines += [f"First {seconds:g} s of real clips, one a person; see `benchmarks/marks.py`.", ""]
    if marked:
        psnr = np.array([r["psnr"] for r in marked.values()])
        lines += [f"PSNR where the mask is at least half: {psnr.mean():.1f} dB, at least {psnr.min():.1f} dB.", ""]
    lines += ["| what was done | strength | clips | mark found | bits right | all 32 right | score, median (least) |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for attack in ATTACKS:
        some = [r for r in rows if (r["attack"], r["strength"]) == (attack.name, attack.strength) and r["marked"]]
        if some:
            lines.append(f"| {attack.name} | {attack.strength} | {_figures(some)} |")
    if clean:
        lines.append(f"| unmarked, {BASE.name} | {BASE.strength} | {_figures(clean)} |")
        counts = np.sum([r["others"] for r in clean], 0)
        bounds = ", ".join(f"{int(counts[n])} at 1e-{n}" for n in range(1, 6))
        lines += ["", f"Unmarked clips read with other keys: of {int(counts[0])} readings so many stayed within"]
        lines += [f"a bound on false alarms of: {bounds}. A mark counts as found at {reader.FALSE_ALARM:g}."]
    return "\n".join([*lines, "", machine.sentence(), ""])


def _figures(some: list[dict[str, Any]]) -> str:
    found = sum(r["found"] for r in some)
    bits = np.array([r["bits"] for r in some])
    scores = np.array([r["score"] for r in some])
    shown = f"{100 * bits.mean():.1f} % | {int((bits == 1).sum())}" if some[0]["marked"] else "- | -"
    return f"{len(some)} | {found} | {shown} | {np.median(scores):.1f} ({scores.min():.1f})"
