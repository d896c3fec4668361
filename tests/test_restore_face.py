"""The whole face restored: off unless asked for, and nothing outside of the face changes."""

from __future__ import annotations

import numpy as np
import pytest
from media import clip, tiny_pipeline, tiny_runtime, write_wav
from meshed_faces import face_mesh

from wav2lip_hq import mesh as points
from wav2lip_hq import video
from wav2lip_hq.stages import RestoreFace
from wav2lip_hq.stages.restore_face import whole_face

COUNT = 6


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    return write_wav(tmp_path_factory.mktemp("sound") / "speech.wav", COUNT / 25)


def footage(dtype):
    """The drawn face with noise in all bits."""
    most = np.iinfo(dtype).max
    noise = np.random.default_rng(1).normal(0, 0.02, (COUNT, 120, 160, 3))
    return np.round(np.clip(clip(COUNT) / 255 * 0.8 + 0.1 + noise, 0, 1) * most).astype(dtype)


def made(pipe, frames, wav, folder, **options):
    pipe.run(frames, wav, folder, codec="png", watermark=False, **options)
    return [video.load_image(p) for p in sorted(folder.iterdir()) if p.suffix == ".png"]


def brighter(images):
    """A restorer of networks' usual kind: the same size."""
    return np.clip(images.astype(int) + 40, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("dtype", "model"), [(np.uint8, "tiny-restorer"), (np.uint16, brighter)])
def test_the_whole_face_changes_and_nothing_else(wav, tmp_path, dtype, model):
    frames = footage(dtype)
    plain = tiny_pipeline()
    whole = plain.insert(RestoreFace(model, parser=""), after="blend")
    before = np.stack(made(plain, frames, wav, tmp_path / "plain"))
    after = np.stack(made(whole, frames, wav, tmp_path / "whole"))
    mattes = np.stack([m[..., 0] for m in made(whole, frames, wav, tmp_path / "matte", deliver="matte")])
    assert (after != frames).any(-1)[:, 48:56, 50:70].mean() > 0.9, "brows and eyes"
    np.testing.assert_array_equal(before[:, 45:58], frames[:, 45:58])  # which the mouth alone leaves
    np.testing.assert_array_equal(after[mattes == 0], frames[mattes == 0])
    assert (mattes == 0).mean() > 0.7 and (mattes > 0)[:, 48:56, 55:65].all()


def test_it_is_off_without_being_asked_for_and_by_its_strength(wav, tmp_path):
    assert "restore_face" not in [s.name for s in tiny_pipeline().stages]
    frames, plain = footage(np.uint8), tiny_pipeline()
    none = plain.insert(RestoreFace("tiny-restorer", parser="", strength=0), after="blend")
    np.testing.assert_array_equal(
        made(plain, frames, wav, tmp_path / "plain"), made(none, frames, wav, tmp_path / "none")
    )


def test_frames_after_the_speech_keep_their_faces(tmp_path):
    frames, short = footage(np.uint8), write_wav(tmp_path / "short.wav", 0.2)
    whole = tiny_pipeline().insert(RestoreFace(brighter, parser=""), after="blend")
    after = made(whole, frames, short, tmp_path / "whole")
    np.testing.assert_array_equal(after[-1], frames[-1])
    assert (after[0] != frames[0]).any()


def test_a_patch_of_the_whole_face_makes_the_result(wav, tmp_path):
    frames = footage(np.uint8)
    whole = tiny_pipeline().insert(RestoreFace(brighter, parser=""), after="blend")
    results = made(whole, frames, wav, tmp_path / "result")
    whole.run(frames, wav, tmp_path / "patch", codec="png", watermark=False, deliver="patch")
    for picture, source, result in zip(sorted((tmp_path / "patch").glob("*.png")), frames, results, strict=True):
        rgba = next(iter(video.open_video(picture)))
        alpha = (rgba[2].astype(np.float32) / 255)[..., None]
        over = np.round(alpha * rgba[1].astype(np.float32) + (1 - alpha) * source.astype(np.float32))
        np.testing.assert_array_equal(over.astype(np.uint8), result)


def test_a_network_that_is_shown_too_little_is_warned_of():
    stage, face = RestoreFace("tiny-restorer", size=128), np.zeros((1, 512, 512, 3), np.uint8)
    for scale, warned in ((4.0, False), (1.0, True)):  # px of the canvas a px of the frame
        runtime = tiny_runtime()
        made = stage._restored(face, np.array([[[scale, 0, 0], [0, scale, 0]]]), runtime)
        assert made.shape == face.shape and bool(runtime.warnings) == warned
    assert "512 px there: faces lose detail" in runtime.warnings[0]


def test_the_outline_follows_the_landmarks_and_leaves_out_what_covers_the_face():
    mesh = face_mesh()
    shape = whole_face(None, mesh)
    x, y = np.round(mesh[points.at(10)[0]]).astype(int)
    assert shape[y + 6, x] and not shape[max(0, y - 12), x], "it ends at the forehead"
    labels = np.full((256, 256), 1, np.uint8)  # skin everywhere
    labels[:128, :128] = 17  # but hair in a quarter
    labels[128:, 128:] = 17  # a beard, where the mesh has its chin
    covered = whole_face(labels, mesh)
    assert not covered[: 256 - 20, : 256 - 20].any()
    middle = mesh[points.at(18)[0]].astype(int)
    assert covered[middle[1], middle[0] + 20]
    assert not (covered & ~shape).any()
    assert whole_face(None, None).sum() > 0.25 * 512 * 512
