"""Delivery to compositors: patches that restore the result exactly, film pictures, color spaces, HDR, whole frames."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import clip, tiny_pipeline, tiny_runtime, write_video, write_wav

from wav2lip_hq import delivery, video
from wav2lip_hq.cli import main
from wav2lip_hq.errors import InputError, OptionError
from wav2lip_hq.stages import Frame
from wav2lip_hq.stages.frame import tiled

oiio = pytest.importorskip("OpenImageIO")
pytest.importorskip("PyOpenColorIO")

from wav2lip_hq.video import look, pictures  # noqa: E402 - only where these are installed

COUNT = 6
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    return write_wav(tmp_path_factory.mktemp("sound") / "speech.wav", COUNT / 25)


def noisy(dtype=np.uint16, count=COUNT):
    """Frames of the drawn face with noise in all bits, so that no rounding goes unseen."""
    rng = np.random.default_rng(1)
    frames = clip(count).astype(np.float64) / 255 * 0.8 + 0.1 + rng.normal(0, 0.01, (count, 120, 160, 3))
    return look.as_type(np.clip(frames, 0.01, 1).astype(np.float64), dtype)


def sequence(folder: Path, frames, suffix, first=1001, **options) -> Path:
    folder.mkdir()
    for n, frame in enumerate(frames):
        pictures.save_picture(folder / f"shot.{first + n}.{suffix}", frame, **options)
    return folder


def stored(folder: Path):
    paths = sorted(p for p in folder.iterdir() if p.suffix in pictures.SUFFIXES)
    return [pictures.load_picture(p) for p in paths]


def over(patch, alpha, source, most):
    """A compositor of single precision, rounding to the footage's depth."""
    a = (alpha.astype(np.float32) / np.float32(most))[..., None]
    return np.round(a * patch.astype(np.float32) + (1 - a) * source.astype(np.float32)).astype(source.dtype)


# ---- exact by definition


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_patch_over_the_source_is_the_result_for_any_pixels(dtype):
    most = np.iinfo(dtype).max
    rng = np.random.default_rng(0)
    source = rng.integers(0, most + 1, (300, 300, 3)).astype(dtype)
    result = rng.integers(0, most + 1, source.shape).astype(dtype)
    result[:100] = np.clip(source[:100].astype(int) + rng.integers(-2, 3, (100, 300, 3)), 0, most)  # a soft edge
    source[100:110], result[110:120] = 0, most
    matte = rng.integers(0, 65536, (300, 300)).astype(np.uint16)
    matte[200:], result[250:] = 0, source[250:]
    rgb, alpha = delivery.patch(source, result, matte)
    assert rgb.dtype == alpha.dtype == dtype
    np.testing.assert_array_equal(over(rgb, alpha, source, most), result)
    assert not alpha[250:].any() and not rgb[250:].any()
    assert (alpha[:250][(source != result).any(-1)[:250]] > 0).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16])
def test_an_exr_patch_is_premultiplied_as_other_compositors_expect(dtype):
    source, result = noisy(dtype)[:2]
    result = np.where(np.mgrid[:120, :160][1][..., None] > 80, result, source)
    matte = np.full((120, 160), 20000, np.uint16)
    matte[:, :60] = 0
    rgb, alpha = delivery.patch(source, result, matte, "exr")
    top = oiio.ImageBuf(np.concatenate([rgb, alpha[..., None]], -1))
    under = oiio.ImageBuf(np.concatenate([look.as_float(source), np.ones((120, 160, 1), np.float32)], -1))
    made = oiio.ImageBufAlgo.over(top, under).get_pixels(oiio.FLOAT)[..., :3]
    np.testing.assert_array_equal(look.as_type(made, dtype), result)


@pytest.mark.parametrize(
    ("space", "dtype", "steps"),
    [("srgb_rec709_scene", np.uint8, 255), ("srgb_rec709_scene", np.uint16, 65535), ("ACEScg", np.float16, 0)]
    + [("arri_logc3_ei800", np.uint16, 4095), ("Rec.2100-PQ - Display", np.uint16, 4095)],
)
def test_source_plus_offset_is_the_result(space, dtype, steps):
    source, result = noisy(dtype)[:2]
    if steps not in (0, 255, 65535):  # 12 bits in 16
        source, result = (np.round(np.round(x / 65535 * steps) / steps * 65535).astype(dtype) for x in (source, result))
    result[:, :50] = source[:, :50]
    found = look.find_look(space)
    difference = delivery.offset(source, result, found)
    assert difference.dtype == np.float32 and not difference[:, :50].any()
    made = found.unlinear(found.linear(source) + difference)
    if steps:
        codes = (np.round(x * steps) for x in (made, look.as_float(result)))
        np.testing.assert_array_equal(*codes)
    else:
        np.testing.assert_array_equal(made.astype(dtype), result)


# ---- runs


@pytest.fixture
def results(monkeypatch):
    """What each run made, before it was delivered: the small networks differ in the last of 16 bits from run to run."""
    made: list[np.ndarray] = []
    deliver = delivery.pictures

    def noted(stream, session, codec):
        made.clear()
        for chunk, shown in deliver(stream, session, codec):
            made.extend(chunk.pixels)
            yield chunk, shown

    monkeypatch.setattr(delivery, "pictures", noted)
    return made


@pytest.mark.parametrize("deep", [False, True])
def test_source_and_patch_make_the_result(pipe, wav, tmp_path, results, deep):
    dtype = np.uint16 if deep else np.uint8
    frames, most = noisy(dtype), np.iinfo(dtype).max
    pipe.run(frames, wav, tmp_path / "png", codec="png", deliver="patch")
    for n, (source, result) in enumerate(zip(frames, results, strict=True)):
        rgba = video.load_image(tmp_path / "png" / f"{n + 1:06d}.png")
        np.testing.assert_array_equal(over(rgba[..., :3], rgba[..., 3], source, most), result)
    pipe.run(frames, wav, tmp_path / "patch.mkv", deliver="patch")
    for source, result, (_, rgb, alpha) in zip(frames, results, video.open_video(tmp_path / "patch.mkv"), strict=True):
        np.testing.assert_array_equal(over(rgb, alpha, source, most), result)
    pipe.run(frames, wav, tmp_path / "exr", codec="exr", deliver="patch")
    for source, result, (rgb, alpha) in zip(frames, results, stored(tmp_path / "exr"), strict=True):
        made = rgb + (1 - alpha[..., None]) * look.as_float(source)
        np.testing.assert_array_equal(look.as_type(made, dtype), result)
    pipe.run(frames, wav, tmp_path / "matte", codec="png", deliver="matte")
    for n, (source, result) in enumerate(zip(frames, results, strict=True)):
        matte = cv2.imread(str(tmp_path / "matte" / f"{n + 1:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert matte.dtype == dtype and matte.ndim == 2
        assert 0 < (matte > 0).mean() < 0.4 and len(np.unique(matte)) > 10
        np.testing.assert_array_equal(source[matte == 0], result[matte == 0])


def test_prores_patches_have_an_exact_edge(pipe, wav, tmp_path):
    """ProRes loses color, but not where the patch is."""
    frames = clip(COUNT)
    pipe.run(frames, wav, tmp_path / "result", codec="png")
    pipe.run(frames, wav, tmp_path / "patch.mov", deliver="patch")
    pipe.run(frames, wav, tmp_path / "patch", codec="png", deliver="patch")
    for n, (_, rgb, alpha) in enumerate(video.open_video(tmp_path / "patch.mov")):
        exact = video.load_image(tmp_path / "patch" / f"{n + 1:06d}.png")[..., 3]
        np.testing.assert_array_equal(np.round(alpha / 257).astype(np.uint8), exact)
        result = video.load_image(tmp_path / "result" / f"{n + 1:06d}.png")
        a = (alpha / 65535)[..., None]
        made = a * (rgb / 257) + (1 - a) * frames[n]
        assert np.abs(made - result).mean() < 0.5


@pytest.mark.parametrize("depth", [10, 12])
def test_log_dpx_keeps_every_code_outside_the_mouth(pipe, wav, tmp_path, results, depth):
    face = sequence(tmp_path / "in", noisy(), "dpx", depth=depth)
    common = {"colorspace": "arri_logc3_ei800", "trim": True}
    report = pipe.run(face, wav, tmp_path / "out", **common)
    assert report.faces == COUNT and not report.warnings
    pipe.run(face, wav, tmp_path / "matte", deliver="matte", codec="png", **common)
    assert [p.name for p in sorted((tmp_path / "out").glob("*.dpx"))] == [f"shot.{1001 + n}.dpx" for n in range(COUNT)]
    pipe.run(face, wav, tmp_path / "offset", deliver="offset", **common)
    space, most = look.find_look("arri_logc3_ei800"), (1 << depth) - 1
    changes = [image for image, _ in stored(tmp_path / "offset")]
    for (source, _), result, change in zip(stored(face), results, changes, strict=True):
        result = pictures.in_codes(result, depth)  # what a file of this depth holds
        made = space.unlinear(space.linear(source) + change)
        np.testing.assert_array_equal(np.round(made * most), np.round(look.as_float(result) * most))
    pipe.run(face, wav, tmp_path / "patch", deliver="patch", **common)
    for (source, _), (result, _), (rgb, alpha) in zip(
        stored(face), stored(tmp_path / "out"), stored(tmp_path / "patch"), strict=True
    ):
        a, s, c = (look.as_float(x) for x in (alpha[..., None], source, rgb))
        codes = (np.round(x * most) for x in (a * c + (1 - a) * s, look.as_float(result)))
        np.testing.assert_array_equal(*codes)
    for n, ((source, _), (result, _)) in enumerate(zip(stored(face), stored(tmp_path / "out"), strict=True)):
        matte = cv2.imread(str(tmp_path / "matte" / f"shot.{1001 + n}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(source[matte == 0], result[matte == 0])
        assert (source != result)[matte > 0].mean() > 0.5
        assert pictures.read_header(tmp_path / "out" / f"shot.{1001 + n}.dpx").depth == depth


def test_scene_linear_exr_keeps_values_facts_and_channels(pipe, wav, tmp_path):
    frames = noisy(np.float16)
    frames[:, 5, 5] = 30.0  # brighter than any display
    frames[:, 6, 6] = -0.01  # outside of the gamut
    face = tmp_path / "in"
    face.mkdir()
    depths = np.random.default_rng(2).random((COUNT, 120, 160)).astype(np.float32)
    for n, frame in enumerate(frames):
        spec = oiio.ImageSpec(160, 120, 4, "float")
        spec.channelnames = ("R", "G", "B", "Z")
        spec.channelformats = tuple(oiio.TypeDesc(k) for k in ("half", "half", "half", "float"))
        spec.attribute("camera", "A-cam")
        spec.attribute("framesPerSecond", oiio.TypeDesc("rational"), (24000, 1001))
        spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (0x01000000 + n, 0))
        target = oiio.ImageOutput.create("x.exr")
        assert target.open(str(face / f"v2.{n + 7:04d}.exr"), spec)
        target.write_image(np.concatenate([frame.astype(np.float32), depths[n, ..., None]], -1))
        target.close()
    report = pipe.run(face, wav, tmp_path / "out", colorspace="ACEScg", extend="stop")
    assert report.faces and report.duration == Fraction(COUNT * 1001, 24000)
    for n, path in enumerate(sorted((tmp_path / "out").glob("*.exr"))):
        assert path.name == f"v2.{n + 7:04d}.exr"
        result, _ = pictures.load_picture(path)
        assert result.dtype == np.float16
        changed = (result != frames[n]).any(-1)
        assert 0.005 < changed.mean() < 0.4 and not changed[:40].any()
        source = oiio.ImageInput.open(str(path))
        assert source.spec().get_string_attribute("camera") == "A-cam"
        assert tuple(source.spec().getattribute("smpte:TimeCode")) == (0x01000000 + n, 0)
        assert "synthesized" in source.spec().get_string_attribute("ImageDescription")
        assert [str(f) for f in source.spec().channelformats] == ["half", "half", "half", "float"]
        np.testing.assert_array_equal(source.read_image(0, 0, 3, 4, "float")[..., 0], depths[n])
        source.close()


def test_what_floats_look_like_to_players_is_said(pipe, wav, tmp_path):
    face = sequence(tmp_path / "in", noisy(np.float16), "exr")
    report = pipe.run(face, wav, tmp_path / "out.mkv", codec="ffv1")
    assert any("exr keeps it" in text for text in report.warnings)
    shown = next(iter(video.open_video(tmp_path / "out.mkv")))[1]
    linear = pictures.load_picture(face / "shot.1001.exr")[0][2, 2].astype(float)
    np.testing.assert_allclose(shown[2, 2] / 65535, np.clip(1.055 * linear ** (1 / 2.4) - 0.055, 0, 1), atol=1e-3)


@pytest.mark.parametrize("codec", ["hevc", "h264"])
def test_hdr10_tags_and_mastering_display_are_kept(pipe, wav, tmp_path, codec):
    parameters = f"log-level=error:hdr10=1:repeat-headers=1:master-display={MASTERING}:max-cll=1000,400"
    tags = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}
    face = write_video(
        tmp_path / "hdr.mp4", clip(COUNT, dtype=np.uint16), codec="libx265", pix_fmt="yuv420p10le",
        options={"crf": "4", "preset": "ultrafast", "x265-params": parameters}, **tags,
    )  # fmt: skip
    with video.open_video(face) as reader:
        assert reader.look is not None and reader.look.name == "Rec.2100-PQ - Display"
        assert reader.info.mastering == f"{MASTERING} 1000,400"
    pipe.run(face, wav, tmp_path / "out.mp4", codec=codec, encoder_preset="ultrafast")
    with video.open_video(tmp_path / "out.mp4") as made:
        assert made.info.color == {"primaries": 9, "transfer": 16, "matrix": 9, "range": 1}
        assert made.info.mastering == f"{MASTERING} 1000,400" and made.info.bit_depth == 10
    report = pipe.run(face, wav, tmp_path / "out.mov", codec="prores_422hq")
    assert any("mastering display" in text for text in report.warnings)


def test_two_voices_share_a_frame_and_a_matte(wav, tmp_path, results):
    """The matte of the first voice is not lost when the second one is rendered."""
    frames = noisy()
    both = tiny_pipeline()
    spoken = {"0": wav, "left-to-right:0": wav}
    both.run(frames, spoken, tmp_path / "patch", codec="png", deliver="patch")
    for n, (source, result) in enumerate(zip(frames, results, strict=True)):
        rgba = video.load_image(tmp_path / "patch" / f"{n + 1:06d}.png")
        np.testing.assert_array_equal(over(rgba[..., :3], rgba[..., 3], source, 65535), result)


# ---- bad input: one line, nothing left


def bad(tmp_path, kind):
    """(footage, further arguments, what the line has to say)."""
    frames = noisy(np.float16)
    folder = tmp_path / "in"
    if kind == "config":
        return sequence(folder, frames, "exr"), ["--ocio", str(tmp_path / "absent.ocio")], "no OpenColorIO config"
    if kind == "no config":
        (tmp_path / "bad.ocio").write_text("hello: [")
        return sequence(folder, frames, "exr"), ["--ocio", str(tmp_path / "bad.ocio")], "is not an OpenColorIO config"
    if kind == "space":
        return sequence(folder, frames, "exr"), ["--colorspace", "ACEScq"], "did you mean 'ACEScg'"
    if kind == "no rgb":
        return sequence(folder, frames[..., 0], "exr"), [], "has no RGB channels, only Y"
    if kind == "gap":
        sequence(folder, frames, "exr")
        (folder / "shot.1003.exr").unlink()
        return folder, [], "picture 1003 is missing between 1002 and 1004"
    if kind == "sizes":
        sequence(folder, frames, "exr")
        pictures.save_picture(folder / "shot.1007.exr", frames[0][:100])
        return folder, [], "is 160x100, the first one 160x120"
    if kind == "two":
        sequence(folder, frames, "exr")
        pictures.save_picture(folder / "other.1001.exr", frames[0])
        return folder, [], "holds several sequences"
    if kind == "cut off":
        sequence(folder, frames, "exr")
        whole = (folder / "shot.1003.exr").read_bytes()
        (folder / "shot.1003.exr").write_bytes(whole[: len(whole) // 2])
        return folder, [], "shot.1003.exr"
    if kind == "matte of floats":
        return sequence(folder, frames, "exr"), ["--deliver", "patch", "--codec", "png"], "floats"
    return sequence(folder, frames, "exr"), ["--deliver", "offset", "--codec", "png"], "offsets are floats"


KINDS = ("config", "no config", "space", "no rgb", "gap", "sizes", "two", "cut off", "matte of floats", "offset")


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_one_line(wav, tmp_path, capfd, kind):
    face, arguments, said = bad(tmp_path, kind)
    before = sorted(tmp_path.rglob("*"))
    code = main(["run", str(face), str(wav), str(tmp_path / "out"), "-p", "fast", "--quiet", *arguments])
    lines = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert code in (2, 3) and len(lines) == 1 and said in lines[0], lines
    assert sorted(tmp_path.rglob("*")) == before


def test_a_config_of_ones_own(pipe, wav, tmp_path):
    import PyOpenColorIO as ocio

    config = tmp_path / "config.ocio"
    config.write_text(ocio.Config.CreateFromFile("ocio://cg-config-latest").serialize())
    face = sequence(tmp_path / "in", noisy(np.float16), "exr")
    for name, options in (("own", {"ocio": str(config)}), ("built-in", {})):
        pipe.run(face, wav, tmp_path / name, colorspace="ACEScg", **options)
    for (a, _), (b, _) in zip(stored(tmp_path / "own"), stored(tmp_path / "built-in"), strict=True):
        assert np.abs(a.astype(float) - b).max() < 2e-3


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    face = sequence(tmp_path / "in", noisy(np.float16), "exr")
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    with pytest.raises(OptionError, match=r"OpenImageIO: pip install 'wav2lip_hq\[delivery\]'"):
        video.open_video(face)
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    with pytest.raises(OptionError, match=r"OpenColorIO: pip install 'wav2lip_hq\[delivery\]'"):
        video.open_video(clip(2), colorspace="ACEScg")


def test_gaps_are_told_for_all_pictures(tmp_path):
    for n in (1, 2, 4):
        cv2.imwrite(str(tmp_path / f"{n:04d}.png"), clip(1)[0])
    for source in (tmp_path, tmp_path / "%04d.png"):
        with pytest.raises(InputError, match="picture 3 is missing"):
            video.open_video(source)


def test_colorspaces_are_listed(capsys):
    assert main(["colorspaces"]) == 0
    shown = capsys.readouterr().out
    assert "ACEScg" in shown and "arri_logc4" in shown


# ---- whole frames


def test_tiles_have_no_seams():
    """With as much around each tile as the network sees, tiles are the whole picture."""
    runtime = tiny_runtime()
    enlarge, scale = Frame("tiny-restorer")._network(runtime)
    image = np.random.default_rng(0).random((90, 130, 3)).astype(np.float32)
    whole = tiled(image, enlarge, scale, 512, 0)
    parts = tiled(image, enlarge, scale, 32, 16)
    inside = (slice(80, -80), slice(80, -80))  # the picture's border is continued differently
    assert whole.shape == (360, 520, 3)
    assert np.abs(whole[inside] - parts[inside]).max() < 1e-5
    assert np.abs(whole[inside] - tiled(image, enlarge, scale, 32, 0)[inside]).max() > 1e-3


@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_the_output_may_be_larger_than_the_source(pipe, tmp_path, dtype):
    """Frames after the speech, too, and those with a color space of their own."""
    short = write_wav(tmp_path / "short.wav", 0.2)
    large = pipe.insert(Frame("tiny-restorer", times=2), after="blend")
    if dtype == np.uint8:
        large.run(noisy(np.uint8), short, tmp_path / "out", codec="png")
        made = [video.load_image(p) for p in sorted((tmp_path / "out").iterdir())]
    else:
        face = sequence(tmp_path / "in", noisy(dtype), "exr")
        large.run(face, short, tmp_path / "out", colorspace="ACEScg")
        made = [image for image, _ in stored(tmp_path / "out")]
    assert [image.shape for image in made] == [(240, 320, 3)] * COUNT
    assert {image.dtype for image in made} == {np.dtype(dtype)}
    small = cv2.resize(made[-1].astype(np.float32), (160, 120), interpolation=cv2.INTER_AREA)
    assert np.isfinite(small).all() and small.std() > 0
    with pytest.raises(OptionError, match="leave out the stage"):
        large.run(noisy(np.uint8), short, tmp_path / "patch", codec="png", deliver="patch")
    with pytest.raises(OptionError, match="enlarges by 4"):
        pipe.insert(Frame("tiny-restorer", times=8), after="blend").load()


def test_16_bit_alpha_of_prores_keeps_steps_of_8_bits(tmp_path):
    """What ``test_prores_patches_have_an_exact_edge`` rests on."""
    alpha = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16), 8, 0).repeat(8, 1)
    frame = np.full((*alpha.shape, 3), 90, np.uint8)
    info = replace(video.open_video(frame[None]).info, has_alpha=True)
    with video.VideoWriter(tmp_path / "a.mov", info, codec="prores_4444") as writer:
        writer.write(frame, Fraction(0), alpha)
    with av.open(str(tmp_path / "a.mov")) as made:
        assert made.streams.video[0].codec_context.name == "prores"
    back = next(iter(video.open_video(tmp_path / "a.mov")))[2]
    np.testing.assert_array_equal(np.round(back / 257).astype(np.uint8), alpha)
