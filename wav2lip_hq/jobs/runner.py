"""Running a job file: worker processes, their progress, and stopping, retrying or cancelling jobs meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, OptionError, OutputError
from ..options import counted
from ..pipeline import HQPipeline
from ..places import MOVIES
from ..progress import complain
from ..runtime import Runtime
from . import identity
from .jobfile import Job, read_jobs, watched
from .process import FULL
from .store import Row, Store
from .worker import Settings, Worker

SOUNDS = {".wav", ".mp3", ".m4a", ".flac", ".aac", ".ogg", ".opus"}
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
            lines.append(f"{counted(self.left, 'job')} not reached: the workers died; run again to go on")
        if self.elsewhere:
            lines.append(f"{counted(self.elsewhere, 'job')} still being rendered by another run")
        if self.kinds:
            lines.append("failed: " + ", ".join(f"{n} {kind}" for kind, n in sorted(self.kinds.items())))
        return "\n".join(lines)


def summary(jobfile: Path, rendered: int = 0, seconds: float = 0.0, stopped: bool = False) -> Summary:
    """Where a job file stands."""
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
    """The state of each job. One that nobody is at any more, because its worker was killed, waits to go on."""
    rows = store.all()
    mine = [rows.get(job.name, Row(job.name)) for job in jobs]
    return [
        replace(row, status="pending", worker="") if row.status == "running" and not store.held(row.name) else row
        for row in mine
    ]


def retry(jobfile: Path, names: list[str] | None = None) -> int:
    """Make failed and cancelled jobs pending again; returns how many."""
    store, count = Store(jobfile), 0
    for job in chosen(read_jobs(jobfile), names):
        if store.get(job.name).status in ("failed", "cancelled"):
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
            store.put(job.name, status="cancelled")
            count += 1
    return count


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


def refresh(jobfile: Path) -> None:
    """Jobs that failed, or are done, on inputs or settings that have changed since, become pending."""
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
    """Render what is not done yet, and say how it went. What was killed before goes on where it was.

    workers: processes; each loads the networks once. devices: handed out in turn ("cuda:0", ...); on CPUs the cores are
    shared out. names: only these outputs. watch: a folder whose clips with speech of the same name become jobs, until
    interrupted. log: JSON lines of what happens. on_progress: called about twice a second.
    Ctrl-C once finishes the parts being rendered, twice stops at once; either way the next run goes on from there.
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
        _Process(jobfile, n, workers, devices, precision, names and [j.name for j in jobs], log, watch)
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
                jobs = _look(watch, jobfile, seen)
            full = any(process.full() for process in pool)
            if full:
                break
            for process in pool:
                if process.crashed() and not process.given_up:
                    process.died(_at_work(store, process))
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


def me() -> str:
    """This runner, as its workers know it."""
    return f"{platform.node()}:{os.getpid()}"


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


def _main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def finished(store: Store) -> dict[str, float | None]:
    """When each job that is done was done."""
    return {name: row.finished for name, row in store.all().items() if row.status == "done"}


def _at_work(store: Store, process: _Process) -> str:
    """The job that a dead worker was rendering, "" if none. Whoever takes it next counts it (``Worker.attempt``)."""
    mine = f"{me()}>{platform.node()}:{process.pid}"
    return next((row.name for row in store.all().values() if row.status == "running" and row.worker == mine), "")


class _Process:
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
            perhaps = "if nobody did that, memory may have run out"
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


# ---- hot folders


def _look(folder: Path, jobfile: Path, seen: dict[Path, tuple[int, float]]) -> list[Job]:
    """Add jobs for new pairs of clip and speech (``a.mp4`` and ``a.wav``) whose files have stopped growing."""
    jobs = read_jobs(jobfile)
    have = {Path(j.face) for j in jobs}
    if not folder.is_dir():
        raise InputError(f"the folder to watch, {folder}, does not exist")
    for clip in sorted(p for p in folder.iterdir() if p.suffix.lower() in MOVIES):
        clip = clip.resolve()
        sound = next((s for e in sorted(SOUNDS) if (s := clip.with_suffix(e)).is_file()), None)
        if clip in have or sound is None:
            continue
        state = (clip.stat().st_size + sound.stat().st_size, max(clip.stat().st_mtime, sound.stat().st_mtime))
        if seen.get(clip) == state and time.time() - state[1] > 1:
            _append(jobfile, clip, sound)
        seen[clip] = state
    return read_jobs(jobfile)


def _append(jobfile: Path, clip: Path, sound: Path) -> None:
    """One more job beside the job file; its other fields, the output's name too, are the file's ``defaults``."""
    with watched(jobfile).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"face": str(clip), "audio": str(sound)}) + "\n")


def work_here(jobfile: Path | str, settings: Settings | None = None) -> Summary:
    """``run`` with one worker in this very process: for notebooks and tests."""
    began = time.time()
    refresh(Path(jobfile))
    rendered = Worker(jobfile, settings).work()
    return summary(Path(jobfile), rendered, time.time() - began)
