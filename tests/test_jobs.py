"""Batch jobs: job files, parts that survive a kill, failures that stay where they are, sidecars and the report."""

from __future__ import annotations

import errno
import json
import re
import shutil
from fractions import Fraction

import cv2
import numpy as np
import pytest
import yaml
from media import write_video
from PIL import Image
from talker import talker

from wav2lip_hq import jobs
from wav2lip_hq.errors import InputError, OptionError, OutOfMemory
from wav2lip_hq.jobs import hotfolder, pool, sidecar
from wav2lip_hq.jobs import render as rendering
from wav2lip_hq.jobs.worker import Settings, Worker
from wav2lip_hq.video import VideoWriter, open_video, probe_sound

NTSC = Fraction(30000, 1001)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """anna.mp4 (3 s, with sound), anna.wav, ben.mp4, ben.wav."""
    folder = tmp_path_factory.mktemp("footage")
    talker(folder / "anna.mp4", 1, 3.0)
    talker(folder / "ben.mp4", 2, 2.0)
    return folder


@pytest.fixture
def desk(footage, tmp_path):
    """A folder with the clips, for a job file of one's own."""
    for path in footage.iterdir():
        shutil.copy(path, tmp_path / path.name)
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.fixture
def short(desk):
    """The same folder, with a shorter clip for jobs that only have to be done: cleo.mp4, cleo.wav, 15 frames."""
    talker(desk / "cleo.mp4", 3, 0.6)
    return desk


def write_jobs(folder, *rows, **defaults):
    path = folder / "jobs.yaml"
    path.write_text(json.dumps({"defaults": {"preset": "fast", "part_seconds": 1, **defaults}, "jobs": list(rows)}))
    return path


def frames_of(path):
    with open_video(path) as reader:
        return [(pts, frame) for pts, frame, _ in reader]


# ---- times


@pytest.mark.parametrize(
    ("text", "fps", "seconds"),
    [
        (12, 25, 12),
        ("12.5", 25, Fraction(25, 2)),
        ("1:02.5", 25, Fraction(125, 2)),
        ("0:01:02", 25, 62),
        ("00:00:10:12", 25, Fraction(262, 25)),
        ("00:00:01:00", 24, 1),
        ("00:01:00;02", NTSC, 1800 / NTSC),
        ("00:10:00;00", NTSC, 17982 / NTSC),
        ("01:00:00;00", NTSC, 107892 / NTSC),
        ("00:01:00;04", 2 * NTSC, 3600 / (2 * NTSC)),
    ],
)
def test_times(text, fps, seconds):
    assert jobs.parse_time(text, Fraction(fps)) == seconds


@pytest.mark.parametrize(
    ("text", "fps", "says"),
    [
        ("soon", 25, "not a time"),
        (None, 25, "not a time"),
        (-1, 25, "before the start"),
        ("00:00:00:25", 25, "does not exist at 25"),
        ("00:61:00:00", 25, "does not exist"),
        ("00:01:00;01", NTSC, "leaves out"),
        ("00:00:01;00", 25, "drop-frame, which exists at 29.97"),
    ],
)
def test_wrong_times(text, fps, says):
    with pytest.raises(OptionError, match=says):
        jobs.parse_time(text, Fraction(fps))


def test_timecode_counts_from_the_footages_own():
    ten = jobs.timecode_seconds("10:00:00:00", Fraction(25))
    assert jobs.parse_time("10:00:02:05", Fraction(25), ten) == Fraction(55, 25)
    with pytest.raises(OptionError, match="before the start"):
        jobs.parse_time("09:59:59:00", Fraction(25), ten)


# ---- job files


def test_globs_folders_and_templates(desk):
    path = write_jobs(
        desk, {"face": "*.mp4", "audio": "{face}.wav", "output": "out/{face}_{index}.mp4", "set": {"a.b": 1}}
    )
    found = jobs.read_jobs(path)
    assert [j.output.name for j in found] == ["anna_1.mp4", "ben_2.mp4"]
    assert [j.spans[0].audio.name for j in found] == ["anna.wav", "ben.wav"] and found[0].set == ("a.b=1",)
    write_jobs(desk, {"face": ".", "audio": "anna.wav", "output": "out/{face}.mp4"})
    assert len(jobs.read_jobs(path)) == 2


def test_csv_rows_of_one_reel_are_its_segments(desk):
    path = desk / "jobs.csv"
    path.write_text(
        "face,audio,output,preset,in,out,who,crf\n"
        "anna.mp4,anna.wav,out/a.mp4,fast,,,,20\n"
        "ben.mp4,ben.wav,out/reel.mp4,fast,00:00:00:05,1.5,left-to-right:1,\n"
        "ben.mp4,anna.wav,out/reel.mp4,fast,1.6,1.9,,\n"
    )
    one, reel = jobs.read_jobs(path)
    assert not one.reel and one.run.crf == 20
    assert reel.reel and [s.audio.name for s in reel.spans] == ["ben.wav", "anna.wav"]
    assert reel.spans[0].start == "00:00:00:05" and reel.spans[0].who == "left-to-right:1"


def test_json_lines(desk):
    path = desk / "jobs.jsonl"
    path.write_text('{"face": "anna.mp4", "audio": "anna.wav", "output": "a.mp4"}\n\n')
    assert jobs.read_jobs(path)[0].output == desk / "a.mp4"


GOOD = {"face": "a.mp4", "audio": "a.wav", "output": "a.mp4"}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"audio": "a.wav", "output": "a.mp4"}, "'face' is missing"),
        ({"face": "a.mp4", "output": "a.mp4"}, "either 'audio'"),
        ({**GOOD, "crff": 3}, "did you mean 'crf'"),
        ({**GOOD, "crf": "high", "fps": float("nan"), "metrics": 3}, "metrics.*crf is int or None.*fps is more than 0"),
        ({**GOOD, "crf": 10**400}, "crf is between 0 and 51"),
        ({**GOOD, "part_seconds": 10**400}, "part_seconds is float"),
        ({**GOOD, "codec": ["a"]}, "codec is str or None"),
        ({**GOOD, "preset": 5}, "'preset' should be a valid string"),
        ({**GOOD, "set": [5]}, "'set' should be"),
        ({**GOOD, "output": "{nobody}.mp4"}, "placeholder"),
        ({**GOOD, "output": "{face.nope}"}, "placeholder"),
        ({**GOOD, "output": "{index:>5000000000}"}, "placeholder"),
        ({**GOOD, "output": "{"}, "placeholder"),
        ({**GOOD, "face": "a\0b"}, "no file name can hold"),
        ({**GOOD, "face": "a" * 300}, "too long"),
        ({**GOOD, "part_seconds": float("inf")}, "part_seconds is between"),
        ({**GOOD, "face": "*.nothing"}, "no file matches"),
        (
            {"face": "a.mp4", "output": "a.mp4", "segments": [{"in": 1, "audio": "a.wav"}]},
            "segment 1: 'out' is missing",
        ),
        ({"face": "a.mp4", "output": "a.mp4", "segments": [{**GOOD, "in": float("nan"), "out": 2}]}, "finite number"),
        ({"face": "a.mp4", "output": "a.mp4", "segments": [5]}, "list of fields like 'in: 1.5'"),
        ({5: 5}, "name of a field"),
        ("a.mp4", "a list of fields"),
        (GOOD, "job 1 writes the same file"),
    ],
)
def test_a_wrong_row_is_a_fault_of_its_own(tmp_path, row, says):
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump([GOOD, row, {**GOOD, "output": "b.mp4"}], allow_unicode=True))
    one, wrong, other = jobs.read_jobs(path)
    assert one.fault == other.fault == "" and wrong.origin == "jobs.yaml: job 2"
    assert re.search(says, wrong.fault) and "\n" not in wrong.fault


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", "defaults: [1, 2]\njobs: [{}]", "'defaults' are fields"),
        ("a.yaml", "defaults: {crff: 1}\njobs: [{}]", "did you mean 'crf'"),
        ("a.yaml", "defaults: {output: 5\n", "cannot be read"),
        ("a.yaml", "jobs: 5", "no list of 'jobs'"),
        ("a.yaml", "5", "no list of 'jobs'"),
        ("a.yaml", "{1: 2, [3]: 4}", "cannot be read"),
        ("a.yaml", "- " * 5000, "cannot be read"),
        ("a.yaml", "a: 2024-99-99", "cannot be read"),
        ("a.yaml", "a: " + "1" * 5000, "cannot be read"),
        ("a.yaml", "!!python/object/apply:os.system [ls]", "cannot be read"),
        ("a.csv", "face,audio\n" + "x" * 200000, "cannot be read"),
        ("a.yaml", "jobs: [", "cannot be read"),
    ],
)
def test_files_that_are_no_job_files_are_refused(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises((InputError, OptionError), match=says):
        jobs.read_jobs(tmp_path / name)


def test_a_bad_line_of_json_is_a_fault_of_its_own(tmp_path):
    (tmp_path / "a.jsonl").write_text("{nonsense\n" + json.dumps(GOOD) + "\n" + "[" * 50000)
    assert [bool(job.fault) for job in jobs.read_jobs(tmp_path / "a.jsonl")] == [True, False, True]


def test_pictures_of_people_and_sound_mixes_lie_beside_the_job_file(tmp_path):
    row = {**GOOD, "who": "ben.png", "sound": "mix.wav", "output": "{face}-{index:03}.mp4"}
    (job,) = jobs.read_jobs(write_jobs(tmp_path, row))
    assert job.spans[0].who == str(tmp_path / "ben.png") and job.run.sound == str(tmp_path / "mix.wav")
    assert job.output == tmp_path / "a-001.mp4"


def test_no_job_file(tmp_path):
    with pytest.raises(InputError, match="no job file"):
        jobs.read_jobs(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_text("jobs: [")
    with pytest.raises(InputError, match="cannot be read"):
        jobs.read_jobs(tmp_path / "x.yaml")


# ---- rendering


def test_every_frame_and_time_of_the_source_is_in_the_joined_output(desk):
    path = write_jobs(desk, {"face": "anna.mp4", "audio": "ben.wav", "output": "out/a.mp4"})
    done = jobs.work_here(path)
    assert done.exit_code == 0 and done.rendered == 1
    source, made = frames_of(desk / "anna.mp4"), frames_of(desk / "out" / "a.mp4")
    assert [t for t, _ in made] == [t for t, _ in source]
    assert probe_sound(desk / "out" / "a.mp4").duration == pytest.approx(2.0, abs=0.1)
    facts = json.loads((desk / "out" / "a.mp4.json").read_text())
    assert facts["parts"] == {"rendered": 3, "kept_from_before": 0} and facts["faces"]["synthesized"] == 50
    assert facts["checkpoints"]["embedded-articulation"]["sha256"] and facts["inputs"][0]["sha256"]
    assert facts["output"]["frames"] == 75 and facts["made"]["packages"]["torch"]
    assert not list((desk / "jobs.yaml.work").glob("*/part-*")), "parts are gone when the job is done"


def test_figures_of_the_result_in_its_sidecar(desk):
    row = {"face": "anna.mp4", "audio": "anna.wav", "output": "out/a.mp4", "metrics": True, "part_seconds": 20}
    assert jobs.work_here(write_jobs(desk, row)).exit_code == 0
    facts = json.loads((desk / "out" / "a.mp4.json").read_text())
    assert facts["metrics"]["lse_d"] > 0 and facts["metrics"]["judge"] in ("syncnet_v2", "embedded-syncnet")
    assert facts["offset_ms"] is None or abs(facts["offset_ms"]) <= 600


def test_a_job_may_name_a_saved_survey(short, monkeypatch):
    from wav2lip_hq import HQPipeline, survey

    survey.save(HQPipeline("fast").set("track.faces=all").survey(short / "cleo.mp4"), short / "cleo.npz")
    row = {"face": "cleo.mp4", "audio": "cleo.wav", "output": "out/cleo.mp4", "survey": "cleo.npz"}
    path = write_jobs(short, row, {**row, "face": "anna.mp4", "output": "out/anna.mp4"})
    monkeypatch.setattr("wav2lip_hq.session.survey_footage", None)  # nothing is surveyed again
    assert jobs.work_here(path).status == {"done": 1, "failed": 1}
    failed = next(r for r in jobs.Store(path).all().values() if r.status == "failed")
    assert "cleo.npz is of other footage than" in failed.message and not (short / "out" / "anna.mp4").exists()


def test_only_the_segments_of_a_reel_change(desk):
    spans = [{"in": "00:00:01:00", "out": 1.6, "audio": "ben.wav"}]
    path = write_jobs(desk, {"face": "anna.mp4", "output": "out/reel.mkv", "codec": "ffv1", "segments": spans})
    assert jobs.work_here(path).exit_code == 0
    source, made = frames_of(desk / "anna.mp4"), frames_of(desk / "out" / "reel.mkv")
    assert len(source) == len(made) == 75
    changed = [not np.array_equal(a[1], b[1]) for a, b in zip(source, made, strict=True)]
    assert not any(changed[:25]) and not any(changed[40:]) and sum(changed[25:40]) >= 12
    assert probe_sound(desk / "out" / "reel.mkv").duration in (None, pytest.approx(3.0, abs=0.1))


def test_two_people_with_their_own_speech(desk):
    both = [
        np.hstack([a[1], b[1]])
        for a, b in zip(frames_of(desk / "anna.mp4")[:50], frames_of(desk / "ben.mp4"), strict=True)
    ]
    write_video(desk / "two.mp4", np.stack(both), fps=25, sound=desk / "anna.wav")
    segments = [
        {"in": 0, "out": 1, "audio": "anna.wav", "who": "left-to-right:0"},
        {"in": 0, "out": 2, "audio": "ben.wav", "who": "left-to-right:1"},
    ]
    path = write_jobs(desk, {"face": "two.mp4", "output": "out/two.mkv", "codec": "ffv1", "segments": segments})
    assert jobs.work_here(path).exit_code == 0
    made, source = frames_of(desk / "out" / "two.mkv"), frames_of(desk / "two.mp4")
    width = source[0][1].shape[1] // 2
    late = [not np.array_equal(a[1][:, :width], b[1][:, :width]) for a, b in zip(source, made, strict=True)][28:]
    right = [not np.array_equal(a[1][:, width:], b[1][:, width:]) for a, b in zip(source, made, strict=True)]
    left = [not np.array_equal(a[1][:, :width], b[1][:, :width]) for a, b in zip(source, made, strict=True)][:25]
    assert sum(left) > 15 and sum(right) > 35 and not any(late)


def test_a_job_stopped_in_the_middle_continues_with_the_same_result(desk, monkeypatch):
    row = {"face": "anna.mp4", "audio": "anna.wav", "output": "out/a.mp4", "without_provenance": True}
    path = write_jobs(desk, row)
    jobs.work_here(path)
    whole = (desk / "out" / "a.mp4").read_bytes()

    shutil.rmtree(desk / "jobs.yaml.work")
    (desk / "jobs.yaml.state").unlink()
    (desk / "out" / "a.mp4").unlink()
    original, calls = rendering._part, []

    def dies(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt  # as abrupt as it gets without ending the test
        return original(*args)

    monkeypatch.setattr(rendering, "_part", dies)
    with pytest.raises(KeyboardInterrupt):
        jobs.work_here(path)
    assert not (desk / "out" / "a.mp4").exists()
    assert jobs.Store(path).get(str(desk / "out" / "a.mp4")).status == "pending"
    part = next((desk / "jobs.yaml.work").glob("*/part-00001.mp4"))
    part.write_bytes(part.read_bytes()[:-7])  # damaged on disk meanwhile: rendered again

    monkeypatch.setattr(rendering, "_part", original)
    assert jobs.work_here(path).exit_code == 0
    assert (desk / "out" / "a.mp4").read_bytes() == whole
    assert json.loads((desk / "out" / "a.mp4.json").read_text())["parts"] == {"rendered": 2, "kept_from_before": 1}


def test_unchanged_work_is_skipped_and_changed_work_redone(short):
    row = {"face": "cleo.mp4", "audio": "cleo.wav", "output": "out/b.mp4"}
    path = write_jobs(short, row)
    assert jobs.work_here(path).rendered == 1
    assert jobs.work_here(path).rendered == 0
    write_jobs(short, {**row, "crf": 30})
    assert jobs.work_here(path).rendered == 1
    shutil.copy(short / "anna.wav", short / "cleo.wav")
    assert jobs.work_here(path).rendered == 1
    (short / "out" / "b.mp4").unlink()
    assert jobs.work_here(path).rendered == 1, "a lost output is made again"


# ---- failures


def test_failures_are_classified_and_the_other_jobs_continue(short):
    gray = np.full((20, 120, 160, 3), 128, np.uint8)
    write_video(short / "empty.mp4", gray, fps=25)
    (short / "broken.mp4").write_bytes(b"this is no film")
    good = {"face": "cleo.mp4", "audio": "cleo.wav", "output": "out/new/good.mp4"}
    path = write_jobs(
        short,
        {**good, "face": "gone.mp4", "output": "out/1.mp4"},
        {**good, "face": "broken.mp4", "output": "out/2.mp4"},
        {**good, "face": "empty.mp4", "output": "out/3.mp4"},
        {**good, "preset": "gfpgan", "output": "out/4.mp4"},
        {**good, "set": ["blend.nothing=1"], "output": "out/5.mp4"},
        {**good, "output": "cleo.wav/6.mp4"},
        {**good, "preset": 5, "output": "out/7.mp4"},
        good,
    )
    problems = jobs.plan(path)
    assert len(problems.fatal) == 7 and problems.seconds is not None, problems.text()
    assert not list((short / "out").iterdir()), "a plan renders nothing"
    done = jobs.work_here(path)
    assert done.kinds == {"input": 2, "no face": 1, "checkpoint": 1, "option": 2, "output": 1}
    assert done.status == {"failed": 7, "done": 1} and done.exit_code == 9
    made = sorted(p.name for p in (short / "out").glob("**/*.*"))
    assert made == ["good.mp4", "good.mp4.json"], "its folder was made"
    assert "fetch" in next(r.message for r in done.failures if r.kind == "checkpoint")

    shutil.copy(short / "anna.mp4", short / "gone.mp4")  # what was missing has come
    assert jobs.work_here(path).status["done"] == 2, "changed inputs are tried again"
    assert jobs.retry(path) == 6 and jobs.work_here(path).status["failed"] == 6
    page = jobs.report(path).read_text()
    assert page.count("<tr") == 9 and "data:image/png" in page and "no face was found" in page


def test_plan_knows_collisions_and_times(desk):
    row = {"face": "ben.mp4", "audio": "ben.wav", "output": "out/a.mp4"}
    late = {"face": "ben.mp4", "output": "out/b.mp4", "segments": [{"in": 9, "out": 10, "audio": "ben.wav"}]}
    turned = {"face": "ben.mp4", "output": "out/c.mp4", "segments": [{"in": 1, "out": 0.5, "audio": "ben.wav"}]}
    cyclic = {"face": "ben.mp4", "audio": "ben.wav", "output": "anna.mp4"}
    other = {"face": "anna.mp4", "audio": "ben.wav", "output": "out/d.mp4"}
    text = jobs.plan(write_jobs(desk, row, row, late, turned, cyclic, other)).text()
    for part in ("same file", "beyond the footage", "not after in", "is an input of"):
        assert part in text


def test_out_of_memory_halves_the_batch(short, monkeypatch):
    path = write_jobs(short, {"face": "cleo.mp4", "audio": "cleo.wav", "output": "out/b.mp4"})
    sizes, original = [], rendering._part

    def tight(session, *rest):
        sizes.append(session.runtime.batch_size)
        if sizes[-1] > 3:
            raise OutOfMemory("does not fit")
        return original(session, *rest)

    monkeypatch.setattr(rendering, "_part", tight)
    assert jobs.work_here(path).exit_code == 0
    assert sizes[:3] == [8, 4, 2]


class Died(BaseException):
    """Stands in for SIGKILL: the worker is gone, and its work is left as it was."""


def die(worker, monkeypatch, at, parts=0):
    """A worker that dies at a job after it has made some more parts of it."""
    made, original = [], rendering._part

    def deadly(*args):
        if len(made) == parts:
            raise Died
        made.append(original(*args))
        return made[-1]

    with monkeypatch.context() as here:
        here.setattr(rendering, "_part", deadly)
        with pytest.raises(Died):
            worker.work()
    worker.store.put(at, status="running", worker="one that died")


def test_a_job_that_kills_three_workers_is_given_up_unless_parts_were_finished_in_between(desk, monkeypatch):
    path = write_jobs(desk, {"face": "ben.mp4", "audio": "ben.wav", "output": "out/b.mp4"})
    (job,), worker = jobs.read_jobs(path), Worker(path)
    for parts in (0, 0, 1, 0, 0):  # the third died too, but after it had finished a part
        die(worker, monkeypatch, job.name, parts)
    assert worker.work() == 0
    given_up = worker.store.get(job.name)
    assert (given_up.status, given_up.kind) == ("failed", "stage") and "3 workers died" in given_up.message
    assert jobs.retry(path) == 1 and worker.work() == 1


def test_a_lost_share_is_tried_again(short, monkeypatch):
    path = write_jobs(short, {"face": "cleo.mp4", "audio": "cleo.wav", "output": "out/b.mp4"})

    def fails(self, *args):
        raise OSError(errno.ESTALE, "as if")

    monkeypatch.setattr(VideoWriter, "_encode", fails)
    done = jobs.work_here(path, Settings(retry_pause=0.01))
    assert done.kinds == {"passing": 1} and done.failures[0].attempts == 4
    assert not list((short / "out").iterdir())
    monkeypatch.undo()
    assert jobs.retry(path) == 1 and jobs.work_here(path).exit_code == 0


def test_tries_count_anew_after_a_part(desk, monkeypatch):
    path = write_jobs(desk, {"face": "ben.mp4", "audio": "ben.wav", "output": "out/b.mp4"})
    original, calls = rendering._part, []

    def shaky(*args):
        calls.append(1)
        if len(calls) % 4:  # three of four
            raise OSError(errno.ESTALE, "Stale file handle")
        return original(*args)

    monkeypatch.setattr(rendering, "_part", shaky)
    worker = Worker(path, Settings(retry_pause=0.01))
    assert worker.work() == 1 and len(calls) == 8


def test_a_job_is_held_by_one_worker(short):
    path = write_jobs(short, {"face": "cleo.mp4", "audio": "cleo.wav", "output": "out/b.mp4"})
    one, other = Worker(path), Worker(path)
    name = jobs.read_jobs(path)[0].name
    with one.store.hold(name) as mine:
        with other.store.hold(name) as too:
            assert mine and not too
        assert other.work() == 0
    assert other.work() == 1 and one.work() == 0


def test_cancel(short):
    row = {"face": "cleo.mp4", "audio": "cleo.wav"}
    path = write_jobs(short, {**row, "output": "out/a.mp4"}, {**row, "output": "out/b.mp4"})
    jobs.Store(path).put(str(short / "out" / "a.mp4"), status="pending")
    assert jobs.cancel(path, ["a"]) == 1
    assert jobs.work_here(path).status == {"canceled": 1, "done": 1}
    with pytest.raises(OptionError, match="no job makes 'z'"):
        jobs.cancel(path, ["z"])


def test_canceling_a_running_job_leaves_nothing_under_its_name(desk):
    path = write_jobs(desk, {"face": "anna.mp4", "audio": "anna.wav", "output": "out/a.mp4"})
    jobs.Store(path).ask(f"cancel:{desk / 'out' / 'a.mp4'}")
    assert jobs.work_here(path).status == {"canceled": 1}
    assert not list((desk / "out").iterdir())


def test_hot_folder_waits_for_pairs_that_have_stopped_growing(desk, monkeypatch):
    path = write_jobs(desk, output="out/{face}.mp4")
    folder = desk / "in"
    folder.mkdir()
    shutil.copy(desk / "ben.mp4", folder / "one.mp4")
    seen = {}
    assert hotfolder.look(folder, path, seen) == [], "no speech yet"
    shutil.copy(desk / "ben.wav", folder / "one.wav")
    monkeypatch.setattr(hotfolder.time, "time", lambda: 4e9)
    assert hotfolder.look(folder, path, seen) == [], "seen for the first time: it may still grow"
    found = hotfolder.look(folder, path, seen)
    assert [j.output.name for j in found] == ["one.mp4"] and found[0].preset == "fast"
    assert len(hotfolder.look(folder, path, seen)) == 1


def test_png_sequences_are_joined_too(short):
    path = write_jobs(short, {"face": "cleo.mp4", "audio": "cleo.wav", "output": "out/frames", "codec": "png"})
    assert jobs.work_here(path).exit_code == 0
    names = sorted(p.name for p in (short / "out" / "frames").iterdir())
    assert len(names) == 15 and names[0] == "000001.png" and names[-1] == "000015.png"
    assert cv2.imread(str(short / "out" / "frames" / names[7])).shape == (260, 260, 3)
    assert "synthesized" in Image.open(short / "out" / "frames" / names[14]).text["Comment"]


def test_workers_are_processes(short):
    row = {"face": "cleo.mp4", "audio": "cleo.wav"}
    path = write_jobs(short, {**row, "output": "out/a.mp4"}, {**row, "output": "out/b.mp4"})
    log = short / "log.jsonl"
    done = jobs.run(path, workers=2, log=log)
    assert done.exit_code == 0 and done.rendered == 2, done.text()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(e["event"] for e in events) == ["done", "done", "started", "started"]
    assert sidecar.path_of(short / "out" / "a.mp4").exists()


def test_workers_that_cannot_live_are_given_up(desk, monkeypatch):
    path = write_jobs(desk, {"face": "ben.mp4", "audio": "ben.wav", "output": "out/b.mp4"})
    with pytest.raises(OptionError, match="warp"):
        jobs.run(path, devices=["warp"])
    monkeypatch.setattr(pool.sys, "executable", "/bin/false")
    done = jobs.run(path)
    assert done.exit_code == 9 and done.left == 1 and "not reached" in done.text()
