"""In and out points of footage and speech, and timecode: kept, counted, drop-frame too."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from media import clip, tiny_pipeline, write_video, write_wav

from wav2lip_hq import survey as surveys
from wav2lip_hq.errors import InputError, OptionError
from wav2lip_hq.run_options import RunOptions
from wav2lip_hq.timecode import later_timecode, standard_rate, timecode_frames, timecode_text
from wav2lip_hq.video import Sound, VideoWriter, decode_audio, open_video

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(("fps", "drop"), [(NTSC, True), (2 * NTSC, True), (NTSC, False), (Fraction(25), False)])
def test_timecode_of_every_frame_counts_on(fps, drop):
    rate = round(fps)
    day = 24 * 3600 * rate - (rate // 15 * (1440 - 144) if drop else 0)
    for n in (*range(2 * rate * 60 * 11, 2 * rate * 60 * 11 + 40), *range(0, day, 9973), day - 1):
        assert timecode_frames(timecode_text(n, fps, drop), fps) == n
    assert timecode_text(day, fps, drop) == timecode_text(0, fps, drop)


def test_timecode_of_later_frames():
    assert later_timecode("01:00:59;29", NTSC, 1 / NTSC) == "01:01:00;02"
    assert later_timecode("01:00:59:29", NTSC, 1 / NTSC) == "01:01:00:00"
    assert later_timecode("23:59:59:24", Fraction(25), Fraction(1, 25)) == "00:00:00:00"
    assert later_timecode("01:00:00;02", Fraction(25), Fraction(1)) == ""
    assert standard_rate(Fraction("29.97")) == NTSC and standard_rate(Fraction(30)) == 30
    assert standard_rate(Fraction(27, 2)) == Fraction(27, 2)


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv", "a.mxf"])
@pytest.mark.parametrize(("fps", "timecode"), [(Fraction(25), "10:00:00:00"), (NTSC, "01:00:59;28")])
def test_files_keep_the_timecode(tmp_path, name, fps, timecode):
    path = tmp_path / name
    codec = "prores_422hq" if name == "a.mxf" else "h264"
    sound = Sound(path=str(write_wav(tmp_path / "s.wav", 0.5)))
    with open_video(clip(12), fps=fps, timecode=timecode) as reader:
        with VideoWriter(path, reader.info, codec=codec, sound=sound) as writer:
            for time, frame, _ in reader:
                writer.write(frame, time)
    with open_video(path) as reader:
        assert reader.info.timecode == timecode and reader.info.has_audio
        assert len(list(reader)) == 12


def test_a_piece_has_the_files_own_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4", clip(40), fps=25, options={"crf": "20", "g": "9"})
    with open_video(path) as reader:
        whole = list(reader)
    with open_video(path, timecode="10:00:00:00", start="10:00:00:11", end=1.2) as reader:
        info, piece = reader.info, list(reader)
        again = list(reader.start_at(Fraction(5, 25)))
    assert [t for t, _, _ in piece] == [Fraction(n, 25) for n in range(19)]
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(piece, whole[11:30], strict=True))
    assert np.array_equal(again[0][1], whole[16][1]) and again[0][0] == Fraction(5, 25)
    assert info.frames == 19 and info.duration == Fraction(19, 25)
    assert info.timecode == "10:00:00:11" and info.begins == Fraction(11, 25)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"start": 3}, InputError, "1.00 s long: nothing lies between 3.000 s"),
        ({"start": 0.5, "end": 0.5}, OptionError, "not after the start"),
        ({"start": "09:00:00:00", "timecode": "10:00:00:00"}, OptionError, "before the start of the footage"),
        ({"start": "soon"}, OptionError, "not a time"),
        ({"timecode": "10:00:00;10"}, OptionError, "drop-frame"),
        ({"speech_start": 4}, InputError, "no speech of 0.2 s between"),
        ({"speech_start": 0.5, "speech_end": 0.4}, OptionError, "not after its start"),
    ],
)
def test_points_that_cannot_be(tmp_path, changes, error, says):
    path = write_video(tmp_path / "a.mp4", clip(25), fps=25)
    with pytest.raises(error, match=says):
        tiny_pipeline().run(path, write_wav(tmp_path / "a.wav"), tmp_path / "out.mp4", **changes)
    assert not (tmp_path / "out.mp4").exists()


def test_pictures_and_iterators_are_not_cut():
    with pytest.raises(OptionError, match="iterator cannot be cut"):
        open_video(iter(clip(3)), start=0.1)


def test_a_run_of_a_piece_with_a_piece_of_the_speech(tmp_path):
    speech = write_wav(tmp_path / "a.wav", 3.0)
    path = write_video(tmp_path / "a.mp4", clip(50), fps=25, sound=speech)
    options = {"start": 0.4, "end": 1.2, "speech_start": 1, "speech_end": 1.6, "timecode": "01:00:00:00"}
    report = tiny_pipeline().run(path, speech, tmp_path / "out.mkv", codec="ffv1", **options)
    assert report.frames == 20
    with open_video(path) as reader:
        whole = [frame for _, frame, _ in reader]
    with open_video(tmp_path / "out.mkv") as reader:
        assert reader.info.timecode == "01:00:00:10"
        made = [frame for _, frame, _ in reader]
    same = [np.array_equal(a, b) for a, b in zip(made, whole[10:30], strict=True)]
    assert not any(same[:15]) and all(same[15:])  # the speech lasts 0.6 s
    heard, given = decode_audio(tmp_path / "out.mkv"), decode_audio(speech)
    assert len(heard) == round(0.6 * 16000) and np.abs(heard - given[16000 : 16000 + len(heard)]).max() < 1e-3
    tiny_pipeline().run(path, speech, tmp_path / "own.mkv", codec="ffv1", sound="source", **options)
    kept, own = decode_audio(tmp_path / "own.mkv"), decode_audio(path)
    assert len(kept) == round(0.8 * 16000) and np.abs(kept - own[6400 : 6400 + len(kept)]).max() < 1e-3


def test_the_survey_of_the_whole_serves_a_piece(tmp_path):
    pipe = tiny_pipeline()
    path, speech = write_video(tmp_path / "a.mp4", clip(40), fps=25), write_wav(tmp_path / "a.wav", 0.5)
    surveys.save(pipe.survey(path), tmp_path / "whole.npz")
    surveys.save(pipe.survey(path, start=0.4), tmp_path / "piece.npz")
    for name in ("whole", "piece"):
        report = pipe.run(path, speech, tmp_path / f"{name}.mp4", start=0.4, run=_survey(tmp_path / f"{name}.npz"))
        assert report.faces
    with pytest.raises(InputError, match=r"is of 1.20 s from 0.40 s on"):
        pipe.run(path, speech, tmp_path / "b.mp4", start=0.8, run=_survey(tmp_path / "piece.npz"))


def _survey(path):
    return RunOptions(survey=str(path))


def test_a_piece_or_a_slower_copy_is_shown_like_the_whole():
    """Log footage that is cut or stretched is still brought to a display encoding for the networks."""
    pytest.importorskip("PyOpenColorIO")
    from wav2lip_hq.video import stretched

    with (
        open_video(clip(12), fps=25, colorspace="ACEScct") as whole,
        open_video(clip(12), fps=25, colorspace="ACEScct", start="0.2") as piece,
    ):
        assert whole.look is not None and piece.look == whole.look
        assert stretched(whole, Fraction(1)).look == whole.look
        image = clip(12)[5]
        assert np.array_equal(piece.shown(image), whole.shown(image)) and not np.array_equal(piece.shown(image), image)
