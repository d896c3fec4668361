"""Blend: what it changes, what it keeps, and where its pixels come from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_faces import COUNT, Labeled, drawn, labels, source, through
from media import tiny_runtime

from wav2lip_hq import geometry
from wav2lip_hq.errors import OptionError
from wav2lip_hq.stages import Blend, LipSync, Parse, Restore
from wav2lip_hq.stages.parse import default_shape


def blended(change, *, frames=None, lips=None, **options):
    """Blend faces made by ``change(aligned)`` into the drawn clip; (before, after, faces). lips: label maps before and
    after for a parser."""
    runtime = tiny_runtime()
    chunk = source(frames)
    parse = ()
    if lips:
        runtime.batch_size = 64
        runtime.add_model("labeled", Labeled(*lips), "bisenet_79999_iter")
        parse = (Parse("labeled"),)

    class Paint:
        scale = 1

        def __call__(self, images):
            return change(images)

    done = through(runtime, LipSync("tiny-generator"), *parse, Restore(Paint()), Blend(**options), chunk=chunk)
    return chunk.frames, done.frames, done.faces


def aligned_of(frames=None):
    return through(tiny_runtime(), chunk=source(frames)).faces.aligned


@pytest.mark.parametrize("method", ["multiband", "feather"])
def test_a_face_that_says_the_same_changes_nothing(method):
    aligned = aligned_of()
    before, after, _ = blended(lambda images: aligned, method=method)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("method", ["multiband", "feather"])
@pytest.mark.parametrize("deep", [False, True])
def test_pixels_outside_the_mask_keep_their_values(method, deep):
    frames = drawn()
    frames = frames.astype(np.uint16) * 257 + 3 if deep else frames
    before, after, faces = blended(lambda images: 255 - images, frames=frames, method=method)
    shape = default_shape().astype(np.uint8)
    for n in range(COUNT):
        back = geometry.invert(faces.to512[n : n + 1])[0]
        inside = cv2.warpAffine(cv2.dilate(shape, np.ones((5, 5))), back, (480, 360), flags=cv2.INTER_LINEAR) > 0
        np.testing.assert_array_equal(before[n][~inside], after[n][~inside])
        assert (before[n][inside] != after[n][inside]).any()


def test_a_color_cast_of_the_generator_is_removed():
    aligned = aligned_of()
    tinted = np.clip(aligned.astype(int) + [14, -6, 10], 0, 255).astype(np.uint8)
    before, corrected, _ = blended(lambda images: tinted)
    _, plain, _ = blended(lambda images: tinted, color=False)
    error = np.abs(corrected.astype(int) - before).mean(), np.abs(plain.astype(int) - before).mean()
    assert error[0] < 0.25 * error[1]


def test_the_sources_grain_stays_where_the_synthesis_agrees():
    rng = np.random.default_rng(0)
    frames = drawn(times=4)
    frames = np.clip(frames + rng.normal(0, 6, frames.shape), 0, 255).astype(np.uint8)
    aligned = aligned_of(frames)
    soft = np.stack([cv2.GaussianBlur(a, (0, 0), 4) for a in aligned])
    before, kept, _ = blended(lambda images: soft, frames=frames)
    _, lost, _ = blended(lambda images: soft, frames=frames, texture=0.0)

    def change(made):
        return np.abs(made.astype(int) - before).mean()

    assert change(kept) < 0.35 * change(lost)


def test_a_soft_synthesis_gets_the_sources_own_pixels_moved_along():
    """What the generator shows softly and a little lower is the source's chin, which is sharp."""
    rng = np.random.default_rng(0)
    frames = drawn(times=4)
    grain = cv2.GaussianBlur(rng.normal(0, 60, frames.shape[1:3]), (0, 0), 2)[None, ..., None]
    frames = np.clip(frames + grain, 0, 255).astype(np.uint8)
    aligned = aligned_of(frames)
    lower = np.float32([[1, 0, 0], [0, 1, 8]])
    wanted = np.stack([cv2.warpAffine(a, lower, (512, 512), borderMode=cv2.BORDER_REPLICATE) for a in aligned])
    soft = np.stack([cv2.GaussianBlur(a, (0, 0), 4) for a in wanted])
    _, after, faces = blended(lambda images: soft, frames=frames)
    _, plain, _ = blended(lambda images: soft, frames=frames, texture=0.0)

    def error(made):
        faces_made = geometry.warp(made, faces.frame, faces.to512, 512).astype(int)
        return np.abs(faces_made - wanted)[:, 340:420, 200:312].mean()

    assert error(after) < 0.5 * error(plain)


def test_lips_keep_their_color():
    """Generators who saw few painted lips make them pale; the mean color of the source's comes back."""
    both = labels((0, (0, 0, 0, 0)))
    aligned = aligned_of()
    lips = both.numpy() == 12

    def pale(images):
        out = aligned.copy()
        out[:, lips] = (180, 80, 85)
        return out

    red = drawn()
    to512 = through(tiny_runtime(), chunk=source(red)).faces.to512
    for n, frame in enumerate(red):
        there = cv2.warpAffine(lips.astype(np.uint8), geometry.invert(to512[n]), frame.shape[1::-1]) > 0
        frame[there] = (170, 30, 40)

    def color(lips):
        _, after, faces = blended(pale, frames=red, lips=lips, texture=0.0)
        made = geometry.warp(after, faces.frame, faces.to512, 512)
        return made[:, 365:375, 240:272].reshape(-1, 3).mean(0)

    with_paint, without = color((both, both)), color(None)
    assert np.abs(with_paint - (170, 30, 40)).max() < 20 < np.abs(without - (170, 30, 40)).max()


def opened(color):
    """A change that opens every mouth and fills it with a color."""

    def change(images):
        out = aligned_of()
        for image in out:
            cv2.ellipse(image, (256, 370), (45, 30), 0, 0, 360, color, -1)
        return out

    return change


def test_teeth_are_not_violet():
    """An unsure generator mixes teeth and shadow to violet; nothing in this source is violet."""
    before, after, faces = blended(opened((150, 110, 190)))
    x, y = (faces.landmarks[0, 3] + faces.landmarks[0, 4]) / 2
    part = (0, slice(int(y) - 3, int(y) + 4), slice(int(x) - 3, int(x) + 4))
    red, green, blue = after[part].reshape(-1, 3).astype(int).T
    seen = geometry.warp(before, faces.frame, faces.to512, 512)[0].astype(int)
    assert (blue - green).max() <= max(0, (seen[..., 2] - seen[..., 1]).max()) + 12 < 80 - 12


def test_a_new_mouth_is_shown():
    """Texture keeping and color matching must not suppress the synthesis."""
    before, after, faces = blended(opened((40, 10, 10)))
    x, y = (faces.landmarks[0, 3] + faces.landmarks[0, 4]) / 2
    at = (0, int(y) + 1, int(x))
    assert after[at].astype(int).sum() < 150 < before[at].astype(int).sum()


def test_flicker_of_restored_detail_is_reduced():
    """Skin invented anew in every frame: less of it changes from frame to frame, and the mouth still does."""
    aligned = aligned_of(drawn(times=3))
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 10, aligned.shape)
    noisy = np.clip(aligned + noise, 0, 255).astype(np.uint8)

    def change(steady):
        before, after, _ = blended(lambda images: noisy, texture=0.0, steady=steady)
        return np.abs(np.diff(after.astype(int) - before, axis=0)).mean()

    assert change(0.5) < 0.85 * change(0.0)


@pytest.mark.parametrize("options", [{"method": "poisson"}, {"texture": 1.5}, {"recall": 2}, {"steady": -1}])
def test_wrong_blend_options(options):
    with pytest.raises(OptionError):
        Blend(**options)
