"""Does cleaning the driving speech help the lips? Speech with noise and music, with and without it.

    python -m benchmarks.noisy --speech FILE... --clips FILE...

For each speech: how well the opening of the mouth that ``articulate`` asks for follows the one that the clean speech
asks for (correlation, and the mean difference as a share of the clean one's standard deviation), and how far it opens
in pauses. For each clip, which has to be in sync: whether the sync network still finds the clean sound's offset, within
one frame. Noise and music are synthesized here; the levels are speech to noise in dB."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from wav2lip_hq import HQPipeline, audio
from wav2lip_hq.cleaning import clean_speech
from wav2lip_hq.metrics.offset import expert_offset
from wav2lip_hq.source import Speech, chunks, schedule
from wav2lip_hq.stages import STAGES
from wav2lip_hq.stages.articulate import Articulate, predict
from wav2lip_hq.video import open_video

RATE, FPS, SECONDS = audio.RATE, 25, 8
LEVELS = (10, 0)


def noise(count: int, seed: int) -> Any:
    """(count,) float32: pink noise, as of a street or an air conditioner."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20))
    return np.fft.irfft(spectrum, count).astype(np.float32)


def music(count: int, seed: int) -> Any:
    """(count,) float32: four chords of plucked strings over a bass, with a beat, at 110 beats a minute."""
    rng = np.random.default_rng(seed)
    out = np.zeros(count, np.float32)
    beat = int(RATE * 60 / 110)
    for n, at in enumerate(range(0, count, beat // 2)):
        root = 110 * 2 ** ([0, -3, -5, 2][n // 8 % 4] / 12)
        long = min(beat * 2, count - at)
        t = np.arange(long) / RATE
        for note in (root / 2, root, root * 2 ** (rng.choice([3, 4, 7, 12, 16]) / 12)):
            tone = sum(np.sin(2 * np.pi * note * k * t) / k for k in range(1, 9))
            out[at : at + long] += (tone * np.exp(-3 * t)).astype(np.float32)
        hit = min(beat // 8, count - at)
        out[at : at + hit] += (rng.standard_normal(hit) * np.linspace(2, 0, hit)).astype(np.float32)
    return out


def mixed(wav: Any, bed: Any, level: float) -> Any:
    """Speech and bed, ``level`` dB apart; the speech's power where it is active."""
    active = audio.speech_activity(wav, np.arange(len(wav) // 160) / 100.0) > 0.5
    power = np.square(wav[: len(active) * 160].reshape(-1, 160)[active]).mean()
    return (wav + bed * np.sqrt(power / np.square(bed).mean() / 10 ** (level / 10))).astype(np.float32)


def opening(pipe: HQPipeline, wav: Any) -> Any:
    """(T,) the opening asked for at 25 frames a second, in the mean person's measure."""
    frames = np.zeros((len(wav) * FPS // RATE, 4, 4, 3), np.uint8)
    stage = next(s for s in pipe.stages if s.name == "articulate")
    made = []
    with open_video(frames, fps=FPS) as reader:
        speech = Speech(wav)
        for chunk in chunks(schedule(reader, speech.seconds, "stop"), speech):
            assert isinstance(stage, Articulate) and chunk.phrase is not None
            predicted = predict(chunk.phrase, stage.model, pipe.runtime)
            made.append(stage.said(predicted, chunk, np.arange(len(chunk)))[:, 0])
    return np.concatenate(made)


def crops(pipe: HQPipeline, clip: Path) -> Any:
    """(T, 96, 96, 3): what the sync network sees of a clip."""
    from wav2lip_hq.engine import run_stages
    from wav2lip_hq.metrics.offset import OffsetMeter

    meter = OffsetMeter(pipe.runtime, audio.load_audio(clip))
    with open_video(clip) as reader:
        pictures = chunks(schedule(reader, Fraction(SECONDS), "stop", trim=True))
        for chunk in run_stages([STAGES["detect"](), STAGES["track"]()], pictures, pipe.runtime):
            meter.add(chunk)
    return np.stack(meter.crops)


def figures(clean: Any, other: Any, pauses: Any) -> dict[str, float]:
    """Agreement of two tracks of openings, and how far the mouth opens in pauses."""
    return {
        "correlation": float(np.corrcoef(clean, other)[0, 1]),
        "difference": float(np.abs(other - clean).mean() / clean.std()),
        "pauses": float((other[pauses] - np.quantile(clean, 0.05)).mean() / clean.std()) if pauses.any() else np.nan,
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, nargs="*", default=[])
    parser.add_argument("--clips", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, help="JSON")
    args = parser.parse_args()
    pipe = HQPipeline("fast")
    rows: dict[str, list[dict[str, float]]] = {}
    for seed, path in enumerate([*args.speech, *args.clips]):
        wav = audio.load_audio(path)[: SECONDS * RATE]
        truth = opening(pipe, wav)
        pauses = audio.speech_activity(wav, np.arange(len(truth)) / FPS) < 0.05
        seen = crops(pipe, path) if path in args.clips else None
        expert = pipe.runtime.model("embedded-expert", "lipsync_expert")
        right = None if seen is None else expert_offset(seen, wav, expert)
        for kind, make in (("none", None), ("noise", noise), ("music", music)):
            for level in LEVELS if make else (99,):
                given = mixed(wav, make(len(wav), seed), level) if make else wav
                for how, heard in (("as it is", given), ("rnnoise", clean_speech(given, RATE))):
                    row = figures(truth, opening(pipe, heard)[: len(truth)], pauses)
                    if right is not None and seen is not None:
                        found = expert_offset(seen, heard, expert)
                        row["offset"] = float(found is not None and abs(found - right) <= 1)
                    rows.setdefault(f"{kind} | {level if make else ''} | {how}", []).append(row)
        print(path.name, "measured", flush=True)
    print("| added | dB | speech | correlation | difference | open in pauses | offset found |")
    print("|---|---|---|---|---|---|---|")
    table = {}
    for name, found in rows.items():
        mean = {
            key: float(np.nanmean([r[key] for r in found if key in r] or [np.nan]))
            for key in ("correlation", "difference", "pauses", "offset")
        }
        table[name] = {**mean, "items": len(found)}
        cells = f"{mean['correlation']:.2f} | {mean['difference']:.2f} | {mean['pauses']:.2f} | {mean['offset']:.0%}"
        print(f"| {name} | {cells} |")
    if args.out:
        args.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
