"""Training as a user types it: photographs in, lines while it runs, a finished run said to be finished."""

from __future__ import annotations

import functools
import io
import json
import re
import sys
import time
from pathlib import Path

import cv2
import pytest

pytest.importorskip("lightning_fabric", reason="training needs the 'train' extra")

from test_train_images import face_picture  # noqa: E402
from test_training_loop import Line, recipe  # noqa: E402

from wav2lip_hq import checkpoints  # noqa: E402
from wav2lip_hq.cli import main  # noqa: E402
from wav2lip_hq.errors import InputError, OptionError  # noqa: E402
from wav2lip_hq.progress import Heartbeat, duration  # noqa: E402
from wav2lip_hq.training import loop, prepare  # noqa: E402
from wav2lip_hq.training.detector import held_names  # noqa: E402
from wav2lip_hq.training.loop import Trainer  # noqa: E402
from wav2lip_hq.training.options.pictures import DetectorOptions  # noqa: E402


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for n in range(11):
        cv2.imwrite(str(folder / f"{n:02}.png"), face_picture(n, 400)[0][..., ::-1])
    return folder


TINY = ["steps=2", "batch_size=1", "patch=24", "arch_options={num_feat: 8, num_conv: 2}", "validation_pictures=1"]


@pytest.mark.filterwarnings("ignore:the restorer's figures go without LPIPS")
def test_a_restorer_from_a_folder_of_photographs(photos, tmp_path, capsys):
    typed = ["train", "restorer", "--set", f"data={photos}", "--out", str(tmp_path / "run")]
    typed += [part for setting in TINY for part in ("--set", setting)]
    assert main(typed) == 0
    first = capsys.readouterr().out
    assert "restorer step 2/2" in first
    figures = json.loads(first.splitlines()[-1])
    model = checkpoints.load(tmp_path / "run" / "last.safetensors")
    assert model.card["recipe"]["data"] == [str(photos)]

    before = (tmp_path / "run" / "log.csv").read_bytes()
    assert main(typed) == 0
    said = capsys.readouterr().out
    assert "already at step 2 of 2" in said and "reading the data" not in said
    assert json.loads(said.splitlines()[-1]) == pytest.approx(figures)
    assert (tmp_path / "run" / "log.csv").read_bytes() == before

    assert main([*typed, "--set", "arch_options={num_feat: 4, num_conv: 2}", "--set", "steps=3"]) == 2
    assert "another network" in capsys.readouterr().err


def test_too_few_photographs_are_counted(photos, tmp_path, capsys):
    (tmp_path / "one").mkdir()
    cv2.imwrite(str(tmp_path / "one" / "a.png"), cv2.imread(str(photos / "00.png")))
    assert main(["train", "restorer", "--set", f"data={tmp_path / 'one'}", "--out", str(tmp_path / "run")]) == 3
    assert "0 faces to train on, 1 to measure on" in capsys.readouterr().err


def test_a_tenth_of_each_folder_is_kept_apart_where_a_recipe_says_nothing():
    names = [f"{folder}/{n:03}" for folder, count in (("a", 25), ("b", 4)) for n in range(count)]
    assert held_names(names, DetectorOptions()) == {"a/022", "a/023", "a/024", "b/003"}
    assert held_names(names, DetectorOptions(validation=("b/",))) == {f"b/{n:03}" for n in range(4)}
    assert held_names(names, DetectorOptions(validation_last={"a": 1})) == {"a/024"}


def test_a_run_logs_progress_while_it_works_and_validates(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "Heartbeat", functools.partial(Heartbeat, every=0.1))
    task = Line(recipe(steps=60, validate_every=60))
    step, validate = task.step, task.validate
    task.step = lambda *given: (time.sleep(0.01), step(*given))[1]
    task.validate = lambda device: (time.sleep(0.4), validate(device))[1]
    lines: list[str] = []
    Trainer(task, tmp_path).run(on_log=lines.append)
    pattern = r"line step \d+/60, [\d.]+ steps/s, about .*(s|min) left  mse [\d.e-]+"
    assert any(re.fullmatch(pattern, line) for line in lines)
    assert any(", validating" in line for line in lines)
    assert lines[-1].startswith("line step 60/60 (")


def test_prepare_counts_files_without_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepare, "Heartbeat", functools.partial(Heartbeat, every=0.05))
    monkeypatch.setattr(prepare, "prepare_file", lambda *given: (time.sleep(0.2), ([], ["no face"]))[1])
    for name in "ab":
        (tmp_path / f"{name}.mp4").touch()
    with pytest.raises(InputError, match="no face"):
        prepare.prepare(tmp_path, tmp_path / "out", runtime=object())
    assert re.search(r"^prepare: 1/2 files, [\d.]+ files/min, about \d+ s left$", capsys.readouterr().out, re.M)


def test_lines_leave_at_once_without_a_terminal(monkeypatch, tmp_path):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(raw, 1 << 20)))
    Trainer(Line(recipe(steps=2)), tmp_path).run()
    assert b"line step 2/2" in raw.getvalue(), "not kept in a buffer"


def test_silence_ends_with_the_block():
    lines: list[str] = []
    with Heartbeat(lambda: "alive", lines.append, every=0.05) as pulse:
        pulse.log("begun")
        time.sleep(0.3)
    count = len(lines)
    assert lines[0] == "begun" and 2 <= lines.count("alive") <= 6
    time.sleep(0.15)
    assert len(lines) == count


def test_a_finished_run_says_so_and_returns_its_figures(tmp_path):
    figures = Trainer(Line(recipe()), tmp_path).run(on_log=lambda text: None)
    lines: list[str] = []
    again = Trainer(Line(recipe()), tmp_path).run(on_log=lines.append)
    assert again == pytest.approx(figures)
    assert len(lines) == 1 and f"already at step 60 of 60 in {tmp_path}" in lines[0] and "--set steps=N" in lines[0]
    more: list[str] = []
    Trainer(Line(recipe(steps=80)), tmp_path).run(on_log=more.append)
    assert "continues at step 60 of 80" in more[0]


def test_a_damaged_state_is_named(tmp_path):
    Path(tmp_path / "state.pt").write_bytes(b"half a file")
    with pytest.raises(InputError, match="state.pt cannot be read"):
        Trainer(Line(recipe()), tmp_path)


def test_another_networks_state_is_refused(tmp_path):
    Trainer(Line(recipe(steps=2)), tmp_path).run(on_log=lambda text: None)
    task = Line(recipe())
    task.modules = {"line": task.modules["line"][0]}
    with pytest.raises(OptionError, match="another folder"):
        Trainer(task, tmp_path)


def test_durations():
    assert [duration(s) for s in (0.2, 80, 100, 5400, 12000)] == ["1 s", "80 s", "2 min", "1 h 30 min", "3 h 20 min"]
