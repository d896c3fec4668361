"""One training loop for every task.

A task has modules, data and losses; the loop does the rest: mixed precision and devices (Lightning Fabric), moving
averages of weights, gradient accumulation and clipping, learning-rate schedules, exact resume, logs, sample pictures,
early stopping.

Exact resume rests on one rule: the batch of step k is a function of (seed, k) alone, and so is the random state while
step k runs. A run killed at any instant and started again computes what an uninterrupted run computes.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ..errors import InputError, OptionError
from ..progress import Heartbeat, duration, say
from .recipe import Recipe
from .schedule import learning_rate, moving_average
from .task import Batch, Task


def _prefetch(task: Task, seed: int, rank: int, first: int, last: int, workers: int) -> Iterator[tuple[int, Batch]]:
    """Batches of steps first..last-1 in order, prepared ahead by threads."""

    def make(step: int) -> Batch:
        return task.batch(np.random.default_rng([seed, rank, step]))

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        ahead = {s: pool.submit(make, s) for s in range(first, min(last, first + workers + 1))}
        try:
            for step in range(first, last):
                batch = ahead.pop(step).result()
                following = step + workers + 1
                if following < last:
                    ahead[following] = pool.submit(make, following)
                yield step, batch
        finally:
            for future in ahead.values():
                future.cancel()


def _saved(folder: Path, device: Any = "cpu", mmap: bool = False) -> dict[str, Any] | None:
    """What ``Trainer.save`` left in a folder, or None. Raises InputError when it cannot be read."""
    path = folder / "state.pt"
    if not path.exists():
        return None
    try:
        saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
    except Exception as error:  # torch raises many types
        raise InputError(f"{path} cannot be read ({error}); delete it to start over") from error
    return saved


def finished(folder: Path, recipe: Recipe, on_log: Callable[[str], None] = say) -> dict[str, float] | None:
    """The last figures of a run that is at the recipe's last step already, and a line that says so; else None."""
    saved = _saved(folder, mmap=True)  # only a number is read
    if saved is None or saved["step"] < recipe.steps:
        return None
    at = f"step {saved['step']} of {recipe.steps}" if saved["step"] == recipe.steps else f"step {saved['step']}"
    on_log(
        f"{recipe.task}: already at {at} in {folder}; to continue, give more steps "
        "(--set steps=N); to start over, another folder (--out FOLDER)"
    )
    path = folder / "log.csv"
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
    last = rows[-1] if rows else {}
    given = {k: v for k, v in last.items() if v and k not in ("step", "minutes") and not k.startswith("train_")}
    return {k: float(v) for k, v in given.items()}


class Trainer:
    """Runs a task. State is in ``folder/state.pt``, the newest export in ``last.safetensors``, the best in
    ``best.safetensors``, figures in ``log.csv`` and ``tensorboard/``, pictures in ``samples/``."""

    def __init__(self, task: Task, folder: Path) -> None:
        from lightning_fabric import Fabric

        self.task, self.recipe, self.folder = task, task.recipe, folder
        recipe = self.recipe
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "samples").mkdir(exist_ok=True)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        precision: Any = recipe.precision
        if precision == "auto":
            fast = torch.cuda.is_available() or bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
            precision = "bf16-mixed" if fast else "32-true"
        self.fabric = Fabric(accelerator="auto", devices=recipe.devices, precision=precision)
        if recipe.devices > 1:
            self.fabric.launch()
        torch.manual_seed(recipe.seed)
        self.wrapped: dict[str, Any] = {}
        self.optimizers: dict[str, Any] = {}
        self.averages: dict[str, AveragedModel] = {}
        for name, module in task.modules.items():
            if all(p.ndim in (1, 2, 4) for p in module.parameters()):  # 3-D kernels have no such layout
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if name in task.trained:
                parameters = [p for p in module.parameters() if p.requires_grad]
                lr = recipe.lr * task.lr_scale.get(name, 1.0)
                optimizer = torch.optim.Adam(parameters, lr=lr, betas=task.betas)
                self.wrapped[name], self.optimizers[name] = self.fabric.setup(module, optimizer)
                if recipe.ema and name == task.product:
                    self.averages[name] = moving_average(module, recipe.ema)
            else:
                task.modules[name].requires_grad_(False).eval().to(self.fabric.device)
        task.live = {**task.modules, **self.wrapped}
        self.step = 0
        self.micro: dict[str, int] = {}
        self.best = -math.inf if task.higher_is_better else math.inf
        self.bad = 0
        self.factor = 1.0
        self.seconds = 0.0
        self.sums: dict[str, float] = {}  # of the training figures since the last validation
        self.count = 0
        self.validating = False
        self._resume()

    # ---- state

    def _resume(self) -> None:
        saved = _saved(self.folder, self.fabric.device)
        if saved is None:
            return
        try:
            for name in self.task.trained:
                self.task.modules[name].load_state_dict(saved["modules"][name])
                self.optimizers[name].load_state_dict(saved["optimizers"][name])
            for name, average in self.averages.items():
                average.load_state_dict(saved["averages"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise OptionError(
                f"{self.folder} holds a run with another network ({str(error).splitlines()[0]}); give the options it "
                "began with, or another folder (--out FOLDER)"
            ) from error
        for key in ("step", "best", "bad", "factor", "seconds", "micro"):
            setattr(self, key, saved[key])
        self.task.state.update(saved["task"])

    def save(self) -> None:
        """Write state.pt atomically."""
        state = {
            "modules": {n: self.task.modules[n].state_dict() for n in self.task.trained},
            "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
            "averages": {n: a.state_dict() for n, a in self.averages.items()},
            "task": dict(self.task.state),
            **{key: getattr(self, key) for key in ("step", "best", "bad", "factor", "seconds", "micro")},
        }
        if self.fabric.global_rank == 0:
            temporary = self.folder / "state.pt.part"
            torch.save(state, temporary)
            os.replace(temporary, self.folder / "state.pt")

    # ---- one step

    def _optimize(self, name: str, loss: Tensor) -> None:
        recipe, optimizer = self.recipe, self.optimizers[name]
        self.fabric.backward(loss / recipe.accumulate)
        self.micro[name] = self.micro.get(name, 0) + 1
        if self.micro[name] % recipe.accumulate:
            return
        if recipe.clip:
            self.fabric.clip_gradients(self.wrapped[name], optimizer, max_norm=recipe.clip, error_if_nonfinite=False)
        for group in optimizer.param_groups:
            scale = self.task.lr_scale.get(name, 1.0)
            group["lr"] = learning_rate(recipe, self.step, self.factor) * scale
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if name in self.averages:
            self.averages[name].update_parameters(self.task.modules[name])

    def run(self, minutes: float | None = None, on_log: Callable[[str], None] = say) -> dict[str, float]:
        """Train until the recipe's last step, an early stop, or ``minutes`` of wall time; returns the last figures.

        on_log: gets a line for each validation, and at least every 30 s one that says where the run is."""
        recipe, first = self.recipe, self.step
        done = finished(self.folder, recipe, on_log)
        if done is not None:
            return done
        started = time.monotonic()
        self.sums, self.count = {}, 0

        def where() -> str:
            done, spent = self.step - first, time.monotonic() - started
            text = f"{recipe.task} step {self.step}/{recipe.steps}"
            if done:
                left = (recipe.steps - self.step) * spent / done
                left = left if minutes is None else max(0.0, min(left, minutes * 60 - spent))
                rate = done / spent
                text += f", {rate:.2f} steps/s" if rate < 10 else f", {rate:.0f} steps/s"
                text += f", about {duration(left)} left"
            count, sums = max(1, self.count), list(self.sums.items())
            text += ", validating" if self.validating else ""
            return "  ".join([text, *(f"{k} {v / count:.4g}" for k, v in sums)])

        with Heartbeat(where, on_log) as pulse:
            if first:
                pulse.log(f"{recipe.task}: continues at step {first} of {recipe.steps} in {self.folder}")
            return self._run(started, minutes, pulse.log)

    def _run(self, started: float, minutes: float | None, on_log: Callable[[str], None]) -> dict[str, float]:
        recipe, task = self.recipe, self.task
        saved = started
        figures: dict[str, float] = {}
        for step, batch in _prefetch(
            task, recipe.seed, self.fabric.global_rank, self.step, recipe.steps, recipe.workers
        ):
            t0 = time.monotonic()
            torch.manual_seed(recipe.seed * 1_000_003 + step)
            for name in task.trained:
                task.modules[name].train()
            tensors = {k: torch.from_numpy(v).to(self.fabric.device, non_blocking=True) for k, v in batch.items()}
            losses = self._forward(tensors)
            self.step = step + 1
            self.seconds += time.monotonic() - t0
            for key, value in losses.items():
                number = float(value)
                if not math.isfinite(number):
                    raise OptionError(f"{task.recipe.task}: '{key}' became {number} at step {step}; lower the lr")
                self.sums[key] = self.sums.get(key, 0.0) + number
            self.count += 1
            over = minutes is not None and time.monotonic() - started > minutes * 60
            last = self.step == recipe.steps or over
            if self.step % recipe.validate_every == 0 or last:
                train = {k: v / self.count for k, v in self.sums.items()}
                self.validating = True
                figures = self._validate(train, on_log)
                self.sums, self.count, self.validating = {}, 0, False
                self.save()
                saved = time.monotonic()
                if recipe.patience and self.bad >= recipe.patience:
                    on_log(f"{recipe.task}: stopped early, {self.bad} validations without improvement")
                    break
            elif time.monotonic() - saved > recipe.save_minutes * 60:
                self.save()
                saved = time.monotonic()
            if over:
                break
        return figures

    def _forward(self, tensors: dict[str, Tensor]) -> dict[str, float | Tensor]:
        with self.fabric.autocast():
            return self.task.step(tensors, self._optimize)

    # ---- validation

    def _validate(self, train: dict[str, float], on_log: Callable[[str], None]) -> dict[str, float]:
        task, product = self.task, self.task.product
        module = task.modules[product]
        kept = None
        if product in self.averages:
            kept = {k: v.detach().clone() for k, v in module.state_dict().items()}
            module.load_state_dict(self.averages[product].module.state_dict())
        for name in task.trained:
            task.modules[name].eval()
        try:
            with torch.no_grad(), self.fabric.autocast():
                figures = {k: float(v) for k, v in task.validate(self.fabric.device).items()}
                picture = task.samples(self.fabric.device)
            value = figures[task.monitor]
            better = value > self.best if task.higher_is_better else value < self.best
            if better:
                self.best, self.bad = value, 0
            else:
                self.bad += 1
                if self.recipe.schedule == "plateau" and self.bad % 3 == 0:
                    self.factor = max(self.factor / 2, 1 / 64)
            if self.fabric.global_rank == 0:
                card = {**figures, "steps": float(self.step), "train_minutes": round(self.seconds / 60, 1)}
                task.export(self.folder / "last.safetensors", card)
                if better:
                    task.export(self.folder / "best.safetensors", card)
                self._log({**{f"train_{k}": v for k, v in train.items()}, **figures})
                if picture is not None:
                    sheet = self.folder / "samples" / f"{self.step:07d}.png"
                    cv2.imwrite(str(sheet), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        finally:
            if kept is not None:
                module.load_state_dict(kept)
        text = "  ".join(f"{k} {v:.4g}" for k, v in {**{f"train_{k}": v for k, v in train.items()}, **figures}.items())
        on_log(f"{self.recipe.task} step {self.step}/{self.recipe.steps} ({self.seconds / 60:.1f} min)  {text}")
        return figures

    def _log(self, figures: dict[str, float]) -> None:
        row = {"step": self.step, "minutes": round(self.seconds / 60, 3), **figures}
        path = self.folder / "log.csv"
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="") as file:
                rows = [r for r in csv.DictReader(file) if int(r["step"]) < self.step]
        rows.append(row)
        names = list(dict.fromkeys(k for r in rows for k in r))
        temporary = path.with_suffix(".part")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, path)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        with SummaryWriter(str(self.folder / "tensorboard")) as board:
            for key, number in figures.items():
                board.add_scalar(key, number, self.step)
