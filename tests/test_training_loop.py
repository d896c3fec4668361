"""The training loop on a toy task: exact resume, averages, schedules, logs, early stop."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("lightning_fabric", reason="training needs the 'train' extra")

from wav2lip_hq.errors import InputError, OptionError  # noqa: E402
from wav2lip_hq.training.loop import Trainer  # noqa: E402
from wav2lip_hq.training.recipe import Recipe  # noqa: E402
from wav2lip_hq.training.schedule import learning_rate, moving_average  # noqa: E402
from wav2lip_hq.training.task import Task  # noqa: E402
from wav2lip_hq.training.tasks import load_recipe  # noqa: E402


class Line(Task):
    """Fit y = 3 x - 1, with dropout, so that the random state matters as well."""

    product = "line"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        torch.manual_seed(0)
        self.modules = {"line": nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.3), nn.Linear(8, 1))}
        self.fixed: float | None = None

    def batch(self, rng):
        x = rng.normal(size=(self.recipe.batch_size, 1)).astype(np.float32)
        return {"x": x, "y": 3 * x - 1}

    def step(self, batch, optimize):
        loss = (self.live["line"](batch["x"]) - batch["y"]).pow(2).mean()
        optimize("line", loss)
        return {"mse": loss.detach()}

    def validate(self, device):
        x = torch.linspace(-1, 1, 9, device=device)[:, None]
        loss = float((self.modules["line"](x).float() - (3 * x - 1)).pow(2).mean())
        return {"loss": loss if self.fixed is None else self.fixed}

    def samples(self, device):
        return np.zeros((4, 4, 3), np.uint8)

    def export(self, path, figures):
        torch.save({"line": self.modules["line"].state_dict(), "figures": figures}, path)


def recipe(**changes) -> Recipe:
    base = dict(task="line", steps=60, batch_size=8, lr=1e-2, validate_every=20, precision="32-true", seed=3)
    return Recipe(**{**base, **changes})


def run(folder: Path, steps: int = 60, **changes) -> Trainer:
    trainer = Trainer(Line(recipe(steps=steps, **changes)), folder)
    trainer.run(on_log=lambda text: None)
    return trainer


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.task.modules["line"].parameters()])


@pytest.mark.parametrize("stop", [20, 31])
def test_a_killed_run_continues_exactly(tmp_path, stop):
    whole = run(tmp_path / "whole", ema=0.9, schedule="cosine", clip=1.0)

    class Killed(Exception):
        pass

    part = Trainer(Line(recipe(ema=0.9, schedule="cosine", clip=1.0, save_minutes=0)), tmp_path / "part")
    original = part.task.step

    def step(batch, optimize):
        if part.step == stop:
            raise Killed
        return original(batch, optimize)

    part.task.step = step
    with pytest.raises(Killed):
        part.run(on_log=lambda text: None)
    again = Trainer(Line(recipe(ema=0.9, schedule="cosine", clip=1.0)), tmp_path / "part")
    assert 0 < again.step <= stop
    again.run(on_log=lambda text: None)
    assert torch.equal(weights(whole), weights(again))
    for key, value in whole.averages["line"].state_dict().items():
        assert torch.equal(value, again.averages["line"].state_dict()[key])


def test_losses_fall_and_everything_is_written(tmp_path):
    run(tmp_path, steps=200)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [int(r["step"]) for r in rows] == list(range(20, 201, 20))
    assert float(rows[-1]["loss"]) < 0.2 * float(rows[0]["loss"])
    assert (tmp_path / "last.safetensors").exists() and (tmp_path / "best.safetensors").exists()
    assert len(list((tmp_path / "samples").glob("*.png"))) == 10
    assert not list(tmp_path.glob("*.part"))


def test_a_changed_seed_changes_the_run(tmp_path):
    assert not torch.equal(weights(run(tmp_path / "a")), weights(run(tmp_path / "b", seed=4)))


def test_accumulation_steps_every_kth_batch(tmp_path):
    trainer = Trainer(Line(recipe(accumulate=4, steps=3)), tmp_path)
    before = weights(trainer).clone()
    trainer.run(on_log=lambda text: None)
    assert torch.equal(before, weights(trainer))
    more = Trainer(Line(recipe(accumulate=4, steps=4)), tmp_path)
    more.run(on_log=lambda text: None)
    assert not torch.equal(before, weights(more))


def test_early_stop(tmp_path):
    task = Line(recipe(steps=1000, patience=2))
    task.fixed = 1.0
    trainer = Trainer(task, tmp_path)
    trainer.run(on_log=lambda text: None)
    assert trainer.step == 60  # the first validation is the best, the next two bring nothing


def test_plateau_halves_the_rate(tmp_path):
    task = Line(recipe(steps=100, schedule="plateau"))
    task.fixed = 1.0
    trainer = Trainer(task, tmp_path)
    trainer.run(on_log=lambda text: None)
    assert trainer.factor == 0.5


def test_a_diverging_run_says_so(tmp_path):
    trainer = Trainer(Line(recipe()), tmp_path)
    trainer.task.step = lambda batch, optimize: {"mse": math.nan}
    with pytest.raises(OptionError, match="lower the lr"):
        trainer.run(on_log=lambda text: None)


def test_learning_rate_schedules():
    r = recipe(steps=100, schedule="cosine", warmup=10)
    assert learning_rate(r, 0) == pytest.approx(r.lr * 0.1, rel=1e-3)
    assert learning_rate(r, 100) == pytest.approx(r.lr / 50)
    assert learning_rate(recipe(), 50, 0.5) == pytest.approx(0.005)


def test_the_moving_average_follows():
    module = nn.Linear(1, 1, bias=False)
    average = moving_average(module, 0.5)
    start = float(module.weight)
    with torch.no_grad():
        module.weight.fill_(start + 1)
    average.update_parameters(module)
    assert float(average.module.weight) == pytest.approx(start + 9 / 11), "the first update's decay is 2 / 11"


def test_recipe_errors(tmp_path):
    with pytest.raises(InputError, match="no recipe"):
        load_recipe("nonesuch")
    path = tmp_path / "r.yaml"
    path.write_text("steps: 3")
    with pytest.raises(InputError, match="no 'task'"):
        load_recipe(path)
    path.write_text("task: expert\nsteps: 3\nbatch_size: 2\nlearning: 3")
    with pytest.raises(OptionError, match="learning"):
        load_recipe(path)
    path.write_text("task: cooking\nsteps: 3\nbatch_size: 2")
    with pytest.raises(OptionError, match="cooking"):
        load_recipe(path)
    path.write_text("task: expert\nsteps: 3\nbatch_size: 2")
    read = load_recipe(path, {"lr": 0.5, "width": 0.25})
    assert read.lr == 0.5 and read.options["width"] == 0.25
