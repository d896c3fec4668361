"""Running a job file: worker processes, their progress, and stopping, retrying or canceling jobs while it runs."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import OptionError, OutputError
from ..pipeline import HQPipeline
from ..runtime import Runtime
from . import identity
from .hotfolder import look
from .jobfile import Job, read_jobs
from .pool import WorkerProcess, at_work
from .standing import Summary, chosen, ended, finished, me, summary
from .store import Row, Store
from .worker import Settings, Worker


def retry(jobfile: Path, names: list[str] | None = None) -> int:
    """Make failed and canceled jobs pending again; returns how many."""
    store, count = Store(jobfile), 0
    for job in chosen(read_jobs(jobfile), names):
        if store.get(job.name).status in ("failed", "canceled"):
            store.put(job.name, status="pending", attempts=0, crashes=0, due=0, batch=None, kind="", message="")
            count += 1
    return count


def cancel(jobfile: Path, names: list[str] | None = None) -> int:
    """Stop these jobs (all, if none is named), running ones too; returns how many."""
    store, count = Store(jobfile), 0
    for job in chosen(read_jobs(jobfile), names):
        row = store.get(job.name)
        if row.status == "running":
            store.ask(f"cancel:{job.name}")
            count += 1
        elif row.status == "pending":
            store.put(job.name, status="canceled")
            count += 1
    return count


def refresh(jobfile: Path) -> None:
    """Make jobs pending again whose inputs or settings have changed since they failed or were done."""
    store = Store(jobfile)
    rows = store.all()
    pipelines: dict[str, HQPipeline] = {}
    runtime = Runtime("cpu")
    for job in read_jobs(jobfile):
        row = rows.get(job.name)
        if row is None or row.status not in ("failed", "done", "running"):
            continue
        if row.status == "running":
            with store.hold(job.name) as free:  # not held: its worker is dead
                if free:
                    store.put(job.name, status="pending")
            continue
        try:
            if job.preset not in pipelines:
                pipelines[job.preset] = HQPipeline(job.preset, runtime=runtime)
            made = identity.identity(job, pipelines[job.preset], store)
        except Exception:  # noqa: BLE001 - as unusable as it was, or now so: the worker will say it
            continue
        if made != row.identity:
            store.put(job.name, status="pending", identity=made, attempts=0, crashes=0, due=0, batch=None)


def run(
    jobfile: Path | str,
    *,
    workers: int = 1,
    devices: list[str] | None = None,
    precision: str = "auto",
    names: list[str] | None = None,
    watch: Path | None = None,
    log: Path | None = None,
    on_progress: Callable[[dict[str, Row], list[Job]], None] = lambda rows, jobs: None,
) -> Summary:
    """Render every job that is not done yet, and summarize. Jobs of a killed run continue where they stopped.

    workers: processes; each loads the networks once. devices: handed out in turn ("cuda:0", ...); on CPUs the cores are
    shared out. names: only these outputs. watch: a folder whose clips with speech of the same name become jobs, until
    interrupted. log: JSON lines of what happens. on_progress: called about twice a second.
    Ctrl-C once finishes the parts being rendered, twice stops at once; either way the next run continues from there.
    Raises InputError and OptionError for the job file itself, OutputError when its state cannot be kept (a full disk);
    a job's own faults are in the summary.
    """
    jobfile = Path(jobfile)
    if workers < 1:
        raise OptionError(f"workers is at least 1, not {workers}")
    for device in devices or ["auto"]:
        Runtime(device, precision)  # a device or precision that cannot be used is an error here, not in each worker
    jobs = chosen(read_jobs(jobfile), names) if watch is None or names else read_jobs(jobfile)
    store = Store(jobfile)
    before = finished(store)
    refresh(jobfile)
    began = time.time()
    for word in ("stop", "stop-now"):  # of a runner that was killed and had the same number
        store.forget(f"{word}:{me()}")
    pool = [
        WorkerProcess(jobfile, n, workers, devices, precision, names and [j.name for j in jobs], log, watch)
        for n in range(workers)
    ]
    flags = [f"{word}:{me()}" for word in ("stop", "stop-now")]
    presses = 0
    full = False

    def pressed(*_: Any) -> None:
        nonlocal presses
        presses += 1

    previous = signal.signal(signal.SIGINT, pressed) if _main_thread() else None
    try:
        seen: dict[Path, tuple[int, float]] = {}
        while True:
            time.sleep(0.25)
            for flag in flags[:presses]:
                store.ask(flag)
            if presses:
                watch = None
            if presses > 2:
                break
            if watch is not None:
                jobs = look(watch, jobfile, seen)
            full = any(process.full() for process in pool)
            if full:
                break
            for process in pool:
                if process.crashed() and not process.given_up:
                    process.died(at_work(store, process))
                    if not presses and not process.given_up:
                        process.start()
            on_progress(store.all(), jobs)
            if not any(p.alive() for p in pool):
                break
    finally:
        for process in pool:
            process.end()
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
        with contextlib.suppress(OutputError):
            for flag in flags:
                store.forget(flag)
    on_progress(store.all(), jobs)
    done = ended(jobfile, jobs, before, began, bool(presses))
    done.full = full
    return done


def _main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def work_here(jobfile: Path | str, settings: Settings | None = None) -> Summary:
    """``run`` with one worker in this very process: for notebooks and tests."""
    began = time.time()
    refresh(Path(jobfile))
    rendered = Worker(jobfile, settings).work()
    return summary(Path(jobfile), rendered, time.time() - began)
