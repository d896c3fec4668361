"""The invisible mark: written in synthesized mouths alone, read again from a file that was encoded anew."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import tiny_pipeline, write_wav

import wav2lip_hq
from wav2lip_hq import HQPipeline, audio, forensics, geometry, watermark
from wav2lip_hq.errors import OptionError
from wav2lip_hq.mesh import POINTS
from wav2lip_hq.run_options import RunOptions
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import Watermark
from wav2lip_hq.stream import noted
from wav2lip_hq.types import Chunk, Faces
from wav2lip_hq.video import VideoWriter, open_video
from wav2lip_hq.watermark import reader
from wav2lip_hq.watermark.signs import places, words

DEMO = Path(wav2lip_hq.__file__).parent / "_data" / "demo"
NUMBER = "deadbeef"


@pytest.fixture(scope="module")
def rendered():
    """(source, plain, marked, rate, where the mask is): two seconds of the demo's clip, rendered with and without
    a mark."""
    pipe = HQPipeline("fast")
    with open_video(DEMO / "face.mpg") as opened:
        rate = opened.info.fps
        frames = np.stack([frame for time, frame, _ in opened if time < 2])
    speech = (audio.load_audio(DEMO / "speech.wav")[: 2 * audio.RATE], audio.RATE)
    survey = pipe.survey(frames, fps=rate)
    out, inside = [], np.zeros(frames.shape[:3], bool)
    keep = ("faces.mask", "faces.to512")
    for changes in ({"watermark": False}, {"watermark_id": NUMBER}, {"watermark_id": NUMBER, "chunk_size": 7}):
        with pipe.open(frames, speech, survey=survey, fps=rate, extend="stop", keep=keep, **changes) as chunks:
            out.append(np.concatenate([_looked_at(chunk, inside) for chunk in chunks]))
    assert (out[1] == out[2]).all(), "the size of chunks changed the mark"
    return frames, out[0], out[1], rate, inside


def _looked_at(chunk, inside):
    """The chunk's frames. Adds to ``inside`` the pixels that its masks reach."""
    for n, i in enumerate(chunk.faces.frame.tolist()):
        back = geometry.invert(chunk.faces.to512[n])
        size = chunk.frames.shape[2:0:-1]
        inside[chunk.start + i] |= cv2.warpAffine(chunk.faces.mask[n].astype(np.float32), back, size) > 0
    return chunk.frames


def test_the_mark_is_faint_and_only_where_the_mouth_was_made(rendered):
    source, plain, marked, _, inside = rendered
    change = marked.astype(int) - plain
    assert inside.any((1, 2)).all() and (change[inside.any(0)[None].repeat(len(change), 0)] != 0).mean() > 0.3
    assert not change[~inside].any(), "something beside the mask changed"
    assert 10 * np.log10(255**2 / (change[inside] ** 2).mean()) >= 42
    assert np.abs(change).max() <= 8


def test_the_mark_is_read_blind_from_a_file_encoded_anew(rendered, tmp_path):
    _, plain, marked, rate, _ = rendered
    runtime = Runtime("cpu")
    for name, frames in (("marked", marked), ("plain", plain)):
        path = tmp_path / f"{name}.mp4"
        with open_video(frames, fps=rate) as opened, VideoWriter(path, opened.info, codec="h264", crf=23) as writer:
            for time, frame, _ in opened:
                writer.write(frame, time)
        (face,) = forensics.look(path, runtime, judged=False)
        reading = face.marks.reading()
        assert reading.marked == (name == "marked")
        if name == "marked":
            assert reading.number ^ int(NUMBER, 16) == 0 or reading.sure.min() < 1.5
            assert not face.marks.reading("another key").marked


@pytest.mark.parametrize("scale", [0.8, 0.45, 0.31, 0.19])
def test_sixteen_bits_and_large_faces_are_marked_alike(scale):
    """In place, inside the mask alone, and at most by what eight bits round."""
    rng = np.random.default_rng(0)
    still = cv2.GaussianBlur(rng.uniform(60, 200, (round(480 / scale), round(500 / scale), 3)), (0, 0), 3).astype(
        np.uint8
    )
    mask = np.zeros((1, 512, 512), np.uint8)
    mask[0, 280:450, 140:360] = 255
    to512 = scale * np.array([[[1, 0.12, 25], [-0.12, 1, 75]]])
    five = geometry.apply(geometry.invert(to512), geometry.FFHQ_512[None]).astype(np.float32)
    zero = np.zeros(1, np.int64)
    faces = Faces(zero, zero, np.zeros((1, 4), np.float32), landmarks=five, to512=to512, mask=mask)
    changes = []
    for frames in (still[None].copy(), still[None].astype(np.uint16) * 257):
        chunk = Chunk(0, frames, (Fraction(1, 10),), faces=faces)
        unit, before = (1 if frames.dtype == np.uint8 else 257), frames.copy()
        made = Watermark(5).process(chunk, Runtime("cpu"))
        assert made.frames is frames, "large frames are not copied"
        changes.append((frames[0].astype(float) - before[0]) / unit)
    size = still.shape[1::-1]
    inside = cv2.warpAffine(mask[0].astype(np.float32), geometry.invert(to512)[0], size) > 0
    assert not any(change[~inside].any() for change in changes)
    assert np.abs(changes[0] - changes[1]).max() <= 0.51 and 0.7 < changes[1][inside].std() < 2


def test_what_is_compared_with_later_is_not_written_into():
    """Footage in a color space of its own gets what changed in its picture, so the picture before is kept."""
    before: deque = deque()
    frames = np.zeros((1, 2, 2, 3), np.uint8)
    (chunk,) = noted(iter([Chunk(0, frames, (Fraction(0),), own=frames.astype(np.float32))]), before)
    chunk.frames[:] = 9
    assert not before[0].any()


def test_faces_that_say_too_little_alone_are_read_together():
    """A mark goes on over cuts; a face without it is not taken for marked because others are."""
    rng = np.random.default_rng(3)
    angle = np.linspace(0, 2 * np.pi, POINTS)
    points = np.stack([100 + 60 * np.cos(angle), 150 + 40 * np.sin(angle)], 1).astype(np.float32)
    map_ = np.array([[2.56, 0, 0], [0, 2.56, 0]])
    still = cv2.GaussianBlur(rng.uniform(0, 255, (200, 200, 3)), (0, 0), 4)
    several = []
    for marked in (True, True, True, False):
        marks = watermark.Marks()
        for n in range(25):
            time = n / 25 + len(several)
            added = watermark.painted(watermark.meant(77), time, map_, np.full((200, 200), 255, np.float32))
            frame = still + 0.2 * marked * added[..., None] + rng.normal(0, 30, still.shape)
            marks.add(np.clip(np.round(frame), 0, 255).astype(np.uint8), time, map_, points)
        several.append(marks)
    alone = [marks.reading() for marks in several]
    several[0].close()
    assert several[0].reading().score == pytest.approx(alone[0].score)
    found = watermark.readings(several)
    assert not any(one.marked for one in alone)
    assert [one.marked for one in found] == [True, True, True, False]
    assert {one.number for one in found[:3]} == {77}


def test_chance_bounds_false_alarms():
    """Pictures that beat at random are called marked no more often than the bound says."""
    rng = np.random.default_rng(0)
    chances = []
    angle = np.linspace(0, 2 * np.pi, POINTS)
    points = np.stack([100 + 60 * np.cos(angle), 150 + 40 * np.sin(angle)], 1).astype(np.float32)
    for _ in range(12):
        marks = watermark.Marks()
        still = np.kron(rng.uniform(0, 255, (50, 50)), np.ones((4, 4)))[..., None].repeat(3, 2)
        map_ = np.array([[2.56, 0, 0], [0, 2.56, 0]])
        for n in range(12):
            frame = np.clip(still + rng.normal(0, 20, still.shape), 0, 255).astype(np.uint8)
            marks.add(frame, n / 25, map_, points)
        chances.append(marks.reading().chance)
    assert min(chances) > 1e-3


@pytest.mark.parametrize("count", [20, 200, 860])
def test_tails_are_bounded_from_above_and_closely(count):
    """Sums of equal weights with random signs are binomial: what is bounded is known exactly."""
    weights = np.full(count, count**-0.5)
    for wanted in (2.0, 4.0, 7.7):
        least = math.ceil((count + wanted * count**0.5) / 2 - 1e-9)
        score = (2 * least - count) / count**0.5
        exact = sum(math.comb(count, k) for k in range(least, count + 1)) / 2**count
        bound = reader.tail(score, weights)
        assert exact <= bound <= 3.18 * 0.5 * math.erfc(score / math.sqrt(2))
        assert count < 200 or bound < 4 * exact
    assert reader.shares().sum() == pytest.approx(1)


def test_the_pattern_never_changes():
    """Marks written by any version are read by every later one."""
    found = words()
    assert found.shape == (256, 24, 36) and set(np.unique(found.real)) == {-1, 1}
    assert [complex(x) for x in found[[0, 1, 255], [0, 10, 23], [0, 20, 35]]] == SIGNS
    assert places()[:2, :5].tolist() == [[0, 1, 2, 3, 0], [2, 3, 0, 1, 2]]
    changed = watermark.meant(0) != watermark.meant(0xFF)
    assert set(places()[changed]) == {0}


SIGNS = [(-1 + 1j), (1 + 1j), (-1 - 1j)]


def test_the_mark_says_which_speech_drove_it():
    wav = np.linspace(-0.5, 0.5, 1000, dtype=np.float32)
    assert watermark.speech_id(wav) == watermark.speech_id(wav.copy()) != watermark.speech_id(wav[:-1])


def test_without_a_watermark_the_pixels_are_the_stages_own(tmp_path):
    """Pipelines of one's own stages are marked, too, unless that is turned off."""
    from media import clip

    pipe, wav, frames = tiny_pipeline(), write_wav(tmp_path / "speech.wav", 0.6), clip(12)
    seen = {}
    for on in (True, False):
        with pipe.open(frames, wav, extend="stop", watermark=on) as chunks:
            seen[on] = np.concatenate([chunk.frames for chunk in chunks])
    changed = (seen[True] != seen[False]).any(3)
    assert changed.any() and not (seen[True] != seen[False])[:, :10].any()


def test_an_id_is_eight_hexadecimal_digits():
    with pytest.raises(OptionError, match="8 hexadecimal digits"):
        RunOptions(watermark_id="12345")
