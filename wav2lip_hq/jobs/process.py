"""``python -m wav2lip_hq.jobs.process JOBFILE SETTINGS``: one worker process, started by the runner."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from ..errors import told

FULL = 4  # exit code: a disk is full


def main(argv: list[str]) -> int:
    """Work until nothing is left. Dies with the runner that started it."""
    jobfile, raw = argv
    facts = json.loads(raw)
    cores = facts.pop("cores", None)
    wait = facts.pop("wait", False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner says when to stop
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what is incomplete is removed
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    from .sqlite import DiskFull

    try:
        import torch

        from .worker import Settings, Worker

        settings = Settings(**facts)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        worker = Worker(Path(jobfile), settings)
        worker.work(again=lambda: wait or worker.unfinished())
    except DiskFull as error:
        print(f"wav2lip-hq: {error}", file=sys.stderr)
        return FULL
    except Exception as error:  # noqa: BLE001 - not a job's own: its state or the job file cannot be used, say
        print(f"wav2lip-hq: a worker ended: {told(error)[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
