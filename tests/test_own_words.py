"""Where the footage says the given speech already, its frames stay as they are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import wav2lip_hq
from wav2lip_hq import HQPipeline, audio
from wav2lip_hq.cli import main
from wav2lip_hq.errors import OptionError
from wav2lip_hq.stream import spared
from wav2lip_hq.survey.own_words import BESIDE, OwnWords
from wav2lip_hq.survey.sound import own_sound, same_sound
from wav2lip_hq.types import Array, Chunk, Faces, Reason
from wav2lip_hq.video import Sound, VideoWriter, open_video

FACE = Path(wav2lip_hq.__file__).parent / "_data" / "demo" / "face.mpg"  # 75 frames of a person who speaks
SPEECH = FACE.with_name("speech.wav")


@pytest.fixture(scope="module")
def own() -> Array:
    return audio.load_audio(FACE)


@pytest.fixture(scope="module")
def pipeline() -> HQPipeline:
    return HQPipeline("fast")


@pytest.fixture(scope="module")
def footage() -> Array:
    with open_video(FACE) as reader:
        return np.stack([frame for _, frame, _ in reader])


def changed(chunks: list[Chunk], footage: Array) -> list[int]:
    """Frames of the result that differ from the footage's."""
    made = np.concatenate([chunk.frames for chunk in chunks])[: len(footage)]
    return [n for n, (a, b) in enumerate(zip(made, footage, strict=True)) if (a != b).any()]


# ---- the same sound


def noise(seconds: float, seed: int) -> Array:
    """Bursts of filtered noise, as different from each other as words are."""
    rng = np.random.default_rng(seed)
    wav = np.cumsum(rng.normal(size=round(seconds * audio.RATE)))
    wav -= np.convolve(wav, np.ones(400) / 400, "same")
    return (0.1 * wav / np.abs(wav).max()).astype(np.float32)


@pytest.mark.parametrize("done", ["louder", "turned over", "late", "noisy", "16 bits"])
def test_a_recording_is_the_same_however_it_was_handled(done: str):
    wav = noise(4, 0)
    other = {
        "louder": 2.5 * wav,
        "turned over": -wav,
        "late": np.concatenate([np.zeros(500, np.float32), wav]),
        "noisy": wav + np.random.default_rng(1).normal(0, 0.002, len(wav)).astype(np.float32),
        "16 bits": np.round(wav * 3000).astype(np.float32) / 3000,
    }[done]
    ((start, end),) = same_sound(wav, other)
    assert start == 0 and end == pytest.approx(4, abs=0.01)


def test_only_the_part_that_was_replaced_differs():
    wav = noise(6, 0)
    other = wav.copy()
    other[2 * audio.RATE : 3 * audio.RATE] = noise(1, 1)
    (first, second) = same_sound(wav, other)
    assert first[0] == 0 and 1.5 <= first[1] <= 2.1
    assert 2.9 <= second[0] <= 3.5 and second[1] == pytest.approx(6, abs=0.01)


def test_a_pause_counts_where_all_around_it_is_the_same():
    wav = noise(6, 0)
    wav[2 * audio.RATE : 3 * audio.RATE] = 0
    assert len(same_sound(wav, wav)) == 1
    other = wav.copy()
    other[3 * audio.RATE :] = noise(3, 2)
    ((_, end),) = same_sound(wav, other)
    assert end < 2.5


@pytest.mark.parametrize("other", [noise(4, 3), np.zeros(64000, np.float32), noise(0.3, 0)])
def test_another_sound_silence_and_a_short_one_are_not_the_same(other: Array):
    assert same_sound(noise(4, 0), other) == []
    assert same_sound(other, noise(4, 0)) == []
    assert same_sound(np.zeros(64000, np.float32), np.zeros(64000, np.float32)) == []


def test_the_sound_of_a_piece_begins_where_the_piece_does(own: Array):
    with open_video(FACE, start=1.0) as reader:
        assert np.array_equal(own_sound(reader.info), own[round(reader.info.begins * audio.RATE) :])
        assert reader.info.begins >= 1


# ---- what is shown


def test_share_of_what_is_made_rises_beside_a_span():
    words = OwnWords(((1.0, 2.0),), frozenset({3}))
    times = [Fraction(n, 10) for n in (5, 9, 10, 15, 20, 21, 25)]
    share = words.share(times, np.full(7, 3))
    assert share[[0, 2, 3, 6]].tolist() == [1, 0, 0, 1]
    assert 0 < share[1] < 1 and 0 < share[4] < share[5] < 1
    assert words.share(times, np.full(7, 4)).tolist() == [1] * 7  # another face


def test_footage_shown_again_does_not_say_its_words():
    faces = Faces(np.arange(4), np.zeros(4, np.int64), np.zeros((4, 4), np.float32), np.zeros((4, 5, 2), np.float32))
    shown = tuple(Fraction(n, 25) for n in (0, 1, 0, 1))
    chunk = Chunk(0, np.zeros((4, 2, 2, 3), np.uint8), tuple(Fraction(n, 25) for n in range(4)), source_pts=shown)
    (out,) = spared(iter([replace(chunk, faces=faces)]), OwnWords(((0.0, 1.0),), frozenset({0})))
    assert out.faces is not None and out.faces.frame.tolist() == [2, 3]
    assert out.left is not None and out.left.frame.tolist() == [0, 1]
    assert out.left.reason is not None and set(out.left.reason.tolist()) == {Reason.SAID}


def test_footage_with_its_own_words_stays_as_it_is(tmp_path: Path, pipeline: HQPipeline, footage: Array, own: Array):
    report = pipeline.run(FACE, (own, audio.RATE), tmp_path / "out.mkv", codec="ffv1", trim=True, extend="stop")
    assert report.faces == 0 and report.frames_without_face == 0
    assert {s.reason for s in report.stretches} == {Reason.SAID}
    assert any("says this speech already" in text and "own_words" in text for text in report.warnings)
    with open_video(tmp_path / "out.mkv") as reader:
        made = np.stack([frame for _, frame, _ in reader])
    assert np.array_equal(made, footage[: len(made)]) and len(made) > 70


def test_it_is_made_anew_where_that_is_asked_for(pipeline: HQPipeline, footage: Array, own: Array):
    with pipeline.open(FACE, (own, audio.RATE), trim=True, extend="stop", own_words="redo") as chunks:
        assert len(changed(list(chunks), footage)) > 60


def test_a_retake_changes_its_own_frames_alone(pipeline: HQPipeline, footage: Array, own: Array):
    retake, new = own.copy(), audio.load_audio(SPEECH)
    first, last = 1.4, 2.1
    at = slice(round(first * audio.RATE), round(last * audio.RATE))
    retake[at] = new[8000:][: at.stop - at.start]
    with pipeline.open(FACE, (retake, audio.RATE), trim=True, extend="stop") as chunks:
        found = changed(list(chunks), footage)
    reach = BESIDE + 0.5  # half a second is compared at a time
    assert found and set(found) >= set(range(round(first * 25), round(last * 25)))
    assert min(found) / 25 >= first - reach and max(found) / 25 <= last + reach


def test_a_dub_that_the_footage_carries_already_is_made(tmp_path: Path, pipeline: HQPipeline, footage: Array):
    """The same sound is not enough: the mouth must be in sync with it."""
    with (
        open_video(FACE) as reader,
        VideoWriter(tmp_path / "dubbed.mkv", reader.info, codec="ffv1", sound=Sound(path=str(SPEECH))) as writer,
    ):
        for time, frame, _ in reader:
            writer.write(frame, time)
    dub = audio.load_audio(SPEECH)
    with pipeline.open(tmp_path / "dubbed.mkv", (dub, audio.RATE), trim=True, extend="stop") as chunks:
        assert len(changed(list(chunks), footage)) > 30


def test_footage_out_of_sync_with_its_own_words_is_made(tmp_path: Path, pipeline: HQPipeline, own: Array):
    late = np.concatenate([np.zeros(round(0.24 * audio.RATE), np.float32), own])
    with (
        open_video(FACE) as reader,
        VideoWriter(
            tmp_path / "late.mkv", reader.info, codec="ffv1", sound=Sound(samples=late[:, None], rate=audio.RATE)
        ) as writer,
    ):
        for time, frame, _ in reader:
            writer.write(frame, time)
    report = pipeline.run(tmp_path / "late.mkv", (late, audio.RATE), tmp_path / "out.mkv", trim=True, extend="stop")
    assert report.faces > 60 and not any(s.reason == Reason.SAID for s in report.stretches)


def test_a_job_with_its_own_words_is_done(tmp_path: Path, footage: Array):
    (tmp_path / "jobs.yaml").write_text(
        f"defaults: {{preset: fast, part_seconds: 1, codec: ffv1, face: {FACE}, audio: {FACE}}}\n"
        "jobs: [{output: o.mkv}]"
    )
    assert main(["batch", "run", str(tmp_path / "jobs.yaml")]) == 0
    with open_video(tmp_path / "o.mkv") as reader:
        made = np.stack([frame for _, frame, _ in reader])
    assert np.array_equal(made[: len(footage)], footage)


def test_another_choice_is_refused():
    with pytest.raises(OptionError, match="own_words"):
        HQPipeline("fast").run(FACE, SPEECH, "out.mp4", own_words="copy")


def test_footage_without_sound_is_made(pipeline: HQPipeline, footage: Array):
    with pipeline.open(footage[:25], SPEECH, trim=True) as chunks:
        assert changed(list(chunks), footage[:25])
