"""A finished dub, from its script to what ``detect`` finds in it, and in a copy that was encoded anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from media import write_video, write_wav

import wav2lip_hq
from wav2lip_hq import audio, video
from wav2lip_hq.cli import main

DEMO = Path(wav2lip_hq.__file__).parent / "_data" / "demo"
SCRIPT = """\
from: en
to: en
speakers:
  A: {voice: '', face: ''}
lines:
- {start: 0.3, end: 5.7, speaker: A, text: one, translation: The quick brown fox jumps over the lazy dog by the river
    while seven wise men look on and wonder what he may be doing there}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("flite") is None, reason="needs the voice engine flite (apt install flite)")
def test_the_marks_and_the_manifest_of_a_dub_are_found_and_the_marks_outlive_encoding(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WAV2LIP_HQ_IDENTITY", str(tmp_path / "me"))
    with video.open_video(DEMO / "face.mpg") as reader:
        frames = np.stack([frame for _, frame, _ in reader])
    own = write_wav(tmp_path / "own.wav", 6.0)
    talk = write_video(tmp_path / "talk.mp4", np.concatenate([frames, frames[::-1]]), sound=own)
    out, text = tmp_path / "dub.mp4", tmp_path / "script.yaml"
    text.write_text(SCRIPT)
    told = ["--from", "en", "--to", "en", "--script", str(text), "--speaker", "flite", "--preset", "fast"]
    assert main(["dub", str(talk), str(out), *told, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lipsync"]["faces"] > 100

    copy = tmp_path / "copy.mp4"
    sound = video.Sound(samples=audio.load_audio(out), rate=audio.RATE)
    with video.open_video(out) as reader:
        with video.VideoWriter(copy, reader.info, codec="h264", crf=23, sound=sound, mark=False) as writer:
            for time, frame, _ in reader:
                writer.write(frame, time)

    numbers = set()
    for file, manifest in ((out, "valid"), (copy, "none")):
        assert main(["detect", str(file), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["verdict"] == "lip-synced" and found["marked"] and found["voice"]["marked"], file.name
        assert found["manifest"].startswith(manifest) and found["claimed"] == (file == out)
        numbers.add(found["faces"][0]["mark"]["id"])
    (number,) = numbers
    assert main(["provenance", str(tmp_path), "--find", number]) == 0
    assert str(out) in capsys.readouterr().out
