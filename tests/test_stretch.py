"""extend = stretch: footage slowed down by optical flow, the same pixels wherever one begins."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from media import clip, tiny_pipeline, write_video, write_wav

from wav2lip_hq.errors import OptionError
from wav2lip_hq.video import open_video, stretched


def square(at: float, dtype=np.uint8, alpha: bool = False) -> np.ndarray:
    """A bright, blurred square whose left edge is at ``at`` px, on a pattern that stands still."""
    y, x = np.mgrid[:96, :160]
    image = np.stack([(x * 5 + y * 3) % 60 + 40, (y * 4) % 50 + 40, np.full_like(x, 60)], -1).astype(np.float32)
    shape = np.zeros((96, 160), np.float32)
    cv2.rectangle(shape, (0, 30), (30, 62), 1.0, -1)
    cover = cv2.warpAffine(cv2.GaussianBlur(shape, (0, 0), 1.5), np.float32([[1, 0, at], [0, 1, 0]]), (160, 96))[
        ..., None
    ]
    texture = 150 + 60 * np.sin((x - at) / 3)[..., None] * np.cos(y / 4)[..., None]
    image = image * (1 - cover) + texture * cover
    made = np.rint(image).astype(np.uint8)
    return made if dtype == np.uint8 else made.astype(np.uint16) * 257


def left_edge(image: np.ndarray) -> float:
    """Where the square is: its center of mass in the red channel above the pattern."""
    bright = np.clip(image[..., 2].astype(np.float32) / (257 if image.dtype == np.uint16 else 1) - 70, 0, None)
    return float((bright.sum(0) * np.arange(160)).sum() / bright.sum())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_movement_is_slowed_evenly(dtype):
    frames = np.stack([square(10 + 4 * n, dtype) for n in range(12)])
    with open_video(frames, fps=25) as reader:
        slow = stretched(reader, Fraction(12, 25) * Fraction(5, 2))
        made = [image for _, image, _ in slow]
        times = [time for time, _, _ in slow.start_at(Fraction(0))]
    assert len(made) == 30 and times == [Fraction(n, 25) for n in range(30)] and made[0].dtype == dtype
    for n in range(0, 27, 5):  # the footage's own frames, where one is due
        assert np.array_equal(made[n], frames[n * 2 // 5])
    steps = np.diff([left_edge(m) for m in made[:27]])
    assert 1.2 < steps.min() and steps.max() < 2.0  # 4 px a frame, 2.5 times slower: 1.6 px
    for n in (1, 2, 3, 4):  # moved, not blended
        truth, share = square(10 + 4 * n * 0.4, dtype).astype(float), n * 0.4 % 1
        blend = frames[n * 2 // 5] * (1 - share) + frames[n * 2 // 5 + 1] * share
        assert np.square(made[n] - truth).mean() < 0.4 * np.square(blend - truth).mean()


def test_any_frame_is_the_same_wherever_one_begins(tmp_path):
    path = write_video(tmp_path / "a.mp4", clip(20), fps=25)
    with open_video(path, start=0.2) as reader:
        slow = stretched(reader, Fraction(11, 10))
        whole = list(slow)
        for at in (1, 7, 13, 26):
            again = next(iter(slow.start_at(whole[at][0])))
            assert again[0] == whole[at][0] and np.array_equal(again[1], whole[at][1])
    assert len(whole) == 28 and slow.info.frames == 28


def test_a_cut_is_not_melted():
    frames = np.concatenate([np.stack([square(10)] * 4), 255 - np.stack([square(90)] * 4)])
    with open_video(frames, fps=25) as reader:
        made = [image for _, image, _ in stretched(reader, Fraction(20, 25))]
    assert all(any(np.array_equal(m, f) for f in (frames[0], frames[-1])) for m in made)


def test_a_run_is_as_long_as_the_speech_and_its_chunks_change_nothing(tmp_path):
    path, speech = write_video(tmp_path / "a.mp4", clip(15), fps=25), write_wav(tmp_path / "a.wav", 1.0)
    made = []
    for size in (3, 24):
        with tiny_pipeline().open(path, speech, extend="stretch", chunk_size=size) as chunks:
            made.append(np.concatenate([chunk.frames for chunk in chunks]))
    assert len(made[0]) == 25 and np.array_equal(*made)
    report = tiny_pipeline().run(path, speech, tmp_path / "o.mp4", extend="stretch")
    assert report.frames == 25 and report.faces == 25


def test_what_cannot_be_stretched(tmp_path):
    path, speech = write_video(tmp_path / "a.mp4", clip(5), fps=25), write_wav(tmp_path / "a.wav", 1.0)
    with pytest.raises(OptionError, match="stretched 5.0 times, 4 is the most"):
        tiny_pipeline().run(path, speech, tmp_path / "o.mp4", extend="stretch")
    with pytest.raises(OptionError, match="its length is not known"):
        tiny_pipeline().run(iter(clip(5)), speech, tmp_path / "o.mp4", extend="stretch")
    with open_video(path) as reader:
        assert stretched(reader, Fraction(1, 10)) is reader
