"""Does other footage of a person help? Clips of one speaker, each dubbed alone and with what the others teach.

    python -m benchmarks.person --clips FOLDER --out DIR

Each clip is dubbed with its own words, made anew, where the truth is known, and with silence: alone, with ``--person``
(a survey of the clips after it in the folder, one after the other, with their sound), and with the same without
``articulate.manner``. Judged in the finished videos by the published face mesh; p, b and m where the words' times are
known (GRID's .align). An interrupted run continues.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from wav2lip_hq import HQPipeline, audio, survey
from wav2lip_hq.metrics import bilabial
from wav2lip_hq.metrics.leakage import amplitude, closure, correlation
from wav2lip_hq.metrics.mouth import closed_level, jumps
from wav2lip_hq.types import Array
from wav2lip_hq.video import Sound, VideoWriter, open_video

from . import items, mouths
from .leakage import bilabials

OTHERS = 9  # clips that teach
WAYS = ("alone", "person", "person, manner off")


def joined(clips: list[Path], target: Path) -> Path:
    """Clips of one size and rate as one file, without loss."""
    sound: list[Array] = []
    number = 0
    with open_video(clips[0]) as reader:
        info = reader.info
    for clip in clips:
        with open_video(clip) as reader:
            count = sum(1 for _ in reader)
        long = round(count / info.fps * audio.RATE)
        wav = audio.load_audio(clip)[:long]
        sound.append(np.pad(wav, (0, long - len(wav))))
    beside = Sound(samples=np.concatenate(sound), rate=audio.RATE)
    with VideoWriter(target, info, codec="ffv1", sound=beside, mark=False) as writer:
        for clip in clips:
            with open_video(clip) as reader:
                for _, image, _ in reader:
                    writer.write(image, Fraction(number) / info.fps)
                    number += 1
    return target


def judged(clip: Path, others: list[Path], pipe: HQPipeline, out: Path) -> Iterator[dict[str, Any]]:
    """A row of figures for each way of dubbing a clip."""
    kept = out / f"{clip.stem}.npz"
    if not kept.exists():
        footage = joined(others, out / f"{clip.stem}-others.mkv")
        survey.save(pipe.survey(footage), kept)
        footage.unlink()
    sight = mouths.look(clip)
    real = mouths.mouth_track(clip, sight=sight).opening
    closed = closed_level(real)
    assert closed is not None
    for way in WAYS:
        person = "" if way == "alone" else str(kept)
        used = pipe.set("articulate.manner=false") if way.endswith("off") else pipe
        made = []
        for what in ("own", "silent"):
            video = out / f"{clip.stem}-{way.replace(', ', '-').replace(' ', '-')}-{what}.mp4"
            speech = clip if what == "own" else (np.zeros(len(real) * audio.RATE // 20, np.float32), audio.RATE)
            if not video.exists():
                used.run(
                    clip, speech, video, own_words="redo", person=person, extend="stop", trim=True, measure=False
                )  # fmt: skip
            made.append(mouths.mouth_track(video, sight=sight))
        own, silent = (mouth.opening[: len(real)] for mouth in made)
        truth = real[: len(own)]
        met, wanted = bilabial.closures(made[0].opening, made[0].time, bilabials(clip), closed)
        yield {
            "clip": clip.stem, "way": way, "correlation": correlation(own, truth), "amplitude": amplitude(own, truth),
            "jumps": jumps(own, truth), "p b m": met / wanted if wanted else None,
            "closed in silence": closure(silent, closed),
        }  # fmt: skip


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of clips of one person, of one size and rate")
    parser.add_argument("--others", type=int, default=OTHERS, help=f"clips that teach (default {OTHERS})")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--out", type=Path, default=Path("build/person"))
    args = parser.parse_args()
    mouths.installed()
    clips = items.movies([args.clips])
    if len(clips) < 2:
        parser.error(f"{args.clips} holds {len(clips)} clips; two or more of one person are needed")
    args.out.mkdir(parents=True, exist_ok=True)
    pipe = HQPipeline(args.preset)
    rows: list[dict[str, Any]] = []
    for n, clip in enumerate(clips):
        rows += judged(clip, (clips[n + 1 :] + clips[:n])[: args.others], pipe, args.out)
        print(f"[{n + 1}/{len(clips)}] {clip.name}", flush=True)
    (args.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    print("| | correlation with the real mouth | amplitude, from 1 | jumps, from 1 | p b m | closed in silence |")
    print("|---|---|---|---|---|---|")
    for way in WAYS:
        mine = [row for row in rows if row["way"] == way]
        shares = [_mean(mine, "p b m"), _mean(mine, "closed in silence")]
        mean = [_mean(mine, "correlation"), *(_mean(mine, n, 1) for n in ("amplitude", "jumps"))]
        print(f"| {way} | " + " | ".join(f"{x:.3f}" for x in [*mean, *shares]) + " |")


def _mean(rows: list[dict[str, Any]], name: str, distance_from: float | None = None) -> float:
    values = np.array([row[name] for row in rows if row[name] is not None], float)
    if not len(values):
        return float("nan")
    return float(np.mean(values if distance_from is None else np.abs(values - distance_from)))


if __name__ == "__main__":
    main()
