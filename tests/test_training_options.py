"""Recipes and their options: documented, checked, refused at once; recipes that ship run or say what to set."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from wav2lip_hq import options
from wav2lip_hq.cli import main
from wav2lip_hq.errors import InputError, OptionError
from wav2lip_hq.training.recipe import Recipe
from wav2lip_hq.training.tasks import RECIPES, TASKS, build_task, load_recipe, option_classes

ROOT = Path(__file__).parents[1]
SHIPPED = sorted([*RECIPES.glob("*.yaml"), *(ROOT / "checkpoints" / "embedded").glob("*.yaml")])


def test_every_option_of_every_task_is_documented():
    assert list(option_classes()) == ["recipe", "prepare", *TASKS]
    for task, kind in option_classes().items():
        assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen
        for one in options.listing(kind):
            assert one.help.endswith("."), f"{task}.{one.name} says nothing about itself"
            assert one.name in kind.__doc__
        if task in TASKS:
            assert kind.name == f"train.{task}"
            clash = {f.name for f in dataclasses.fields(kind)} & {f.name for f in dataclasses.fields(Recipe)}
            assert not clash, "`--set` could mean either"


def test_the_table_names_every_task_there_is():
    pytest.importorskip("torch")
    from wav2lip_hq.training.task import Task

    listed = set()
    for entry in TASKS.values():
        module, _, name = entry.task.partition(":")
        kind = getattr(importlib.import_module(f"wav2lip_hq.training.{module}"), name)
        assert kind.Options is entry.options
        listed.add(kind)
    for path in RECIPES.parent.glob("*.py"):
        if path.stem not in ("__init__", "teachers"):
            importlib.import_module(f"wav2lip_hq.training.{path.stem}")
    found, todo = set(), [Task]
    while todo:
        new = [k for k in todo.pop().__subclasses__() if k.__module__.startswith("wav2lip_hq.")]
        found.update(new)
        todo += new
    assert found == listed


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_packaged_recipe_parses_and_names_no_local_folder(path):
    recipe = load_recipe(path)
    made = options.make(TASKS[recipe.task].options, recipe.options)
    given = yaml.safe_load(path.read_text()).get("options", {})
    assert set(given) == set(recipe.options)
    for key, value in given.items():
        held = getattr(made, key)
        assert (list(held) if isinstance(held, tuple) else held) == value
    assert "../" not in path.read_text()


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_a_recipe_without_its_data_says_what_to_set(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((OptionError, InputError), match=r"set data=FOLDER"):
        build_task(load_recipe(path))


@pytest.mark.parametrize("task", TASKS)
def test_a_misspelled_option_is_refused_at_once(task, tmp_path, capsys):
    for field in dataclasses.fields(TASKS[task].options):
        wrong = field.name + "x"
        with pytest.raises(
            OptionError, match=rf"'train.{task}' has no option '{wrong}'; did you mean '{field.name}'\?"
        ):
            load_recipe(task, {wrong: "1"})
    path = tmp_path / "mine.yaml"
    path.write_text(f"task: {task}\nsteps: 1\nbatch_size: 1\noptions: {{dataa: {tmp_path / 'nowhere'}}}\n")
    out = tmp_path / "run"
    assert main(["train", task, str(path), "--out", str(out)]) == 2
    assert "mine.yaml: 'train." in (said := capsys.readouterr().err) and "did you mean 'data'?" in said
    assert main(["train", task, "--set", "batchsize=2", "--out", str(out)]) == 2
    assert "did you mean 'batch_size'?" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("task", "setting", "said"),
    [
        ("expert", "frames=4", "1, 3 or 5"),
        ("expert", "lr=fast", "lr is float"),
        ("expert", "shifts={anna: late}", "shifts"),
        ("judge", "width=0", "more than 0"),
        ("generator", "discriminator=patches", "did you mean 'patch'"),
        ("generator", "gated=3", "gated is bool"),
        ("lipgan", "sync_weight=0.1", "no option 'sync_weight'"),
        ("parser", "windows=[1]", "windows"),
        ("restorer", "mix={dirty: 1}", "mix gives shares to clean"),
        ("detector", "validation_last={photos: 0}", "at least 1"),
        ("detector", "schedule=cosin", "did you mean 'cosine'"),
        ("detector", "steps=0", "steps is at least 1"),
    ],
)
def test_a_wrong_value_is_refused_at_once(task, setting, said, tmp_path, capsys):
    assert main(["train", task, "--set", setting, "--out", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_contradictory_options_are_refused_before_data_is_read(tmp_path):
    for settings, said in (
        ({"expert": None}, "expert=NAME"),
        ({"expert": str(tmp_path / "no.safetensors")}, "no.safetensors does not exist"),
        ({"sync_weight": 0, "start": "nothing.pth"}, "start=nothing.pth does not exist"),
        ({"sync_weight": 0.6, "gan_weight": 0.6}, "at most 1"),
    ):
        with pytest.raises((OptionError, InputError), match=said):
            build_task(load_recipe("generator", {"data": str(tmp_path), **settings}))
    with pytest.raises(OptionError, match="scrfd=FILE"):
        build_task(load_recipe("detector", {"data": str(tmp_path), "pack": str(tmp_path / "none.npz")}))
    with pytest.raises(OptionError, match="perceptual_weights=FILE"):
        build_task(load_recipe("restorer", {"data": str(tmp_path), "perceptual": 0.1}))


def test_a_recipe_says_where_an_option_belongs(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("task: expert\nsteps: 3\nbatch_size: 2\nwidth: 0.5")
    with pytest.raises(OptionError, match="put it under 'options'"):
        load_recipe(path)
    path.write_text("task: expert\nbatch_size: 2")
    with pytest.raises(OptionError, match="'steps' is missing"):
        load_recipe(path)
    path.write_text("task: expertt\nsteps: 3\nbatch_size: 2")
    with pytest.raises(OptionError, match="did you mean 'expert'"):
        load_recipe(path)
    path.write_text("task: expert\nsteps: 3\nbatch_size: 2\noptions: 3")
    with pytest.raises(OptionError, match="mapping"):
        load_recipe(path)


def test_a_recipe_of_another_task_is_refused(capsys):
    assert main(["train", "expert", "generator-pixels"]) == 2
    assert "wav2lip-hq train generator generator-pixels" in capsys.readouterr().err


def test_the_ablation_refuses_a_misspelled_option_before_it_trains(tmp_path):
    pytest.importorskip("lightning_fabric", reason="training needs the 'train' extra")
    from wav2lip_hq.training.ablation import ablation

    for settings, near in (({"widht": 0.5}, "width"), ({"lipgan.stepss": 3}, "steps"), ({"expert.frame": 3}, "frames")):
        with pytest.raises(OptionError, match=f"did you mean '{near}'"):
            ablation(tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_refusals_and_listings_do_without_torch():
    code = (
        "import sys; from wav2lip_hq.training.tasks import *; option_classes()\n"
        "try: build_task(load_recipe('parser', {'size': '128'}))\n"
        "except OptionError as error: print(error, *(m for m in ('torch', 'numpy', 'cv2') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "set data=FOLDER" in done.stdout and not {"torch", "numpy", "cv2"} & set(done.stdout.split())
