"""A disk that is full, at whatever moment: one line, an exit code, a state that holds, and the next run goes on."""

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
from wav2lip_hq.jobs.worker import Settings
from wav2lip_hq.video import VideoWriter


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


def sqlite_full(*_args, **_kwargs):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise jobs.Store("x")._unusable(error)


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
    """The job in large files, so that what else is written hardly counts; figures keep it busy after joining."""
    path = desk(footage, folder)
    made = json.loads(path.read_text().replace("out/a.mp4", "out/a.mkv"))
    made["defaults"] |= {"codec": "ffv1", "metrics": True}
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
    """(the result, bytes that the rest takes)."""
    with mounted(tmp_path_factory.mktemp("whole") / "disk") as place:
        path = lossless(footage, place)
        before = shutil.disk_usage(place).used
        assert subprocess.run(command(path), capture_output=True).returncode == 9, (
            "the wrong job fails, the other is done"
        )
        result = (place / "out" / "a.mkv").read_bytes()
        return result, shutil.disk_usage(place).used - before - len(result)


def kept(place):
    return len(list(place.glob("jobs.yaml.work/*/part-*.json")))


def running(place):
    return any(row.status == "running" for row in jobs.Store(place / "jobs.yaml").all().values())


# Name: (when to fill, or how many times the result's size there is room for from the start; parts kept, result there).
MOMENTS_OF_A_DISK = {
    "before the start": (0.0, 0, False),
    "while networks load": (lambda place: (place / "jobs.yaml.state").exists(), 0, False),
    "surveying": (running, 0, False),
    "first frames": (0.04, 0, False),
    "middle of a part": (0.75, 1, False),
    "joining": (1.4, 2, False),
    "last of pictures and sound": (1.985, 2, False),
    "figures, report and state": (lambda place: (place / "out" / "a.mkv").exists(), 2, True),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS_OF_A_DISK)
def test_a_disk_full_while_jobs_run(footage, undisturbed, tmp_path, capsys, moment):
    result, rest = undisturbed
    when, parts, there = MOMENTS_OF_A_DISK[moment]
    with mounted(tmp_path / "disk") as place:
        path, output = lossless(footage, place), place / "out" / "a.mkv"
        if not callable(when):
            fill(place, leave=round(when * len(result)) + (rest if when else 0))
        process = subprocess.Popen(command(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (place / "ballast").exists():
            if when(place):
                fill(place)
            time.sleep(0.002)
        said, complained = process.communicate(timeout=600)
        assert (place / "ballast").exists(), "it was over before the disk could be filled"
        with capsys.disabled():
            print(f"\n{moment}: exit code {process.returncode}, {kept(place)} parts kept: {complained.strip()}")
        assert process.returncode == 4 and len(complained.splitlines()) == 1 and "full" in complained, said
        assert (kept(place), output.exists()) == (parts, there)
        assert not there or output.read_bytes() == result
        assert not list(place.glob("**/.*.part*")), "nothing half done is left"
        (place / "ballast").unlink()
        states = {row.status for row in jobs.Store(path).all().values()}
        assert states <= {"pending", "running"}, "nothing failed of it"
        again = subprocess.run(command(path), capture_output=True, text=True)
        assert again.returncode == 9 and jobs.summary(path).status == {"done": 1, "failed": 1}, again
        assert output.read_bytes() == result
        lines = (place / "jobs.yaml.log").read_text().splitlines()
        assert {"done", "failed"} <= {json.loads(line)["event"] for line in lines if line.endswith("}")}
