"""SIGKILL at random instants, on the runner or on a worker: the batch always ends, with the same result."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import write_video
from talker import talker

from wav2lip_hq import jobs
from wav2lip_hq.video import open_video

KILLS = int(os.environ.get("WAV2LIP_HQ_KILLS", "8"))  # 40 before a release: half an hour


@pytest.fixture
def desk(tmp_path):
    """Jobs of 2 and 3 s in parts of 1 s, in sizes and containers of all kinds."""
    talker(tmp_path / "anna.mp4", 1, 3.0)
    talker(tmp_path / "big.mp4", 2, 2.0)
    (tmp_path / "big.wav").rename(tmp_path / "ben.wav")
    with open_video(tmp_path / "big.mp4") as reader:
        small = np.stack([cv2.resize(frame, (192, 192)) for _, frame, _ in reader])
    write_video(tmp_path / "ben.mp4", small, fps=25, sound=tmp_path / "ben.wav")
    (tmp_path / "out").mkdir()
    rows = [
        {"face": f"{face}.mp4", "audio": f"{sound}.wav", "output": f"out/{face}-{sound}{suffix}"}
        for face, sound, suffix in (("anna", "ben", ".mp4"), ("anna", "anna", ".mkv"), ("ben", "ben", ".mp4"))
    ]
    path = tmp_path / "jobs.json.yaml"
    # Manifests hold random salts, so that files with them are never equal; see test_provenance_everywhere.py.
    defaults = {"preset": "fast", "part_seconds": 1, "without_provenance": True}
    path.write_text(json.dumps({"defaults": defaults, "jobs": rows}))
    return path


def start(path, workers=1, extra=()):
    command = [
        sys.executable,
        "-m",
        "wav2lip_hq.cli",
        "batch",
        "run",
        str(path),
        "--workers",
        str(workers),
        "--quiet",
        *extra,
    ]
    # A shell lets what it starts in the background ignore Ctrl-C, and so do the children of that.
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    sinks = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, start_new_session=True, preexec_fn=heard, **sinks)


def results(path):
    """What stands under its final name; sidecars hold times and are left out."""
    made = (path.parent / "out").glob("[!.]*")
    return {p.name: p.read_bytes() for p in sorted(made) if p.suffix != ".json"}


def children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def afresh(path):
    """As if nothing had been made."""
    shutil.rmtree(path.parent / "out")
    (path.parent / "out").mkdir()
    store = jobs.Store(path)
    shutil.rmtree(store.work, ignore_errors=True)
    store.path.unlink()


@pytest.mark.slow
def test_killed_at_random_instants_it_ends_the_same(desk, capsys):
    began = time.time()
    assert start(desk).wait() == 0
    whole, took = results(desk), time.time() - began
    assert len(whole) == 3
    rng = random.Random(int(os.environ.get("WAV2LIP_HQ_SEED", "0")))
    kills = rounds = 0
    while kills < KILLS:
        afresh(desk)
        rounds += 1
        while kills < KILLS:
            began, process = time.time(), start(desk)
            due = rng.uniform(0.2, took)
            while process.poll() is None and time.time() - began < due:
                time.sleep(0.02)
            if process.poll() is not None:  # it came to its end before
                break
            victims, runner = children(process.pid), rng.random() < 0.5
            victim = process.pid if runner or not victims else rng.choice(victims)
            os.kill(victim, signal.SIGKILL)
            kills += 1
            time.sleep(rng.uniform(0, 1))
            if process.poll() is None:
                process.kill()
            process.wait()
            rows, parts = jobs.Store(desk).all(), jobs.Store(desk).work.glob("*/part-*.json")
            states = ", ".join(sorted(row.status for row in rows.values())) or "nothing begun"
            who = "runner" if victim == process.pid else "worker"
            with capsys.disabled():
                print(f"kill {kills:2}: {who} after {due:5.1f} s; {states}; {len(list(parts))} parts kept", flush=True)
            jobs.retry(desk)  # a job at which three workers died is given up until somebody asks for it again
            for name, data in results(desk).items():
                assert data == whole[name], "never half a file under its name"
        jobs.retry(desk)  # the run that ended by itself may have given one up
        assert start(desk).wait() == 0
        assert results(desk) == whole
        assert jobs.summary(desk).status == {"done": 3}
        assert not list((desk.parent / "out").glob(".*")), "no leftovers beside the outputs"
    with capsys.disabled():
        print(
            f"{kills} kills in {rounds} rounds; {len(whole)} files byte for byte those of an undisturbed run each time"
        )


@pytest.mark.slow
def test_ctrl_c_once_finishes_the_part_and_the_next_run_goes_on(desk):
    process = start(desk)
    deadline = time.time() + 120
    while not list(jobs.Store(desk).work.glob("*/part-00000.json")) and time.time() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert jobs.summary(desk).status.get("failed", 0) == 0
    kept = len(list(jobs.Store(desk).work.glob("*/part-*.json"))) + len(results(desk))
    assert kept, "the part that was being rendered is there"
    assert start(desk).wait() == 0


@pytest.mark.slow
def test_ctrl_c_twice_stops_at_once(desk):
    # One part of 30 s: however fast the machine, it is still being rendered when the second Ctrl-C comes.
    talker(desk.parent / "anna.mp4", 1, 30.0)
    row = {"face": "anna.mp4", "audio": "anna.wav", "output": "out/anna.mp4"}
    desk.write_text(json.dumps({"defaults": {"preset": "fast", "part_seconds": 60}, "jobs": [row]}))
    process = start(desk)
    store = jobs.Store(desk)
    deadline = time.time() + 120
    while not any(r.frames for r in store.all().values()) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    began = time.time()
    assert process.wait(30) == 130 and time.time() - began < 15
    assert not list((desk.parent / "out").iterdir()), "nothing under an output's name"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_is_replaced(desk, workers):
    process = start(desk, workers)
    store = jobs.Store(desk)
    deadline = time.time() + 120
    while time.time() < deadline:
        running = [r for r in store.all().values() if r.status == "running" and r.frames]
        if running:
            break
        time.sleep(0.05)
    os.kill(int(running[0].worker.rsplit(":", 1)[1]), signal.SIGKILL)
    said = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 0 and store.get(running[0].name).status == "done"
    assert f"a worker was ended by SIGKILL while rendering {running[0].name}" in said


@pytest.mark.slow
def test_ray_survives_the_loss_of_a_worker_and_of_a_node(desk):
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from ray.cluster_utils import Cluster

    from wav2lip_hq.jobs.ray_engine import run_ray

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    doomed = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    store = jobs.Store(desk)
    lost = {"worker": 0, "node": 0}

    def disturb(rows, _jobs):
        running = [r for r in rows.values() if r.status == "running" and r.frames]
        if running and not lost["worker"]:
            lost["worker"] = int(running[0].worker.rsplit(":", 1)[1])
            os.kill(lost["worker"], signal.SIGKILL)
        elif running and not lost["node"] and any(r.status == "done" for r in rows.values()):
            lost["node"] = 1
            cluster.remove_node(doomed)

    try:
        done = run_ray(desk, workers=2, on_progress=disturb)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert lost["worker"] and lost["node"]
    assert done.status == {"done": 3} and len(results(desk)) == 3, done.text()
    assert all(row.status == "done" for row in store.all().values())


def reported(process):
    return json.loads(process.communicate(timeout=500)[0].splitlines()[-1])


@pytest.mark.slow
def test_two_runners_on_one_file_count_what_they_did(desk):
    both = [start(desk, extra=["--json"]) for _ in range(2)]
    one, other = (reported(process) for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert one["rendered"] + other["rendered"] == 3 and len(results(desk)) == 3
    assert one["status"] == other["status"] == {"done": 3} and not one["left"] + other["left"]


@pytest.mark.slow
def test_a_runner_takes_over_from_one_that_is_killed(desk):
    desk.write_text(desk.read_text().replace("out/anna-anna.mkv", "out/x.mkv"))
    first = start(desk)
    deadline = time.time() + 200
    while time.time() < deadline and not list(jobs.Store(desk).work.glob("*/part-*.json")):
        time.sleep(0.05)
    second = start(desk, extra=["--json"])
    time.sleep(2)
    first.kill()
    first.wait()
    done = reported(second)
    assert second.returncode == 0 and done["status"] == {"done": 3} and done["rendered"] >= 2


@pytest.mark.slow
def test_sigterm_ends_a_batch_and_leaves_no_half_files(desk):
    process = start(desk)
    deadline = time.time() + 200
    while time.time() < deadline and not list(jobs.Store(desk).work.glob("*/.*.part*")):
        time.sleep(0.02)
    workers = children(process.pid)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert not list(desk.parent.glob("**/.*.part*"))
    assert {row.status for row in jobs.Store(desk).all().values()} <= {"pending", "done"}
    assert start(desk).wait() == 0 and len(results(desk)) == 3
