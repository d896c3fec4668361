"""A disk that is full, at whatever moment: one line, an exit code, a state that holds, and the next run goes on."""

from __future__ import annotations

import errno
import json
import os
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


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


WHEN = {
    "before": lambda place: True,
    "loading": lambda place: (place / "jobs.yaml.state").exists(),
    "surveying": lambda place: any(r.status == "running" for r in jobs.Store(place / "jobs.yaml").all().values()),
    "rendering": lambda place: any(place.glob("jobs.yaml.work/*/part-00000.json")),
    "joining": lambda place: any(place.glob("jobs.yaml.work/*/part-00001.json")),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", WHEN)
def test_a_disk_filled_while_jobs_run(footage, small_disk, moment):
    path = desk(footage, small_disk)
    command = [sys.executable, "-m", "wav2lip_hq.cli", "batch", "run", str(path), "--quiet", "--log", f"{path}.log"]
    ballast = small_disk / "ballast"

    def fill():
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    if moment == "before":
        fill()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not ballast.exists():
        if WHEN[moment](small_disk):
            fill()
        time.sleep(0.005)
    said, complained = process.communicate(timeout=300)
    assert ballast.exists(), "it was over before the disk could be filled"
    print(moment, process.returncode, complained, said)
    assert process.returncode == 4 and "Traceback" not in complained
    assert len(complained.splitlines()) == 1 and "full" in complained
    assert not (small_disk / "out" / "a.mp4").exists() and not list(small_disk.glob("**/.*.part*"))
    os.unlink(ballast)
    assert subprocess.run(command, capture_output=True).returncode == 9, "the wrong job fails, the other is done"
    assert jobs.summary(path).status == {"done": 1, "failed": 1}
    assert all(json.loads(line) for line in (small_disk / "jobs.yaml.log").read_text().splitlines() if line[-1] == "}")
