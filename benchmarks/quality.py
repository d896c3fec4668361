"""Presets and finished videos, measured alike: ``python -m benchmarks quality``.

Each clip's figures are saved under ``--out``/clips, so that an interrupted run continues. A clip that fails is reported
and does not stop the others. Clips are distributed over ``--workers`` processes. At the end the tables (CSV, JSON,
Markdown) and the page (index.html) are written.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import wav2lip_hq
from wav2lip_hq import HQPipeline, checkpoints
from wav2lip_hq.errors import CheckpointError, OptionError, Wav2LipHQError
from wav2lip_hq.metrics.frechet import inception_features, parser_features
from wav2lip_hq.metrics.lipsync import judge
from wav2lip_hq.video import write_png
from wav2lip_hq.voice import load_speech

from . import items, measure, observe, page, tables
from .items import Item

SOURCE = "source"  # the method that changes nothing: "without lip-syncing", or the real footage


@dataclass(frozen=True)
class Method:
    """What made the results: a preset with settings, or a folder of finished videos."""

    name: str
    folder: Path | None = None
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One clip of one method. number: the clip's place in the list."""

    method: Method
    item: Item
    number: int
    seconds: float
    frechet: str
    identity: Path | None
    folder: Path

    @property
    def place(self) -> Path:
        """Where its figures and pictures are kept, without ending."""
        return self.folder / "clips" / self.method.name / self.item.name

    def key(self) -> str:
        """Changes with anything that could change the figures."""
        files = [self.item.video, self.item.audio]
        if self.method.folder is not None:
            files.append(observe.prediction(self.method.folder, self.item, self.number))
        stats = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        facts = {k: str(v) for k, v in asdict(self).items() if k not in ("folder", "number")}
        text = json.dumps([facts, stats, wav2lip_hq.__version__, judge(), weights()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def main(args: argparse.Namespace) -> int:
    """Judge all clips and write the tables and the page. Returns 1 when every clip failed."""
    protocol = args.protocol or ("pairs" if args.pairs else "random" if args.speech else "reconstruction")
    found = items.collect(protocol, args.data, args.speech, args.pairs)
    presets = args.presets or ([] if args.predictions else [SOURCE, "default"])
    methods = [Method(name, settings=tuple(args.set)) for name in presets]
    methods += [predictions(text) for text in args.predictions]
    names = [m.name for m in methods]
    if len(set(names)) < len(names):
        raise OptionError(f"two methods have the same name: {', '.join(names)}; use --predictions NAME=DIR")
    frechet = _frechet(args.frechet)
    methods, missing = _able(methods)
    tasks = [
        Task(method, item, number, args.seconds, frechet, args.identity, args.out)
        for method in methods
        for number, item in enumerate(found)
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for done, (task, row) in enumerate(run(tasks, args.workers), 1):
        rows[task.method.name, task.item.name] = row
        said = row.get("error") or ", ".join(f"{k} {tables.show(row[k])}" for k in LOGGED if row.get(k) is not None)
        print(f"[{done}/{len(tasks)}] {task.method.name} {task.item.name}: {said}", flush=True)
    ordered = [{"method": t.method.name, "clip": t.item.name, **rows[t.method.name, t.item.name]} for t in tasks]
    result = tables.Result(
        protocol=protocol,
        rows=ordered,
        frechet=tables.frechet(tasks, ordered, frechet),
        judge=judge(),
        command="python -m benchmarks " + " ".join(sys.argv[1:]),
        missing=missing,
    )
    tables.write(result, args.out)
    page.write(result, tasks, args.out / "index.html")
    print(args.out / "results.md", args.out / "index.html")
    return 1 if all(row.get("error") for row in ordered) else 0


LOGGED = ("frames", "offset_ms", "lse_c", "mouth_ssim", "face_psnr", "fps")


def _able(methods: list[Method]) -> tuple[list[Method], dict[str, str]]:
    """Methods whose checkpoints are installed, and what the others need. Raises CheckpointError when none is left."""
    able, missing = [], {}
    for method in methods:
        try:
            if _made_here(method):
                pipe = HQPipeline(method.name).set(*method.settings)
                pipe.load()
                pipe.runtime.close()
            able.append(method)
        except CheckpointError as error:
            missing[method.name] = str(error)
            print(f"{method.name} is left out: {error}", flush=True)
    if not able:
        raise CheckpointError("; ".join(f"{name}: {text}" for name, text in missing.items()))
    return able, missing


def _made_here(method: Method) -> bool:
    return method.folder is None and method.name != SOURCE


def predictions(text: str) -> Method:
    """NAME=DIR or DIR."""
    name, sign, folder = text.partition("=")
    path = Path(folder if sign else text)
    if not path.is_dir():
        raise OptionError(f"--predictions: {path} is not a folder")
    return Method(name if sign else path.resolve().name, path)


def _frechet(wanted: str) -> str:
    if wanted == "auto":
        return "inception" if checkpoints.locate("inception-fid") else "none"
    if wanted == "inception":
        inception_features()  # reports now what is missing
    return wanted


@functools.cache
def weights() -> str:
    """Sizes and times of the embedded weights' files: figures of older ones are measured anew."""
    files = [checkpoints.locate(name) for name in checkpoints.EMBEDDED]
    return str([(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f is not None])


# ---- running


def run(
    tasks: Sequence[Any], workers: int = 1, judged: Callable[[Any], dict[str, Any]] | None = None
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Tasks with their rows, as they are finished; rows of an earlier run are read. A process that dies fails only the
    clip that it was judging. judged: a module's function, task -> row (default: ``judge_clip``)."""
    judged = judged or judge_clip
    left = []
    for task in tasks:
        row = _kept(task)
        if row is None:
            left.append(task)
        else:
            yield task, row
    if workers <= 1:
        for task in left:
            yield task, judged(task)
        return
    blame: dict[Any, int] = {}
    while left:
        doing, left = left, []
        with ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_share, initargs=(workers,)
        ) as pool:
            futures = {pool.submit(judged, task): task for task in doing}
            for future in as_completed(futures):
                task = futures[future]
                try:
                    yield task, future.result()
                except BrokenProcessPool:  # pending tasks fail together with the one that died
                    blame[task] = blame.get(task, 0) + 1
                    left.append(task)
        if left:
            workers = 1 if workers > 1 else workers  # one by one, to find the clip at fault
            while left and blame[left[0]] > 1:
                task = left.pop(0)
                yield task, keep(task, {"error": "the process died while judging this clip (out of memory?)"})


def _share(workers: int) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _kept(task: Any) -> dict[str, Any] | None:
    try:
        kept = json.loads(task.place.with_suffix(".json").read_text(encoding="utf-8"))
        same = kept["key"] == task.key() and not kept["row"].get("error")
        return dict(kept["row"]) if same else None
    except (OSError, ValueError, KeyError, Wav2LipHQError):
        return None


def keep(task: Any, row: dict[str, Any], series: dict[str, list[float]] | None = None) -> dict[str, Any]:
    """Write a row atomically."""
    task.place.parent.mkdir(parents=True, exist_ok=True)
    try:
        key = task.key()
    except (OSError, Wav2LipHQError):
        key = ""
    part = task.place.with_suffix(".part")
    part.write_text(json.dumps({"key": key, "row": row, "series": series or {}}), encoding="utf-8")
    os.replace(part, task.place.with_suffix(".json"))
    return row


def judge_clip(task: Task) -> dict[str, Any]:
    """Judge one clip and save its row, which is the error if it failed."""
    try:
        tools, pipe = _tools(task.method, task.frechet, task.identity)
        wav = load_speech(task.item.audio).wav[: round(task.seconds * observe.RATE)]
        facts = observe.Facts()
        if task.method.folder is not None:
            video = observe.prediction(task.method.folder, task.item, task.number)
            seen = observe.finished(pipe, task.item, wav, video, facts)
        elif task.method.name == SOURCE:
            seen = observe.finished(pipe, task.item, wav, task.item.video, facts)
        else:
            seen = observe.preset(pipe, task.item, wav, facts)
        outcome = measure.measure(seen, wav, task.item.own, tools, facts)
    except Wav2LipHQError as error:
        return keep(task, {"error": str(error)})
    except Exception as error:  # reported in the row; other clips continue
        return keep(task, {"error": f"{type(error).__name__}: {error}"})
    task.place.parent.mkdir(parents=True, exist_ok=True)
    for picture, name in ((outcome.sheet, "sheet"), (outcome.worst, "worst")):
        if picture is not None:
            write_png(task.place.with_name(f"{task.item.name}.{name}.png"), picture)
    if outcome.real is not None and outcome.made is not None:
        np.savez(task.place.with_suffix(".npz"), real=outcome.real, made=outcome.made)
    return keep(task, outcome.row, outcome.series)


@functools.lru_cache(maxsize=4)
def _tools(method: Method, frechet: str, identity: Path | None) -> tuple[measure.Instruments, HQPipeline]:
    """Networks of a method, loaded once a process."""
    own = _made_here(method)
    pipe = HQPipeline(method.name).set(*method.settings) if own else observe.looking(HQPipeline())
    pipe.load()
    detect = next(s for s in HQPipeline().stages if s.name == "detect")
    runtime = pipe.runtime
    features: dict[str, Callable[[], Any]] = {
        "inception": inception_features,
        "parser": lambda: parser_features(runtime.model("embedded-parser", "bisenet_79999_iter")),
    }
    tools = measure.Instruments(runtime, detect, lpips=_lpips())
    if frechet in features:
        tools.features = features[frechet]()
    if identity is not None:
        from wav2lip_hq.metrics.face import onnx_embedding

        tools.identity = onnx_embedding(identity)
    return tools, pipe


def _lpips() -> Callable[[Any, Any], float] | None:
    """LPIPS where its weights and package are installed."""
    try:
        from wav2lip_hq.metrics.perceptual import Lpips

        return Lpips()
    except CheckpointError:
        return None
