"""Fine-tuning of generator and restorer on a minute or two of one person talking.

The idea is Wav2Lip-HQ's (train the restorer on the face it will restore), extended to the generator. The gain is
measured on seconds of that person that are held back from training. The result is registered as a checkpoint under a
name and used as ``-p generated --set lipsync.model=NAME --set restore.model=NAME-restorer``.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import checkpoints, video
from ..errors import InputError, OptionError
from ..geometry import GENERATOR_PADS, box_to_crop, eight_bits, pad_box, sample
from ..progress import Heartbeat
from ..runtime import Runtime
from . import talking
from .clipfile import crops_and_sound
from .loop import Trainer
from .options.prepare import PrepareOptions
from .prepare import prepare
from .recipe import Recipe
from .restorer import FACE, MARGIN
from .tasks import build_task, load_recipe

HELD_BACK = 0.15  # share of the footage, its end, that is used for measuring alone


@dataclass(frozen=True)
class Personalized:
    """Checkpoints, and held-back figures before and after, by task."""

    name: str
    files: dict[str, Path]
    before: dict[str, dict[str, float]]
    after: dict[str, dict[str, float]]
    left_out: str = ""  # why there is no restorer, if there is none

    def text(self) -> str:
        """A few lines for a person."""
        lines = []
        for task, path in self.files.items():
            gains = ", ".join(
                f"{key} {self.before[task][key]:.4g} -> {value:.4g}"
                for key, value in self.after[task].items()
                if key in self.before[task]
            )
            lines.append(f"{task}: {path}\n  on held-back seconds: {gains}")
        use = " ".join(
            f"--set {'lipsync' if task == 'generator' else 'restore'}.model={path.stem}"
            for task, path in self.files.items()
        )
        return "\n".join([*lines, *([self.left_out] if self.left_out else []), f"use it with: {use}"])


def split_clip(path: Path, folder: Path, name: str) -> None:
    """Cut a prepared clip into NAME__... (training) and NAME-held__... (its last seconds)."""
    with np.load(path, allow_pickle=False) as data:
        crops, wav = crops_and_sound(data)
        box, to_wide = data["box"], data["to_wide"]
    cut = int(len(crops) * (1 - HELD_BACK))
    for identity, part in ((name, slice(0, cut)), (f"{name}-held", slice(cut, None))):
        if len(crops[part]) < 3 * talking.WINDOW:
            continue
        np.savez(
            folder / f"{identity}__{path.stem}.npz",
            crops=crops[part],
            box=box[part],
            to_wide=to_wide[part],
            wav=wav[(part.start or 0) * talking.SAMPLES : None if part.stop is None else part.stop * talking.SAMPLES],
            identity=identity,
            path=str(path),
        )


def portraits(cut: Path, folder: Path, count: int = 80) -> tuple[int, int]:
    """Write the face in about ``count`` frames of prepared footage, sampled from the source and cropped as the
    restorer's inputs: (pictures, how many of them are from the held-back end). Faces that would have to be enlarged
    more than 1.5 times are left out: they would train it to blur."""
    clips = [(path, np.load(path, allow_pickle=False)) for path in sorted(cut.glob("*.npz"))]
    total = sum(len(data["box"]) for _, data in clips)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    side = FACE + 2 * MARGIN
    for path, data in clips:
        regions = pad_box(data["box"].astype(np.float64), GENERATOR_PADS)
        first, wanted = int(data["first"]), np.arange(0, len(regions), max(1, total // count))
        with video.open_video(Path(str(data["path"]))) as reader:
            left = wanted.tolist()
            for pts, frame, _ in reader:
                if not left:
                    break
                if pts * talking.FPS < first + left[0]:
                    continue
                k = left.pop(0)
                region = regions[k : k + 1]
                if FACE / np.sqrt((region[0, 2:] - region[0, :2]).prod()) > 1.5:
                    continue
                grown = pad_box(region, (MARGIN / FACE,) * 4)
                face = sample(frame, box_to_crop(grown, side)[0], side)
                written.append(f"{path.stem}-{k:05d}.png")
                video.write_png(folder / written[-1], eight_bits(face))
    return len(written), round(len(written) * HELD_BACK)


def personalize(
    footage: Path,
    name: str,
    *,
    minutes: float = 20.0,
    work: Path | None = None,
    runtime: Runtime | None = None,
    settings: dict[str, Any] | None = None,
    base: str = "embedded-generator",
    restorer: str = "embedded-restorer",
) -> Personalized:
    """Fine-tune on ``footage`` and register the result as checkpoint ``name``. Resumable.

    minutes: training time of both. base, restorer: what to start from. settings: recipe overrides (tests use tiny
    ones). Raises OptionError for a name that is not a plain word or is taken by an official checkpoint, InputError when
    the footage holds too little of a talking face."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise OptionError(f"'{name}' cannot name a checkpoint; use letters, digits, - and _")
    taken = checkpoints.locate(name)
    if taken is not None and not (taken.parent / f"{name}.json").exists():
        raise OptionError(f"'{name}' is already a checkpoint ({taken}); choose another name")
    work = work or Path("runs") / f"personal-{name}"
    cut, clips = work / "prepared", work / "clips"
    prepare(footage, cut, PrepareOptions(size=192, crf=14), runtime=runtime)
    clips.mkdir(parents=True, exist_ok=True)
    for path in sorted(cut.glob("*.npz")):
        if not any(clips.glob(f"*__{path.stem}.npz")):
            split_clip(path, clips, name)
    seconds = sum(len(c) for c in talking.load_clips(clips, identities=[name])) / talking.FPS
    if seconds < 10:
        raise InputError(
            f"{footage}: only {seconds:.0f} s of a talking face; give at least 10 s, better a minute or two"
        )
    start = checkpoints.locate(base)
    if start is None:
        raise InputError(f"checkpoint '{base}' to start from is not installed")
    options = checkpoints.load(base, "wav2lip").options
    recipe = load_recipe(
        "personalize",
        {
            "data": str(clips),
            "validation": [f"{name}-held"],
            "start": str(start),
            "width": options.get("width", 1.0),
            **(settings or {}),
        },
    )
    runs = {"generator": (recipe, name)}
    pictures, held = portraits(cut, work / "portraits")
    left_out = ""
    if held:
        sharp = checkpoints.load(restorer)
        own = {k: v for k, v in (settings or {}).items() if k in ("steps", "batch_size", "validate_every", "warmup")}
        options = {
            "data": [str(work / "portraits")],
            "validation_last": {"portraits": held},
            "start": str(sharp.path),
            "arch": sharp.arch.name,
            "arch_options": sharp.options,
        }
        runs["restorer"] = (load_recipe("personalize-restorer", {**options, **own}), f"{name}-restorer")
    else:
        left_out = f"no restorer: it takes faces of {round(FACE / 1.5)} px or more, there are {pictures}"

    files: dict[str, Path] = {}
    before: dict[str, dict[str, float]] = {}
    after: dict[str, dict[str, float]] = {}
    for task, (one, called) in runs.items():
        share = 1.0 if len(runs) == 1 else 0.7 if task == "generator" else 0.3  # the generator has more to learn
        better, before[task], after[task] = _train(one, work / task, share * minutes)
        if better:
            files[task] = _register(work / task, called, before[task], after[task], seconds)
        else:
            left_out += f"{task}: no better than before on the held-back seconds; run again to train on\n"
    if not files:
        raise InputError(f"{footage}: {left_out.strip()}")
    return Personalized(name, files, before, after, left_out.strip())


def _register(run: Path, name: str, before: dict[str, float], after: dict[str, float], seconds: float) -> Path:
    """Copy a run's best weights to the folder of checkpoints."""
    target = checkpoints.cache_dir()
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{name}.safetensors"
    shutil.copyfile(run / "best.safetensors", path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
    (target / f"{name}.json").write_text(json.dumps({"before": before, "after": after, "seconds": seconds}, indent=1))
    return path


def _train(recipe: Recipe, folder: Path, minutes: float) -> tuple[bool, dict[str, float], dict[str, float]]:
    """(whether the monitored figure improved, figures before, figures of the best weights after)."""
    task = build_task(dataclasses.replace(recipe))
    for module in task.modules.values():
        module.eval()
    with torch.no_grad(), Heartbeat(lambda: f"{recipe.task}: measuring where it starts"):
        before = task.validate(torch.device("cpu"))
    Trainer(task, folder).run(minutes)
    _, card = checkpoints.load_state(folder / "best.safetensors")
    figures = json.loads(card["card"])["figures"]
    after = {k: v for k, v in figures.items() if k in before}
    sign = 1 if task.higher_is_better else -1
    return sign * after[task.monitor] > sign * before[task.monitor], before, after
