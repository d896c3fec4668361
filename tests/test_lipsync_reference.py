"""The generator's reference: another frame with a closed mouth, cropped as the frame itself is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_faces import COUNT, drawn, source, through
from media import tiny_runtime

from wav2lip_hq import geometry
from wav2lip_hq.engine import run_stages
from wav2lip_hq.errors import OptionError
from wav2lip_hq.stages import LipSync
from wav2lip_hq.stages._reference import nearest, references
from wav2lip_hq.survey.facts import portrait
from wav2lip_hq.types import Mouths, References, TrackFacts

POSES = np.array([[-30, 0, 0], [0, 0, 0], [2, 1, 0], [30, 0, 0]], np.float32)
SHADES = (40, 90, 140, 190)


@pytest.fixture(scope="module")
def runtime():
    return tiny_runtime()


def known(pictures=None, opening=(0.0, 0.02, 0.01, 0.0), light=(100, 100, 100, 100)) -> References:
    flat = np.stack([np.full((256, 256, 3), shade, np.uint8) for shade in SHADES])
    return References(
        number=np.arange(4) * 10,
        picture=flat if pictures is None else pictures,
        opening=np.array(opening, np.float32),
        pose=POSES,
        light=np.array(light, np.float32),
    )


def facts(refs: References) -> TrackFacts:
    none = np.zeros((0, 1), np.float32)
    return TrackFacts(0.0, 0.3, 0.1, none, Mouths(np.zeros(0, np.int64), none, none, none, none), refs)


@pytest.fixture
def aligned(runtime):
    """A chunk of drawn faces up to the generator, with pose and light."""
    keep = through(runtime)
    count = len(keep.faces)
    pose = np.tile(np.float32([1, 1, 0]), (count, 1))
    return replace(keep, mel=source().mel, speech=source().speech).with_faces(
        pose=pose, light=np.full(count, 100, np.float32)
    )


def shown_to(runtime, stage, chunk):
    """(what the generator was shown as reference, (N, S, S, 3) in 0..255, and what it made)."""
    seen = []
    model = runtime.model("tiny-generator")
    hook = model.module.register_forward_pre_hook(lambda module, args: seen.append(args[1].clone()))
    made = stage.process(chunk, runtime).faces.synced96
    hook.remove()
    faces = np.concatenate([s.float().numpy() for s in seen])[: len(made)]
    return np.round(255 * faces.transpose(0, 2, 3, 1)[..., ::-1]), made


def test_the_generator_is_shown_another_frame_and_hides_half_of_this_one(runtime, aligned):
    tracks = {int(t): facts(known()) for t in np.unique(aligned.faces.track)}
    shown, made = shown_to(runtime, LipSync("tiny-generator"), replace(aligned, tracks=tracks))
    half = aligned.faces.crop96.shape[1] // 2
    assert (shown[..., :3] == SHADES[2]).all(), "reference: the most closed of those turned like the face"
    np.testing.assert_array_equal(shown[:, :half, :, 3:], aligned.faces.crop96[:, :half])
    assert not shown[:, half:, :, 3:].any()
    same, copied = shown_to(runtime, LipSync("tiny-generator", reference="same"), replace(aligned, tracks=tracks))
    np.testing.assert_array_equal(same[..., :3], aligned.faces.crop96)
    assert (made != copied).any()


def test_without_references_the_frame_itself_serves(runtime, aligned):
    empty = References(*(np.zeros((0, *x.shape[1:]), x.dtype) for x in vars(known()).values()))
    for tracks in (None, {}, {99: facts(known())}, {int(t): facts(empty) for t in aligned.faces.track}):
        shown, _ = shown_to(runtime, LipSync("tiny-generator"), replace(aligned, tracks=tracks))
        np.testing.assert_array_equal(shown[..., :3], aligned.faces.crop96)


@pytest.mark.parametrize(("yaw", "expected"), [(-29, 0), (-20, 0), (0.5, 2), (27, 3), (80, 3)])
def test_the_nearest_in_pose_is_chosen(yaw, expected):
    assert nearest(known(), np.float32([yaw, 0, 0]), 100.0) == expected


def test_light_opening_and_the_frame_itself_decide_among_similar_poses():
    face = np.float32([1, 1, 0])
    assert nearest(known(light=(100, 100, 180, 100)), face, 100.0) == 1
    assert nearest(known(opening=(0, 0.01, 0.02, 0)), face, 100.0) == 1
    assert nearest(known(), POSES[2], 100.0) == 1, "the frame itself is not shown"
    assert nearest(known(), POSES[2], None) == 2 and nearest(known(), None, None) == 0
    only = References(*(x[:1] for x in vars(known()).values()))
    assert nearest(only, POSES[0], 100.0) == 0, "of a single picture there is nothing else to show"


@pytest.mark.parametrize("pads", [(0.0, 0.05, 0.0, 0.0), (0.1, 0.2, 0.05, -0.1)])
def test_a_reference_is_cut_out_as_the_frame_is(runtime, aligned, pads):
    """The reference of a frame, made by the survey from the very same frame, gives its own crop."""
    faces, frames = aligned.faces, drawn()
    to96 = geometry.box_to_crop(geometry.pad_box(faces.box, pads), 96)
    crops = geometry.warp(frames, faces.frame, to96, 96)
    pictures = np.stack([portrait(frames[i], box) for i, box in zip(faces.frame, faces.box, strict=True)])
    for n in range(len(faces)):
        refs = known(np.repeat(pictures[n][None], 4, 0))
        one = replace(faces.take(np.array([n])), to96=to96[n : n + 1], crop96=np.zeros_like(crops[:1]))
        found = references(one, {int(faces.track[n]): facts(refs)})[0].astype(float)
        assert np.abs(found - crops[n]).mean() < 3
        moved = np.abs(np.roll(found, 2, 0) - crops[n]).mean()
        assert np.abs(found - crops[n]).mean() < 0.6 * moved, "off by pixels"


def test_the_same_whatever_the_size_of_chunks(runtime, aligned):
    pose = np.linspace(-35, 35, len(aligned.faces))[:, None] * np.float32([1, 0, 0])
    rng = np.random.default_rng(0)
    refs = known(rng.integers(0, 256, (4, 256, 256, 3), dtype=np.uint8))
    chunk = replace(aligned, tracks={int(t): facts(refs) for t in aligned.faces.track}).with_faces(
        pose=pose.astype(np.float32)
    )
    names = ("frame", "track", "box", "crop96", "aligned", "to96", "to512", "pose", "light")
    given = tuple(f"faces.{n}" for n in names)
    made = []
    for size in (1, 4, COUNT):
        parts = [chunk.part(first, min(first + size, COUNT)) for first in range(0, COUNT, size)]
        done = run_stages([LipSync("tiny-generator")], parts, runtime, keep=("faces.synced96",), given=given)
        made.append(np.concatenate([c.faces.synced96 for c in done]))
    np.testing.assert_array_equal(made[0], made[2])
    np.testing.assert_array_equal(made[1], made[2])
    assert len(made[0]) == len(aligned.faces)


def test_another_reference_is_refused():
    with pytest.raises(OptionError, match="neutral"):
        LipSync("tiny-generator", reference="neutrl")
