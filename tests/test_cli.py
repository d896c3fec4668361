"""The command line, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from media import clip, write_video, write_wav

from wav2lip_hq.cli import main


def run(*args: object, **options):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "wav2lip_hq.cli", *map(str, args)],
        capture_output=True,
        text=True,
        **options,
    )


def test_help_answers_without_importing_torch():
    code = "import sys; from wav2lip_hq import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print('torch' in sys.modules or 'cv2' in sys.modules or 'numpy' in sys.modules)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "run" in done.stdout and "presets" in done.stdout
    assert time.perf_counter() - start < 5  # 0.07 s on an idle machine; generous, so that a busy one passes


def test_presets_show_what_is_ready_and_how_to_get_the_rest(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["presets"]) == 0
    text = capsys.readouterr().out
    assert "wav2lip-hq checkpoints fetch" in text and "gfpgan_v1.4" in text
    assert main(["presets", "--json"]) == 0
    rows = {row["preset"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["wav2lip-hq"]["checkpoints"]["wav2lip_gan"] is False
    assert rows["default"]["stages"][0] == "detect"


def test_doctor_lists_versions_devices_codecs(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    text = json.dumps(report)
    assert "torch" in text and "h264" in text and "cpu" in text
    assert main(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out


def test_checkpoints_list_and_where(capsys):
    assert main(["checkpoints", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = {row["name"] for row in rows}
    assert {"wav2lip_gan", "gfpgan_v1.4", "codeformer", "syncnet_v2"} <= names
    assert main(["checkpoints", "where"]) == 0
    assert "embedded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["run", "absent.mp4", "absent.wav", "out.mp4"], 3, "absent"),
        (["run", "a.mp4", "a.wav", "out.mp4", "--preset", "defualt"], 2, "did you mean 'default'"),
        (["run", "a", "b", "c.mp4", "-p", "gfpgan", "--set", "restor.strength=1"], 2, "did you mean 'restore'"),
        (["run", "a.mp4", "a.wav", "out.mp4", "--device", "tpu"], 2, "not usable here"),
        (["run", "a.mp4", "a.wav", "out.mp4", "--precision", "int4"], 2, "unknown precision"),
        (["run", "a.mp4", "a.wav", "out.mp4", "--sync-offset", "soon"], 2, 'a time in ms, or "auto"'),
        (["checkpoints", "fetch", "wav2lip_gun"], 2, "did you mean"),
    ],
)
def test_mistakes_end_with_one_line_and_a_meaningful_code(args, code, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(args) == code
    text = capsys.readouterr().err
    assert message in text and "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


def test_a_preset_without_its_checkpoints_prints_the_fetch_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    video = write_video(tmp_path / "face.mp4", clip(5))
    wav = write_wav(tmp_path / "speech.wav", 0.4)
    assert main(["run", str(video), str(wav), str(tmp_path / "out.mp4"), "--preset", "gfpgan"]) == 5
    text = capsys.readouterr().err
    assert "wav2lip-hq checkpoints fetch" in text and not (tmp_path / "out.mp4").exists()


def test_embedded_weights_are_never_suggested_for_download(capsys, monkeypatch):
    """They are part of the installation; without them ``presets`` and ``fetch`` say so."""
    from wav2lip_hq import checkpoints

    locate = checkpoints.locate
    gone = ("embedded-detector", "wav2lip_gan", "gfpgan_v1.4", "bisenet")
    for module in (checkpoints, sys.modules["wav2lip_hq.checkpoints.fetching"]):
        monkeypatch.setattr(module, "locate", lambda name: None if name in gone else locate(name))
    assert main(["presets"]) == 0
    text = capsys.readouterr().out
    gfpgan = next(line for line in text.splitlines() if "fetch" in line and "gfpgan" in line)
    assert "fetch wav2lip_gan bisenet gfpgan_v1.4;" in gfpgan
    assert "missing from this installation" in gfpgan and gfpgan.endswith("embedded-detector")
    assert not any("embedded" in line.partition("fetch ")[2].partition(";")[0] for line in text.splitlines())
    assert main(["checkpoints", "fetch", "embedded-detector"]) == 5
    assert "missing from this installation; reinstall it" in capsys.readouterr().err


def test_no_face_has_its_own_code(capsys, tmp_path):
    import numpy as np

    video = write_video(tmp_path / "wall.mp4", np.full((8, 96, 128, 3), 90, np.uint8))
    wav = write_wav(tmp_path / "speech.wav", 0.4)
    assert main(["run", str(video), str(wav), str(tmp_path / "out.mp4"), "--quiet"]) == 6
    assert "no face was found anywhere" in capsys.readouterr().err
    assert not list(tmp_path.glob("*out*"))


def test_a_real_run_from_the_shell_reports_as_json(tmp_path):
    from skimage import data

    from wav2lip_hq.video import write_png

    write_png(tmp_path / "a face's picture.png", data.astronaut())
    write_wav(tmp_path / "speech.wav", 0.6)
    out = tmp_path / "ünï out.mp4"
    done = run(
        "run", tmp_path / "a face's picture.png", tmp_path / "speech.wav", out, "--preset", "fast", "--json",
        "--set", "articulate.silence=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["frames"] == 15 and report["faces"] == 15 and out.stat().st_size > 1000
    assert set(report["seconds"]) >= {"detect", "survey", "articulate", "blend", "total"}


def test_preview_writes_a_contact_sheet_only(tmp_path):
    from skimage import data
    from skimage.io import imread

    from wav2lip_hq.video import write_png

    write_png(tmp_path / "face.png", data.astronaut())
    write_wav(tmp_path / "speech.wav", 1.0)
    code = main(
        ["run", str(tmp_path / "face.png"), str(tmp_path / "speech.wav"), str(tmp_path / "sheet.mp4"), "--preview", "3"]
    )
    assert code == 0 and not (tmp_path / "sheet.mp4").exists()
    sheet = imread(tmp_path / "sheet.png")
    assert sheet.ndim == 3 and sheet.shape[1] > sheet.shape[0]


def test_personalize_is_a_command_of_its_own(tmp_path, capsys):
    """A missing video is reported in one line."""
    assert main(["personalize", "--video", str(tmp_path / "nobody.mp4"), "--name", "anna"]) != 0
    assert "nobody.mp4" in capsys.readouterr().err
