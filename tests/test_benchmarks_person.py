"""The benchmark of what other footage of a person teaches: its footage, its refusals."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from media import clip, write_video, write_wav

from benchmarks import person
from wav2lip_hq import audio
from wav2lip_hq.errors import CheckpointError
from wav2lip_hq.video import open_video


def test_clips_of_a_person_become_one_with_picture_and_sound_where_they_were(tmp_path):
    frames = clip(20)
    wav = write_wav(tmp_path / "speech.wav", 0.8)
    one = write_video(tmp_path / "a.mkv", frames[:12], sound=wav)  # its sound is longer than its picture
    two = write_video(tmp_path / "b.mkv", frames[12:], sound=wav)
    made = person.joined([one, two], tmp_path / "both.mkv")
    with open_video(made) as reader:
        assert reader.info.fps == 25
        shown = [image for _, image, _ in reader]
    parts = [image for path in (one, two) for _, image, _ in open_video(path)]
    assert np.array_equal(np.stack(shown), np.stack(parts))
    sound = audio.load_audio(made)
    assert len(sound) == pytest.approx(0.8 * audio.RATE, abs=64)
    second = round(12 / 25 * audio.RATE)
    begins = audio.load_audio(two)[: len(sound) - second - 64]
    assert np.corrcoef(sound[second : second + len(begins)], begins)[0, 1] > 0.99


def test_one_clip_teaches_nothing_about_another(tmp_path, monkeypatch, capsys):
    write_video(tmp_path / "a.mp4", clip(5))
    monkeypatch.setattr(sys, "argv", ["person", "--clips", str(tmp_path), "--out", str(tmp_path / "out")])
    monkeypatch.setattr(person.mouths, "installed", lambda: None)
    with pytest.raises(SystemExit):
        person.main()
    assert "holds 1 clips" in capsys.readouterr().err


def test_without_the_independent_mesh_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["person", "--clips", str(tmp_path)])
    with pytest.raises(CheckpointError, match="checkpoints import"):
        person.main()
