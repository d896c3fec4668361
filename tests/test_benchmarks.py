"""The benchmarks' own rulers: a copy is perfect, blur costs sharpness, trembling is seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from media import clip

from benchmarks.quality import flicker, ratio, reach, sharpness


@pytest.fixture(scope="module")
def frames():
    return list(clip(12))


def test_a_copy_scores_one(frames):
    pairs = [(f, f) for f in frames]
    assert ratio(pairs, flicker) == 1 and ratio(pairs, sharpness) == 1


def test_blur_and_trembling_are_seen(frames):
    rng = np.random.default_rng(0)
    blurred = [(f, cv2.GaussianBlur(f, (0, 0), 2)) for f in frames]
    noisy = [(f, np.clip(f + rng.normal(0, 8, f.shape), 0, 255).astype(np.uint8)) for f in frames]
    assert ratio(blurred, sharpness) < 0.5
    assert ratio(noisy, flicker) > 1.5


def test_too_little_to_tell(frames):
    assert ratio([(frames[0], frames[0])], flicker) is None


def test_reach_covers_the_mask_and_little_more():
    mask = np.zeros((512, 512), np.uint8)
    mask[200:300, 200:300] = 255
    where = reach(mask, np.array([[2.0, 0, 0], [0, 2.0, 0]]), (256, 256))
    assert where[105:145, 105:145].all() and where.sum() < 56 * 56


def test_quality_of_a_real_clip_end_to_end(tmp_path, capsys):
    from talker import talker

    from benchmarks.__main__ import main

    face = talker(tmp_path / "face.mp4", 1, 0.6)
    assert main(["quality", "--data", str(face), "--seconds", "0.6", "--out", str(tmp_path / "out")]) == 0
    import json

    row = json.loads((tmp_path / "out" / "results.json").read_text())["rows"][0]
    assert row["frames"] == 15 and row["faces"] == 15 and row["outside"] == 0
    assert row["mouth_ssim"] > 0.5 and (tmp_path / "out" / "default" / "face.png").exists()
    assert "| face | 15 |" in (tmp_path / "out" / "results.md").read_text()
