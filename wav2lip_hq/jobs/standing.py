"""The state of the jobs in a job file, and the summary of a run."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import OptionError, OutputError
from ..options import counted
from .jobfile import Job, read_jobs
from .store import Row, Store

FAILED = 9  # exit code: some jobs failed
STOPPED = 130


@dataclass
class Summary:
    """How a run ended. kinds: how many failed of which kind."""

    jobs: int
    status: dict[str, int]
    kinds: dict[str, int]
    rendered: int
    seconds: float
    stopped: bool = False
    left: int = 0  # neither done nor failed, because no worker could be kept alive
    elsewhere: int = 0  # being rendered by another run
    full: bool = False  # stopped because there was no room on a disk
    failures: list[Row] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 when everything is done, 4 when a disk was full, 130 when stopped, 9 when something failed."""
        if self.full:
            return OutputError.exit_code
        if self.stopped:
            return STOPPED
        return FAILED if self.kinds or self.left or self.elsewhere else 0

    def text(self) -> str:
        """As text for a terminal."""
        states = ", ".join(f"{n} {name}" for name, n in self.status.items() if n)
        lines = [f"{counted(self.jobs, 'job')}: {states}; {self.rendered} rendered now, in {self.seconds:.0f} s"]
        for row in self.failures:
            lines.append(f"  {row.kind}: {row.name}: {row.message}")
        if self.full:
            lines.append("stopped: a disk is full; make room and run again")
        elif self.left and not self.stopped:
            lines.append(f"{counted(self.left, 'job')} not reached: the workers died; run again to continue")
        if self.elsewhere:
            lines.append(f"{counted(self.elsewhere, 'job')} still being rendered by another run")
        if self.kinds:
            lines.append("failed: " + ", ".join(f"{n} {kind}" for kind, n in sorted(self.kinds.items())))
        return "\n".join(lines)


def summary(jobfile: Path, rendered: int = 0, seconds: float = 0.0, stopped: bool = False) -> Summary:
    """The present state of a job file."""
    store, jobs = Store(jobfile), read_jobs(jobfile)
    mine = standing(store, jobs)
    failed = [row for row in mine if row.status == "failed"]
    return Summary(
        len(jobs),
        dict(Counter(row.status for row in mine)),
        dict(Counter(row.kind for row in failed)),
        rendered,
        seconds,
        stopped,
        failures=failed,
    )


def standing(store: Store, jobs: list[Job]) -> list[Row]:
    """The state of each job. A running job whose worker was killed counts as pending."""
    rows = store.all()
    mine = [rows.get(job.name, Row(job.name)) for job in jobs]
    return [
        replace(row, status="pending", worker="") if row.status == "running" and not store.held(row.name) else row
        for row in mine
    ]


def ended(jobfile: Path, jobs: list[Job], before: dict[str, float | None], began: float, stopped: bool) -> Summary:
    """The summary of a run of ``jobs``. before: what was done when it ``began``."""
    store = Store(jobfile)
    rows = standing(store, jobs)
    mine = (row for row in rows if row.status == "done" and row.worker.startswith(f"{me()}>"))
    rendered = sum(before.get(row.name) != row.finished for row in mine)
    done = summary(jobfile, rendered, time.time() - began, stopped)
    done.left = sum(row.status == "pending" for row in rows)
    done.elsewhere = sum(row.status == "running" for row in rows)
    return done


def me() -> str:
    """The name of this runner, by which its workers know it."""
    return f"{platform.node()}:{os.getpid()}"


def finished(store: Store) -> dict[str, float | None]:
    """When each job that is done was done."""
    return {name: row.finished for name, row in store.all().items() if row.status == "done"}


def chosen(jobs: list[Job], names: list[str] | None) -> list[Job]:
    """The jobs with this output, by path or file name. Raises OptionError for a name that fits none."""
    if not names:
        return jobs
    out = []
    for name in names:
        fits = [j for j in jobs if name in (j.name, j.output.name, j.output.stem)]
        if not fits:
            raise OptionError(f"no job makes '{name}'; `batch status` lists them")
        out += fits
    return out
