"""Detect: decoding, non-maximum suppression, sizes, skipped frames, real faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from skimage import data as images
from torch import nn

from wav2lip_hq import compat  # noqa: F401 - before facexlib
from wav2lip_hq.boxes import box_voting, iou, nms
from wav2lip_hq.errors import OptionError
from wav2lip_hq.geometry import eight_bits, shrink
from wav2lip_hq.models import build
from wav2lip_hq.models.anchors import anchors, decode
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages.detect import BATCH, MAX_INSIDE, Detect, detect_faces
from wav2lip_hq.types import Array, Chunk

WEIGHTS = "data/weights/retinaface_mobilenet0.25_biubug6.pth"


class Spot(nn.Module):
    """A made-up detector: sees a 64 px face wherever the picture is bright red, at stride 16; counts its images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.images = 0
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        self.images += len(x)
        self.shapes.append(tuple(x.shape))
        n, _, h, w = x.shape
        scores = []
        for stride in (8, 16, 32):
            red = nn.functional.avg_pool2d(x[:, 2:3], stride, ceil_mode=True)[:, 0]
            seen = torch.stack([red > 110, red > 1e9], -1) if stride == 16 else torch.stack([red > 1e9] * 2, -1)
            scores.append(seen.reshape(n, -1))
        face = torch.cat(scores, 1).float() * 0.9
        count = face.shape[1]
        points = torch.tensor([[-2.0, -2, 2, -2, 0, 0, -2, 2, 2, 2]]).repeat(n, count, 1)
        return torch.zeros(n, count, 4), torch.stack([-face, 3 * face - 1], -1), points


def chunked(frames: Array, size: int) -> list[Chunk]:
    pts = [Fraction(i, 25) for i in range(len(frames))]
    return [Chunk(s, frames[s : s + size], tuple(pts[s : s + size])) for s in range(0, len(frames), size)]


def runtime(spot: nn.Module | None = None) -> Runtime:
    rt = Runtime("cpu", "fp32")
    if spot is not None:
        rt.add_model("spot", spot, arch="retinaface_mobilenet0.25")
    return rt


def boxes(detect: Detect, frames: Array, rt: Runtime, size: int = 100) -> list[Array | None]:
    out: list[Array | None] = []
    for chunk in detect.run(iter(chunked(frames, size)), rt):
        assert chunk.boxes is not None and len(chunk.boxes) == len(chunk)
        out += chunk.boxes
    return out


def red_spots(count: int = 9, height: int = 96, width: int = 160) -> Array:
    """Noise with a red 16 px cell that moves by a cell a frame."""
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 60, (count, height, width, 3), dtype=np.uint8)
    for i in range(count):
        x = 16 * (i % 9)
        frames[i, 48:64, x : x + 16, 0] = 255
    return frames


def test_voting_averages_what_overlaps() -> None:
    found = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60.0]])
    rows = np.array([[1.0], [4.0], [7.0]])
    np.testing.assert_allclose(box_voting(rows, found, np.array([2.0, 1.0, 0.5]), np.array([0, 2])), [[2.0], [7.0]])


def test_anchors_are_facexlibs() -> None:
    from facexlib.detection.retinaface_utils import PriorBox

    for height, width in ((64, 96), (70, 33)):
        cfg = {"min_sizes": [[16, 32], [64, 128], [256, 512]], "steps": [8, 16, 32], "clip": False}
        theirs = PriorBox(cfg, image_size=(height, width)).forward().numpy() * [width, height, width, height]
        ours = anchors(height, width)
        np.testing.assert_allclose(ours[:, :2], theirs[:, :2], atol=1e-3)
        np.testing.assert_allclose(np.stack([ours[:, 2]] * 2, 1), theirs[:, 2:], atol=1e-3)


def test_decoding_is_facexlibs() -> None:
    from facexlib.detection.retinaface_utils import decode as box_decode
    from facexlib.detection.retinaface_utils import decode_landm

    rng = np.random.default_rng(0)
    anchor = anchors(96, 128)
    offsets = rng.normal(size=(len(anchor), 4)).astype(np.float32)
    points = rng.normal(size=(len(anchor), 10)).astype(np.float32)
    prior = torch.tensor(np.concatenate([anchor[:, :2], anchor[:, 2:], anchor[:, 2:]], 1), dtype=torch.float32)
    found, marks = decode(offsets, points, anchor)
    np.testing.assert_allclose(found, box_decode(torch.tensor(offsets), prior, [0.1, 0.2]), rtol=1e-4, atol=1e-2)
    theirs = decode_landm(torch.tensor(points), prior, [0.1, 0.2]).reshape(-1, 5, 2)
    np.testing.assert_allclose(marks, theirs, rtol=1e-4, atol=1e-2)


def test_suppression_against_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 60, (80, 2))
    found = np.concatenate([corner, corner + rng.uniform(5, 40, (80, 2))], 1)
    scores = rng.uniform(0, 1, 80)

    def clash(a: Array, b: Array) -> bool:
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        common = max(width, 0) * max(height, 0)
        first, second = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
        return bool(common / (first + second - common) > 0.4 or common / min(first, second) > MAX_INSIDE)

    left, kept = list(np.argsort(-scores)), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [k for k in left if not clash(found[best], found[k])]
    assert 5 < len(kept) < 60 and list(nms(found, scores, 0.4, MAX_INSIDE)) == kept
    assert iou(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2.0]]))[0, 0] == pytest.approx(1 / 3)
    assert len(nms(np.zeros((0, 4)), np.zeros(0), 0.4)) == 0


def test_finds_the_place_in_frame_coordinates() -> None:
    found = boxes(Detect("spot"), red_spots(), runtime(Spot()))
    for i, rows in enumerate(found):
        assert rows is not None and rows.shape == (1, 15) and rows.dtype == np.float32
        # The cell covers pixels 16i .. 16i + 15, its center is 16i + 7.5.
        center = (rows[0, :2] + rows[0, 2:4]) / 2
        np.testing.assert_allclose(center, [16 * i + 7.5, 55.5], atol=1e-3)
        np.testing.assert_allclose(rows[0, 2:4] - rows[0, :2], 64, atol=1e-3)
        np.testing.assert_allclose(rows[0, 9:11], center, atol=1e-3)  # the nose, in the middle here


def test_reduced_size_and_deep_frames_give_the_same_place() -> None:
    frames = red_spots(3)
    large = frames.repeat(4, 1).repeat(4, 2)
    rt = runtime(Spot())
    small, big = boxes(Detect("spot"), frames, rt), boxes(Detect("spot", size=160), large, rt)
    deep = boxes(Detect("spot", size=160), large.astype(np.uint16) * 257, rt)
    for a, b, c in zip(small, big, deep, strict=True):
        assert a is not None and b is not None and c is not None
        np.testing.assert_allclose(b[:, :4], (a[:, :4] + 0.5) * 4 - 0.5, atol=1e-3)
        np.testing.assert_array_equal(b, c)


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.ptp(shrink(stripes, 16)) <= 2
    assert shrink(stripes, 64) is stripes
    np.testing.assert_array_equal(eight_bits(stripes.astype(np.uint16) * 257), stripes)


def test_every_kth_frame_and_the_first_after_a_cut() -> None:
    frames = red_spots(9, 96, 160)
    found = boxes(Detect("spot", every=4), frames, runtime(Spot()))
    assert [rows is not None for rows in found] == [i % 4 == 0 for i in range(9)]
    frames[6:] //= 2
    frames[6:] += 120  # another scene from frame 6 on
    found = boxes(Detect("spot", every=4), frames, runtime(Spot()))
    assert [i for i, rows in enumerate(found) if rows is not None] == [0, 4, 6]


@pytest.mark.parametrize("every", [1, 3])
def test_chunk_size_changes_nothing(every: int) -> None:
    torch.manual_seed(0)
    module = build("retinaface_mobilenet0.25")
    rt = Runtime("cpu", "fp32")
    rt.add_model("random", module, arch="retinaface_mobilenet0.25")
    frames = np.random.default_rng(0).integers(0, 255, (7, 96, 96, 3), dtype=np.uint8)
    detect = Detect("random", every=every, threshold=0.4)
    whole = boxes(detect, frames, rt)
    assert sum(len(rows) for rows in whole if rows is not None) > 5, "nothing to compare"
    for size in (1, 2, 3):
        for a, b in zip(whole, boxes(detect, frames, rt, size), strict=True):
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                np.testing.assert_array_equal(a, b)


def test_repeated_frames_are_looked_at_once() -> None:
    spot = Spot()
    still = red_spots(1).repeat(20, 0)
    found = boxes(Detect("spot"), still, runtime(spot), size=5)
    assert spot.images == BATCH  # one batch, the first
    assert all(rows is not None and len(rows) == 1 for rows in found)


def test_odd_and_tiny_frames_are_padded_to_whole_cells() -> None:
    spot = Spot()
    rt = runtime(spot)
    for height, width in ((16, 16), (33, 95), (1, 1)):
        rows = boxes(Detect("spot"), np.zeros((1, height, width, 3), np.uint8), rt)[0]
        assert rows is not None and rows.shape == (0, 15)
    assert all(h % 32 == 0 and w % 32 == 0 for _, _, h, w in spot.shapes)


def test_two_videos_at_once_do_not_mix() -> None:
    rt = runtime(Spot())
    detect = Detect("spot", every=2)
    a, b = red_spots(4), red_spots(4)[::-1].copy()
    first, second = detect.run(iter(chunked(a, 1)), rt), detect.run(iter(chunked(b, 1)), rt)
    mixed = [(x.boxes, y.boxes) for x, y in zip(first, second, strict=True)]
    for which, alone in enumerate((boxes(detect, a, rt, 1), boxes(detect, b, rt, 1))):
        for pair, expected in zip(mixed, alone, strict=True):
            got = pair[which]
            assert got is not None and (got[0] is None) == (expected is None)
            if expected is not None:
                np.testing.assert_array_equal(got[0], expected)


def test_options_are_checked() -> None:
    for wrong in ({"size": 8}, {"every": 0}, {"every": 100}, {"threshold": 0.0}, {"nms": 2.0}):
        with pytest.raises(OptionError, match="detect"):
            Detect(**wrong)
    assert Detect("a").models == ("a",)
    assert replace(Detect(), every=12).every == 12


# -- real weights, real pictures ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared: Callable[[str], Path]) -> tuple[Runtime, str]:
    return Runtime("cpu", "fp32"), str(shared(WEIGHTS))


def astronaut() -> Array:
    return np.asarray(images.astronaut())


def test_astronaut_has_one_face(real: tuple[Runtime, str]) -> None:
    rt, weights = real
    rows = detect_faces(astronaut(), rt, weights)
    assert len(rows) == 1 and rows[0, 4] > 0.95
    # Looked at by eye: eyes (202, 101) and (246, 102), mouth corners at (203, 141) and (245, 142).
    np.testing.assert_allclose(rows[0, 5:9], [202, 101, 246, 102], atol=5)
    np.testing.assert_allclose(rows[0, 11:], [203, 141, 245, 142], atol=5)


def test_small_and_large_faces(real: tuple[Runtime, str]) -> None:
    rt, weights = real
    image = astronaut()
    truth = detect_faces(image, rt, weights)[0, :4]
    for factor in (0.2, 0.4, 1.0):  # faces of 25, 49 and 123 px
        scaled = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        rows = detect_faces(scaled, rt, weights)
        assert len(rows) == 1, factor
        assert iou(rows[:, :4] / factor, truth[None])[0, 0] > 0.7, factor
    close = cv2.resize(image[30:210, 140:320], None, fx=3.5, fy=3.5, interpolation=cv2.INTER_CUBIC)
    rows = detect_faces(close, rt, weights)  # 430 of 630 px
    assert len(rows) == 1
    assert iou(rows[:, :4] / 3.5 + [140, 30, 140, 30], truth[None])[0, 0] > 0.7


def test_half_precision_finds_the_same_faces(real: tuple[Runtime, str]) -> None:
    rt, weights = real
    image = cv2.resize(astronaut(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    exact, rough = detect_faces(image, rt, weights), detect_faces(image, Runtime("cpu", "bf16"), weights)
    assert len(exact) == len(rough) == 1
    height = exact[0, 3] - exact[0, 1]
    np.testing.assert_allclose(rough, exact, atol=0.01 * height)


def test_real_footage(real: tuple[Runtime, str], shared: Callable[[str], Path]) -> None:
    rt, weights = real
    for name in ("edtalk_tedlieu_60s.mp4", "latentsync_demo1.mp4", "sadtalker_AOC.mp4"):
        with av.open(str(shared(f"data/talking/{name}"))) as file:
            frames = [f.to_ndarray(format="rgb24") for _, f in zip(range(9), file.decode(video=0), strict=False)][::4]
        for rows in boxes(Detect(weights), np.stack(frames), rt):
            assert rows is not None and len(rows) == 1, name
            eye, other, nose, left, right = rows[0, 5:].reshape(5, 2)
            assert eye[0] < other[0] and left[0] < right[0] and eye[1] < nose[1] < left[1], name
