"""Real footage from ../shared (not part of the project): skipped where it is absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wav2lip_hq import HQPipeline
from wav2lip_hq.pipeline import load_speech
from wav2lip_hq.video import open_video

TALKING = Path(__file__).resolve().parents[2] / "shared" / "data" / "talking"
pytestmark = pytest.mark.skipif(not TALKING.is_dir(), reason="../shared/data/talking is not on this machine")


@pytest.fixture(scope="module")
def pipe():
    return HQPipeline("default")


@pytest.mark.parametrize("name", ["opendubbing_english.mp4", "sync_reference"])
def test_every_frame_has_its_face_and_nothing_else_changes(pipe, name):
    path = TALKING / name
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
def test_the_mouth_follows_another_persons_speech(pipe, tmp_path):
    """Dubbed with speech from elsewhere, the result's own measured offset is within a frame of none."""
    speech = sorted((TALKING.parent / "speech").glob("*.wav"))[0]
    report = pipe.run(TALKING / "opendubbing_english.mp4", speech, tmp_path / "out.mp4", trim=True)
    assert report.frames_without_face == 0
    assert report.offset_ms is not None and abs(report.offset_ms) <= 40
