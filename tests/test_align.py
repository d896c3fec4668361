"""Align: where crops come from, their depth, borders and sharpness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data as images

from wav2lip_hq import geometry
from wav2lip_hq.engine import run_stages
from wav2lip_hq.errors import OptionError
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages.align import Align
from wav2lip_hq.stages.detect import Detect
from wav2lip_hq.stages.track import Track
from wav2lip_hq.types import Array, Chunk, Faces

RUNTIME = Runtime("cpu", "fp32")
BOX = np.array([40.0, 30, 120, 150])  # 80 x 120


def ramp(height: int = 240, width: int = 320) -> Array:
    """Red grows with x by 0.5 a pixel, green with y, blue is 100: the color tells the place."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 0.5, y * 0.5, np.full_like(x, 100)], -1).round().astype(np.uint8)


def landmarks(box: Array = BOX) -> Array:
    share = (geometry.FFHQ_512 - 100) / 312
    return np.asarray(box[:2] + share * (box[2] - box[0]))


def chunk(frame: Array, box: Array = BOX, points: Array | None = None) -> Chunk:
    marks = landmarks(box) if points is None else points
    faces = Faces(
        frame=np.array([0, 1]),
        track=np.array([0, 0]),
        box=np.stack([box, box + 5]).astype(np.float32),
        landmarks=np.stack([marks, marks + 5]).astype(np.float32),
    )
    return Chunk(0, np.stack([frame, frame]), (Fraction(0), Fraction(1, 25)), faces=faces)


def aligned(stage: Align, given: Chunk) -> Faces:
    faces = stage.process(given, RUNTIME).faces
    assert faces is not None
    return faces


def test_the_padded_box_is_stretched_edge_to_edge() -> None:
    faces = aligned(Align(), chunk(ramp()))
    assert faces.to96 is not None and faces.crop96 is not None
    assert faces.crop96.shape == (2, 96, 96, 3) and faces.crop96.dtype == np.uint8
    # Padded by 5 % of the height below: y 30 .. 156. Crop pixel u samples x = 40 + (u + 0.5) * 80 / 96.
    at = np.arange(96) + 0.5
    for n in range(2):
        np.testing.assert_allclose(faces.crop96[n, 48, :, 0], 0.5 * (40 + 5 * n + at * 80 / 96), atol=0.8)
        np.testing.assert_allclose(faces.crop96[n, :, 48, 1], 0.5 * (30 + 5 * n + at * 126 / 96), atol=0.8)
        assert (faces.crop96[n, ..., 2] == 100).all()
    corner = faces.to96[0] @ np.array([120, 156, 1.0])
    np.testing.assert_allclose(corner, [95.5, 95.5], atol=1e-9)


def test_pads_and_size_are_options() -> None:
    stage = Align(pads=(0.1, 0.2, 0.25, 0.5), size=128)
    faces = aligned(stage, chunk(ramp()))
    assert faces.crop96 is not None and faces.crop96.shape == (2, 128, 128, 3) and faces.to96 is not None
    np.testing.assert_allclose(faces.to96[0] @ np.array([20, 18, 1.0]), [-0.5, -0.5], atol=1e-9)
    np.testing.assert_allclose(faces.to96[0] @ np.array([160, 174, 1.0]), [127.5, 127.5], atol=1e-9)
    assert Align(pads=[0, 0.05, 0, 0]) == Align()  # type: ignore[arg-type]  # as YAML gives it


def test_landmarks_land_on_the_template() -> None:
    angle, scale = 0.3, 0.4
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (geometry.FFHQ_512 - 256) @ turn.T + [160, 120]
    faces = aligned(Align(), chunk(ramp(), points=points))
    assert faces.to512 is not None and faces.aligned is not None
    landed = points @ faces.to512[0, :, :2].T + faces.to512[0, :, 2]
    np.testing.assert_allclose(landed, geometry.FFHQ_512, atol=1e-3)
    assert faces.aligned.shape == (2, 512, 512, 3) and faces.aligned.dtype == np.uint8
    # The color of each crop pixel tells which frame pixel it is.
    back = geometry.invert(faces.to512[0])
    for u, v in ((256, 256), (200, 300), (310, 230)):
        x, y = back[:, :2] @ [u, v] + back[:, 2]
        np.testing.assert_allclose(faces.aligned[0, v, u, :2], [0.5 * x, 0.5 * y], atol=1.0)


def test_deep_frames_give_eight_bit_crops_of_the_same_place() -> None:
    shallow = aligned(Align(), chunk(ramp()))
    deep = aligned(Align(), chunk(ramp().astype(np.uint16) * 257))
    for a, b in ((shallow.crop96, deep.crop96), (shallow.aligned, deep.aligned)):
        assert a is not None and b is not None and b.dtype == np.uint8
        assert np.abs(a.astype(int) - b).max() <= 1


def test_beyond_the_frame_the_border_is_repeated() -> None:
    frame = np.full((240, 320, 3), 180, np.uint8)
    for box in (BOX - [90, 0, 90, 0], BOX + [240, 160, 240, 160], BOX - 600):
        faces = aligned(Align(), chunk(frame, box))
        assert faces.crop96 is not None and faces.aligned is not None
        assert (faces.crop96 == 180).all() and (faces.aligned == 180).all()
    half = ramp()
    faces = aligned(Align(), chunk(half, BOX - [80, 0, 80, 0]))  # x from -40 to 40
    assert faces.crop96 is not None
    assert (faces.crop96[0, 50, :40, 0] == half[0, 0, 0]).all() and faces.crop96[0, 50, 95, 0] >= 18


def test_large_faces_are_averaged_not_skipped() -> None:
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 200
    faces = aligned(Align(), chunk(stripes, np.array([100.0, 100, 868, 868])))
    assert faces.crop96 is not None
    assert np.abs(faces.crop96.astype(int) - 100).max() <= 12


def test_no_faces_give_empty_arrays() -> None:
    empty = chunk(ramp())
    assert empty.faces is not None
    none = Faces(**{k: v[:0] for k, v in vars(empty.faces).items() if v is not None})
    faces = aligned(Align(), replace(empty, faces=none))
    for value, shape in (
        (faces.to96, (0, 2, 3)),
        (faces.to512, (0, 2, 3)),
        (faces.crop96, (0, 96, 96, 3)),
        (faces.aligned, (0, 512, 512, 3)),
    ):
        assert value is not None and value.shape == shape


def test_options_are_checked() -> None:
    for wrong in ({"pads": (0, 1)}, {"pads": (0, 0, 0, 9)}, {"pads": (-0.5, 0, 0, 0)}, {"size": 4}):
        with pytest.raises(OptionError, match="align"):
            Align(**wrong)


def test_detect_track_align_on_a_real_face(shared: Callable[[str], Path]) -> None:
    weights = str(shared("data/weights/retinaface_mobilenet0.25_biubug6.pth"))
    picture = np.asarray(images.astronaut())
    large = cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    source = [Chunk(0, large[None], (Fraction(0),))]
    keep = ["faces.aligned", "faces.to512", "faces.landmarks", "faces.crop96"]
    (out,) = run_stages([Detect(weights), Track(), Align()], source, RUNTIME, keep=keep)
    faces = out.faces
    assert faces is not None and len(faces) == 1 and faces.to512 is not None and faces.landmarks is not None
    landed = faces.landmarks[0] @ faces.to512[0, :, :2].T + faces.to512[0, :, 2]
    assert np.abs(landed - geometry.FFHQ_512).max() < 20  # a person's face differs from the template's by this much
    assert faces.aligned is not None and faces.crop96 is not None
    # The crops show what a plain resize of the frame shows there (the box lies inside the frame).
    direct = cv2.warpAffine(large, faces.to512[0], (512, 512), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(faces.aligned[0].astype(int) - direct).mean() < 2
    assert faces.box is not None
    x1, y1, x2, y2 = faces.box[0]
    y2 += 0.05 * (y2 - y1)
    part = large[round(y1 + 0.5) : round(y2 + 0.5), round(x1 + 0.5) : round(x2 + 0.5)]
    small = cv2.resize(part, (96, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(faces.crop96[0].astype(int) - small).mean() < 4 < small.std()
