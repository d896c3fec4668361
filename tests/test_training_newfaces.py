"""Augmentation of the landmark network: drawn beards, other face shapes, mouths opened and closed."""

from __future__ import annotations

import numpy as np
import pytest
from meshed_faces import face_mesh, in_frame, picture

from wav2lip_hq import mesh
from wav2lip_hq.training.beards import bearded
from wav2lip_hq.training.newfaces import opened, patch, reshaped


def face(opening: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A drawn face with lips that far apart in px, and its points."""
    drawn = face_mesh(opening)
    return np.pad(picture(drawn), ((0, 80), (0, 0), (0, 0)), mode="edge"), in_frame(drawn)


def reddish(image: np.ndarray, at: np.ndarray) -> float:
    """How red a place is: lips are, skin less, a mouth's inside is dark."""
    x, y = np.round(at).astype(int)
    spot = image[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(0)
    return float(spot[0] - spot[1])


@pytest.mark.parametrize("before", [0.0, 60.0])
@pytest.mark.parametrize("wanted", [0.0, 0.1, 0.3])
def test_a_mouth_is_opened_as_far_as_asked_and_points_stay_on_lips(before: float, wanted: float) -> None:
    crop, points = face(before)
    for seed in range(4):
        found = opened(crop, points, wanted, np.random.default_rng(seed))
        assert found is not None
        image, moved = found
        assert image.shape == crop.shape and image.dtype == np.uint8
        assert float(mesh.opening(moved)) == pytest.approx(wanted, abs=0.015)
        inner, outer = moved[mesh.INNER_LIPS], moved[mesh.OUTER_LIPS]
        for n in (4, 5, 6, 14, 15, 16):  # lips are between the rings still
            middle = (inner[n] + outer[n]) / 2
            assert reddish(image, middle) > 60, f"point {n}, seed {seed}"
        still = [*range(mesh.FOREHEAD.start, mesh.BROWS.stop)]
        np.testing.assert_allclose(moved[still], points[still], atol=0.02)


def test_what_is_painted_between_lips_opened_apart_is_not_skin() -> None:
    crop, points = face(0)
    image, moved = opened(crop, points, 0.3, np.random.default_rng(0)) or (crop, points)
    x, y = np.round(moved[mesh.at(13, 14)].mean(0)).astype(int)
    assert np.abs(image[y, x].astype(int) - crop[y, x].astype(int)).max() > 40


def test_a_head_turned_away_is_left_alone() -> None:
    crop, points = face(20)
    middle = points[:, 0].mean()
    points[:, 0] = middle + 40 * np.sin((points[:, 0] - middle) / 40 + 0.9)  # the far side folds behind the near one
    assert opened(crop, points, 0.2, np.random.default_rng(0)) is None


def test_points_follow_a_face_of_another_shape() -> None:
    crop, points = face(40)
    marks = points[[*mesh.at(61, 291, 0, 17, 152, 4), mesh.JAW.start + 4]]
    crop = np.zeros_like(crop)
    for n, (x, y) in enumerate(np.round(marks).astype(int)):
        crop[y - 2 : y + 3, x - 2 : x + 3] = 30 * (n + 1)
    marks = np.round(marks)
    for seed in range(5):
        image, moved = reshaped(crop, np.concatenate([points, marks]), np.random.default_rng(seed))
        assert np.abs(moved - np.concatenate([points, marks])).max() > 3, "somebody else"
        for n, (x, y) in enumerate(np.round(moved[mesh.POINTS :]).astype(int)):
            assert abs(int(image[y, x, 0]) - 30 * (n + 1)) <= 15, f"mark {n}, seed {seed}"


def test_beards_grow_on_skin_and_leave_the_mouth_free() -> None:
    crop, points = face(50)
    grown = []
    for seed in range(12):
        hairy = bearded(crop, points, np.random.default_rng(seed))
        assert hairy.shape == crop.shape and hairy.dtype == np.uint8
        change = np.abs(hairy.astype(int) - crop).max(-1)
        low = points[mesh.OUTER_LIPS][15]
        inside = np.round(points[mesh.INNER_LIPS].mean(0)).astype(int)
        middle_low = np.round((low + points[mesh.INNER_LIPS][15]) / 2).astype(int)
        for x, y in (inside, middle_low):
            assert change[y - 2 : y + 3, x - 2 : x + 3].max() <= 12, f"seed {seed}"
        eyes = np.round(points[mesh.LEFT_EYE].mean(0)).astype(int)
        assert change[eyes[1] - 5 : eyes[1] + 6, eyes[0] - 9 : eyes[0] + 10].max() == 0
        grown.append((change > 25).mean())
    assert np.mean(np.array(grown) > 0.003) > 0.6
    assert np.ptp(grown) > 0.01, "not all alike"


def test_the_patch_holds_mouth_and_chin() -> None:
    crop, points = face(30)
    rows, columns = patch(points, crop.shape)
    lower = points[[*range(mesh.LIPS.start, mesh.JAW.stop)]][40:]
    assert (lower[5:16, 1] < rows.stop).all() and points[mesh.OUTER_LIPS][:, 1].min() > rows.start
    assert columns.start <= points[:, 0].min() + 1 and columns.stop >= points[:, 0].max() - 1
