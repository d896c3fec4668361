"""Worker processes, started again if they die."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..progress import complain
from .process import FULL
from .standing import me
from .store import Store
from .worker import Settings


class WorkerProcess:
    """One worker process, started again if it dies."""

    def __init__(
        self,
        jobfile: Path,
        number: int,
        of: int,
        devices: list[str] | None,
        precision: str,
        names: list[str] | None,
        log: Path | None,
        watch: Path | None,
    ) -> None:
        device = devices[number % len(devices)] if devices else "auto"
        facts: dict[str, Any] = asdict(Settings(device, precision, log=str(log or ""), names=names or [], runner=me()))
        if device in ("auto", "cpu") and of > 1:
            cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
            share = cores[number * len(cores) // of : (number + 1) * len(cores) // of]
            facts["cores"] = share or None
            facts["threads"] = max(1, len(share))
        facts["wait"] = watch is not None
        self.idle_deaths = 0
        self.command = [sys.executable, "-m", "wav2lip_hq.jobs.process", str(jobfile), json.dumps(facts)]
        self.start()

    def start(self) -> None:
        """Start, or start again."""
        # A session of its own: Ctrl-C goes to the runner alone.
        self.process = subprocess.Popen(self.command, start_new_session=True)
        self.pid = self.process.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def crashed(self) -> bool:
        """Whether it ended before its work did."""
        return self.process.poll() not in (None, 0)

    def full(self) -> bool:
        """Whether it ended because there is no room on a disk."""
        return self.process.poll() == FULL

    def died(self, job: str) -> None:
        """Record, and say, that the process died while it rendered this job, if any; one that keeps dying without a
        job to blame is not started again."""
        self.idle_deaths = 0 if job else self.idle_deaths + 1
        if self.process.returncode < 0:  # else it has said itself what went wrong
            how = signal.Signals(-self.process.returncode).name
            where = f"rendering {job}" if job else "starting or between jobs"
            perhaps = "if that was not on purpose, memory may have run out"
            complain(f"wav2lip-hq: a worker was ended by {how} while {where}; {perhaps}")

    @property
    def given_up(self) -> bool:
        """Whether it is not worth starting again."""
        return self.idle_deaths >= 3

    def end(self) -> None:
        """Stop it."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def at_work(store: Store, process: WorkerProcess) -> str:
    """The job that a dead worker was rendering, "" if none. Whoever takes it next counts it (``Worker.attempt``)."""
    mine = f"{me()}>{platform.node()}:{process.pid}"
    return next((row.name for row in store.all().values() if row.status == "running" and row.worker == mine), "")
