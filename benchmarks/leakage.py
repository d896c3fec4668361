"""``python -m benchmarks quality --protocol leakage``: does the mouth follow the speech, or the footage?

Controls beside the methods: ``source``, real footage with its own words, the ideal figures; ``copy``, the unchanged
footage with other speech, the figures of doing nothing; ``codec``, the footage re-encoded, whose difference to ``copy``
is noise. Like every quality run, an interrupted one continues.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import wav2lip_hq
from wav2lip_hq import HQPipeline, geometry
from wav2lip_hq.errors import InputError, OptionError, Wav2LipHQError
from wav2lip_hq.metrics import bilabial, leakage, mouth, theval
from wav2lip_hq.metrics.lipsync import judge as sync_judge
from wav2lip_hq.metrics.mouth import Mouth, from_mesh
from wav2lip_hq.metrics.paint import Paint
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.types import Array
from wav2lip_hq.video import VideoWriter, open_video

from . import agreement, covered, leakage_tables, machine, mouths, observe, quality, tables, trials
from .items import MOVIES
from .measure import Sync, tidy
from .offsets import Listener
from .quality import SOURCE, Method
from .trials import Trial

COPY, CODEC = "copy", "codec"
CONTROLS = {SOURCE: ("matched",), COPY: ("mismatched", "silent", "covered"), CODEC: ("mismatched", "covered")}
CODEC_CRF = 23  # x264's default
LOGGED = ("covered", "ring", "leak", "closure", "lip_leak", "amplitude", "jumps", "off_mouth", "lse_c")


@dataclass(frozen=True)
class Task:
    """One trial of one method. lse: whether LSE is measured, too."""

    method: Method
    trial: Trial
    seconds: float
    lse: bool
    folder: Path

    @property
    def place(self) -> Path:
        """Where its figures are kept, without ending."""
        return self.folder / "clips" / self.method.name / self.trial.name

    def key(self) -> str:
        """Changes with anything that could change the figures."""
        files = [self.trial.clip] + ([self.trial.sound] if self.trial.sound else [])
        if self.method.folder is not None:
            files.append(prediction(self.method.folder, self.trial))
        stats = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        facts = [self.method.name, self.method.settings, self.trial.setup, self.seconds, self.lse]
        text = json.dumps([facts, stats, wav2lip_hq.__version__, quality.weights()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def main(args: argparse.Namespace) -> int:
    """Judge all trials and write results.md, .csv and .json. Returns 1 when every trial failed."""
    mouths.installed()
    found = trials.collect(args.data, args.speech, args.trials, args.setups, args.clips)
    methods = [Method(name) for name in CONTROLS]
    presets = args.presets or ([] if args.predictions else ["default"])
    methods += [Method(name, settings=tuple(args.set)) for name in presets if name not in CONTROLS]
    methods += [quality.predictions(text) for text in args.predictions]
    if len({m.name for m in methods}) < len(methods):
        raise OptionError(f"two methods have the same name: {', '.join(m.name for m in methods)}; use NAME=DIR")
    tasks = [
        Task(method, trial, args.seconds, args.lse, args.out)
        for method in methods
        for trial in found
        if trial.setup in CONTROLS.get(method.name, trials.SETUPS)
    ]
    if not tasks:
        raise InputError("there is nothing to judge: these methods have no trials in the chosen --setups")
    args.out.mkdir(parents=True, exist_ok=True)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for done, (task, row) in enumerate(quality.run(tasks, args.workers, judge_trial), 1):
        rows[task.method.name, task.trial.name] = row
        said = row.get("error") or ", ".join(f"{k} {tables.show(row[k])}" for k in LOGGED if row.get(k) is not None)
        print(f"[{done}/{len(tasks)}] {task.method.name} {task.trial.name}: {said}", flush=True)
    agreement.by_chance(tasks, rows, COPY)
    ordered = [
        {"method": t.method.name, "clip": t.trial.label, "setup": t.trial.told}
        | {"kind": t.trial.setup, **rows[t.method.name, t.trial.name]}
        for t in tasks
    ]
    result = leakage_tables.Result(
        rows=ordered,
        pairs=agreement.pairs(tasks, rows),
        judge=sync_judge() if args.lse else None,
        command="python -m benchmarks " + " ".join(sys.argv[1:]),
        machine=machine.facts(),
    )
    print("\n".join(leakage_tables.write(result, args.out)))
    print(args.out / "results.md")
    return 1 if all(row.get("error") for row in ordered) else 0


def prediction(folder: Path, trial: Trial) -> Path:
    """The finished video of a trial, CLIP~SETUP.*. Raises InputError."""
    for ending in MOVIES:
        if (file := folder / f"{trial.name}{ending}").is_file():
            return file
    raise InputError(f"no finished video of '{trial.name}' in {folder}: {trial.name}.mp4 was looked for")


# ---- one trial


def judge_trial(task: Task) -> dict[str, Any]:
    """Judge one trial and save its row, which is the error if it failed."""
    try:
        wav = task.trial.speech(task.seconds)
        seen = footage(task.trial.clip, task.seconds, task.folder / "footage" / f"{task.trial.label}.npz")
        if task.trial.occluder is not None:
            return quality.keep(task, {k: tidy(v) for k, v in judge_covered(task, wav, *seen).items()})
        row, made = measure(task, wav, *seen)
    except Wav2LipHQError as error:
        return quality.keep(task, {"error": str(error)})
    except Exception as error:  # reported in the row; other trials continue
        return quality.keep(task, {"error": f"{type(error).__name__}: {error}"})
    task.place.parent.mkdir(parents=True, exist_ok=True)
    np.savez(task.place.with_suffix(".npz"), time=made.time, opening=made.opening, width=made.width)
    return quality.keep(task, {k: tidy(v) for k, v in row.items()})


def footage(clip: Path, seconds: float, kept: Path) -> tuple[mouths.Sight, Mouth]:
    """A clip's face positions and mouth; measured once, then read from ``kept``."""
    stat = clip.stat()
    key = str((str(clip.resolve()), stat.st_size, stat.st_mtime_ns, seconds))
    try:
        with np.load(kept) as data:
            if str(data["key"]) == key:
                size = (int(data["size"][0]), int(data["size"][1]))
                sight = mouths.Sight(data["time"], data["five"], data["box"], size)
                return sight, from_mesh(data["mesh"], sight.time)
    except (OSError, ValueError, KeyError):
        pass
    sight = mouths.look(clip, seconds)
    real = mouths.mouth_track(clip, seconds, sight)
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f".{kept.stem}.{os.getpid()}.npz")
    np.savez(part, key=key, time=sight.time, five=sight.five, box=sight.box, size=sight.size, mesh=real.mesh)
    os.replace(part, kept)
    return sight, real


def measure(task: Task, wav: Array, sight: mouths.Sight, real: Mouth) -> tuple[dict[str, Any], Mouth]:
    """The figures of a trial, and the result's mouth over the frames that have speech."""
    sight, real = spoken(sight, real, wav)
    count = len(sight)
    video, facts, when = finished(task, task.trial.clip, wav), observe.Facts(), bilabials(task.trial.sound)
    if video == task.trial.clip and not task.lse:  # unchanged footage: its own measurements are the result's
        seen = {"frames": count, "seen": int(real.seen.sum()), "short": 0, "peak": 0.0}
        return seen | figures(real, real, wav, when), real
    times = sight.time.tolist()
    made, before = (observe.Film(v).frames(times, sight.size, facts) for v in (video, task.trial.clip))
    paint, sync, listener = Paint(), Sync(wav), Listener(_runtime(), wav)
    meshes, sure = np.full((count, mouth.POINTS, 2), np.nan, np.float32), np.zeros(count)
    shown = 0
    for n, ((frame, mesh, confidence), source) in enumerate(zip(mouths.follow(made, sight), before, strict=False)):
        meshes[n], sure[n], shown = mesh, confidence, n + 1
        frame, source = geometry.eight_bits(frame), geometry.eight_bits(source)
        paint.add(frame, source, real.mesh[n], mesh)
        if task.lse and np.isfinite(sight.box[n]).all():
            at = Fraction(times[n]).limit_denominator(90000)
            sync.add(at, frame, sight.box[n])
            listener.add(at, frame, sight.box[n])
    found = from_mesh(meshes, sight.time, sure)
    row: dict[str, Any] = {"frames": count, "seen": int(found.seen.sum()), "short": count - shown}
    row |= figures(found, real, wav, when)
    row |= paint.compute()
    if task.lse and task.trial.sound is not None:
        lse = sync.compute(_runtime(), {})
        row |= {k: lse[k] for k in ("lse_c", "lse_d") if k in lse}
        row["fit"] = listener.curve()
    return row | {"note": facts.note or None}, found


def spoken(sight: mouths.Sight, real: Mouth, wav: Array) -> tuple[mouths.Sight, Mouth]:
    """The part of a clip that has speech."""
    part = slice(int((sight.time < len(wav) / observe.RATE).sum()))
    sight = mouths.Sight(sight.time[part], sight.five[part], sight.box[part], sight.size)
    return sight, Mouth(real.time[part], real.opening[part], real.width[part], real.seen[part], real.mesh[part])


def judge_covered(task: Task, wav: Array, sight: mouths.Sight, real: Mouth) -> dict[str, Any]:
    """The figures of a trial whose mouth is covered."""
    kind = str(task.trial.occluder)
    target = task.folder / "covered" / f"{task.trial.name}.mkv"
    hidden = covered.make(task.trial.clip, kind, sight, real, target)
    return covered.judge(finished(task, hidden, wav), hidden, kind, *spoken(sight, real, wav))


def figures(made: Mouth, real: Mouth, wav: Array, when: list[float]) -> dict[str, Any]:
    """The figures of a row that follow from the mouths of result and source and the speech alone."""
    closed = mouth.closed_level(real.opening)
    if closed is None:
        raise InputError("the face mesh found no face in the source")
    row: dict[str, Any] = {"closed": closed, "leak": leakage.correlation(made.opening, real.opening)}
    if (near := leakage.lagged(real.opening, made.opening)) is not None:
        row["leak_lag"] = near[0]
    row["still"] = leakage.still(made.opening)
    row["closure"] = leakage.closure(made.opening, closed)
    row["lip_leak"] = leakage.lip_leak(made.opening, real.opening, closed)
    row["amplitude"] = leakage.amplitude(made.opening, real.opening)
    row["jumps"] = mouth.jumps(made.opening, real.opening)
    met, wanted = bilabial.closures(made.opening, made.time, when, closed)
    row["bilabial"] = met / wanted if wanted else None
    speech = theval.speech_at(wav, made.time.tolist())
    row["silent_stability"] = theval.silent_stability(made.mesh, made.time, speech)
    row["lip_sync"] = theval.lip_sync(made.mesh, made.time, speech, wav)
    row["lip_dynamics"] = theval.lip_dynamics(made.mesh)
    return row


def bilabials(sound: Path | None) -> list[float]:
    """Seconds at which the lips must meet, by the alignment beside a sound; none without one."""
    align = sound.with_suffix(".align") if sound is not None else None
    return bilabial.moments(bilabial.read_align(align)) if align is not None and align.is_file() else []


# ---- where the videos come from


def finished(task: Task, clip: Path, wav: Array) -> Path:
    """The finished video of a trial: given, the clip itself, the clip re-encoded, or made by the preset."""
    method, trial = task.method, task.trial
    if method.folder is not None:
        return prediction(method.folder, trial)
    if method.name in (SOURCE, COPY):
        return clip
    folder = task.folder / "videos" / method.name
    folder.mkdir(parents=True, exist_ok=True)
    if method.name == CODEC:
        return encode(clip, folder / f"{trial.name if trial.occluder else trial.label}.mkv", task.seconds)
    target = folder / f"{trial.name}.mkv"
    _preset(method).run(clip, (wav, observe.RATE), target, trim=True, extend="stop", measure=False, own_words="redo")
    return target


def encode(clip: Path, target: Path, seconds: float) -> Path:
    """The first seconds of a clip re-encoded as H.264 at the encoder's default quality, once."""
    if target.exists():
        return target
    part = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    with open_video(clip) as reader, VideoWriter(part, reader.info, codec="h264", crf=CODEC_CRF) as writer:
        for pts, frame, _ in reader:
            if pts >= seconds:
                break
            writer.write(frame, pts)
    os.replace(part, target)
    return target


@functools.lru_cache(maxsize=2)
def _preset(method: Method) -> HQPipeline:
    return HQPipeline(method.name).set(*method.settings)


@functools.cache
def _runtime() -> Runtime:
    return Runtime()
