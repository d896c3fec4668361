"""The examples of docs/examples do what they say, on a second of the demo's footage."""

from __future__ import annotations

import wave
from importlib import import_module
from pathlib import Path

import av
import numpy as np
import pytest
from media import write_video
from PIL import Image

import wav2lip_hq
from wav2lip_hq.cli import main as command

DEMO = Path(wav2lip_hq.__file__).parent / "_data" / "demo"
EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
FRAMES = 20


def frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> str:
    """0.8 s of the demo's sentence."""
    path = tmp_path_factory.mktemp("speech") / "words.wav"
    with wave.open(str(DEMO / "speech.wav")) as whole, wave.open(str(path), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(int(0.8 * whole.getframerate())))
    return str(path)


@pytest.fixture(scope="module")
def face(tmp_path_factory) -> str:
    """The first frames of the demo's footage, without loss."""
    pictures = frames(DEMO / "face.mpg")[:FRAMES]
    path = tmp_path_factory.mktemp("face") / "person.mp4"
    return str(write_video(path, pictures, pix_fmt="yuv444p", options={"crf": "0"}))


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return import_module


def test_own_restorer(example, face, speech, tmp_path):
    report = example("own_restorer").main(face, speech, str(tmp_path / "out.mp4"))
    assert report.frames == report.faces == FRAMES


def test_a_sharpened_mouth_is_sharper(example):
    rng = np.random.default_rng(0)
    soft = np.repeat(np.repeat(rng.integers(60, 200, (1, 64, 64, 3), np.uint8), 8, 1), 8, 2)
    assert example("own_restorer").Sharpen()(soft).std() > soft.std()


def test_own_mask(example, face, speech, tmp_path, capsys):
    assert example("own_mask").main(face, speech, str(tmp_path / "python.mp4")).faces == FRAMES
    assert command(["options", "own_mask:MouthOnly"]) == 0
    assert "How soft its edge is." in capsys.readouterr().out
    out = tmp_path / "out.mkv"
    options = ["--replace", "parse=own_mask:MouthOnly", "--set", "mouth-only.feather=5", "--codec", "ffv1"]
    assert command(["run", face, speech, str(out), *options]) == 0
    change = np.abs(frames(out).astype(int) - frames(Path(face))).max((0, 3))
    rows = np.flatnonzero((change > 8).any(1))
    assert len(rows) and rows[0] > len(change) // 2  # the mouth is in the lower half of the picture


def test_frames_out(example, face, speech, tmp_path):
    out = tmp_path / "out.gif"
    assert example("frames_out").main(face, speech, str(out), "0.6") == 8
    with Image.open(out) as shown:
        assert shown.n_frames == 8 and shown.size == (480, 240)
        last = np.asarray(shown.convert("RGB"), int)
    assert last[:, :240].std() > 20 and last[:, 240:].std() > 20


@pytest.mark.slow
def test_reel(example, speech, tmp_path):
    pictures = np.tile(frames(DEMO / "face.mpg")[:FRAMES], (3, 1, 1, 1))
    reel = write_video(tmp_path / "reel.mp4", pictures)
    page = example("reel").main(str(reel), speech, speech, str(tmp_path / "out" / "reel.mp4"))
    assert page.is_file() and len(frames(tmp_path / "out" / "reel.mp4")) == 3 * FRAMES


@pytest.mark.slow
def test_judge_other_tool(example, face, speech, tmp_path):
    """A tool that gives the footage back is a copy by every figure."""
    clips = Path(face).parent
    assert example("judge_other_tool").main(str(clips), speech, str(clips), str(tmp_path / "out"), "0.8") == 0
    table = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "other" in table and "default" in table
    assert (tmp_path / "out" / "index.html").is_file()
