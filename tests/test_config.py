"""Presets and options: what a user may write, and what is said when it is wrong."""

from __future__ import annotations

import pytest

from wav2lip_hq.config import load_preset, preset_names, read_preset, set_options
from wav2lip_hq.errors import InputError, OptionError, WiringError
from wav2lip_hq.stages import Detect, Restore


def test_the_promised_presets_exist_and_say_what_they_are():
    assert {"default", "wav2lip", "wav2lip-sr", "wav2lip-hq", "gfpgan", "codeformer", "fast"} <= set(preset_names())
    for name in preset_names():
        preset = read_preset(name)
        assert len(preset.description) > 20 and preset.stages[0].name == "detect" and preset.stages[-1].name == "blend"


def test_the_offline_presets_need_embedded_weights_only():
    assert all(m.startswith("embedded-") for name in ("default", "fast") for s in load_preset(name) for m in s.models)
    assert {m for s in load_preset("generated") for m in s.models} == {
        "embedded-detector",
        "embedded-generator",
        "embedded-landmarks",
        "embedded-parser",
        "embedded-restorer",
    }


def test_the_papers_chain():
    names = [s.name for s in load_preset("wav2lip-hq")]
    assert names == ["detect", "track", "landmarks", "admit", "align", "lipsync", "parse", "restore", "blend"]
    assert [m for s in load_preset("wav2lip-hq") for m in s.models][2:] == ["wav2lip_gan", "bisenet", "esrgan_hq"]


def test_a_preset_file_of_ones_own(tmp_path):
    path = tmp_path / "ma chaîne.yaml"
    path.write_text(
        "description: two restorers in a row\n"
        "stages: [detect, track, align, lipsync, {stage: restore, model: esrgan_x4},"
        " {stage: restore, model: gfpgan_v1.4, strength: 0.5}, blend]\n",
        encoding="utf-8",
    )
    stages = load_preset(path)
    assert [s.models for s in stages if isinstance(s, Restore)] == [("esrgan_x4",), ("gfpgan_v1.4",)]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("stages: [detct]", OptionError, "did you mean 'detect'"),
        ("stages: [{stage: restore, strenght: 1}]", OptionError, "did you mean 'strength'"),
        ("stages: [{stage: restore, strength: 3}]", OptionError, "between 0 and 1"),
        ("stages: [{stage: restore, strength: much}]", OptionError, "restore.strength is float"),
        ("stages: [{restore: gfpgan}]", OptionError, "each stage is a name or a mapping"),
        ("stages: [align, detect]", WiringError, "align reads"),
        ("stages: detect", OptionError, "a list of 'stages'"),
        ("1: 2\nstages: [detect]", OptionError, "there is no 1"),
        ("stages: [detect]\nruns: {crf: 9}", OptionError, "there is no 'runs'"),
        ("stages: [", InputError, "not a readable YAML"),
        ("", OptionError, "a list of 'stages'"),
    ],
)
def test_a_wrong_preset_is_explained_with_its_name(tmp_path, text, error, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(error, match=message) as caught:
        load_preset(path)
    if error is not WiringError and "between" not in message and "float" not in message:
        assert "mine.yaml" in str(caught.value) or "did you mean" in str(caught.value)


def test_unknown_and_missing_presets(tmp_path):
    with pytest.raises(OptionError, match="did you mean 'gfpgan'"):
        read_preset("gpfgan")
    with pytest.raises(InputError, match="does not exist"):
        read_preset(tmp_path / "absent.yaml")


def test_set_changes_one_option_and_leaves_the_stage_it_came_from_alone():
    before = load_preset("generated")
    after = set_options(before, ["restore.strength=0.25", "detect.every=3", "blend.color=false", "parse.model="])
    by_name = {s.name: s for s in after}
    assert by_name["restore"].strength == 0.25 and by_name["detect"].every == 3
    assert by_name["blend"].color is False and by_name["parse"].models == ()
    assert {s.name: s for s in before}["restore"].strength == 1.0


def test_settings_are_applied_together(tmp_path):
    settings = ["track.faces=reference", f"track.reference={tmp_path / 'anna.png'}", "restore.strength=0.1"]
    assert set_options(load_preset("generated"), settings) == set_options(load_preset("generated"), settings[::-1])
    track = next(s for s in set_options(load_preset("generated"), settings) if s.name == "track")
    assert track.faces == "reference" and track.reference.endswith("anna.png")
    path = tmp_path / "own.yaml"
    path.write_text("stages: [detect, {stage: track, faces: reference, reference: anna.png}]")
    assert load_preset(path)[1].reference == "anna.png"
    with pytest.raises(OptionError, match="needs a picture"):
        set_options(load_preset("generated"), settings[:1])
    assert set_options([Detect()], ["detect.every=2", "detect.every=3"])[0].every == 3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("restore", "not of the form"),
        ("restore.strength", "not of the form"),
        ("restor.strength=1", "did you mean 'restore'"),
        ("restore.strenght=1", "did you mean 'strength'"),
        ("restore.strength=nan", "between 0 and 1"),
        ("restore.strength=true", "restore.strength is float"),
        ("detect.every=1.5", "detect.every is int"),
        ("blend.color=3", "blend.color is bool"),
        ("parse.region=ears", "parse.region is mouth, lower-face,? (or )?face"),
    ],
)
def test_wrong_settings_are_explained(setting, message):
    with pytest.raises(OptionError, match=message):
        set_options(load_preset("generated"), [setting])


def test_the_detectors_options_read_from_text():
    assert set_options([Detect()], ["detect.threshold=0.3"])[0].threshold == 0.3
