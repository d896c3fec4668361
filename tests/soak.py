"""Hours of batch jobs in one process, watched for what grows: python tests/soak.py --minutes 180 --out soak.csv

A round makes three new jobs (two presets, one of several parts, one that fails) and throws their results away. Each
round writes a line: seconds, rounds, RSS in MB, open files, threads. At the end: the growth after the first tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from talker import talker

from wav2lip_hq.jobs.worker import Worker


def facts() -> tuple[float, int, int]:
    """RSS in MB, open files, threads of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20, len(os.listdir("/proc/self/fd")), threading.active_count()


def rows(number: int) -> list[dict[str, object]]:
    """The jobs of a round."""
    return [
        {"face": "anna.mp4", "audio": "ben.wav", "output": f"out/{number}-a.mp4"},
        {"face": "ben.mp4", "audio": "anna.wav", "output": f"out/{number}-b.mp4", "preset": "generated"},
        {"face": "anna.wav", "audio": "anna.wav", "output": f"out/{number}-c.mp4"},  # no picture: fails
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--out", type=Path, default=Path("soak.csv"))
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    talker(folder / "anna.mp4", 1, 2.0)
    talker(folder / "ben.mp4", 2, 1.0)
    jobfile = folder / "jobs.yaml"
    worker, began, number = None, time.monotonic(), 0
    seen: list[tuple[float, int, int]] = []
    wrong = 0
    with args.out.open("w") as log:
        log.write("seconds,rounds,rss_mb,files,threads,done\n")
        while time.monotonic() - began < args.minutes * 60:
            number += 1
            (folder / "out").mkdir(exist_ok=True)
            jobfile.write_text(json.dumps({"defaults": {"preset": "fast", "part_seconds": 1}, "jobs": rows(number)}))
            worker = worker or Worker(jobfile)
            done = worker.work()
            wrong += done != 2
            shutil.rmtree(folder / "out")
            seen.append(facts())
            rss, files, threads = seen[-1]
            log.write(f"{time.monotonic() - began:.0f},{number},{rss:.1f},{files},{threads},{done}\n")
            log.flush()
    shutil.rmtree(folder)
    early, late = seen[max(1, len(seen) // 10)], seen[-1]
    words = ("RSS in MB", "open files", "threads")
    for word, a, b in zip(words, early, late, strict=True):
        print(f"{word}: {a:.0f} after a tenth, {b:.0f} at the end")
    print(f"{number} rounds in {(time.monotonic() - began) / 60:.0f} minutes, {wrong} with a wrong count of results")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
