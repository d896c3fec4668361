"""Cuts, flashes and pans: how each frame belongs to the one before it."""

from __future__ import annotations

import cv2
import numpy as np
from tracked import scenes

from wav2lip_hq.stages._cuts import LOOKAHEAD, CutFinder, thumbnail
from wav2lip_hq.types import Array


def labels(frames: Array) -> list[str]:
    finder, out = CutFinder(), []
    for n, frame in enumerate(frames):
        out += finder.push(thumbnail(frame))
        assert len(out) == max(0, n + 1 - LOOKAHEAD)
    return out + finder.finish()


def test_cut_labels() -> None:
    assert [i for i, x in enumerate(labels(scenes(30, (9, 11, 29)))) if x != "same"] == [9, 11, 29]
    frames = scenes(20)
    frames[5:8] = 0
    assert [i for i, x in enumerate(labels(frames)) if x == "interruption"] == [5, 6, 7]
    assert "cut" not in labels(frames)
    frames[5:10] = 0  # too long for an interruption: another shot, and back
    assert [i for i, x in enumerate(labels(frames)) if x == "cut"] == [5, 10]
    assert labels(frames[:1]) == ["same"]


def test_a_fast_pan_is_no_cut() -> None:
    wide = cv2.resize(np.random.default_rng(3).integers(0, 256, (6, 60, 3), dtype=np.uint8), (960, 36))
    pan = np.stack([wide[:, 12 * i : 12 * i + 160] for i in range(30)])
    assert set(labels(pan)) == {"same"}
    assert labels(pan.astype(np.uint16) * 257) == labels(pan)
