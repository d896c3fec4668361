"""LipSync, Parse, Restore one by one, on drawn faces."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from drawn_faces import COUNT, Labeled, drawn, labels, source, through
from media import tiny_runtime

from wav2lip_hq import audio, compat  # noqa: F401 - compat before spandrel
from wav2lip_hq.errors import CheckpointError, OptionError
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import Blend, LipSync, Parse, Restore
from wav2lip_hq.stages.parse import default_shape


@pytest.fixture(scope="module")
def runtime():
    return tiny_runtime()


# ---- lipsync


def test_the_generator_gets_its_window_of_the_speech_and_the_masked_face(runtime):
    seen = {}
    model = runtime.model("tiny-generator")

    def watch(module, args):
        seen.setdefault("args", [a.clone() for a in args])

    hook = model.module.register_forward_pre_hook(watch)
    chunk = source()
    done = through(runtime, LipSync("tiny-generator"), chunk=chunk)
    hook.remove()
    sound, face = seen["args"]
    np.testing.assert_allclose(sound[:, 0].numpy(), chunk.mel[: len(sound)], atol=1e-6)
    crops = done.faces.crop96[: len(face), ..., ::-1].astype(np.float32).transpose(0, 3, 1, 2) / 255  # BGR
    np.testing.assert_allclose(face[:, 3:].numpy(), crops, atol=1e-6)
    np.testing.assert_allclose(face[:, :3, :48].numpy(), crops[:, :, :48], atol=1e-6)
    assert not face[:, :3, 48:].any(), "the lower half must be hidden from the network"


def test_only_the_lower_half_of_the_aligned_face_is_synthesized(runtime):
    faces = through(runtime, LipSync("tiny-generator")).faces
    changed = (faces.synced != faces.aligned).any((0, 3))
    assert changed[300:].any() and not changed[:200].any()


def test_silence_reaches_the_generator_as_silence(runtime):
    """Where nobody speaks, breath and hum do not move the lips: the network hears nothing at all."""
    quiet = through(runtime, LipSync("tiny-generator"), chunk=source(speech=0.0)).faces.synced96
    mute = replace(source(speech=1.0), mel=np.full((COUNT, 80, 16), audio.SILENCE, np.float32))
    np.testing.assert_array_equal(quiet, through(runtime, LipSync("tiny-generator"), chunk=mute).faces.synced96)
    noise = through(runtime, LipSync("tiny-generator", silence=False), chunk=source(speech=0.0)).faces.synced96
    assert (quiet != noise).any()


def test_guidance_goes_further_from_silence_and_leaves_silence_alone(runtime):
    plain = through(runtime, LipSync("tiny-generator")).faces.synced96.astype(float)
    silent = through(runtime, LipSync("tiny-generator"), chunk=source(speech=0.0)).faces.synced96.astype(float)
    guided = through(runtime, LipSync("tiny-generator", guidance=2.0)).faces.synced96
    assert (plain != silent).any()
    np.testing.assert_allclose(guided, np.clip(2 * plain - silent, 0, 255), atol=2)
    quiet = through(runtime, LipSync("tiny-generator", guidance=2.0), chunk=source(speech=0.0)).faces.synced96
    np.testing.assert_allclose(quiet, silent, atol=1)


@pytest.mark.parametrize("guidance", [0.5, 9, float("nan")])
def test_absurd_guidance_is_refused(guidance):
    with pytest.raises(OptionError, match="guidance"):
        LipSync(guidance=guidance)


@pytest.mark.parametrize("offset", [-2001, 5000, float("nan")])
def test_an_absurd_offset_is_refused(offset):
    with pytest.raises(OptionError, match="sync_offset"):
        LipSync(sync_offset=offset)


def test_the_wrong_network_is_named_for_what_it_is(runtime):
    with pytest.raises(CheckpointError, match="this is a .*parser.*, expected a .*generator"):
        through(Runtime(device="cpu"), LipSync("embedded-parser"))


# ---- parse


def masks(before, after=None, **options):
    runtime = tiny_runtime()
    runtime.batch_size = 64
    parser = Labeled(before, before if after is None else after)
    runtime.add_model("labeled", parser, "bisenet_79999_iter")
    done = through(runtime, LipSync("tiny-generator"), Parse("labeled", **options))
    return done.faces.mask, done.faces


def test_the_mask_is_soft_and_stays_on_the_face():
    mask, _ = masks(labels())
    inside = labels().numpy() > 0
    assert mask[:, inside].max() == 255
    assert not mask[:, cv2.dilate(inside.astype(np.uint8), np.ones((9, 9))) == 0].any(), "the mask left the face"
    steps = np.abs(np.diff(mask[0].astype(int), axis=0)).max(), np.abs(np.diff(mask[0].astype(int), axis=1)).max()
    assert max(steps) < 64, "a hard edge shows as a seam"


def test_a_lowered_jaw_is_covered():
    closed = labels((14, (0, 420, 512, 512)))  # neck from here down, before
    plain, _ = masks(closed)
    both, _ = masks(closed, labels())
    assert both[0, 430:450, 230:280].mean() > 200 and not plain[0, 430:450, 230:280].any()


@pytest.mark.parametrize(
    ("what", "number"), [("hair", 17), ("glasses", 6), ("hat", 18), ("a hand", 0), ("a sleeve", 16)]
)
def test_occluders_are_left_unchanged(what, number):
    plain, _ = masks(labels())
    mask, _ = masks(labels((number, (190, 380, 250, 440))), labels())
    assert plain[0, 390:430, 200:240].mean() > 150
    assert not mask[0, 385:435, 195:245].any(), f"{what} over the mouth was painted over"


def test_regions_are_nested():
    mouth, lower, face = (masks(labels(), region=r)[0][0].astype(int) for r in ("mouth", "lower-face", "face"))
    assert 0 < (mouth > 128).sum() < (lower > 128).sum() <= (face > 128).sum()


def test_without_a_parser_a_shape_serves():
    runtime = tiny_runtime()
    done = through(runtime, LipSync("tiny-generator"), Parse(""))
    assert not runtime.warnings  # it was asked for, as by the preset fast
    assert done.faces.mask.max() == 255 and not done.faces.mask[:, default_shape() == 0].any()


def test_the_mask_does_not_flicker_with_the_parser():
    """One frame whose mouth the parser misses must not blink."""
    runtime = tiny_runtime()

    class Blinks(Labeled):
        def parse(self, x):
            out = super().parse(x)
            if len(out) == COUNT:
                out[COUNT // 2] = 0
                out[COUNT // 2, 0] = 1
            return out

    runtime.batch_size = 64
    runtime.add_model("blinks", Blinks(labels(), labels()), "bisenet_79999_iter")
    mask = through(runtime, LipSync("tiny-generator"), Parse("blinks")).faces.mask
    assert mask[COUNT // 2].max() > 128


def test_frames_without_speech_are_left_unchanged(runtime):
    active = np.array([True] * 3 + [False] * (COUNT - 3))
    chunk = source(active=active)
    done = through(runtime, LipSync("tiny-generator"), Parse(""), Blend(), chunk=chunk)
    assert not done.faces.mask[3:].any()
    np.testing.assert_array_equal(done.frames[3:], chunk.frames[3:])
    assert (done.frames[:3] != chunk.frames[:3]).any((1, 2, 3)).all()


@pytest.mark.parametrize("options", [{"region": "ears"}, {"feather": -1}, {"size": 100}])
def test_wrong_parse_options(options):
    with pytest.raises(OptionError):
        Parse(**options)


# ---- restore


class Spy:
    """A restorer that doubles the size and remembers what it was given."""

    def __init__(self, scale):
        self.scale, self.shapes = scale, []

    def __call__(self, images):
        self.shapes.append(images.shape)
        return np.repeat(np.repeat(images, self.scale, 1), self.scale, 2)


def test_upscaling_networks_get_the_generators_picture_the_others_the_face(runtime):
    up, same = Spy(2), Spy(1)
    faces = through(runtime, LipSync("tiny-generator"), Restore(up), Restore(same)).faces
    assert up.shapes == [(COUNT, 96, 96, 3)] and same.shapes == [(COUNT, 512, 512, 3)]
    assert faces.restored.shape == (COUNT, 512, 512, 3) and faces.restored.dtype == np.uint8


def test_upscaling_only_the_used_part_does_not_change_it(runtime):
    """The upper half of the generator's picture is not used; the networks are spared most of it."""
    model = runtime.model("embedded-restorer")

    class Whole:
        scale = model.scale

        def __call__(self, images):
            out = model(torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255)
            return (out * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()

    part, full = (
        through(runtime, LipSync("tiny-generator"), Restore(which)).faces.restored
        for which in ("embedded-restorer", Whole())
    )
    assert np.abs(part.astype(int) - full).max() <= 1


def test_strength_mixes(runtime):
    def at(strength):
        class White:
            scale = 1

            def __call__(self, images):
                return np.full_like(images, 255)

        return through(runtime, LipSync("tiny-generator"), Restore(White(), strength=strength)).faces

    none, half, whole = at(0.0), at(0.5), at(1.0)
    np.testing.assert_array_equal(none.restored, none.synced)
    assert (whole.restored == 255).all()
    np.testing.assert_allclose(half.restored, (none.synced.astype(int) + 255) / 2, atol=1)


def test_restoring_is_the_same_every_time(runtime):
    """GFPGAN draws noise in each call elsewhere, which flickers."""
    from wav2lip_hq import models

    torch.manual_seed(1)
    own = Runtime(device="cpu", precision="fp32")
    own.add_model("tiny-generator", models.build("wav2lip", width=0.125), "wav2lip")
    own.add_model("gan", models.build("gfpgan_clean"), "gfpgan_clean")
    chunk = source(drawn(1))
    one, two = (through(own, LipSync("tiny-generator"), Restore("gan"), chunk=chunk).faces.restored for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_networks_of_other_kinds_open_through_spandrel(tmp_path, runtime):
    pytest.importorskip("spandrel")
    from spandrel.architectures.SPAN import SPAN

    torch.manual_seed(0)
    net = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2)
    path = tmp_path / "span.pth"
    torch.save(net.state_dict(), path)
    faces = through(runtime, LipSync("tiny-generator"), Restore(str(path))).faces
    assert faces.restored.shape == (COUNT, 512, 512, 3)
    torch.save({"strange.weight": torch.zeros(3, 3)}, tmp_path / "strange.pth")
    with pytest.raises(CheckpointError, match="neither this project nor spandrel"):
        through(runtime, LipSync("tiny-generator"), Restore(str(tmp_path / "strange.pth")))


def test_a_network_that_restores_nothing_is_refused(runtime):
    with pytest.raises(CheckpointError, match="a BiSeNet parser, expected"):
        through(runtime, LipSync("tiny-generator"), Restore("tiny-parser"))


@pytest.mark.parametrize("options", [{"strength": 2}, {"fidelity": -1}, {"model": 3}, {"strength": float("nan")}])
def test_wrong_restore_options(options):
    with pytest.raises(OptionError):
        Restore(**options)
