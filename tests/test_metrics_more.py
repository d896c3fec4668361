"""The other metrics do what their names say: known answers, directions, empty input."""

from __future__ import annotations

import doctest
import importlib
import math

import numpy as np
import pytest

from wav2lip_hq.errors import CheckpointError, InputError
from wav2lip_hq.metrics.agreement import bootstrap, off_sync_accuracy, syncnet_score, tss
from wav2lip_hq.metrics.face import identity_similarity, landmark_distance
from wav2lip_hq.metrics.frechet import FrechetDistance, fid
from wav2lip_hq.metrics.motion import background_change, flicker, seam, sharpness

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", ["image", "frechet", "motion", "face", "agreement", "lipsync", "offset"])
def test_examples_in_the_docstrings(name):
    module = importlib.import_module(f"wav2lip_hq.metrics.{name}")
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0


def plain(pictures):
    return pictures.reshape(len(pictures), -1).astype(float)[:, :4]


def test_frechet_distance_of_known_gaussians():
    # Two normal distributions with the same covariance: the squared distance of the means.
    a, b = RNG.normal(100, 10, (20000, 4)), RNG.normal(103, 10, (20000, 4))
    distance = FrechetDistance(lambda x: x, "plain")
    distance.add(a, real=True)
    distance.add(b, real=False)
    assert distance.compute() == pytest.approx(4 * 9, rel=0.1)


def test_frechet_distance_is_the_same_from_workers():
    pictures = RNG.integers(0, 255, (60, 2, 2, 3), np.uint8)
    whole, one, two = (FrechetDistance(plain, "p") for _ in range(3))
    for real, scale in ((True, 1), (False, 2)):
        whole.add(pictures // scale, real=real)
        one.add(pictures[:25] // scale, real=real)
        two.add(pictures[25:] // scale, real=real)
    one.merge(two)
    assert one.compute() == pytest.approx(whole.compute(), rel=1e-9) and whole.compute() > 100
    assert math.isnan(FrechetDistance(plain, "p").compute())
    with pytest.raises(InputError):
        whole.add(pictures[:0], real=True)


def test_fid_says_what_it_needs(monkeypatch):
    monkeypatch.setattr("wav2lip_hq.checkpoints.locate", lambda name: None)
    with pytest.raises(CheckpointError, match="fetch inception-fid"):
        fid()


def test_flicker_and_sharpness_move_the_right_way():
    still = [RNG.integers(0, 255, (40, 40, 3), np.uint8)] * 6
    shaky = [np.clip(f.astype(int) + RNG.integers(-20, 20), 0, 255).astype(np.uint8) for f in still]
    assert flicker(still) == 0 < flicker(shaky)
    import cv2

    assert sharpness([cv2.GaussianBlur(still[0], (5, 5), 2)]) < 0.3 * sharpness(still)
    assert math.isnan(flicker(still[:2])) and math.isnan(sharpness([]))


def test_a_hard_paste_shows_a_seam_and_a_soft_one_less():
    import cv2

    source = np.full((80, 80, 3), 100, np.uint8)
    hard = np.zeros((80, 80), np.float32)
    hard[20:60, 20:60] = 1
    soft = cv2.GaussianBlur(hard, (31, 31), 8)
    narrow = cv2.GaussianBlur(hard, (3, 3), 0.8)
    paste = lambda m: np.round(source + 60 * m[..., None]).astype(np.uint8)  # noqa: E731
    assert seam(paste(narrow), source, narrow) > 3 * seam(paste(soft), source, soft) > 0
    assert seam(source, source, soft) == 0 and math.isnan(seam(source, source, hard * 0))
    touched = hard > 0
    assert background_change(paste(hard), source, touched) == 0
    assert background_change(paste(soft), source, touched) > 0


def test_landmarks_and_identity():
    real = RNG.normal(0, 20, (5, 5, 2))
    opened = real.copy()
    opened[:, 3:] += [0, 4]
    assert landmark_distance(opened, real) > landmark_distance(real + 50, real) == pytest.approx(0, abs=1e-9)
    many = RNG.normal(0, 20, (5, 20, 2))
    assert landmark_distance(many * 1.1, many) == pytest.approx(0.09, abs=0.03)
    with pytest.raises(InputError):
        landmark_distance(real[:2], real)
    faces = RNG.integers(0, 255, (4, 8, 8, 3), np.uint8)
    flat = lambda x: x.reshape(len(x), -1).astype(float) - 127  # noqa: E731
    assert identity_similarity(faces, faces, flat) == pytest.approx(1)
    assert identity_similarity(faces, faces[::-1], flat) < 0.5


def test_agreement():
    assert syncnet_score(np.array([2.0, 0.0])) == 0.5 and math.isnan(syncnet_score(np.zeros(0)))
    assert tss(np.array([1.0, 5.0, 1.0, 5.0])) < tss(np.array([3.0, 3.2, 3.1, 3.0])) and math.isnan(tss(np.zeros(3)))
    assert off_sync_accuracy(np.array([0.9, 0.4]), np.array([0.1, 0.2])) == 0.75
    with pytest.raises(InputError):
        off_sync_accuracy(np.zeros(0), np.ones(1))
    low, high = bootstrap(RNG.normal(5, 1, 100))
    assert 4.5 < low < 5 < high < 5.5 and high - low < 0.6
