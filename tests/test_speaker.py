"""Who speaks: found by the footage's own sound, shown and corrected in a shot plan, used by a run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from media import clip, tiny_pipeline, write_wav
from two_people import demo, two

from wav2lip_hq import HQPipeline
from wav2lip_hq import survey as surveys
from wav2lip_hq.cli import main
from wav2lip_hq.errors import InputError, OptionError
from wav2lip_hq.jobs.jobfile import read_jobs
from wav2lip_hq.metrics.mouthfit import REACH, Fit, fit
from wav2lip_hq.session import Session
from wav2lip_hq.stages import Detect, Track
from wav2lip_hq.survey import plan as plans
from wav2lip_hq.survey.choice import choose
from wav2lip_hq.survey.shots import Shot, shots
from wav2lip_hq.survey.speakers import decide, usual
from wav2lip_hq.survey.spoken import Heard, Spoken
from wav2lip_hq.survey.table import Survey
from wav2lip_hq.types import Faces
from wav2lip_hq.video import open_video
from wav2lip_hq.voice import Voice

LOOKING = (Detect(every=5), Track("speaker"))


def drawn(*tracks: tuple[int, int, int, int]) -> Survey:
    """A survey of 100 frames with faces (number, first frame, last frame, x)."""
    rows = sorted((f, n, x) for n, first, last, x in tracks for f in range(first, last + 1))
    frame, track, x = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    box = np.stack([x, x * 0 + 10, x + 40, x * 0 + 50], 1).astype(np.float32)
    none = Faces(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2)))
    none = Faces(**{**vars(none), "reason": np.zeros(0, np.uint8)})
    faces = Faces(frame, track, box, np.zeros((len(frame), 5, 2), np.float32))
    return Survey(np.arange(100) / 25, (200, 100), faces, none, None, {}, footage="0" * 64)


# ---- finding


def test_shots_end_where_no_face_goes_on():
    found = shots(drawn((0, 0, 39, 20), (1, 10, 39, 120), (2, 40, 79, 20), (3, 85, 99, 60)))
    assert found == [Shot(0, 39, (0, 1)), Shot(40, 84, (2,)), Shot(85, 99, (3,))]


def test_a_person_who_leaves_or_enters_does_not_start_a_shot():
    assert shots(drawn((0, 0, 50, 20), (1, 30, 99, 120))) == [Shot(0, 99, (0, 1))]


@pytest.mark.parametrize("late", [-5, 0, 4])
def test_a_late_picture_is_found_late_between_frames_too(late):
    rng = np.random.default_rng(1)
    sound = rng.normal(size=(80, 32))
    whole = fit(np.roll(sound, late, 0) @ sound.T)
    half = fit((np.roll(sound, late, 0) + np.roll(sound, late + 1, 0)) @ sound.T)
    assert whole is not None and half is not None
    assert whole.shift == late and whole.offset_ms == pytest.approx(40 * late, abs=4) and whole.lead > 5
    assert half.offset_ms == pytest.approx(40 * late + 20, abs=8)


def scores(**peaks: float) -> Fit:
    """A fit with scores at shifts: scores(_3=5) is 5 standard deviations at a picture 3 frames late."""
    made = np.zeros(2 * REACH + 1)
    for name, value in peaks.items():
        made[int(name.replace("_", "")) + REACH] = value
    return Fit(made)


def test_the_footages_own_offset_decides_between_equal_peaks():
    survey, shot = drawn((0, 0, 99, 20), (1, 0, 99, 120)), Shot(0, 99, (0, 1))
    common = usual([scores(_5=7.0), scores(_5=8.0), scores(_12=6.0)])
    assert common == 5
    told = decide(survey, shot, {0: scores(_11=4.0), 1: scores(_5=4.0)}, common)
    assert told.track == 1 and 0.8 < told.confidence < 1
    unsure = decide(survey, shot, {0: scores(_5=3.9), 1: scores(_5=4.0)}, common)
    assert unsure.track == 1 and unsure.confidence < 0.6


def test_what_cannot_be_measured_is_not_sure():
    survey = drawn((0, 0, 99, 20), (1, 40, 99, 120))
    assert decide(survey, Shot(0, 99, (0, 1)), {0: None, 1: None}, None) == Spoken(0, 99, 0, 0.0, _heard(0, 1))
    assert decide(survey, Shot(0, 99, (0,)), {0: None}, None).confidence == 1


def _heard(*tracks):
    return tuple(Heard(t, None, None) for t in tracks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("speaker")


@pytest.fixture(scope="module")
def footage(folder):
    """A real person speaks on the left, then, after a cut, on the right."""
    return two(folder / "talk.mp4", "lr")


@pytest.fixture(scope="module")
def found(footage):
    return HQPipeline(LOOKING).survey(footage)


def sides(survey, footage):
    return [
        "l" if survey.faces.box[survey.faces.track == one.track][:, 0].mean() < survey.size[0] / 2 - 60 else "r"
        for one in survey.speakers
    ]


def test_the_one_whose_mouth_fits_is_found_on_either_side_of_a_cut(found, footage):
    assert sides(found, footage) == ["l", "r"]
    assert all(one.confidence > 0.8 and len(one.heard) == 2 for one in found.speakers)
    chosen = choose(found, Track("speaker"), HQPipeline(LOOKING).runtime)
    assert sorted(np.unique(chosen.faces.track)) == sorted({one.track for one in found.speakers})
    assert (np.bincount(chosen.faces.frame, minlength=len(found)) <= 1).all()


def test_it_is_saved_with_the_survey(found, tmp_path):
    again = surveys.load(surveys.save(found, tmp_path / "s.npz"))
    assert again.speakers == found.speakers
    assert surveys.load(surveys.save(found.split(found.numbers[0], 20), tmp_path / "t.npz")).speakers is None


def test_footage_without_sound_cannot_say_who_speaks(tmp_path):
    with pytest.raises(OptionError, match="no sound to find the speaker by"):
        HQPipeline(LOOKING).survey(two(tmp_path / "mute.mp4", "l", sound=False))


def test_footage_that_is_read_once_cannot_say_who_speaks(tmp_path):
    wav = write_wav(tmp_path / "a.wav")
    pipe = tiny_pipeline().set("track.faces=speaker")
    with pytest.raises(OptionError, match="can be read again"), pipe.open(iter(clip(5)), wav):
        pass


# ---- by pixel


@pytest.mark.parametrize(("choice", "expected"), [("at=40,30", 0), ("at:150,30", 1), ("at=95,30", None)])
def test_a_pixel_says_which_face(choice, expected):
    survey = drawn((0, 0, 99, 20), (1, 0, 99, 130))
    chosen = choose(survey, Track(choice), tiny_pipeline().runtime)
    assert set(chosen.faces.track.tolist()) == ({expected} if expected is not None else set())


@pytest.mark.parametrize("choice", ["at=", "at=4", "at=a,b", "at=-4,5", "at=1,2,3", "speakers"])
def test_what_is_no_choice_is_refused(choice):
    with pytest.raises(OptionError, match="at=640,360|at=X,Y"):
        Track(choice)


def test_a_pixel_on_the_command_line():
    from wav2lip_hq import run_cli
    from wav2lip_hq.cli import build_parser

    args = build_parser().parse_args(["run", "a.mp4", "o.mp4", "--audio", "at=4,5=x=y.wav", "--audio", "speaker=b.wav"])
    assert run_cli._speech(args) == {"at=4,5": "x=y.wav", "speaker": "b.wav"}


# ---- the plan


@pytest.fixture
def planned(tmp_path):
    survey = drawn((0, 0, 49, 20), (1, 0, 49, 120), (2, 50, 99, 20), (3, 50, 99, 120))
    path = tmp_path / "talk.yaml"
    plans.write(plans.planned(survey, "talk.mp4"), path)
    return survey, path


def test_a_plan_is_edited_and_used(planned):
    survey, path = planned
    text = path.read_text()
    assert "speaks: 0, confidence: 0" in text and text.count("- {from:") == 2
    text = text.replace("to: 2.000, faces: [0, 1], speaks: 0", "to: 2.000, faces: [0, 1], speaks: none")
    path.write_text(text.replace("from: 2.000, to: 4.000, faces: [2, 3], speaks: 2", "from: 3, to: 4, speaks: [3, 2]"))
    chosen = plans.apply(plans.read(path), survey)
    assert set(chosen.faces.frame.tolist()) == set(range(75, 100)) and set(chosen.faces.track.tolist()) == {2, 3}
    assert len(chosen.left) == len(survey.faces) - len(chosen.faces)


def test_a_plan_knows_faces_by_their_place(planned):
    survey, path = planned
    renamed = drawn((4, 0, 49, 120), (5, 0, 49, 20), (6, 50, 99, 20), (9, 50, 99, 120))
    assert set(plans.apply(plans.read(path), renamed).faces.track.tolist()) == {5, 6}
    with pytest.raises(OptionError, match="face 0 is not at 40, 30"):
        plans.apply(plans.read(path), drawn((0, 0, 99, 150)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("speaks: 0", "speaks: 8", "shot 1: there is no face 8; there is 0, 1, 2, 3"),
        ("to: 2.000", "to: 0", "shot 1"),
        ("from: 2.000", "from: 1.5", "before the one above it has ended"),
        ("speaks: 0", "speak: 0", "'shot 1 speaks' is missing"),
        ("speaks: 0", "speaks: anna", "shot 1 speaks"),
        ("footage:", "film:", "'film' is not known here"),
        ("shots:", "shots: 3 #", "not a shot plan"),
    ],
)
def test_a_wrong_plan_is_refused(planned, old, new, said):
    _, path = planned
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises((InputError, OptionError), match=said):
        plans.read(path)


def test_what_is_no_plan(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        plans.read(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="is not a shot plan"):
        plans.read(tmp_path / "list.yaml")


def test_a_plan_needs_a_survey_of_all_faces(planned):
    from dataclasses import replace

    survey, path = planned
    with pytest.raises(OptionError, match="survey again with --set track.faces=all"):
        plans.apply(plans.read(path), replace(survey, made={"track.faces": "largest"}))


def test_a_job_may_have_a_plan(tmp_path):
    (tmp_path / "j.yaml").write_text("jobs: [{face: a.mp4, audio: a.wav, output: o.mp4, plan: p.yaml}]")
    job = read_jobs(tmp_path / "j.yaml")[0]
    assert job.run.plan == str(tmp_path / "p.yaml") and tmp_path / "p.yaml" in job.inputs


def test_with_several_voices_each_has_its_face_and_the_plan_says_when(planned, tmp_path):
    from wav2lip_hq.run_options import RunOptions
    from wav2lip_hq.voice import load_speech

    survey, path = planned
    speech = load_speech(write_wav(tmp_path / "a.wav", 4))
    voices = [Voice(speech, tiny_pipeline().set(f"track.faces={side}").stages) for side in plans_sides()]
    with open_video(np.zeros((5, 100, 200, 3), np.uint8)) as reader:
        session = Session(reader, voices, RunOptions(plan=str(path)), tiny_pipeline().runtime)
        session.prepare(survey)
    left, right = session.surveys
    assert set(left.faces.track.tolist()) == {0, 2} and not len(right.faces)


def plans_sides():
    return "left-to-right", "right-to-left"


def test_the_page_and_its_plan(found, footage, folder):
    page, plan = folder / "plan.html", folder / "plan.yaml"
    HQPipeline(LOOKING).shot_plan(footage, found, page, plan)
    text = page.read_text()
    assert text.count('<section class="shot">') == 2 and text.count("data:image/jpeg") >= 6
    assert text.count(" checked>") == 2 and "http" not in text
    inside = text.split('id="plan">')[1].split("</script>")[0]
    (folder / "saved.yaml").write_text(inside)  # what the page's button saves
    assert plans.read(folder / "saved.yaml") == plans.read(plan)


def test_the_page_escapes_names(planned):
    from wav2lip_hq.survey import plan_page

    survey, _ = planned
    plan = plans.planned(survey, "<b>.mp4")
    with open_video(np.zeros((100, 100, 200, 3), np.uint8)) as reader:
        text = plan_page.text(plan, survey, reader, "<i>.yaml")
    assert "<b>.mp4" not in text and "<i>.yaml" not in text and "&lt;b&gt;.mp4" in text


@pytest.mark.slow
def test_a_run_finds_who_speaks_by_itself(footage, folder, capsys):
    wav, out = write_wav(folder / "short.wav", 3.6), folder / "out.mkv"
    made = ["-p", "fast", "--codec", "ffv1", "--trim", "--quiet", "--json", "--set", "track.faces=speaker"]
    assert main(["run", str(footage), str(wav), str(out), *made]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tracks"] == 2
    frames, _ = demo()
    width = frames.shape[2]
    with open_video(footage) as a, open_video(out) as b:
        for n, ((_, before, _), (_, after, _)) in enumerate(zip(a, b, strict=False)):
            other = slice(width, None) if n < len(frames) else slice(0, width)
            assert np.array_equal(before[:, other], after[:, other])
