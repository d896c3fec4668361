"""LipSync, Parse, Restore, Blend one by one, on drawn faces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch
from media import clip, detection, tiny_runtime

from wav2lip_hq import audio, geometry
from wav2lip_hq.engine import Stage, run_stages
from wav2lip_hq.errors import CheckpointError, OptionError
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import Align, Blend, LipSync, Parse, Restore, Track
from wav2lip_hq.stages.parse import default_shape
from wav2lip_hq.types import Chunk

COUNT = 6


def drawn(count=COUNT, times=3):
    """The drawn clip, enlarged: a face about 190 px high."""
    return np.stack([cv2.resize(f, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC) for f in clip(count)])


@dataclass(frozen=True)
class Seen(Stage):
    """Stands in for the detector: hands on the boxes that ``source`` put into the chunk."""

    name: ClassVar[str] = "seen"
    adds: ClassVar[tuple[str, ...]] = ("boxes",)

    def process(self, chunk, runtime):
        return chunk


def source(frames: np.ndarray | None = None, *, speech: float = 1.0, active=None) -> Chunk:
    frames = drawn() if frames is None else frames
    count = len(frames)
    rows = []
    for n in range(count):
        row = detection(n)
        row[:, [*range(4), *range(5, 15)]] *= frames.shape[2] / 160
        rows.append(row)
    rng = np.random.default_rng(0)
    return Chunk(
        0,
        frames,
        tuple(Fraction(n, 25) for n in range(count)),
        mel=rng.uniform(-3, 2, (count, 80, 16)).astype(np.float32),
        speech=np.full(count, speech, np.float32),
        boxes=tuple(rows),
        active=np.ones(count, bool) if active is None else active,
    )


@pytest.fixture(scope="module")
def runtime():
    return tiny_runtime()


EVERYTHING = tuple(
    f"faces.{n}" for n in ("to96", "to512", "crop96", "aligned", "synced", "synced96", "mask", "restored", "landmarks")
)


def through(runtime, *stages, chunk=None):
    return next(run_stages([Seen(), Track(), Align(), *stages], [chunk or source()], runtime, keep=EVERYTHING))


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


def test_only_the_lower_half_of_the_aligned_face_is_synthesised(runtime):
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


@pytest.mark.parametrize("offset", [-2001, 5000, float("nan")])
def test_an_absurd_offset_is_refused(offset):
    with pytest.raises(OptionError, match="sync_offset"):
        LipSync(sync_offset=offset)


def test_the_wrong_network_is_named_for_what_it_is(runtime):
    with pytest.raises(CheckpointError, match="this is a .*parser.*, expected a .*generator"):
        through(Runtime(device="cpu"), LipSync("embedded-parser"))


# ---- parse


def labels(*shapes) -> torch.Tensor:
    """A label map (1, 512, 512) with a face of skin and the given (class, box) on it."""
    out = np.zeros((512, 512), np.uint8)
    cv2.ellipse(out, (256, 300), (170, 210), 0, 0, 360, 1, -1)
    cv2.ellipse(out, (256, 370), (60, 25), 0, 0, 360, 12, -1)
    for number, (x1, y1, x2, y2) in shapes:
        out[y1:y2, x1:x2] = number
    return torch.from_numpy(out)


class Labelled(torch.nn.Module):
    """A parser that returns prepared labels, the first for the source faces and the second for synthesised ones."""

    def __init__(self, before, after):
        super().__init__()
        self.maps, self.calls = [before, after], 0

    def parse(self, x):
        classes = self.maps[self.calls % 2][None, None].float()
        self.calls += 1
        small = torch.nn.functional.interpolate(classes, x.shape[-2:])[0, 0].long()
        return torch.nn.functional.one_hot(small, 19).permute(2, 0, 1)[None].float().repeat(len(x), 1, 1, 1)


def masks(before, after=None, **options):
    runtime = tiny_runtime()
    runtime.batch_size = 64
    parser = Labelled(before, before if after is None else after)
    runtime.add_model("labelled", parser, "bisenet_79999_iter")
    done = through(runtime, LipSync("tiny-generator"), Parse("labelled", **options))
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
def test_what_lies_over_the_face_is_left_alone(what, number):
    plain, _ = masks(labels())
    mask, _ = masks(labels((number, (190, 380, 250, 440))), labels())
    assert plain[0, 390:430, 200:240].mean() > 150
    assert not mask[0, 385:435, 195:245].any(), f"{what} over the mouth was painted over"


def test_regions_are_nested():
    mouth, lower, face = (masks(labels(), region=r)[0][0].astype(int) for r in ("mouth", "lower-face", "face"))
    assert 0 < (mouth > 128).sum() < (lower > 128).sum() <= (face > 128).sum()


def test_without_a_parser_a_shape_serves_and_says_so():
    runtime = tiny_runtime()
    done = through(runtime, LipSync("tiny-generator"), Parse(""))
    assert any("no face parser" in text for text in runtime.warnings)
    assert done.faces.mask.max() == 255 and not done.faces.mask[:, default_shape() == 0].any()


def test_the_mask_does_not_flicker_with_the_parser():
    """One frame whose mouth the parser misses must not blink."""
    runtime = tiny_runtime()

    class Blinks(Labelled):
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


def test_frames_nobody_speaks_in_are_left_alone(runtime):
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


def test_enlarging_networks_get_the_generators_picture_the_others_the_face(runtime):
    up, same = Spy(2), Spy(1)
    faces = through(runtime, LipSync("tiny-generator"), Restore(up), Restore(same)).faces
    assert up.shapes == [(COUNT, 96, 96, 3)] and same.shapes == [(COUNT, 512, 512, 3)]
    assert faces.restored.shape == (COUNT, 512, 512, 3) and faces.restored.dtype == np.uint8


def test_enlarging_only_what_is_used_changes_nothing_that_is_used(runtime):
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
    with pytest.raises(OptionError, match="restores nothing"):
        through(runtime, LipSync("tiny-generator"), Restore("tiny-parser"))


@pytest.mark.parametrize("options", [{"strength": 2}, {"fidelity": -1}, {"model": 3}, {"strength": float("nan")}])
def test_wrong_restore_options(options):
    with pytest.raises(OptionError):
        Restore(**options)


# ---- blend


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


def test_teeth_are_not_violet():
    """An unsure generator mixes teeth and shadow to violet; nothing in this source is."""
    aligned = aligned_of()
    frames = drawn()

    def unsure(images):
        out = aligned.copy()
        for image in out:
            cv2.ellipse(image, (256, 370), (45, 30), 0, 0, 360, (150, 110, 190), -1)
        return out

    before, after, faces = blended(unsure, frames=frames)
    x, y = (faces.landmarks[0, 3] + faces.landmarks[0, 4]) / 2
    part = (0, slice(int(y) - 3, int(y) + 4), slice(int(x) - 3, int(x) + 4))
    red, green, blue = after[part].reshape(-1, 3).astype(int).T
    seen = geometry.warp(before, faces.frame, faces.to512, 512)[0].astype(int)
    assert (blue - green).max() <= max(0, (seen[..., 2] - seen[..., 1]).max()) + 12 < 80 - 12


def test_a_new_mouth_does_arrive():
    """Texture keeping and colour matching must not argue the synthesis away."""
    aligned = aligned_of()

    def mouth(images):
        out = aligned.copy()
        for image in out:
            cv2.ellipse(image, (256, 370), (45, 30), 0, 0, 360, (40, 10, 10), -1)
        return out

    before, after, faces = blended(mouth)
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


@pytest.mark.parametrize("options", [{"method": "poisson"}, {"texture": 1.5}, {"steady": -1}])
def test_wrong_blend_options(options):
    with pytest.raises(OptionError):
        Blend(**options)
