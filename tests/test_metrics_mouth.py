"""Measures of mouths on drawn faces: opening, leak, agreement, closure, THEval's lips, paint, occluders."""

from __future__ import annotations

import doctest
import math

import cv2
import numpy as np
import pytest
from drawn_mesh import drawn_mesh, words

from wav2lip_hq.errors import InputError
from wav2lip_hq.metrics import bilabial, leakage, mouth, occluder, paint, theval

TIMES = np.arange(100) / 25


@pytest.mark.parametrize("module", [bilabial, leakage, mouth, theval])
def test_examples_in_the_documentation(module):
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0


def test_opening_does_not_depend_on_the_size_of_the_face():
    asked = np.array([0.0, 0.1, 0.3])
    small, large = drawn_mesh(asked, scale=0.5), drawn_mesh(asked, (700, 400), scale=4)
    np.testing.assert_allclose(mouth.opening(small), asked, atol=1e-4)
    np.testing.assert_allclose(mouth.opening(large), asked, atol=1e-4)
    np.testing.assert_allclose(mouth.width(small), mouth.width(large), atol=1e-4)


def test_frames_of_low_confidence_are_unseen():
    mesh = drawn_mesh(words(1))
    mesh[3] = np.nan
    found = mouth.from_mesh(mesh, TIMES, np.where(np.arange(100) == 7, 0.1, 0.9))
    assert found.seen.sum() == 98 and np.isnan(found.opening[[3, 7]]).all()
    with pytest.raises(InputError, match="468"):
        mouth.from_mesh(mesh[:, :100], TIMES)


# ---- leak and agreement


def test_a_copy_leaks_all_and_other_words_do_not():
    real = words(1)
    assert leakage.correlation(real, real) == 1
    assert abs(leakage.correlation(words(2), real)) < 0.35


def test_a_frozen_mouth_neither_leaks_nor_agrees():
    frozen = np.full(100, 0.07)
    assert leakage.still(frozen) and not leakage.still(words(1))
    assert leakage.correlation(frozen, words(1)) == 0
    assert leakage.amplitude(frozen, words(1)) == pytest.approx(0)
    assert leakage.amplitude(words(1), frozen) is None and mouth.jumps(words(1), frozen) is None


def test_nothing_seen_is_none_and_never_nan():
    nothing = np.full(100, np.nan)
    assert leakage.correlation(nothing, words(1)) is None and leakage.lagged(nothing, words(1)) is None
    assert mouth.closed_level(nothing) is None and mouth.tremble(nothing) is None
    assert leakage.closure(nothing, 0.02) is None and leakage.lip_leak(nothing, words(1), 0.02) is None
    assert leakage.amplitude(nothing, words(1)) is None and leakage.still(nothing)
    unseen = np.full((100, 468, 2), np.nan)
    assert theval.silent_stability(unseen, TIMES, np.zeros(100)) is None
    assert theval.lip_sync(unseen, TIMES, np.ones(100), np.ones(64000)) is None
    assert theval.lip_dynamics(unseen) is None
    assert not any(math.isnan(v) for v in paint.Paint().compute().values() if v is not None)


def test_a_lag_is_reported_separately():
    rng = np.random.default_rng(0)
    quick = rng.normal(size=101)  # every frame another opening: a frame late is another mouth
    late, early = quick[:-1], quick[1:]
    assert abs(leakage.correlation(early, late)) < 0.3
    value, lag = leakage.lagged(early, late)
    assert value == pytest.approx(1) and lag == 1
    assert leakage.lagged(late, early)[1] == -1
    with pytest.raises(InputError, match="same frames"):
        leakage.correlation(quick, late)


def test_silence_closes_the_mouth_or_does_not():
    real = words(1)
    closed = mouth.closed_level(real)
    shut = np.full(100, closed)
    assert leakage.closure(shut, closed) == 1 and leakage.lip_leak(shut, real, closed) == 0
    assert leakage.closure(real, closed) < 0.5 and leakage.lip_leak(real, real, closed) == 1


def test_jitter_is_measured():
    real = words(1)
    jumping = real + 0.05 * (np.arange(100) % 2)
    assert mouth.jumps(real, real) == 1 and mouth.jumps(jumping, real) > 2


# ---- p, b and m


def test_lips_must_meet_where_the_words_say(tmp_path):
    align = tmp_path / "a.align"
    align.write_text("0 12500 sil\n12500 20000 bin\n20000 25000 red\n25000 37500 m\n37500 74500 sil\n")
    when = bilabial.moments(bilabial.read_align(align))
    assert when == [0.5, 1.5]
    openings = np.full(75, 0.2)
    openings[11:13] = 0.02  # 0.44 to 0.48 s: in time for the b, not for the m
    assert bilabial.closures(openings, np.arange(75) / 25, when, 0.02) == (1, 2)
    align.write_text("0 12500 sil\n12500 bin\n")
    with pytest.raises(InputError, match="line 2"):
        bilabial.read_align(align)


# ---- THEval


def test_a_calm_mouth_is_stable_in_pauses():
    speech = np.where(TIMES < 2, 1.0, 0.0)
    talking = words(1)
    calm = np.where(TIMES < 2, talking, 0.02)
    assert theval.silent_stability(drawn_mesh(calm), TIMES, speech) == pytest.approx(0, abs=1e-4)
    assert theval.silent_stability(drawn_mesh(talking), TIMES, speech) > 0.02
    assert theval.silent_stability(drawn_mesh(talking), TIMES, np.ones(100)) is None
    short = np.where((TIMES > 1) & (TIMES < 1.2), 0.0, 1.0)
    assert theval.pauses(TIMES, short) == []


def test_lip_sync_falls_where_the_mouth_follows_the_level():
    openings = words(3)
    level = np.interp(np.arange(64000) / 16000, TIMES, openings - openings.min())
    wav = level * np.sin(2 * np.pi * 300 * np.arange(64000) / 16000)
    speech = np.ones(100)
    following = theval.lip_sync(drawn_mesh(openings), TIMES, speech, wav)
    other = theval.lip_sync(drawn_mesh(words(4)), TIMES, speech, wav)
    assert following < 0.06 < other
    assert theval.lip_sync(drawn_mesh(openings), TIMES, np.zeros(100), wav) is None


def test_lip_dynamics_are_nothing_when_frozen_and_grow_with_the_opening():
    frozen = theval.lip_dynamics(drawn_mesh(np.full(20, 0.1)))
    quiet, lively = (theval.lip_dynamics(drawn_mesh(0.02 + a * words(1))) for a in (0.3, 1.0))
    assert frozen == pytest.approx(0, abs=1e-4) and 0 < quiet < lively
    assert theval.lip_dynamics(drawn_mesh(words(1), scale=3)) == pytest.approx(
        theval.lip_dynamics(drawn_mesh(words(1))), rel=1e-3
    )


# ---- paint


def test_paint_counts_outside_the_mouth_only():
    source = np.full((256, 256, 3), 120, np.uint8)
    mesh = drawn_mesh(np.array([0.1]))[0]

    def painted(x: int, y: int) -> dict[str, float | None]:
        result = source.copy()
        cv2.ellipse(result, (x, y), (9, 5), 0, 0, 360, (190, 90, 140), -1)
        figure = paint.Paint()
        figure.add(result, source, mesh, mesh)
        return figure.compute()

    lips, cheek, neck = painted(128, 172), painted(82, 140), painted(128, 250)
    assert lips == {"off_mouth": 0, "off_face": 0, "peak": pytest.approx(0, abs=1)}
    assert cheek["off_mouth"] > 1 and cheek["off_face"] == 0 and cheek["peak"] > 60
    assert neck["off_mouth"] > 1 and neck["off_face"] > 1


def test_paint_of_parts_adds_up_and_noise_is_none():
    rng = np.random.default_rng(0)
    source = np.full((256, 256, 3), 120, np.uint8)
    noisy = np.clip(source + rng.normal(0, 2, source.shape), 0, 255).astype(np.uint8)
    mesh = drawn_mesh(np.array([0.1]))[0]
    whole, first, second = paint.Paint(), paint.Paint(), paint.Paint()
    for part, frame in ((first, noisy), (second, 255 - source)):
        part.add(frame, source, mesh)
        whole.add(frame, source, mesh)
    assert first.compute()["off_mouth"] == 0 and first.compute()["peak"] < 8
    first.merge(second)
    assert first.compute() == whole.compute() and whole.compute()["peak"] == pytest.approx(15, abs=1)
    with pytest.raises(InputError, match="shape"):
        whole.add(noisy[1:], source, mesh)


# ---- occluders


@pytest.mark.parametrize("kind", occluder.KINDS)
def test_occluders_must_stay_unchanged(kind):
    frame = np.full((256, 256, 3), 160, np.uint8)
    mesh = drawn_mesh(np.array([0.1]))[0]
    layer = occluder.place(mesh, 0, 25.0, frame.shape[:2], occluder.draw(kind))
    lips = mesh[[13, 14]].mean(0).round().astype(int)
    assert layer[lips[1], lips[0], 3] == 255, "the occluder lies over the mouth"
    hidden = occluder.composite(frame, layer)
    assert (hidden[layer[..., 3] == 0] == 160).all() and (hidden[layer[..., 3] == 255] != 160).any()

    def judged(result: np.ndarray) -> dict[str, float | None]:
        figure = occluder.Covered()
        figure.add(result, hidden, layer[..., 3], mesh)
        return figure.compute()

    assert judged(hidden) == {"covered": 0, "ring": 100, "beside": 100}
    over = hidden.copy()
    cv2.circle(over, lips.tolist(), 4, (200, 40, 40), -1)
    assert judged(over)["covered"] > 50 and judged(over)["ring"] == 100
    around = np.where((layer[..., 3] == 0)[..., None], hidden + np.uint8(20), hidden)
    assert judged(around)["covered"] == 0 and judged(around)["ring"] < 25


def test_the_occluder_uncovers_part_of_the_mouth_at_times():
    mesh = drawn_mesh(np.array([0.1]))[0]
    rgba = occluder.draw("microphone")
    region = paint.mouth_region(mesh, (256, 256))
    hidden = [(occluder.place(mesh, n, 25.0, (256, 256), rgba)[..., 3] > 0)[region].mean() for n in range(0, 50, 6)]
    assert max(hidden) > min(hidden) + 0.05
    with pytest.raises(InputError, match="hand, microphone"):
        occluder.draw("banana")
