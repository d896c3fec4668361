"""Files left by a process that ended: none after SIGTERM; after SIGKILL, the next process to write there cleans up."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wav2lip_hq import places

ROOT = Path(__file__).parents[1]
BEGIN = """
import sys, time
from pathlib import Path
from wav2lip_hq.places import beside
file, folder = beside(Path(sys.argv[1]) / "clip.mp4"), beside(Path(sys.argv[1]) / "pictures")
file.write_bytes(b"half")
folder.mkdir()
(folder / "000001.png").write_bytes(b"half")
print("begun", flush=True)
time.sleep(60)
"""
WRITE = """
import sys, time
from fractions import Fraction
import numpy as np
from wav2lip_hq import boundary, video

def work():
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    with video.VideoWriter(sys.argv[1], video.open_video(frames).info) as writer:
        for n in range(10**6):
            writer.write(frames[0], Fraction(n, 25))
            if n == 20:
                print("begun", flush=True)
            time.sleep(0.01)
    return 0

sys.exit(boundary.guarded(work))
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process numbers are POSIX's")


def started(code, argument):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(argument)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "begun\n"
    return process


def test_the_next_writer_removes_files_of_dead_processes_and_nothing_else(tmp_path):
    dead, alive = started(BEGIN, tmp_path), started(BEGIN, tmp_path)
    try:
        assert len(list(tmp_path.iterdir())) == 4
        dead.kill()
        dead.communicate()
        (tmp_path / ".download.part").write_bytes(b"to be resumed")
        (tmp_path / f".clip.abcdef-{dead.pid}.part.mp4").write_bytes(b"another machine's")
        mine = places.beside(tmp_path / "mine.mp4")
        mine.write_bytes(b"half")
        places.beside(tmp_path / "other.mp4")
        left = {p.name for p in tmp_path.iterdir()}
        assert sum(f"-{alive.pid}.part" in name for name in left) == 2 and len(left) == 5 and mine.name in left
        assert platform.node() not in str(left)
    finally:
        alive.kill()
        alive.communicate()


def test_names_are_never_too_long(tmp_path):
    for stem in ("x" * 251, "ü" * 125, ".", ""):
        path = tmp_path / f"{stem}.mp4"
        places.beside(path).write_bytes(b"")
    assert len(list(tmp_path.iterdir())) >= 3


@pytest.mark.parametrize("name", ["o.mp4", "o.mkv"])
def test_sigterm_leaves_nothing(tmp_path, name):
    process = started(WRITE, tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir()) and "Traceback" not in process.stderr.read()
