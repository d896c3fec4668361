"""Hours of batch jobs in one process, watched for what grows: python tests/soak.py --minutes 180 --out soak.csv

A round makes three new jobs (two presets, one of several parts, one that fails) and throws their results away. Each
round writes a line: seconds, rounds, RSS in MB, open files, threads, results. At the end, or at any time and after any
stop by --read soak.csv: the growth after the first tenth.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from talker import talker

from wav2lip_hq.jobs.worker import Worker


def facts() -> tuple[float, int, int]:
    """RSS in MB, open files, threads (those of native libraries too) of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    megabytes = pages * os.sysconf("SC_PAGESIZE") / 2**20
    return megabytes, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def rows(number: int) -> list[dict[str, object]]:
    """The jobs of a round."""
    return [
        {"face": "anna.mp4", "audio": "ben.wav", "output": f"out/{number}-a.mp4"},
        {"face": "ben.mp4", "audio": "anna.wav", "output": f"out/{number}-b.mp4", "preset": "generated"},
        {"face": "anna.wav", "audio": "anna.wav", "output": f"out/{number}-c.mp4"},  # no picture: fails
    ]


def told(log: Path) -> int:
    """Summarize a log, also of a run that is still going or was stopped; returns 1 if a round had a wrong count."""
    with log.open() as lines:
        seen = [[float(cell) for cell in row] for row in csv.reader(lines) if row[0] != "seconds" and len(row) == 6]
    if not seen:
        print("no round has ended yet")
        return 1
    early, late = seen[len(seen) // 10], seen[-1]
    for column, word in ((2, "RSS in MB"), (3, "open files"), (4, "threads")):
        most = max(row[column] for row in seen)
        print(f"{word}: {early[column]:.0f} after a tenth, {late[column]:.0f} at the end, {most:.0f} at most")
    wrong = sum(row[5] != 2 for row in seen)
    print(f"{len(seen)} rounds in {late[0] / 60:.0f} minutes, {wrong} with a wrong count of results")
    return int(wrong > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--out", type=Path, default=Path("soak.csv"))
    parser.add_argument("--read", type=Path, metavar="CSV", help="say what a log says, and run nothing")
    args = parser.parse_args()
    if args.read:
        return told(args.read)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    talker(folder / "anna.mp4", 1, 2.0)
    talker(folder / "ben.mp4", 2, 1.0)
    jobfile = folder / "jobs.yaml"
    worker, began, number = None, time.monotonic(), 0
    with args.out.open("w") as log:
        log.write("seconds,rounds,rss_mb,files,threads,done\n")
        while time.monotonic() - began < args.minutes * 60:
            number += 1
            (folder / "out").mkdir(exist_ok=True)
            jobfile.write_text(json.dumps({"defaults": {"preset": "fast", "part_seconds": 1}, "jobs": rows(number)}))
            worker = worker or Worker(jobfile)
            done = worker.work()
            shutil.rmtree(folder / "out")
            rss, files, threads = facts()
            log.write(f"{time.monotonic() - began:.0f},{number},{rss:.1f},{files},{threads},{done}\n")
            log.flush()
    shutil.rmtree(folder)
    return told(args.out)


if __name__ == "__main__":
    sys.exit(main())
