"""Everything that goes wrong at a keyboard: a clear error that names the file, and nothing half-written."""

from __future__ import annotations

import os
import stat
import wave

import numpy as np
import pytest
from media import clip, tiny_pipeline, write_video, write_wav

from wav2lip_hq import audio, video
from wav2lip_hq.errors import InputError, NoFaceError, OptionError, OutputError, Wav2LipHQError
from wav2lip_hq.pipeline import HQPipeline


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


@pytest.fixture
def wav(tmp_path):
    return write_wav(tmp_path / "speech.wav", 0.5)


def refuse(pipe, face, sound, output, error, text, **options):
    """The run fails with ``error`` saying ``text``, and leaves nothing new."""
    folder = output.parent
    before = sorted(folder.iterdir()) if folder.is_dir() else None
    with pytest.raises(error, match=text) as caught:
        pipe.run(face, sound, output, **options)
    assert isinstance(caught.value, Wav2LipHQError)
    if before is not None:
        assert sorted(folder.iterdir()) == before


def test_missing_face(pipe, wav, tmp_path):
    refuse(pipe, tmp_path / "gone.mp4", wav, tmp_path / "o.mp4", InputError, r"gone\.mp4 does not exist")


def test_empty_file(pipe, wav, tmp_path):
    (tmp_path / "zero.mp4").write_bytes(b"")
    refuse(pipe, tmp_path / "zero.mp4", wav, tmp_path / "o.mp4", InputError, r"zero\.mp4 is empty")
    (tmp_path / "zero.png").write_bytes(b"")
    refuse(pipe, tmp_path / "zero.png", wav, tmp_path / "o.mp4", InputError, r"zero\.png is empty")


def test_text_renamed_to_mp4(pipe, wav, tmp_path):
    (tmp_path / "notes.mp4").write_text("these are my notes\n" * 50)
    refuse(pipe, tmp_path / "notes.mp4", wav, tmp_path / "o.mp4", InputError, r"notes\.mp4 is not a media file")


def test_corrupt_picture(pipe, wav, tmp_path):
    (tmp_path / "face.jpg").write_bytes(b"\xff\xd8\xff" + os.urandom(200))
    refuse(pipe, tmp_path / "face.jpg", wav, tmp_path / "o.mp4", InputError, r"face\.jpg is not an image")


def test_truncated_video(pipe, wav, tmp_path):
    """Without its index an mp4 cannot be read; a transport stream can, up to where it breaks."""
    whole = write_video(tmp_path / "whole.mp4", clip(20)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    refuse(pipe, tmp_path / "cut.mp4", wav, tmp_path / "o.mp4", InputError, r"cut\.mp4")
    whole = write_video(tmp_path / "whole.ts", clip(40)).read_bytes()
    (tmp_path / "cut.ts").write_bytes(whole[: len(whole) * 2 // 3])
    report = pipe.run(tmp_path / "cut.ts", wav, tmp_path / "o.mp4")
    assert 0 < report.frames <= 40


def test_damaged_inside(pipe, wav, tmp_path):
    data = bytearray(write_video(tmp_path / "whole.mkv", clip(40)).read_bytes())
    rng = np.random.default_rng(0)
    for at in rng.integers(len(data) // 2, len(data) - 100, 60):
        data[at] ^= 0xFF
    (tmp_path / "scratched.mkv").write_bytes(data)
    try:
        report = pipe.run(tmp_path / "scratched.mkv", wav, tmp_path / "o.mp4")
    except InputError as error:
        assert "scratched.mkv" in str(error)
        assert not (tmp_path / "o.mp4").exists()
    else:
        assert report.frames > 0


def test_no_video_stream(pipe, wav, tmp_path):
    refuse(pipe, wav, wav, tmp_path / "o.mp4", InputError, r"speech\.wav has no video stream")


def test_no_audio_stream(pipe, tmp_path):
    face = write_video(tmp_path / "mute.mp4", clip(8))
    refuse(pipe, face, face, tmp_path / "o.mp4", InputError, r"mute\.mp4 has no audio stream")


def test_zero_length_audio(pipe, tmp_path):
    with wave.open(str(tmp_path / "none.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
    refuse(pipe, clip(4), tmp_path / "none.wav", tmp_path / "o.mp4", InputError, r"none\.wav")


def test_very_short_audio(pipe, tmp_path):
    short = write_wav(tmp_path / "click.wav", 0.1)
    refuse(pipe, clip(4), short, tmp_path / "o.mp4", InputError, r"click\.wav.*too short")


def test_silent_audio_is_a_warning(pipe, tmp_path):
    silence = write_wav(tmp_path / "silence.wav", 0.5, amplitude=0)
    report = pipe.run(clip(6), silence, tmp_path / "o.mp4", extend="stop")
    assert any("silent" in text for text in report.warnings)


def test_samples_that_are_no_numbers(pipe, tmp_path):
    samples = np.zeros(16000, np.float32)
    samples[500] = np.nan
    refuse(pipe, clip(4), (samples, 16000), tmp_path / "o.mp4", InputError, "NaN")
    with pytest.raises(InputError, match="shape"):
        audio.check_audio(np.zeros((2, 3, 4)), "x")


def test_one_frame_video(pipe, wav, tmp_path):
    face = write_video(tmp_path / "one.mp4", clip(1))
    assert pipe.run(face, wav, tmp_path / "o.mp4").frames == 13


def test_tiny_frames_have_no_face(wav, tmp_path):
    refuse(
        tiny_pipeline(nobody=True), np.zeros((5, 16, 16, 3), np.uint8), wav, tmp_path / "o.mp4", NoFaceError, "no face"
    )


def test_8k_frames(wav, tmp_path):
    frames = np.zeros((2, 4320, 7680, 3), np.uint8)
    frames[:] = clip(1)[0].repeat(36, 0).repeat(48, 1)[:4320, :7680]
    with tiny_pipeline().open(frames, wav, extend="stop") as chunks:
        out = np.concatenate([c.frames for c in chunks])
    assert out.shape == frames.shape and not np.array_equal(out, frames)


def test_face_half_out_of_the_frame(wav):
    frames = clip(10)[:, :, 50:].copy()  # cuts through the face
    pipe = tiny_pipeline()

    from dataclasses import dataclass, replace

    from media import DrawnDetect

    @dataclass(frozen=True)
    class Shifted(DrawnDetect):
        def process(self, chunk, runtime):
            chunk = super().process(replace(chunk, frames=np.zeros((len(chunk), 120, 160, 3), np.uint8)), runtime)
            move = np.zeros(15, np.float32)
            move[[0, 2, 5, 7, 9, 11, 13]] = -50
            return replace(
                chunk, frames=frames[chunk.start : chunk.start + len(chunk)], boxes=tuple(b + move for b in chunk.boxes)
            )

    with pipe.replace(detect=Shifted()).open(frames, wav, extend="stop") as chunks:
        out = np.concatenate([c.frames for c in chunks])
    assert out.shape == frames.shape and not np.array_equal(out, frames)


def test_unwritable_folder(pipe, wav, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    root = os.getuid() == 0
    if root:  # the superuser may write anywhere, so the check runs as the user "nobody"
        os.setreuid(65534, 0)
    try:
        refuse(pipe, clip(4), wav, locked / "o.mp4", OutputError, "not writable")
    finally:
        if root:
            os.setreuid(0, 0)


def test_missing_output_folder(pipe, wav, tmp_path):
    refuse(pipe, clip(4), wav, tmp_path / "no" / "o.mp4", OutputError, "does not exist")


def test_full_disk(pipe, wav, tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1, 1, 0))
    refuse(pipe, clip(4), wav, tmp_path / "o.mp4", OutputError, "full")


def test_disk_that_fills_while_writing(pipe, wav, tmp_path, monkeypatch):
    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(video.VideoWriter, "_encode", full)
    refuse(pipe, clip(30), wav, tmp_path / "o.mp4", OutputError, "No space left")


def test_output_equal_to_input(pipe, wav, tmp_path):
    face = write_video(tmp_path / "talk.mp4", clip(4))
    before = face.read_bytes()
    refuse(pipe, face, wav, tmp_path / "talk.mp4", OutputError, "also an input")
    assert face.read_bytes() == before


def test_output_is_a_folder(pipe, wav, tmp_path):
    (tmp_path / "o.mp4").mkdir()
    refuse(pipe, clip(4), wav, tmp_path / "o.mp4", OutputError, "is a folder")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"codec": "mpeg9"}, "codec is h264, .*not 'mpeg9'"),
        ({"codec": "prores_4444"}, "goes into .mov"),
        ({"extend": "bounce"}, "extend is loop, .*not 'bounce'"),
        ({"pix_fmt": "yuv999"}, "pixel format"),
    ],
)
def test_unknown_options(pipe, wav, tmp_path, options, text):
    refuse(pipe, clip(4), wav, tmp_path / "o.mp4", OptionError, text, **options)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: HQPipeline("defualt"), "did you mean 'default'"),
        (lambda: HQPipeline(device="quantum"), "device 'quantum'"),
        (lambda: HQPipeline().set("polish.x=1"), "no stage 'polish'"),
        (lambda: HQPipeline().set("articulate.expresion=1"), "did you mean 'expression'"),
        (lambda: HQPipeline().set("articulate.expression=lots"), "articulate.expression is float"),
        (lambda: HQPipeline().set("articulate.expression=7"), "between 0 and 2"),
        (lambda: HQPipeline().set("blend"), "stage.option=value"),
    ],
)
def test_unknown_names(call, text):
    with pytest.raises(OptionError, match=text):
        call()


@pytest.mark.parametrize(
    "name", ["with space.mp4", "quo'te\".mp4", "a.b.c.mp4", "ümläut 日本.mp4", "50%d.mp4", "-dash.mp4"]
)
def test_awkward_names(pipe, wav, tmp_path, name):
    face = write_video(tmp_path / "in.mp4", clip(5))
    face = face.rename(tmp_path / f"in {name}")
    report = pipe.run(face, wav, tmp_path / name, extend="stop")
    assert report.output.name == name and report.frames == 5


def test_a_clip_that_changes_resolution(pipe, wav, tmp_path):
    """Two transport streams of different size, one after the other."""
    one = write_video(tmp_path / "a.ts", clip(10)).read_bytes()
    two = write_video(tmp_path / "b.ts", clip(10, width=128, height=96)).read_bytes()
    (tmp_path / "both.ts").write_bytes(one + two)
    refuse(pipe, tmp_path / "both.ts", wav, tmp_path / "o.mp4", InputError, r"both\.ts changes its resolution")


def test_frames_of_different_size(pipe, wav, tmp_path):
    frames = [clip(1)[0], clip(1, width=128)[0]]
    refuse(pipe, iter(frames), wav, tmp_path / "o.mp4", InputError, "one size")
    with pytest.raises(InputError, match="uint8"):
        pipe.run(np.zeros((2, 8, 8, 3)), wav, tmp_path / "o.mp4")
