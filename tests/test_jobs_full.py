"""A disk that is full, at whatever moment: one line, an exit code, a state that holds, and the next run continues."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest
from talker import talker

from wav2lip_hq import jobs, survey, video
from wav2lip_hq.cli import main
from wav2lip_hq.errors import OutputError
from wav2lip_hq.jobs import render, sidecar
from wav2lip_hq.jobs.sqlite import connected
from wav2lip_hq.jobs.worker import Settings
from wav2lip_hq.video import VideoWriter, join


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    talker(folder / "anna.mp4", 1, 2.0)
    return folder


def desk(footage, folder):
    """A job file with one job in two parts, and one that is wrong whatever the disk does."""
    for path in footage.iterdir():
        shutil.copy(path, folder / path.name)
    (folder / "out").mkdir()
    row = {"face": "anna.mp4", "audio": "anna.wav", "output": "out/a.mp4"}
    path = folder / "jobs.yaml"
    wrong = {**row, "preset": 5}
    path.write_text(json.dumps({"defaults": {"preset": "fast", "part_seconds": 1}, "jobs": [row, wrong]}))
    return path


def full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def sqlite_full(store, *_args, **_kwargs):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    with connected(store.path, "nothing"):
        raise error


MOMENTS = {
    "the state": (jobs.Store, "put", sqlite_full),
    "the survey": (survey, "save", full),
    "a part": (VideoWriter, "_encode", full),
    "what is known of a part": (render, "write_text", full),
    "the joined file": (video, "join_videos", full),
    "the sidecar": (sidecar, "write_text", full),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_run_stops_and_the_next_goes_on(footage, tmp_path, monkeypatch, moment):
    monkeypatch.chdir(tmp_path)
    path, log = desk(footage, tmp_path), tmp_path / "log.jsonl"
    monkeypatch.setattr(*MOMENTS[moment])
    with pytest.raises(OutputError, match="full"):
        jobs.work_here(path, Settings(log=str(log)))
    monkeypatch.undo()
    assert jobs.summary(path).status.get("pending") == 2 or moment == "the sidecar", "nothing failed, nothing runs"
    assert not list(tmp_path.glob("**/.*.part*")), "nothing half done is left"
    done = jobs.work_here(path, Settings(log=str(log)))
    assert done.status == {"done": 1, "failed": 1} and done.kinds == {"option": 1}
    assert [json.loads(line) for line in log.read_text().splitlines()]


def test_a_state_that_is_damaged_or_cannot_be_made_is_one_line(footage, tmp_path, capsys):
    path = desk(footage, tmp_path)
    jobs.Store(path).path.write_bytes(b"this is no database" * 100)
    assert main(["batch", "status", str(path)]) == 4
    said = capsys.readouterr().err
    assert "is damaged" in said and said.count("\n") == 1


def test_a_log_goes_on_after_half_a_line(footage, tmp_path):
    path, log = desk(footage, tmp_path), tmp_path / "log.jsonl"
    log.write_text('{"time": 1}\n{"time": 2, "ev')
    from wav2lip_hq.jobs.worker import Worker

    worker = Worker(path, Settings(log=str(log)))
    for _ in range(2):
        worker.log("started", jobs.read_jobs(path)[0])
    lines = log.read_text().split("\n")
    assert lines[1] == '{"time": 2, "ev' and json.loads(lines[2])["event"] == json.loads(lines[3])["event"] == "started"


@contextlib.contextmanager
def mounted(place):
    """A file system of 48 MB."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def command(path):
    return [sys.executable, "-m", "wav2lip_hq.cli", "batch", "run", str(path), "--quiet", "--log", f"{path}.log"]


def lossless(footage, folder):
    """The job in large files, which are written as frames come."""
    path = desk(footage, folder)
    made = json.loads(path.read_text().replace("out/a.mp4", "out/a.mkv"))
    made["defaults"]["codec"] = "ffv1"
    path.write_text(json.dumps(made))
    return path


def fill(place, leave=0):
    """Leave no more than some bytes of room."""
    left = shutil.disk_usage(place).free - leave
    with (place / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 16)))


@pytest.fixture(scope="module")
def undisturbed(footage, tmp_path_factory):
    """The result where nothing is full."""
    folder = tmp_path_factory.mktemp("whole")
    jobs.work_here(lossless(footage, folder))
    return (folder / "out" / "a.mkv").read_bytes()


def kept(place):
    return len(list(place.glob("jobs.yaml.work/*/part-*.json")))


def intact(place):
    """State and log are there, nothing has failed that will not fail again, nothing half done is left."""
    (place / "ballast").unlink()
    assert {row.status for row in jobs.Store(place / "jobs.yaml").all().values()} <= {"pending", "running"}
    assert not list(place.glob("**/.*.part*"))
    if (log := place / "jobs.yaml.log").exists():
        assert all(json.loads(line) for line in log.read_text().splitlines() if line.endswith("}"))


def finished(place, result):
    """The next run made what an undisturbed one makes."""
    assert jobs.summary(place / "jobs.yaml").status == {"done": 1, "failed": 1}
    assert (place / "out" / "a.mkv").read_bytes() == result
    assert (place / "out" / "a.mkv.json").exists() and not list(place.glob("**/.*.part*"))


def running(place):
    return any(row.status == "running" for row in jobs.Store(place / "jobs.yaml").all().values())


# What is seen when the disk fills, room left then, parts kept.
WHEN = {
    "before the start": (lambda place: True, 0, 0),
    "while networks load": (lambda place: (place / "jobs.yaml.state").exists(), 0, 0),
    "surveying": (running, 0, 0),
    "first frames": (lambda place: any(place.glob("jobs.yaml.work/*/.part-00000*")), 1 << 16, 0),
    "middle of a part": (lambda place: any(place.glob("jobs.yaml.work/*/part-00000.json")), 1 << 19, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", WHEN)
def test_a_disk_filled_while_jobs_run(footage, undisturbed, tmp_path, capsys, moment):
    seen, leave, parts = WHEN[moment]
    with mounted(tmp_path / "disk") as place:
        path, ballast = lossless(footage, place), place / "ballast"
        if moment == "before the start":
            fill(place)
        process = subprocess.Popen(command(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not ballast.exists():
            if seen(place):
                fill(place, leave)
            time.sleep(0.002)
        said, complained = process.communicate(timeout=600)
        assert ballast.exists(), "it was over before the disk could be filled"
        with capsys.disabled():
            print(f"\n{moment}: exit code {process.returncode}, {kept(place)} parts kept: {complained.strip()}")
        assert process.returncode == 4 and len(complained.splitlines()) == 1 and "full" in complained, said
        assert kept(place) == parts and not list((place / "out").iterdir())
        intact(place)
        again = subprocess.run(command(path), capture_output=True, text=True)
        assert again.returncode == 9, again  # the wrong job fails, the other is done
        finished(place, undisturbed)


# From where on the disk is full, and for how much of the result there was room.
LATE = {
    "joining": (join, "_files", 0.3),
    "joining, nearly done": (join, "_files", 0.97),
    "the last of sound and pictures": (join, "_files", 1 - 3e-3),
    "the report": (sidecar, "write_text", 0),
    "the state": (jobs.Store, "put", 0),
}


@pytest.mark.slow
def test_a_disk_filled_when_all_parts_are_made(footage, undisturbed, tmp_path, monkeypatch, capsys):
    with mounted(tmp_path / "disk") as place:
        path = lossless(footage, place)
        monkeypatch.chdir(place)
        for moment, (owner, name, room) in LATE.items():
            original = getattr(owner, name)

            def late(*args, original=original, name=name, room=room, **values):
                if (name != "put" or values.get("status") == "done") and not (place / "ballast").exists():
                    fill(place, round(room * len(undisturbed)))
                return original(*args, **values)

            with monkeypatch.context() as here:
                here.setattr(owner, name, late)
                with pytest.raises(OutputError, match="full") as caught:
                    jobs.work_here(path, Settings(log=f"{path}.log"))
            with capsys.disabled():
                print(f"\n{moment}: exit code {caught.value.exit_code}, {kept(place)} parts kept: {caught.value}")
            there = {"the report": ["a.c2pa", "a.mkv"], "the state": ["a.c2pa", "a.mkv", "a.mkv.json"]}.get(moment, [])
            assert kept(place) == 2 and sorted(p.name for p in (place / "out").iterdir()) == there
            intact(place)
            (place / "out" / "a.mkv").unlink(missing_ok=True)
        jobs.work_here(path, Settings(log=f"{path}.log"))
        finished(place, undisturbed)
