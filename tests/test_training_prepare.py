"""Footage -> training set, with the pipeline's own detector."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from media import face_frame
from talker import talker

from wav2lip_hq.errors import InputError
from wav2lip_hq.training import talking
from wav2lip_hq.training.clipfile import decode_clip, encode_clip
from wav2lip_hq.training.prepare import Options, held_out, prepare


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    talker(folder / "anna.mp4", 1, 2.0)
    talker(folder / "ben.mp4", 2, 1.6, fps=30)
    talker(folder / "mute.mp4", 3, 1.2, sound=False)
    (folder / "broken.mp4").write_bytes(b"this is no movie")
    return folder


@pytest.fixture(scope="module")
def prepared(footage, tmp_path_factory):
    target = tmp_path_factory.mktemp("prepared")
    return prepare(footage, target, Options(size=128))


def test_clips_hold_the_face_and_its_speech_at_25_fps(prepared):
    clips = talking.load_clips(prepared.folder)
    assert {c.identity for c in clips} == {"anna", "ben"} and prepared.clips == 2
    for clip, seconds in zip(clips, (2.0, 1.6), strict=True):
        assert abs(len(clip) - 25 * seconds) <= 1, "30 fps footage becomes 25 fps"
        assert clip.crops.shape[1:] == (128, 128, 3)
        crops = talking.face_crops(clip, np.arange(len(clip)), talking.Look())
        lower = crops[:, 60:80, 30:66].astype(float).mean((1, 2, 3))
        loud = np.array([clip.mel_at(f)[:, :3].mean() for f in range(len(clip))])
        assert np.corrcoef(lower, loud)[0, 1] < -0.3, "where the sound is loud the (dark) mouth is open"


def test_dropped_footage_is_reported_with_its_reason(prepared):
    with (prepared.folder / "dropped.csv").open() as file:
        rows = {row["file"].rsplit("/", 1)[-1]: row["reason"] for row in csv.DictReader(file)}
    assert set(rows) >= {"mute.mp4", "broken.mp4"}
    assert "audio" in rows["mute.mp4"] or "sound" in rows["mute.mp4"]


def test_an_hour_fits_in_64_mib(prepared):
    """A photograph that sways compresses better than a person: the real rate is in docs/training.md."""
    assert prepared.bytes / prepared.seconds * 3600 < 64 * 2**20, prepared.bytes


def test_a_second_run_does_nothing_twice(prepared, footage):
    before = {p: p.stat().st_mtime_ns for p in prepared.folder.glob("*.npz")}
    again = prepare(footage, prepared.folder, Options(size=128))
    assert again.clips == prepared.clips
    assert {p: p.stat().st_mtime_ns for p in prepared.folder.glob("*.npz")} == before


def test_identities_stay_on_their_side():
    names = [f"person{n}" for n in range(400)]
    held = [n for n in names if held_out(n, 0.1)]
    assert 15 < len(held) < 75 and held == [n for n in names if held_out(n, 0.1)]


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError):
        prepare(tmp_path / "in", tmp_path / "out")


def test_training_clips_as_bytes():
    frames = np.stack([face_frame(n, 96, 96) for n in range(30)])
    t = np.arange(30 * 640) / 16000
    wav = (0.3 * np.sin(2 * np.pi * (200 + 300 * t) * t)).astype(np.float32)
    data = encode_clip(frames, 25, wav)
    back, sound = decode_clip(data)
    assert back.shape == frames.shape and np.abs(back.astype(int) - frames).mean() < 6
    n = min(len(sound), len(wav)) - 400
    lags = {
        k: float(np.dot(wav[200 : n - 200], sound[200 + k : n - 200 + k].astype(float))) for k in range(-160, 161, 4)
    }
    assert abs(max(lags, key=lags.get)) <= 16  # 1 ms
