"""``python -m benchmarks marks``: does the invisible mark survive, can it be seen, what does it cost, is it ever found
where there is none?

The mark alone is written into real footage, where the mask of the preset ``fast`` is, so that marked and unmarked
clips differ in nothing else. It is read blind, from the encoded file. Every reading is kept in ``readings.jsonl``, and
what was seen of unmarked faces in ``views``, for reading it with a great many random keys; an interrupted run
continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wav2lip_hq import HQPipeline, audio, forensics, geometry, video
from wav2lip_hq.errors import InputError, Wav2LipHQError
from wav2lip_hq.run_options import RunOptions
from wav2lip_hq.stages import Watermark
from wav2lip_hq.types import Array, Chunk
from wav2lip_hq.watermark import BITS, reader, readings
from wav2lip_hq.watermark.reader import ANGLES
from wav2lip_hq.watermark.signs import words

from . import items, machine
from .attacks import ATTACKS, BASE, Attack, Clip, encoded
from .mark_cost import costs

LEAST = 0.8  # share of the seconds wanted that a clip must have


def main(args: argparse.Namespace) -> int:
    """Write readings.jsonl, views and marks.md."""
    (args.out / "views").mkdir(parents=True, exist_ok=True)
    kept = args.out / "readings.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    pipe = HQPipeline("fast").without("blend")
    long = (clip for clip in one_a_person(items.movies(args.data)) if lasts(clip, LEAST * args.seconds))
    clips = list(islice(long, args.clips))
    with kept.open("a") as file:
        for path, wanted in _work(clips, rows, args.attacked):
            try:
                for row in _clip(path, wanted, pipe, args):
                    rows.append(row)
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    print(row, flush=True)
            except Wav2LipHQError as error:
                print(f"{path.name}: {error}", flush=True)
    null = by_chance(sorted((args.out / "views").glob("*.npz")), args.keys)
    text = table(rows, args.seconds, null)
    if clips:
        frames, rate, wav = _opened(clips[0], 0.5)
        text += costs(_chunks(frames, rate, wav, pipe)[0], pipe.runtime)
    (args.out / "marks.md").write_text(text)
    print(args.out / "marks.md")
    return 0


def _work(
    clips: list[Path], rows: list[dict[str, Any]], attacked: int
) -> Iterator[tuple[Path, list[tuple[Attack, bool]]]]:
    """What is still to be read of each clip, most telling first: marked clips, then unmarked ones after each attack."""
    done = {(row["clip"], row["attack"], row["strength"], row["marked"]) for row in rows}
    for late in (False, True):
        for number, path in enumerate(clips):
            attacks = ATTACKS if number < attacked else (BASE,)
            wanted = [(a, m) for a in attacks for m in (True, False) if late == (not m and a is not BASE)]
            wanted = [(a, m) for a, m in wanted if (path.stem, a.name, a.strength, m) not in done]
            if wanted:
                yield path, wanted


def lasts(clip: Path, seconds: float) -> bool:
    """Whether it has picture and sound for so long."""
    with video.open_video(clip) as opened:
        long = (opened.info.frames or 0) / opened.info.fps
    return bool(long >= seconds and len(audio.load_audio(clip)) >= 0.95 * seconds * audio.RATE)


def one_a_person(clips: list[Path]) -> list[Path]:
    """One clip of each person, in an order that does not depend on their names."""
    people: dict[str, Path] = {}
    for path in clips:
        people.setdefault(items.person_of(path), path)
    return sorted(people.values(), key=lambda p: hashlib.sha256(p.name.encode()).digest())


def _clip(
    path: Path, wanted: list[tuple[Attack, bool]], pipe: HQPipeline, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    frames, rate, wav = _opened(path, args.seconds)
    number = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4], "big")
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
        best = min(readings([face.marks for face in faces]), key=lambda r: r.chance)
        same = 1 - (best.number ^ number).bit_count() / BITS
        row |= {"score": best.score, "chance": best.chance, "bits": same, "found": best.marked, "read": best.frames}
        if not with_mark and attack is BASE:
            here, views = faces[0].marks.views()
            if views.size:
                np.savez(args.out / "views" / f"{path.stem}.npz", here=here, views=views)
        yield row


def _opened(path: Path, seconds: float) -> tuple[Array, Fraction, Array]:
    """The first seconds of a clip: (T, H, W, 3) uint8 frames, how many a second, (n,) float32 sound at 16 kHz."""
    with video.open_video(path) as opened:
        rate = opened.info.fps
        frames = np.stack([frame for time, frame, _ in opened if time < Fraction(seconds)])
    if frames.dtype != np.uint8:
        raise InputError("has more than 8 bits")
    return frames, rate, np.asarray(audio.load_audio(path)[: round(seconds * audio.RATE)])


def _chunks(frames: Array, rate: Fraction, wav: Array, pipe: HQPipeline) -> list[Chunk]:
    """All chunks, with faces and masks, as the mark gets them, but for the mouths, which are the clip's own."""
    keep = ("faces.mask", "faces.to512", "faces.box", "faces.mesh", "faces.landmarks", "faces.frame", "faces.strength")
    told = RunOptions(fps=float(rate), extend="stop", watermark=False)
    with pipe.open(frames, (wav, audio.RATE), keep=keep, run=told) as chunks:
        return list(chunks)


def by_chance(files: list[Path], keys: int) -> Array:
    """(files * keys, 2): scores of unmarked faces, read with as many random keys, and the bounds of their chances.

    Turning each cell at random by a multiple of 90 degrees is the same as drawing the signs of a new key there."""
    out = []
    for file in files:
        with np.load(file) as kept:
            here, views = kept["here"], kept["views"]
        signs = words()[:, here]
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(file.name.encode()).digest()[:4], "big"))
        for _ in range(keys):
            turned = views * np.array([1, 1j, -1, -1j], np.complex64)[rng.integers(0, 4, views.shape[1])]
            scores = reader.likelihoods(turned, signs, here).max(-1).sum(-1)
            where = reader.best(scores)
            weights, share = reader.turned(turned[where[0]], where[1]), float(reader.shares()[where])
            out.append((float(scores[where]), reader.chance(float(scores[where]), weights, share)))
    return np.array(out).reshape(-1, 2)


def _marked(
    frames: Array, rate: Fraction, wav: Array, number: int, pipe: HQPipeline
) -> tuple[Array, dict[str, Any], Array]:
    """Marked frames; PSNR inside the mask, size of face and mask, ms a frame; the box around the face."""
    out, boxes, masks, seconds = frames.copy(), [], [], 0.0
    stage = Watermark(number)
    for chunk in _chunks(frames, rate, wav, pipe):
        began = time.process_time()
        marked = stage.process(chunk, pipe.runtime)
        seconds += time.process_time() - began
        out[chunk.start : chunk.start + len(chunk)] = marked.frames
        boxes.append(chunk.faces.box)
        masks.append(_inside(chunk))
    change = out.astype(np.float32) - frames
    inside = np.concatenate(masks)
    if not inside.any():
        raise InputError("no mouth was marked")
    noise = float((change[inside] ** 2).mean())
    at = np.concatenate(boxes)
    facts = {"psnr": float(10 * np.log10(255**2 / noise)), "face": float((at[:, 3] - at[:, 1]).mean())}
    facts |= {"pixels": float(inside.sum() / max(1, inside.any((1, 2)).sum())), "size": list(frames.shape[1:3])}
    facts |= {"ms": 1000 * seconds / len(frames)}
    return out, facts, np.concatenate([at[:, :2].min(0), at[:, 2:].max(0)])


def _inside(chunk: Chunk) -> Array:
    """(T, H, W) bool: where the mask is at least half."""
    out = np.zeros(chunk.frames.shape[:3], bool)
    for n, i in enumerate(chunk.faces.frame.tolist()):
        back = geometry.invert(chunk.faces.to512[n])
        out[i] |= cv2.warpAffine(chunk.faces.mask[n], back, chunk.frames.shape[2:0:-1]) >= 128
    return out


def table(rows: list[dict[str, Any]], seconds: float, null: Array) -> str:
    """The figures as Markdown. null: see ``by_chance``."""
    base = [r for r in rows if (r["attack"], r["strength"]) == (BASE.name, BASE.strength)]
    marked = {r["clip"]: r for r in base if r["marked"]}
    clean = [r for r in rows if not r["marked"]]
    lines = ["# The invisible mark", ""]
    lines += [f"First {seconds:g} s of real clips, one a person; see `benchmarks/marks.py`.", ""]
    if marked:
        psnr, face = (np.array([r[name] for r in marked.values()]) for name in ("psnr", "face"))
        lines += [f"PSNR where the mask is at least half: {psnr.mean():.1f} dB, at least {psnr.min():.1f} dB."]
        lines += [f"Writing it takes {np.median([r['ms'] for r in marked.values()]):.2f} ms of processor time a frame."]
        lines += [f"Faces are {face.min():.0f} to {face.max():.0f} px high, {np.median(face):.0f} in the median.", ""]
    lines += ["| what was done | strength | marked | found | bits right | all 32 right | score, median (least)"]
    lines[-1] += " | unmarked | found | highest score |"
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    for attack in ATTACKS:
        same = [r for r in rows if (r["attack"], r["strength"]) == (attack.name, attack.strength)]
        if some := [r for r in same if r["marked"]]:
            lines.append(f"| {attack.name} | {attack.strength} | {_figures(some)} |")
            lines[-1] += _false([r for r in same if not r["marked"]])
    if clean:
        false = sum(r["found"] for r in clean)
        lines += ["", f"In all {len(clean)} readings of unmarked clips found {false} marks; the highest score was"]
        lines[-1] += f" {max(r['score'] for r in clean):.1f}. {_needed()}"
    if len(null):
        counts = ", ".join(f"{np.quantile(null[:, 0], 1 - 10.0**-n):.2f} in 1 of {10**n}" for n in (1, 2, 3, 4))
        lines += [
            "",
            f"Unmarked, with {len(null)} random keys, they scored {null[:, 0].mean():.2f} on average; more than",
        ]
        lines += [f"{counts}, {null[:, 0].max():.2f} at most; the least of their bounds is {null[:, 1].min():.1e}, and"]
        lines += [f"{int((null[:, 1] <= reader.FALSE_ALARM).sum())} were taken for marks."]
    for low, high in ((0, 90), (90, 120), (120, 200), (200, 9999)):
        some = [r for r in marked.values() if low <= r["face"] < high]
        if some:
            found = sum(r["found"] for r in some)
            name = f"{low} to {high} px" if high < 9999 else f"{low} px and more"
            pixels = np.median([r["pixels"] for r in some])
            lines += ["", f"{BASE.strength}, faces of {name} (mask of {pixels:.0f} px): {found} of {len(some)} found."]
    return "\n".join([*lines, "", machine.sentence(), ""])


def _needed() -> str:
    """The scores from which a mark counts as found, where there is one face of 430 cells."""
    weights = np.full(860, 860**-0.5)

    def least(share: float) -> float:
        return next(s for s in np.arange(5, 15, 0.01) if reader.chance(s, weights, share) <= reader.FALSE_ALARM)

    share = reader.shares()
    likely, moved, late = (least(float(share[where])) for where in ((0, 0), (1, 0), (0, ANGLES // 2)))
    return f"{likely:.2f} is needed, {moved:.2f} beside the usual place, {late:.2f} at another phase."


def _false(clean: list[dict[str, Any]]) -> str:
    if not clean:
        return " - | - | - |"
    return f" {len(clean)} | {sum(r['found'] for r in clean)} | {max(r['score'] for r in clean):.1f} |"


def _figures(some: list[dict[str, Any]]) -> str:
    found = sum(r["found"] for r in some)
    bits = np.array([r["bits"] for r in some])
    scores = np.array([r["score"] for r in some])
    shown = f"{100 * bits.mean():.1f} % | {int((bits == 1).sum())}"
    return f"{len(some)} | {found} | {shown} | {np.median(scores):.1f} ({scores.min():.1f})"
