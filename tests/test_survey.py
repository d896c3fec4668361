"""The survey: what is found out before rendering, kept, edited and used again; and renders that depend on it alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from media import clip, tiny_pipeline, write_video, write_wav

from wav2lip_hq import survey as surveys
from wav2lip_hq.engine import Stage
from wav2lip_hq.errors import InputError, NoFaceError, OptionError
from wav2lip_hq.mesh import POINTS
from wav2lip_hq.run_options import RunOptions
from wav2lip_hq.session import Session
from wav2lip_hq.stages import Admit, Parse
from wav2lip_hq.types import Reason
from wav2lip_hq.video import open_video
from wav2lip_hq.voice import Voice, load_speech


@dataclass(frozen=True)
class DrawnMesh(Stage):
    """Stands in for the dense landmarks: a mouth that opens and closes, a head that turns after ``turns`` frames."""

    name: ClassVar[str] = "landmarks"
    reads: ClassVar[tuple[str, ...]] = ("frames", "pts", "faces.frame", "faces.box")
    adds: ClassVar[tuple[str, ...]] = ("faces.mesh", "faces.pose", "faces.visible")

    turns: int = 10**6

    def process(self, chunk, runtime):
        faces = chunk.faces
        number = np.array([round(chunk.pts[i] * 25) for i in faces.frame.tolist()], int)
        rng = np.random.default_rng(0)
        face = rng.uniform(0.1, 0.9, (POINTS, 2)).astype(np.float32)
        face[:40] = [0.5, 0.75]
        mesh = np.repeat(face[None], len(faces), 0)
        mesh[:, 10:20, 1] += 0.03 * (number[:, None] % 6)
        corner, side = faces.box[:, None, :2], (faces.box[:, 2:] - faces.box[:, :2])[:, None]
        pose = np.zeros((len(faces), 3), np.float32)
        pose[:, 0] = np.where(number >= self.turns, 80, 0)
        return chunk.with_faces(mesh=corner + mesh * side, pose=pose, visible=np.ones(len(faces), np.float32))


def watched(**options):
    """The tiny pipeline with landmarks and ``admit``."""
    pipe = tiny_pipeline()
    return pipe.insert(DrawnMesh(**options), after="track").insert(Admit(), before="align")


@pytest.fixture
def wav(tmp_path):
    return write_wav(tmp_path / "speech.wav", 1.2)


@pytest.fixture(scope="module")
def made():
    return watched().survey(clip(30))


def equal(a, b):
    return a is None and b is None or np.array_equal(a, b)


# ---- what it holds


def test_it_knows_faces_and_their_mouths(made):
    assert len(made) == 30 and made.numbers == [0]
    frames, openings = made.opening(0)
    assert frames.tolist() == list(range(30)) and len(np.unique(np.round(openings, 3))) == 6
    facts = made.facts([0])[0]
    assert facts.closed < facts.wide and facts.neutral.shape == (POINTS, 2)
    assert facts.mouths.picture.shape[1:] == (192, 240, 3) and len(facts.mouths) == len(facts.mouths.mesh) > 3
    assert facts.references.opening.max() <= facts.closed + 0.3 * (facts.wide - facts.closed) + 0.011
    assert made.faces.light.min() > 0


def test_saved_and_loaded_it_is_the_same(made, tmp_path):
    path = surveys.save(made, tmp_path / "shot.npz")
    again = surveys.load(path)
    for group in ("faces", "left"):
        for name, value in vars(getattr(made, group)).items():
            assert equal(value, getattr(getattr(again, group), name)), name
    assert equal(made.coded, again.coded) and equal(made.times, again.times)
    one, other = made.facts([0])[0], again.facts([0])[0]
    assert equal(one.mouths.picture, other.mouths.picture) and equal(one.references.picture, other.references.picture)
    assert one.closed == other.closed and dict(made.made) == dict(again.made)
    assert [p.name for p in tmp_path.iterdir()] == ["shot.npz"]


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "pickle", "newer", "short"])
def test_a_file_that_is_no_survey_is_refused(made, tmp_path, damage):
    path = surveys.save(made, tmp_path / "shot.npz")
    data = path.read_bytes()
    if damage == "pickle":
        np.savez(path, header=np.array([{"format": "wav2lip_hq survey"}], object))
    elif damage in ("newer", "short"):
        with np.load(path) as stored:
            arrays = dict(stored)
        if damage == "newer":
            header = json.loads(bytes(arrays["header"]))
            arrays["header"] = np.frombuffer(json.dumps({**header, "version": 99}).encode(), np.uint8)
        else:
            arrays["faces.box"] = arrays["faces.box"][:-1]
        np.savez(path, **arrays)
    else:
        path.write_bytes({"empty": b"", "text": b"stages: []", "cut": data[: len(data) // 2]}[damage])
    with pytest.raises(InputError, match="shot.npz"):
        surveys.load(path)


def test_no_survey_there(tmp_path):
    with pytest.raises(InputError, match="wav2lip-hq survey"):
        surveys.load(tmp_path / "nothing.npz")


# ---- editing


def test_dropping_and_splitting(made, wav, tmp_path):
    split = made.split(0, 12)
    assert split.numbers == [0, 1]
    report = watched().run(clip(30), wav, tmp_path / "o.mp4", survey=split.drop(1))
    assert report.faces == 12 and "dropped" in report.explain(20)
    with pytest.raises(OptionError, match="no face 7"):
        made.drop(7)


def test_correcting_a_box_moves_the_mouth(made):
    moved = made.correct(0, 3, landmarks=made.faces.landmarks[3] + [5, 0])
    before, after = (s.at([Fraction(3, 25)])[0] for s in (made, moved))
    assert np.abs(after.mesh - before.mesh - [5, 0]).max() < 0.1
    assert np.array_equal(*(s.at([Fraction(4, 25)])[0].mesh for s in (made, moved)))
    with pytest.raises(OptionError, match="nothing to correct"):
        made.correct(0, 99, box=(0, 0, 1, 1))


def test_choosing_afterwards_among_all_faces():
    two = np.concatenate([clip(12), clip(12)], 2)  # the same face twice, side by side

    everybody = twice().set("track.faces=all").survey(two)
    assert everybody.numbers == [0, 1]
    assert set(everybody.pick(1).faces.track) == {1}
    only = twice().survey(two)
    with pytest.raises(OptionError, match="track.faces=all"):
        only.pick(next(n for n in only.numbers if n not in only.faces.track))


def twice():
    """``watched`` for two of the drawn faces side by side."""

    @dataclass(frozen=True)
    class Both(Stage):
        name: ClassVar[str] = "detect"
        reads: ClassVar[tuple[str, ...]] = ("frames",)
        adds: ClassVar[tuple[str, ...]] = ("boxes",)

        def process(self, chunk, runtime):
            from media import detection

            rows = []
            for i in range(len(chunk)):
                one = detection(chunk.start + i, 160, 120)
                other = one.copy()
                other[:, [0, 2, 5, 7, 9, 11, 13]] += 160
                rows.append(np.concatenate([one, other]))
            return replace(chunk, boxes=tuple(rows))

    return watched().replace(detect=Both())


# ---- rendering from it


def rendered(frames, wav, size=None, start=Fraction(0), end=None, pipe=None, survey=None):
    pipe = pipe or watched()
    with open_video(frames) as reader:
        options = RunOptions(chunk_size=size)
        session = Session(reader, [Voice(load_speech(wav), pipe.stages)], options, pipe.runtime)
        session.prepare(survey)
        return np.concatenate([c.frames for c in session.chunks(start, end)])


def test_any_span_and_chunk_size_give_the_same_pixels(wav):
    frames = clip(30)
    pipe = watched()
    whole = rendered(frames, wav, pipe=pipe)
    assert len(whole) == 30 and (whole[5] != frames[5]).any()
    for size in (1, 7):
        assert np.array_equal(rendered(frames, wav, size, pipe=pipe), whole)
    for first, last, size in ((0, 9, None), (7, 19, 3), (22, 30, 1)):
        part = rendered(frames, wav, size, Fraction(first, 25), Fraction(last, 25), pipe)
        assert np.array_equal(part, whole[first:last]), (first, last, size)


def test_a_survey_of_a_file_is_used_instead_of_looking_again(made, wav, tmp_path):
    face = write_video(tmp_path / "talk.mp4", clip(30))
    pipe = watched()
    path = surveys.save(pipe.survey(face), tmp_path / "talk.npz")
    with pipe.open(face, wav) as chunks:
        whole = np.concatenate([c.frames for c in chunks])
    blind = tiny_pipeline(nobody=True).insert(DrawnMesh(), after="track").insert(Admit(), before="align")
    with pytest.raises(NoFaceError):
        blind.run(face, wav, tmp_path / "o.mp4")
    with blind.open(face, wav, survey=surveys.load(path)) as chunks:
        assert np.array_equal(np.concatenate([c.frames for c in chunks]), whole)
    other = write_video(tmp_path / "other.mp4", clip(30)[::-1].copy())
    with pytest.raises(InputError, match="other footage"):
        blind.run(other, wav, tmp_path / "o.mp4", survey=None, run=RunOptions(survey=str(path)))


def test_footage_read_once_is_known_a_little_ahead(wav):
    outs = []
    for size in (1, 24):
        with watched().open(iter(clip(60)), wav, chunk_size=size) as chunks:
            outs.append(np.concatenate([c.frames for c in chunks]))
    assert len(outs[0]) == 60 and (outs[0][5] != clip(60)[5]).any()
    assert all(np.array_equal(outs[0], other) for other in outs[1:])


# ---- what is left as it is


def test_turned_heads_are_left_alone_and_said_so(wav, tmp_path):
    frames = clip(30)
    pipe = watched(turns=18)
    with pipe.open(frames, wav) as chunks:
        out = np.concatenate([c.frames for c in chunks])
    changed = [(a != b).any() for a, b in zip(out, frames, strict=True)]
    assert all(changed[:14]) and not any(changed[19:])  # the pose is averaged over five frames
    report = pipe.run(frames, wav, tmp_path / "o.mp4")
    assert "turned" in report.explain(20) and "synthesized" in report.explain(5)
    with pytest.raises(OptionError, match="no frame 99"):
        report.explain(99)


def test_what_is_not_synthesized_costs_no_network_time(wav, monkeypatch):
    import wav2lip_hq.stages.lipsync as lipsync

    seen = []
    real = lipsync.generate
    monkeypatch.setattr(lipsync, "generate", lambda *a, **k: seen.append(len(a[2])) or real(*a, **k))
    with watched(turns=10).open(clip(60), wav) as chunks:
        assert sum(len(c) for c in chunks) == 60
    assert sum(seen) <= 12  # of 60 frames; 30 have speech, the head is turned from the 10th on


def test_after_the_speech_nothing_changes_whatever_the_stages_do(wav, tmp_path):
    @dataclass(frozen=True)
    class Everything(Stage):
        """A mask that forgets about the speech."""

        name: ClassVar[str] = "parse"
        reads: ClassVar[tuple[str, ...]] = ("faces.aligned",)
        adds: ClassVar[tuple[str, ...]] = ("faces.mask",)

        def process(self, chunk, runtime):
            return chunk.with_faces(mask=np.full((len(chunk.faces), 512, 512), 255, np.uint8))

    frames = clip(50)
    pipe = tiny_pipeline().replace(parse=Everything())
    with pipe.open(frames, wav) as chunks:
        out = np.concatenate([c.frames for c in chunks])
    assert np.array_equal(out[30:], frames[30:]) and (out[29] != frames[29]).any()
    report = pipe.run(frames, wav, tmp_path / "o.mp4")
    assert report.faces == 30 and "speech has ended" in report.explain(40)


def test_nothing_to_synthesize_says_why(wav, tmp_path):
    with pytest.raises(NoFaceError, match="turned"):
        watched(turns=0).run(clip(20), wav, tmp_path / "o.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["speech.wav"]


# ---- several voices, several runs


def test_two_voices_in_one_call(tmp_path):
    a, b = write_wav(tmp_path / "a.wav", 0.4), write_wav(tmp_path / "b.wav", 0.8)
    two = np.concatenate([clip(24), clip(24)], 2)
    with twice().open(two, {"left": a, "right": b}) as chunks:
        out = np.concatenate([c.frames for c in chunks])
    changed = (out != two).any((1, 3))
    assert changed[5, :160].any() and changed[5, 160:].any()
    assert not changed[15, :160].any() and changed[15, 160:].any()
    assert not changed[22].any()
    report = twice().run(two, {"left": a, "right": b}, tmp_path / "o.mp4")
    assert report.faces == 30 and report.tracks == 2


def test_warnings_belong_to_their_run(tmp_path, caplog):
    silent = (np.zeros(16000, np.float32), 16000)
    pipe = watched().replace(parse=Parse(""))
    one = pipe.run(clip(10), silent, tmp_path / "a.mp4", extend="stop")
    other = pipe.run(clip(10), write_wav(tmp_path / "b.wav", 1.0), tmp_path / "b.mp4", extend="stop")
    assert any("silent" in text for text in one.warnings) and not any("silent" in text for text in other.warnings)
    assert any("silent" in record.message for record in caplog.records if record.name == "wav2lip_hq")


def test_reasons_have_words():
    assert all(reason.text for reason in Reason)


def test_hours_of_a_talking_face_are_summed_up_evenly():
    from wav2lip_hq.survey.facts import CALM, LEVELS, FaceFacts

    facts = FaceFacts()
    aligned = np.zeros((POINTS, 2), np.float32)
    count = 5 * LEVELS
    for n in range(count):  # the mouth opens ever wider
        facts._level(n / count, aligned + n / count)
    assert len(facts.openings) <= LEVELS and len(facts._calm) <= 2 * CALM
    known = facts.known()
    assert known.closed == pytest.approx(0.05, abs=0.01)  # not the most recent frames alone
    assert known.wide == pytest.approx(0.95, abs=0.01)
    assert known.neutral is not None and known.neutral.max() < 0.05  # closed mouths only


def test_other_footage_of_the_person_lends_mouths_and_measure(tmp_path, wav):
    pipe = watched()
    here, other = write_video(tmp_path / "here.mp4", clip(10)), write_video(tmp_path / "other.mp4", clip(30))
    surveys.save(pipe.survey(other), tmp_path / "anna.npz")
    person = surveys.load(tmp_path / "anna.npz").person
    alone, told = pipe.survey(here), pipe.survey(here).told(person)
    number = alone.numbers[0]
    assert len(told.tracks[number].mouths) == len(alone.tracks[number].mouths) + len(person.mouths)
    assert told.tracks[number].closed == person.closed
    with pipe.open(here, wav, person=str(tmp_path / "anna.npz"), keep=("tracks",)) as chunks:
        facts = next(iter(chunks)).tracks
        assert facts and all(len(f.mouths) > len(alone.tracks[number].mouths) for f in facts.values())
    with pytest.raises(InputError, match=r"person .*none\.npz"):
        pipe.run(here, wav, tmp_path / "out.mp4", person=str(tmp_path / "none.npz"))
    two = replace(alone, faces=alone.faces.joined(alone.faces))
    with pytest.raises(OptionError, match="several faces"):
        two.told(person)
