"""Real footage: the demo's, and clips that are not part of the project (skipped where they are absent)."""

from __future__ import annotations

import itertools
import wave
from pathlib import Path

import numpy as np
import pytest
from media import write_video

from wav2lip_hq import HQPipeline
from wav2lip_hq.jobs.worker import Worker
from wav2lip_hq.video import open_video
from wav2lip_hq.voice import load_speech

DEMO = Path(__file__).resolve().parents[1] / "wav2lip_hq" / "_data" / "demo"
CLIPS = (
    "opendubbing_english.mp4",
    "sadtalker_AOC.mp4",
    "videoretalking_4.mp4",
    "people/lrs3_p079_1.mp4",
    "people/polit_p073_1.mp4",
)


@pytest.fixture(scope="module")
def pipe():
    return HQPipeline("default")


@pytest.mark.parametrize("name", ["opendubbing_english.mp4", "sync_reference"])
def test_every_frame_has_its_face_and_nothing_else_changes(pipe, shared, name):
    path = shared(f"data/talking/{name}")
    if path.is_dir():
        path = sorted(p for p in path.rglob("*98*") if p.suffix in (".mp4", ".avi", ".mov"))[0]
    wav = load_speech(path).wav[: 16000 * 6 // 5]
    with open_video(path) as source, pipe.open(path, (wav, 16000), trim=True, extend="stop") as chunks:
        frames = iter(source)
        for chunk in chunks:
            assert set(chunk.faces.frame.tolist()) == set(range(len(chunk))), "a frame without its face"
            for i, result in enumerate(chunk.frames):
                before = next(frames)[1]
                changed = (result != before).any(2)
                n = chunk.faces.frame.tolist().index(i)
                x1, y1, x2, y2 = chunk.faces.box[n]
                y, x = np.nonzero(changed)
                assert len(y) and y.min() >= (y1 + y2) / 2 - 0.1 * (y2 - y1), "the upper half of the face changed"
                assert x.min() >= x1 - 0.1 * (x2 - x1) and x.max() <= x2 + 0.1 * (x2 - x1)
                assert y.max() <= y2 + 0.15 * (y2 - y1)


@pytest.mark.slow
def test_the_mouth_follows_another_persons_speech(pipe, shared, tmp_path):
    """Dubbed with speech from elsewhere, the result's own measured offset is within a frame of none."""
    speech = sorted(shared("data/speech").glob("*.wav"))[0]
    report = pipe.run(shared("data/talking/opendubbing_english.mp4"), speech, tmp_path / "out.mp4", trim=True)
    assert report.frames_without_face == 0
    assert report.offset_ms is not None and abs(report.offset_ms) <= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", *CLIPS])
def test_run_batch_and_any_chunk_size_give_the_same_pixels(pipe, shared, name, tmp_path):
    """Lossless, on real clips: a run, the same in chunks of another size, and a batch job in parts of a second."""
    face, speech = tmp_path / "face.mkv", tmp_path / "speech.wav"
    clip = DEMO / "face.mpg" if name == "demo" else shared(f"data/talking/{name}")
    words = DEMO / "speech.wav" if name == "demo" else sorted(shared("data/speech").glob("*.wav"))[0]
    with open_video(clip) as source:
        frames = np.stack([frame for _, frame, _ in itertools.islice(source, 55)])
        rate = source.info.fps
    write_video(face, frames, fps=rate, codec="ffv1", pix_fmt="bgr0", options={}, time_base=1 / rate)
    with wave.open(str(speech), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((load_speech(words).wav[:32000] * 32767).astype("<i2").tobytes())
    whole = shown(pipe.run(face, speech, tmp_path / "whole.mkv", codec="ffv1").output)
    assert (whole[10] != frames[10]).any()
    sevens = pipe.run(face, speech, tmp_path / "seven.mkv", codec="ffv1", chunk_size=7)
    assert np.array_equal(shown(sevens.output), whole)
    jobfile = tmp_path / "jobs.yaml"
    jobfile.write_text(
        "defaults: {preset: default, codec: ffv1, part_seconds: 1}\n"
        f"jobs:\n  - {{face: {face}, audio: {speech}, output: {tmp_path / 'parts.mkv'}}}\n"
    )
    assert Worker(jobfile).work() == 1
    assert np.array_equal(shown(tmp_path / "parts.mkv"), whole)


def shown(path):
    with open_video(path) as reader:
        return np.stack([frame for _, frame, _ in reader])
