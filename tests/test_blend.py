"""Blend: what it changes, what it keeps, and where its pixels come from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_faces import COUNT, Labelled, drawn, labels, source, through
from media import tiny_runtime

from wav2lip_hq import geometry
from wav2lip_hq.errors import OptionError
from wav2lip_hq.stages import Blend, LipSync, Parse, Restore
from wav2lip_hq.stages._coarse import UNIT, cells, coarsened
from wav2lip_hq.stages._recall import MANY, WINDOW, Mouths
from wav2lip_hq.stages.parse import default_shape


def blended(change, *, frames=None, lips=None, **options):
    """Blend faces made by ``change(aligned)`` into the drawn clip; (before, after, faces). lips: label maps before and
    after for a parser."""
    runtime = tiny_runtime()
    chunk = source(frames)
    parse = ()
    if lips:
        runtime.batch_size = 64
        runtime.add_model("labelled", Labelled(*lips), "bisenet_79999_iter")
        parse = (Parse("labelled"),)

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


def test_a_colour_cast_of_the_generator_is_removed():
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


def test_lips_keep_their_paint():
    """Generators who saw few painted lips make them pale; the mean colour of the source's comes back."""
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

    def colour(lips):
        _, after, faces = blended(pale, frames=red, lips=lips, texture=0.0)
        made = geometry.warp(after, faces.frame, faces.to512, 512)
        return made[:, 365:375, 240:272].reshape(-1, 3).mean(0)

    with_paint, without = colour((both, both)), colour(None)
    assert np.abs(with_paint - (170, 30, 40)).max() < 20 < np.abs(without - (170, 30, 40)).max()


def opened(colour):
    """A change that opens every mouth and fills it with a colour."""

    def change(images):
        out = aligned_of()
        for image in out:
            cv2.ellipse(image, (256, 370), (45, 30), 0, 0, 360, colour, -1)
        return out

    return change


def test_teeth_are_not_violet():
    """An unsure generator mixes teeth and shadow to violet; nothing in this source is."""
    before, after, faces = blended(opened((150, 110, 190)))
    x, y = (faces.landmarks[0, 3] + faces.landmarks[0, 4]) / 2
    part = (0, slice(int(y) - 3, int(y) + 4), slice(int(x) - 3, int(x) + 4))
    red, green, blue = after[part].reshape(-1, 3).astype(int).T
    seen = geometry.warp(before, faces.frame, faces.to512, 512)[0].astype(int)
    assert (blue - green).max() <= max(0, (seen[..., 2] - seen[..., 1]).max()) + 12 < 80 - 12


def test_a_new_mouth_does_arrive():
    """Texture keeping and colour matching must not argue the synthesis away."""
    before, after, faces = blended(opened((40, 10, 10)))
    x, y = (faces.landmarks[0, 3] + faces.landmarks[0, 4]) / 2
    at = (0, int(y) + 1, int(x))
    assert after[at].astype(int).sum() < 150 < before[at].astype(int).sum()


def test_shimmering_detail_of_a_restorer_is_calmed():
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


# ---- mouths from earlier frames


def mouths(count, rng=None):
    """(count, 512, 512, 3) aligned faces of someone who speaks: a skin, lips, and teeth with gaps, ever more open."""
    out = np.full((count, 512, 512, 3), (200, 150, 130), np.uint8)
    for n, face in enumerate(out):
        down = 6 + 34 * n // max(count - 1, 1)
        cv2.ellipse(face, (256, 370), (62, down + 14), 0, 0, 360, (170, 70, 70), -1)
        cv2.ellipse(face, (256, 370), (50, down), 0, 0, 360, (50, 15, 20), -1)
        for x in range(-42, 42, 14):
            cv2.rectangle(face, (256 + x + 2, 370 - down // 2), (256 + x + 12, 370), (240, 235, 225), -1)
    return out


FREE = np.full((512, 512), 255, np.uint8)


def remembered(faces):
    out = Mouths()
    for n, face in enumerate(faces):
        out.add(n, face, FREE)
    return out


def made_from(face):
    """What a generator shows of a face: soft, pale and greyish."""
    soft = cv2.GaussianBlur(face[WINDOW].astype(np.float32), (0, 0), 6)
    return 0.6 * soft + 0.4 * soft.mean((0, 1)) - (15, 5, 0)


def contrast(window):
    """From column to column, between the lips."""
    return np.abs(np.diff(window[80:120, 70:170].astype(np.float32).mean(2), axis=1)).mean()


def test_teeth_come_from_the_frame_that_shows_such_a_mouth():
    faces = mouths(40)
    known = remembered(faces)
    for number in (3, 18, 36):
        made = np.float32(made_from(faces[number]))
        after = known.painted(made.copy(), coarsened(made), 150.0, 1.0)
        assert known.numbers and abs(known.last - number) <= 3, "about as far open"
        assert contrast(after) > max(0.4 * contrast(faces[number][WINDOW]), 1.5 * contrast(made))


def test_a_still_face_has_no_mouths_to_lend():
    """A photograph or a listener: the dubbed mouth must not be stilled by the one mouth there is."""
    rng = np.random.default_rng(0)
    still = [np.clip(mouths(1)[0] + rng.normal(0, 3, (512, 512, 3)), 0, 255).astype(np.uint8) for _ in range(50)]
    made = np.float32(made_from(mouths(40)[30]))
    np.testing.assert_array_equal(remembered(still).painted(made, coarsened(made), 150.0, 1.0), made)


def test_a_mouth_behind_a_hand_is_not_remembered():
    hidden = FREE.copy()
    hidden[330:, 256:] = 0
    known = Mouths()
    known.add(0, mouths(1)[0], hidden)
    assert not known.numbers


def test_hours_of_footage_do_not_fill_the_memory():
    rng = np.random.default_rng(0)
    known = Mouths()
    for n in range(3 * MANY):
        noise = cv2.resize(rng.uniform(0, 255, (12, 12, 3)).astype(np.uint8), (512, 512))
        known.add(n, noise, FREE)
    assert len(known.numbers) == len(known.pictures) == len(known.looks) == MANY and known.numbers[-1] == 3 * MANY - 1


def test_recall_reaches_the_frames_and_can_be_turned_off():
    """A face whose mouth opens bit by bit; the synthesis holds the last frame's, blurred, all along."""
    count = 30
    frames = drawn(count)
    to512 = through(tiny_runtime(), chunk=source(frames)).faces.to512
    for frame, face, matrix in zip(frames, mouths(count), to512, strict=True):
        patch = np.zeros((512, 512), np.uint8)
        patch[WINDOW] = 1
        size = frame.shape[1::-1]
        there = cv2.warpAffine(patch, geometry.invert(matrix), size) > 0
        frame[there] = cv2.warpAffine(face, geometry.invert(matrix), size)[there]
    aligned = aligned_of(frames)
    wanted = np.stack([aligned[15]] * count)
    soft = np.stack([cv2.GaussianBlur(face, (0, 0), 6) for face in wanted])

    def sharp(**options):
        _, after, faces = blended(lambda images: soft, frames=frames, texture=0.0, **options)
        made = geometry.warp(after, faces.frame, faces.to512, 512)[25:, 355:385, 215:297].astype(np.float32).mean(3)
        return np.abs(np.diff(made, axis=2)).mean()

    assert sharp() > 2 * sharp(recall=0.0)


def test_the_mouth_window_lies_on_the_grid():
    rows, columns = cells(WINDOW, UNIT)
    assert all(edge % 16 == 0 for part in WINDOW for edge in (part.start, part.stop))
    assert rows.stop <= 128 and columns.stop <= 128
