"""Reading and writing: timestamps, colors, depth, rotation, sound, and files that appear only when complete."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import clip, face_frame, write_video, write_wav
from PIL import Image

from wav2lip_hq import video
from wav2lip_hq.errors import InputError, OptionError, OutputError

ROOT = Path(__file__).parents[1]


def read(path, **options):
    with video.open_video(path, **options) as reader:
        return reader.info, list(reader)


def rewrite(path, target, **options):
    with video.open_video(path) as reader, video.VideoWriter(target, reader.info, **options) as writer:
        for pts, frame, alpha in reader:
            writer.write(frame, pts, alpha)
    return target


def smooth(count=6, height=120, width=160, dtype=np.uint8):
    y, x = np.mgrid[:height, :width] / max(height, width)
    t = np.arange(count)[:, None, None] / 20
    planes = [0.15 + 0.6 * (x + t), 0.2 + 0.5 * (y + 0 * t), 0.75 - 0.5 * (x * y + t)]
    image = np.stack([p if p.shape[0] == count else np.repeat(p, count, 0) for p in planes], -1)
    return np.round(np.clip(image, 0, 1) * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("height", [120, 720])
@pytest.mark.parametrize("tags", [{}, {"colorspace": 1, "color_primaries": 1, "color_trc": 1}, {"color_range": 2}])
def test_colors_survive_a_round_trip(tmp_path, height, tags):
    frames = smooth(3, height, height * 4 // 3)
    source = write_video(tmp_path / "a.mp4", frames, options={"crf": "4"}, **tags)
    info, before = read(source)
    again, after = read(rewrite(source, tmp_path / "b.mp4", crf=4))
    assert again.color == {**info.color, "range": info.color.get("range", 1)}
    for a, b in zip(before, after, strict=True):
        difference = np.abs(a[1].astype(int) - b[1])
        assert difference.mean() < 0.7 and difference.max() <= 6
        # No shift. Full range costs about one level of blue here: chroma is rounded in two conversions.
        shift = np.abs((a[1].astype(float) - b[1]).mean((0, 1))).max()
        assert shift < (1.5 if "color_range" in tags else 0.3)


def test_lossless_round_trip(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 50, 70, 3), dtype=np.uint8)
    with video.VideoWriter(tmp_path / "a.mkv", video.open_video(frames).info, codec="ffv1") as writer:
        for n, frame in enumerate(frames):
            writer.write(frame, Fraction(n, 25))
    assert np.array_equal(np.stack([f for _, f, _ in read(tmp_path / "a.mkv")[1]]), frames)


def test_ten_bits_stay_ten_bits(tmp_path):
    frames = smooth(3, dtype=np.uint16)
    source = write_video(
        tmp_path / "a.mp4",
        frames,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"crf": "4", "x265-params": "log-level=none"},
    )
    info, before = read(source)
    assert info.bit_depth == 10 and before[0][1].dtype == np.uint16
    assert np.abs(before[0][1].astype(int) - frames[0]).mean() < 300  # of 65535
    for codec, name in (("h264", "b.mp4"), ("hevc", "c.mp4"), ("prores_422hq", "d.mov"), ("ffv1", "e.mkv")):
        again, after = read(rewrite(source, tmp_path / name, codec=codec))
        assert again.bit_depth >= 10, codec
        assert np.abs(after[0][1].astype(int) - before[0][1]).mean() < 260, codec


def test_variable_rate_timestamps_are_exact(tmp_path):
    pts = [Fraction(n * 3003 + (n * 7) % 5 * 211, 90000) for n in range(20)]
    source = write_video(tmp_path / "a.mp4", clip(20), pts=pts)
    assert [f[0] for f in read(source)[1]] == pts
    assert [f[0] for f in read(rewrite(source, tmp_path / "b.mov"))[1]] == pts


def test_rotation_is_applied(tmp_path):
    """A phone's upright clip is stored lying down with a matrix that says so."""
    upright = clip(4, width=96, height=160)
    path = tmp_path / "phone.mp4"
    write_video(path, np.rot90(upright, 1, (1, 2)).copy())
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the matrix of a version 0 track header
    one, minus, zero = (1 << 16).to_bytes(4, "big"), (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big"), bytes(4)
    data[at : at + 36] = zero + one + zero + minus + zero + zero + zero + zero + (1 << 30).to_bytes(4, "big")
    path.write_bytes(data)
    info, frames = read(path)
    assert (info.width, info.height) == (96, 160) and info.rotation in (90, 270)
    errors = [np.abs(frames[0][1].astype(int) - np.rot90(upright[0], 2 * k)).mean() for k in (0, 1)]
    assert min(errors) < 6


def test_sample_aspect_ratio_and_tags_are_carried(tmp_path):
    source = write_video(
        tmp_path / "a.mp4", clip(3), sample_aspect_ratio=Fraction(16, 15), colorspace=6, color_primaries=6, color_trc=6
    )
    info, _ = read(rewrite(source, tmp_path / "b.mp4"))
    assert info.sample_aspect_ratio == Fraction(16, 15)
    assert info.color["primaries"] == 6 and info.color["matrix"] == 6


@pytest.mark.parametrize("size", [(121, 160), (120, 161), (33, 47)])
def test_odd_sizes(tmp_path, size):
    frames = smooth(3, *size)
    with video.VideoWriter(tmp_path / "a.mp4", video.open_video(frames).info) as writer:
        for n, frame in enumerate(frames):
            writer.write(frame, Fraction(n, 25))
    info, back = read(tmp_path / "a.mp4")
    assert (info.height, info.width) == size and len(back) == 3


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_still_with_alpha(tmp_path, name):
    image = np.dstack([face_frame(0), np.full((120, 160), 99, np.uint8)])
    Image.fromarray(image).save(tmp_path / name)
    info, frames = read(tmp_path / name)
    assert info.still and info.has_alpha
    assert np.array_equal(frames[0][1], image[..., :3]) and (frames[0][2] == 99).all()


def test_exif_orientation(tmp_path):
    upright = smooth(1, 100, 60)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    Image.fromarray(np.rot90(upright, 1).copy()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    info, frames = read(tmp_path / "a.jpg")
    assert (info.width, info.height) == (60, 100)
    assert np.abs(frames[0][1].astype(int) - upright).mean() < 6


def test_interlaced_footage_is_noticed_and_can_be_rebuilt(tmp_path):
    frames = clip(10, width=160, height=120)
    fields = frames[::2].copy()
    fields[:, 1::2] = frames[1::2, 1::2]
    source = write_video(tmp_path / "a.mp4", fields, options={"x264-params": "tff=1", "crf": "8"})
    info, woven = read(source)
    assert info.interlaced
    plain, rebuilt = read(source, deinterlace=True)
    assert not plain.interlaced and len(rebuilt) == len(woven)

    def comb(image):
        image = image.astype(int)
        return np.abs(2 * image[1:-1] - image[:-2] - image[2:]).mean()

    assert comb(rebuilt[3][1]) < comb(woven[3][1])


@pytest.mark.parametrize("deinterlace", [False, True])
def test_avi_shows_frames_in_their_order_at_their_times(tmp_path, deinterlace):
    """AVI numbers packets as they are stored; H.264 stores frames that refer to later ones after those."""
    shades = [np.full((64, 64, 3), 4 * n, np.uint8) for n in range(40)]
    options = {"bf": "3", "g": "12", "x264-params": "b-adapt=0:scenecut=0", "crf": "6"}
    path = write_video(tmp_path / "a.avi", np.stack(shades), time_base=Fraction(1, 25), options=options)
    times = [Fraction(n, 25) for n in range(40)]
    with video.open_video(path, deinterlace=deinterlace) as reader:
        shown = list(reader)
        later = list(reader.start_at(Fraction(30, 25)))
    assert [pts for pts, *_ in shown] == times
    assert max(abs(float(image.mean()) - 4 * n) for n, (_, image, _) in enumerate(shown)) < 3
    assert [pts for pts, *_ in later] == times[30:]
    assert max(abs(float(image.mean()) - 4 * n) for n, (_, image, _) in enumerate(later, 30)) < 3
    assert [pts for pts, *_ in read(rewrite(path, tmp_path / "b.mp4"))[1]] == times


def test_frames_closer_than_a_tick_of_the_clock_are_written(tmp_path):
    info, frames = read(clip(6))
    odd = [Fraction(n, 25) + Fraction(n % 2, 1000) - Fraction(n % 2, 25) for n in range(6)]
    with video.VideoWriter(tmp_path / "a.mp4", info) as writer:
        for pts, (_, frame, alpha) in zip(odd, frames, strict=True):
            writer.write(frame, pts, alpha)
    times = [pts for pts, *_ in read(tmp_path / "a.mp4")[1]]
    assert len(times) == 6 and all(a < b for a, b in zip(times, times[1:], strict=False))
    assert max(abs(a - b) for a, b in zip(times, odd, strict=True)) <= Fraction(1, 25)


def test_program_streams_start_at_zero(tmp_path):
    source = write_video(tmp_path / "a.ts", clip(5))
    assert read(source)[1][0][0] < Fraction(1, 5)  # their clock starts at 1.4 s


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size]


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".m4a"), ("libmp3lame", ".mp3"), ("flac", ".flac")])
def test_sound_is_copied_where_the_container_allows(tmp_path, codec, suffix):
    wav = write_wav(tmp_path / "a.wav", 1.0, 44100)
    speech = tmp_path / f"speech{suffix}"
    with av.open(str(wav)) as source, av.open(str(speech), "w") as out:
        stream = out.add_stream(codec, rate=44100, layout="mono")
        for frame in source.decode(audio=0):
            frame.pts = None
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    frames = clip(25)
    with video.VideoWriter(tmp_path / "o.mp4", video.open_video(frames).info, sound=video.Sound(str(speech))) as writer:
        for n, frame in enumerate(frames):
            writer.write(frame, Fraction(n, 25))
    assert packets(tmp_path / "o.mp4") == packets(speech)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mov", "pcm_s16le"), (".mkv", "pcm_s16le")])
@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (16000, 1), (37800, 2)])
def test_sound_keeps_rate_channels_and_timing(tmp_path, suffix, codec, rate, channels):
    wav = write_wav(tmp_path / "a.wav", 1.0, rate, channels)
    frames = clip(25)
    with video.VideoWriter(
        tmp_path / f"o{suffix}", video.open_video(frames).info, sound=video.Sound(str(wav))
    ) as writer:
        for n, frame in enumerate(frames):
            writer.write(frame, Fraction(n, 25))
    facts = video.probe_sound(tmp_path / f"o{suffix}")
    assert facts.codec == codec and facts.channels == channels
    assert facts.rate == rate or (codec == "aac" and rate == 37800)
    a, b = video.decode_audio(wav), video.decode_audio(tmp_path / f"o{suffix}")
    n = min(len(a), len(b)) - 400
    lags = {k: float(np.dot(a[200 : n - 200], b[200 + k : n - 200 + k])) for k in range(-150, 151, 5)}
    assert abs(max(lags, key=lags.get)) <= 32  # 2 ms


def test_sound_ends_where_it_is_told(tmp_path):
    wav = write_wav(tmp_path / "a.wav", 2.0)
    frames = clip(10)
    sound = video.Sound(str(wav))
    with video.VideoWriter(
        tmp_path / "o.mp4", video.open_video(frames).info, sound=sound, until=Fraction(2, 5)
    ) as writer:
        for n, frame in enumerate(frames):
            writer.write(frame, Fraction(n, 25))
    assert abs(len(video.decode_audio(tmp_path / "o.mp4")) / 16000 - 0.4) < 0.07


def test_the_file_appears_only_when_complete(tmp_path):
    frames = clip(5)
    info = video.open_video(frames).info
    writer = video.VideoWriter(tmp_path / "o.mp4", info)
    writer.write(frames[0], Fraction(0))
    assert not (tmp_path / "o.mp4").exists()
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]
    with pytest.raises(ZeroDivisionError), video.VideoWriter(tmp_path / "p.mp4", info) as other:
        other.write(frames[0], Fraction(0))
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]


def test_no_threads_are_left(tmp_path):
    before = threading.active_count()
    frames = clip(5)
    for _ in range(3):
        with video.VideoWriter(tmp_path / "o.mp4", video.open_video(frames).info) as writer:
            writer.write(frames[0], Fraction(0))
    assert threading.active_count() <= before


def test_faststart(tmp_path):
    frames = clip(5)
    with video.VideoWriter(tmp_path / "o.mp4", video.open_video(frames).info) as writer:
        writer.write(frames[0], Fraction(0))
    data = (tmp_path / "o.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_backwards_needs_little_memory(tmp_path):
    frames = np.zeros((50, 32, 32, 3), np.uint8) + np.arange(50, dtype=np.uint8)[:, None, None, None] * 4
    path = write_video(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0", options={}, time_base=Fraction(1, 25))
    with video.open_video(path) as reader:
        times = [f[0] for f in reader]
        back = [int(f[1][0, 0, 0]) // 4 for f in reader.backwards(times, 7)]
    assert back == list(range(49, -1, -1))


def test_clear_errors(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        video.open_video(tmp_path)
    with pytest.raises(OptionError, match="fps"):
        video.open_video(clip(2), fps=0)
    with (
        pytest.raises(OutputError, match="frame of"),
        video.VideoWriter(tmp_path / "o.mp4", video.open_video(clip(2)).info) as w,
    ):
        w.write(np.zeros((8, 8, 3), np.uint8), Fraction(0))
    assert not list(tmp_path.glob("*.mp4"))
    with pytest.raises(OptionError, match="folder"):
        video.check_output(tmp_path / "o.png", [], "png")


@pytest.mark.parametrize(
    ("name", "codec"), [("clip.mpg", "mpeg1video"), ("clip.mp4", "libx264"), ("clip.avi", "libx264")]
)
def test_no_frame_is_lost_by_starting_in_the_middle_or_going_backwards(tmp_path, name, codec):
    """MPEG program streams have no index, and seeking in them lands anywhere."""
    frames = np.stack([np.full((64, 96, 3), 3 * n, np.uint8) for n in range(60)])
    path = write_video(tmp_path / name, frames, codec=codec, time_base=Fraction(1, 25), options={"g": "12"})
    with video.open_video(path) as reader:
        times = [time for time, _, _ in reader]
        assert len(times) == 60
        for at in (0, 1, 17, 22, 23, 24, 30, 35):
            assert [t for t, _, _ in reader.start_at(times[at])] == times[at:]
        assert [t for t, _, _ in reader.backwards(times)] == times[::-1]


ENCODING = """
import hashlib
from fractions import Fraction
import numpy as np
from wav2lip_hq import video
for width, height, name in ((192, 192, 'o.mp4'), (130, 98, 'o.mp4'), (176, 144, 'o.mkv')):
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin((x + 3 * n) / 17) + 50 * np.cos((y - 2 * n) / 23) for n in range(16)]
    frames = np.stack(waves)[..., None] + np.random.default_rng(0).normal(0, 4, (16, height, width, 3))
    frames = np.clip(frames, 0, 255).astype(np.uint8)
    with video.VideoWriter(name, video.open_video(frames).info) as writer:
        for n, frame in enumerate(frames):
            writer.write(frame, Fraction(n, 25))
    print(hashlib.sha256(open(name, "rb").read()).hexdigest())
"""


def test_the_same_frames_give_the_same_file_whatever_lay_in_memory(tmp_path):
    """glibc fills memory it hands out as MALLOC_PERTURB_ says: what reads it before writing it gives another file."""
    made = set()
    for fill in ("85", "170"):
        environment = {**os.environ, "MALLOC_PERTURB_": fill, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", ENCODING]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        made.add(done.stdout)
    assert len(made) == 1


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_pictures_say_that_they_are_synthetic(tmp_path, mark, dtype):
    frames = smooth(2, dtype=dtype)
    with video.VideoWriter(tmp_path / "o", video.open_video(frames).info, codec="png", mark=mark) as writer:
        for n, frame in enumerate(frames):
            writer.write(frame, Fraction(n, 25))
    with Image.open(tmp_path / "o" / "000002.png") as picture:
        picture.load()
        assert ("synthesized" in picture.text.get("Comment", "")) == mark
    assert np.array_equal(read(tmp_path / "o")[1][1][1], frames[1])


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "kept"),
    [
        ("h264", None, False),
        ("hevc", None, False),
        ("prores_422hq", None, False),
        ("prores_4444", None, True),
        ("prores_4444", "yuv444p10le", False),
        ("ffv1", None, True),
        ("png", None, True),
    ],
)
def test_lost_transparency_is_told(tmp_path, codec, pix_fmt, kept):
    image = np.dstack([face_frame(0), np.full(face_frame(0).shape[:2], 128, np.uint8)])
    Image.fromarray(image).save(tmp_path / "a.png")
    info = video.open_video(tmp_path / "a.png").info
    told = video.lost(info, codec, pix_fmt)
    assert kept == (not told) and all("transparency" in text and "a.png" in text for text in told)
    assert not video.lost(video.open_video(image[None, ..., :3]).info, codec, pix_fmt)
