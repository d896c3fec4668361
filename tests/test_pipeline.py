"""Whole pipelines with tiny random networks on drawn faces: what a user sees."""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from media import clip, tiny_pipeline, write_video, write_wav

from wav2lip_hq import video
from wav2lip_hq.engine import Stage
from wav2lip_hq.errors import InputError, NoFaceError, OptionError, StageError, WiringError
from wav2lip_hq.stages import Blend, Parse, Restore
from wav2lip_hq.stream import GROWTH
from wav2lip_hq.types import Chunk


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


@pytest.fixture
def wav(tmp_path):
    return write_wav(tmp_path / "speech.wav", 1.0)


def frames_of(path):
    with video.open_video(path) as reader:
        return list(reader)


def test_run_makes_a_video_with_every_frame(pipe, wav, tmp_path):
    face = write_video(tmp_path / "talk ü 'x' 1.2.mp4", clip(30))
    progress = []
    report = pipe.run(face, wav, tmp_path / "out.mp4", lambda done, total: progress.append((done, total)))
    made, source = frames_of(report.output), frames_of(face)
    assert [f[0] for f in made] == [f[0] for f in source]
    assert report.frames == 30 and report.faces == 25 and report.tracks == 1 and report.frames_without_face == 0
    assert report.duration == Fraction(30, 25)
    assert progress[-1] == (30, 30)
    assert {"read", "detect", "lipsync", "blend", "write", "total"} <= report.seconds.keys()
    assert report.peak_memory > 10 << 20
    facts = video.probe_sound(report.output)
    assert facts.rate == 16000 and facts.channels == 1


def test_nothing_outside_the_mask_changes(pipe, wav):
    """Bit for bit, before encoding; and inside it something does."""
    frames = clip(20)
    with pipe.open(frames, wav, extend="stop") as chunks:
        for chunk in chunks:
            before = frames[chunk.start : chunk.start + len(chunk)]
            changed = (chunk.frames != before).any(3)
            assert changed.any(axis=(1, 2)).all()
            y, x = np.nonzero(changed.any(0))
            box = chunk.faces.box
            middle = (box[:, 1].min() + box[:, 3].min()) / 2
            assert y.min() > middle - 8 and x.min() >= box[:, 0].min() - 2 and x.max() <= box[:, 2].max() + 2
            assert y.max() <= box[:, 3].max() + 6


def test_the_chunk_size_never_changes_the_output(wav):
    frames = clip(26)
    outs = []
    for size in (1, 4, 25):
        with tiny_pipeline().open(frames, wav, chunk_size=size) as chunks:
            outs.append(np.concatenate([c.frames for c in chunks]))
    # The generator's batches differ; on a CPU that is worth one rounding step here and there.
    for other in outs[1:]:
        difference = np.abs(outs[0].astype(int) - other)
        assert difference.max() <= 1 and (difference > 0).mean() < 0.01


def test_deep_color_keeps_its_low_bits_outside_the_mask(wav):
    frames = clip(8, dtype=np.uint16)
    frames += np.arange(8, dtype=np.uint16)[:, None, None, None]
    with tiny_pipeline().open(frames, wav, extend="stop") as chunks:
        chunk = next(chunks)
    assert chunk.frames.dtype == np.uint16
    same = (chunk.frames == frames[: len(chunk)]).all(3)
    assert same[:, :50].all() and not same.all()


def test_variable_frame_rate_is_kept_exactly(pipe, wav, tmp_path):
    pts = [Fraction(n * 3000 + (n % 3) * 700, 90000) for n in range(24)]
    face = write_video(tmp_path / "vfr.mp4", clip(24), pts=pts)
    made = frames_of(pipe.run(face, wav, tmp_path / "out.mp4", extend="stop").output)
    assert [f[0] for f in made] == pts


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(50)])
def test_no_frame_is_lost_at_the_end(pipe, tmp_path, fps):
    """Other tools lose 3 to 9 frames here."""
    wav = write_wav(tmp_path / "speech.wav", 2.0)
    count = 0
    with pipe.open(clip(10), wav, fps=fps) as chunks:
        for chunk in chunks:
            count += len(chunk)
            last = chunk
    assert count == int(-(-(2 * fps) // 1))
    assert last.pts[-1] == (count - 1) / fps


@pytest.mark.parametrize(
    ("extend", "order"),
    [
        ("loop", [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]),
        ("pingpong", [0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 0, 1]),
        ("hold", [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4]),
        ("stop", [0, 1, 2, 3, 4]),
    ],
)
def test_speech_longer_than_footage(tmp_path, extend, order):
    from wav2lip_hq import source

    frames = np.zeros((5, 16, 16, 3), np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None, None] * 40
    path = write_video(
        tmp_path / "five.mkv", frames, codec="ffv1", pix_fmt="bgr0", options={}, time_base=Fraction(1, 25)
    )
    for face in (frames, path):
        with video.open_video(face) as reader:
            shown = list(source.schedule(reader, Fraction(12, 25), extend))
        assert [int(f[1][0, 0, 0]) // 40 for f in shown] == order
        assert [round(f[0] * 25) for f in shown] == list(range(len(order)))


def test_speech_shorter_than_footage(pipe, tmp_path):
    wav = write_wav(tmp_path / "speech.wav", 0.4)
    frames = clip(20)
    with pipe.open(frames, wav) as chunks:
        out = np.concatenate([c.frames for c in chunks])
    assert len(out) == 20
    assert not np.array_equal(out[:10], frames[:10])
    assert np.array_equal(out[10:], frames[10:])  # no speech here: untouched
    with pipe.open(frames, wav, trim=True) as chunks:
        assert sum(len(c) for c in chunks) == 10


def test_still_image_speaks_for_the_whole_speech(pipe, wav, tmp_path):
    video.write_png(tmp_path / "face.png", clip(1)[0])
    report = pipe.run(tmp_path / "face.png", wav, tmp_path / "out.mp4")
    assert report.frames == 25 and report.faces == 25


def test_image_sequence_and_iterator(pipe, wav, tmp_path):
    shot = tmp_path / "shot"
    shot.mkdir()
    for n, frame in enumerate(clip(12)):
        video.write_png(shot / f"{n + 1:06d}.png", frame)
    for face in (shot, shot / "%06d.png", iter(clip(12))):
        with pipe.open(face, wav, extend="stop") as chunks:
            assert sum(len(c) for c in chunks) == 12


def test_frames_without_a_face_pass_untouched_and_are_counted(wav, tmp_path):
    gone = tuple(range(12, 24))
    frames = clip(40)
    pipe = tiny_pipeline(missing=gone)
    with pipe.open(frames, wav) as chunks:
        out = np.concatenate([c.frames for c in chunks])
    same = [np.array_equal(a, b) for a, b in zip(out, frames, strict=True)]
    assert all(same[i] for i in gone)
    report = pipe.run(frames, wav, tmp_path / "o.mp4")
    assert report.frames_without_face == len(gone)


def test_no_face_anywhere_leaves_nothing(wav, tmp_path):
    with pytest.raises(NoFaceError, match="no face"):
        tiny_pipeline(nobody=True).run(clip(8), wav, tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["speech.wav"]


def test_interrupt_leaves_nothing(pipe, wav, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe.run(clip(60), wav, tmp_path / "out.mp4", stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["speech.wav"]


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("h264", "o.mov"),
        ("hevc", "o.mp4"),
        ("prores_422hq", "o.mov"),
        ("prores_4444", "o.mov"),
        ("ffv1", "o.mkv"),
        ("png", "o"),
    ],
)
def test_output_codecs(pipe, wav, tmp_path, codec, name):
    report = pipe.run(clip(6), wav, tmp_path / name, codec=codec, extend="stop")
    assert len(frames_of(report.output)) == 6


def test_ffv1_output_is_what_the_stages_made(pipe, wav, tmp_path):
    frames = clip(6)
    with pipe.open(frames, wav, extend="stop") as chunks:
        made = np.concatenate([c.frames for c in chunks])
    report = pipe.run(frames, wav, tmp_path / "o.mkv", codec="ffv1", extend="stop")
    assert np.array_equal(np.stack([f[1] for f in frames_of(report.output)]), made)


def test_alpha_is_kept(pipe, wav, tmp_path):
    frames = np.concatenate([clip(5), np.full((5, 120, 160, 1), 77, np.uint8)], -1)
    report = pipe.run(frames, wav, tmp_path / "o.mkv", codec="ffv1", extend="stop")
    assert (frames_of(report.output)[0][2] == 77).all()


def test_compare_and_preview(pipe, wav, tmp_path):
    frames = clip(10)
    report = pipe.run(frames, wav, tmp_path / "o.mkv", codec="ffv1", compare=True, extend="stop")
    first = frames_of(report.output)[3][1]
    assert first.shape == (120, 320, 3)
    assert np.array_equal(first[:, :160], frames[3])
    sheet = pipe.preview(frames, wav, 3)
    assert sheet.shape == (240, 480, 3) and not np.array_equal(sheet[:120], sheet[120:])


def test_the_notice_is_in_the_metadata_unless_unwanted(pipe, wav, tmp_path):
    import av

    for left_out in (False, True):
        output = tmp_path / f"o{left_out}.mp4"
        report = pipe.run(clip(4), wav, output, without_provenance=left_out, extend="stop")
        with av.open(str(report.output)) as container:
            assert ("synthesized" in container.metadata.get("comment", "")) is not left_out


def test_composing(pipe):
    assert [s.name for s in pipe.without("restore", "parse").stages] == ["detect", "track", "align", "lipsync", "blend"]
    twice = pipe.insert(Restore("tiny-restorer", strength=0.2), after="restore")
    assert [s.name for s in twice.stages].count("restore") == 2
    assert pipe.replace(restore=Restore("tiny-restorer", strength=0.1)).stages[5].strength == 0.1
    assert pipe.set("restore.strength=0.25").stages[5].strength == 0.25
    with pytest.raises(OptionError, match="no stage 'polish'"):
        pipe.without("polish")
    with pytest.raises(WiringError, match="align"):
        pipe.without("track")


def test_chain_of_restorers_runs(wav):
    pipe = tiny_pipeline().insert(Restore("tiny-restorer", strength=0.5), after="restore")
    with pipe.open(clip(4), wav, extend="stop") as chunks:
        assert sum(len(c) for c in chunks) == 4


def test_a_custom_restorer_in_a_few_lines(wav):
    class Invert:
        scale = 1

        def __call__(self, faces):
            return 255 - faces

    plain = tiny_pipeline().without("restore")
    inverted = tiny_pipeline().replace(restore=Restore(Invert()), blend=Blend(color=False, texture=0))
    outs = []
    for pipe in (plain, inverted):
        with pipe.open(clip(4), wav, extend="stop") as chunks:
            outs.append(next(chunks).frames)
    assert not np.array_equal(outs[0], outs[1])


def test_a_custom_stage_in_a_few_lines(wav):
    @dataclass(frozen=True)
    class Darken(Stage):
        name: ClassVar[str] = "darken"
        reads: ClassVar[tuple[str, ...]] = ("frames",)
        adds: ClassVar[tuple[str, ...]] = ("frames",)
        by: int = 40

        def process(self, chunk: Chunk, runtime) -> Chunk:
            return replace(chunk, frames=chunk.frames - np.minimum(chunk.frames, self.by).astype(np.uint8))

    with tiny_pipeline().insert(Darken(), after="blend").open(clip(4), wav, extend="stop") as chunks:
        assert next(chunks).frames[0, 0, 0, 2] == 50


def test_a_failing_stage_is_named(wav, tmp_path):
    @dataclass(frozen=True)
    class Broken(Stage):
        name: ClassVar[str] = "broken"

        def process(self, chunk, runtime):
            raise ZeroDivisionError("oops")

    with pytest.raises(StageError, match="'broken' failed"):
        tiny_pipeline().insert(Broken(), after="track").run(clip(4), wav, tmp_path / "o.mp4")
    assert not (tmp_path / "o.mp4").exists()


def test_memory_does_not_grow_with_the_clip(tmp_path):
    """Counts chunks alive while 60 pass through: prefetch and look-ahead, no more."""
    alive = []
    wav = write_wav(tmp_path / "long.wav", 9.6)
    pipe = tiny_pipeline().replace(parse=Parse(""))

    def endless():
        for _ in range(240):
            yield clip(1)[0]

    with pipe.open(endless(), wav, chunk_size=4) as chunks:
        for _ in chunks:
            gc.collect()
            alive.append(sum(type(o) is Chunk for o in gc.get_objects()))
    bound = 2 + 4 + sum(-(-s.lookahead // 4) for s in pipe.stages) + 2 * GROWTH // 4
    assert len(alive) == 60
    assert max(alive[10:]) <= 2 * bound + 4
    assert max(alive[40:]) <= max(alive[10:40]) + 2


def test_two_runs_at_once_do_not_mix(pipe, wav):
    a, b = clip(12), clip(12)[:, ::-1].copy()
    with pipe.open(a, wav, chunk_size=3, extend="stop") as first:
        alone = np.concatenate([c.frames for c in first])
    with pipe.open(a, wav, chunk_size=3, extend="stop") as one, pipe.open(b, wav, chunk_size=3, extend="stop") as two:
        mixed = [(x.frames, y.frames) for x, y in zip(one, two, strict=True)]
    assert np.array_equal(np.concatenate([m[0] for m in mixed]), alone)


def test_speech_as_an_array(pipe, tmp_path):
    t = np.arange(22050) / 22050
    samples = (0.3 * np.sin(2 * np.pi * 300 * t)).astype(np.float32)
    report = pipe.run(clip(5), (samples, 22050), tmp_path / "o.mp4", extend="stop")
    assert video.probe_sound(report.output).rate == 22050


def test_missing_checkpoint_stops_before_any_work(wav, tmp_path):
    from wav2lip_hq.errors import CheckpointError

    pipe = tiny_pipeline().set("lipsync.model=wav2lip_gan")
    with pytest.raises((CheckpointError, InputError), match="checkpoints fetch wav2lip_gan"):
        pipe.run(clip(4), wav, tmp_path / "o.mp4")
    assert not (tmp_path / "o.mp4").exists()
