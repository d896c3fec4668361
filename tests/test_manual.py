"""`wav2lip-hq options`, and the page made of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from wav2lip_hq import manual
from wav2lip_hq.cli import main
from wav2lip_hq.stages import STAGES, Detect
from wav2lip_hq.training.tasks import option_classes

PAGE = Path(__file__).resolve().parents[1] / "docs" / "options.md"


def test_the_page_is_up_to_date():
    if not PAGE.is_file():
        pytest.skip("no docs beside an installed package")
    shown = [s for s in manual.sections() if s.group != "Stages" or s.name in STAGES]
    assert PAGE.read_text(encoding="utf-8") == manual.markdown(shown), "wav2lip-hq options --markdown > docs/options.md"


def test_every_option_says_what_it_does():
    silent = [f"{s.name}.{o.name}" for s in manual.sections() if s.name in STAGES for o in s.options if not o.help]
    assert not silent


def test_every_stage_and_all_its_options_are_shown(capsys):
    assert main(["options"]) == 0
    text = capsys.readouterr().out
    for name, kind in STAGES.items():
        assert f"\n{name}: " in f"\n{text}"
        for field in dataclasses.fields(kind):
            assert f"  {field.name}: " in text
    assert "encoder: " in text and "crf: int or None; between 0 and 51" in text and "extend: " in text


def test_one_stage_one_option_a_preset(capsys):
    assert main(["options", "detect"]) == 0
    assert "every: int; between 1 and 12 frames; default 1" in capsys.readouterr().out
    assert main(["options", "restore.strength"]) == 0
    text = capsys.readouterr().out
    assert "strength: float; between 0 and 1; default 1" in text and "fidelity" not in text
    assert main(["options", "gfpgan"]) == 0
    assert "strength: float; between 0 and 1; set to 0.8" in capsys.readouterr().out
    assert main(["options", "run", "--json"]) == 0
    assert {row["option"] for row in json.loads(capsys.readouterr().out)} >= {"extend", "trim", "consent"}


def test_training_and_one_task_of_it(capsys):
    assert main(["options", "train", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["of"] for row in rows} == {f"train.{name}" for name in option_classes()}
    assert main(["options", "train.generator"]) == 0
    text = capsys.readouterr().out
    assert "sync_weight: float; between 0 and 1; default 0.03" in text and "batch_size" not in text
    assert main(["options", "train.recipe.schedule"]) == 0
    assert "schedule: str; constant, cosine or plateau; default constant" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("train.generatr", "did you mean 'train.generator'"),
        ("generator", "'train.generator'"),
        ("restor", "did you mean 'restore'"),
        ("restore.strenght", "did you mean 'strength'"),
    ],
)
def test_unknown_topics(topic, message, capsys):
    assert main(["options", topic]) == 2
    assert message in capsys.readouterr().err


def test_help_shows_the_options():
    text = str(Detect.__doc__)
    assert text.startswith("Find faces.") and "threshold: float; more than 0 and less than 1; default 0.7" in text
