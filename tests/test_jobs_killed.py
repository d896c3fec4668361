"""SIGKILL at random instants, on the runner or on a worker: the batch always ends, with the same result."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from talker import talker

from wav2lip_hq import jobs

KILLS = 20


@pytest.fixture
def desk(tmp_path):
    talker(tmp_path / "anna.mp4", 1, 4.0)
    talker(tmp_path / "ben.mp4", 2, 3.0)
    (tmp_path / "out").mkdir()
    names = ("anna", "ben")
    rows = [
        {"face": f"{face}.mp4", "audio": f"{sound}.wav", "output": f"out/{face}-{sound}.mp4"}
        for face in names
        for sound in names
    ]
    path = tmp_path / "jobs.json.yaml"
    path.write_text(json.dumps({"defaults": {"preset": "fast", "part_seconds": 1}, "jobs": rows}))
    return path


def start(path, workers=1):
    command = [sys.executable, "-m", "wav2lip_hq.cli", "batch", "run", str(path), "--workers", str(workers), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def results(path):
    return {p.name: p.read_bytes() for p in sorted((path.parent / "out").glob("*.mp4"))}


def children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except OSError:
            continue  # it ended meanwhile
    return found


@pytest.mark.slow
def test_killed_at_twenty_random_instants_it_ends_the_same(desk):
    began = time.time()
    assert start(desk).wait() == 0
    whole, took = results(desk), time.time() - began
    assert len(whole) == 4

    shutil.rmtree(desk.parent / "out")
    (desk.parent / "out").mkdir()
    shutil.rmtree(jobs.Store(desk).work)
    jobs.Store(desk).path.unlink()
    rng = random.Random(0)
    kills = 0
    while kills < KILLS:
        process = start(desk)
        time.sleep(rng.uniform(0.3, 0.6 * took))
        victims = [process.pid, *children(process.pid)]
        if process.poll() is not None:  # it came to its end before
            break
        os.kill(rng.choice(victims) if rng.random() < 0.3 else process.pid, signal.SIGKILL)
        kills += 1
        time.sleep(rng.uniform(0, 1))
        if process.poll() is None:
            process.kill()
        process.wait()
        names = {p.name for p in (desk.parent / "out").iterdir() if not p.name.startswith(".")}
        for name in names:
            if name.endswith(".mp4"):
                assert (desk.parent / "out" / name).read_bytes() == whole[name], "never half a file under its name"
    assert start(desk).wait() == 0
    assert results(desk) == whole
    assert jobs.summary(desk).status == {"done": 4}


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
    desk.write_text(desk.read_text().replace('"part_seconds": 1', '"part_seconds": 60'))
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
    assert process.wait(300) == 0
    assert store.get(running[0].name).status == "done" and store.get(running[0].name).crashes == 1


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
    assert done.status == {"done": 4} and len(results(desk)) == 4, done.text()
    assert all(row.status == "done" for row in store.all().values())
