"""A worker: takes the next free job, renders it, records the result, and takes the next.

A job in progress is held by a file lock, which the system releases however its holder ends. So no job is rendered by
two workers at once, and none is left behind.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import (
    CheckpointError,
    InputError,
    NoFaceError,
    OptionError,
    OutputError,
    StageError,
    Wav2LipHQError,
    ran_out,
)
from ..pipeline import HQPipeline
from ..runtime import Runtime
from . import identity, sidecar
from .jobfile import Job, read_jobs
from .part import Stopped
from .quality import quality
from .render import render
from .sqlite import DiskFull
from .store import Row, Store, is_full, key

TRIES = 4  # attempts at a job whose failure may be temporary, without a part finished in between
CRASHES = 3  # workers that may die at a job before it is given up, likewise
PAUSE = 5.0  # seconds before the first retry, doubled each time
PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EAGAIN}

# Exception class and name of the failure in the summary; the first match counts.
KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (NoFaceError, "no face"),
    (InputError, "input"),
    (CheckpointError, "checkpoint"),
    (OutputError, "output"),
    (StageError, "stage"),
    (OptionError, "option"),
    (OSError, "file system"),
)


@dataclass
class Settings:
    """How workers run. device: as HQPipeline's, one of them each worker; threads: of each (CPU); log: JSON lines."""

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    log: str = ""
    names: list[str] = field(default_factory=list)  # only these jobs; empty = all
    retry_pause: float = PAUSE
    runner: str = ""  # the runner whose "stop" flag counts: several may share one job file


class Worker:
    """Works through a job file. Several may work through one at the same time, here or elsewhere."""

    def __init__(self, jobfile: Path | str, settings: Settings | None = None, name: str = "") -> None:
        self.jobfile = Path(jobfile)
        self.settings = settings or Settings()
        self.store = Store(jobfile)
        mine = f"{platform.node()}:{os.getpid()}"
        self.name = name or (f"{self.settings.runner}>{mine}" if self.settings.runner else mine)
        self.runtime = Runtime(self.settings.device, self.settings.precision)
        self._pipelines: dict[str, HQPipeline] = {}

    # ---- choosing

    def work(self, again: Callable[[], bool] = lambda: False) -> int:
        """Do jobs until none is left; returns how many were rendered. again: asked when nothing is left to do; True
        waits for more."""
        done = 0
        looked: dict[str, tuple[Job, Row]] = {}  # jobs that were found done; they are not looked into again and again
        while not self.store.asked(f"stop:{self.settings.runner}"):
            todo = read_jobs(self.jobfile)
            taken, wait = False, False
            for job in todo:
                if self.settings.names and job.name not in self.settings.names:
                    continue
                if self.store.asked(f"stop:{self.settings.runner}"):
                    return done
                row = self.store.get(job.name)
                if row.status in ("failed", "canceled") or row.due > time.time():
                    wait = wait or (row.status == "pending" and row.due > time.time())
                    continue
                if looked.get(job.name) == (job, row):
                    continue
                with self.store.hold(job.name) as held:
                    if held and self.store.get(job.name) == row:
                        done += self.attempt(job)
                        after = self.store.get(job.name)
                        if after.status == "done":
                            looked[job.name] = (job, after)
                        taken = taken or (after != row and after.status in ("done", "pending"))
            if not taken:
                if not wait and not again():
                    return done
                time.sleep(0.5)
        return done

    def unfinished(self) -> bool:
        """Whether there are jobs that are neither done nor given up: other workers hold them, and may die."""
        rows = self.store.all()
        mine = (job for job in read_jobs(self.jobfile) if not self.settings.names or job.name in self.settings.names)
        return any(rows.get(job.name, Row(job.name)).status in ("pending", "running") for job in mine)

    def pipeline(self, preset: str) -> HQPipeline:
        """The preset's pipeline; networks are loaded once a worker."""
        if preset not in self._pipelines:
            self._pipelines[preset] = HQPipeline(preset, runtime=self.runtime)
        return self._pipelines[preset]

    # ---- doing

    def attempt(self, job: Job) -> bool:
        """Render a held job if it needs it; returns whether anything was rendered. Never raises for the job's
        faults."""
        row = self.store.get(job.name)
        began = time.time()
        try:
            base = self.pipeline(job.preset)
            made = identity.identity(job, base, self.store)
            if job.fault:
                self.store.put(job.name, identity=made)
                raise OptionError(job.fault)
            if row.status == "done" and row.identity == made and self.intact(job, row):
                return False
            if row.status == "running":  # but held by nobody: its worker died
                row = replace(row, crashes=row.crashes + 1)
                self.store.put(job.name, crashes=row.crashes)
            if row.crashes >= CRASHES:
                raise StageError(f"{row.crashes} workers died while rendering it, without a part finished in between")
            if row.batch:
                self.fresh(row.batch)
                base = self.pipeline(job.preset)
            self.store.put(
                job.name, status="running", worker=self.name, started=began, identity=made, kind="", message=""
            )
            self.log("started", job)
            folder = self.folder(job, made)
            done = render(
                job,
                base,
                folder,
                on_frames=self._watch(job),
                on_survey=self._watch(job, survey=True),
                on_kept=lambda: self.store.put(job.name, crashes=0, attempts=0),
                stop=self._stop(job),
                stop_now=self._stop_now(job),
                digest=lambda path: self.store.sha256(identity.resolve(path)),
            )
            metrics, why = quality(job, base) if job.metrics else ({}, "")
            if why:
                done.warnings.append(f"no figures: {why}")
            digest = sidecar.write(job, done, base, self.store, self.name, metrics)
            self._keep_sheet(job, folder)
            self.store.put(
                job.name,
                status="done",
                output_sha=digest,
                frames=done.frames,
                total=done.frames,
                finished=time.time(),
                seconds=round(time.time() - began, 2),
                kind="",
                message="; ".join(done.warnings),
            )
            self.log("done", job, frames=done.frames, seconds=round(time.time() - began, 2), reused=done.reused)
            shutil.rmtree(folder, ignore_errors=True)
            return True
        except Stopped:
            canceled = self.store.asked(f"cancel:{job.name}")
            self.store.forget(f"cancel:{job.name}")
            self.store.put(job.name, status="canceled" if canceled else "pending", worker="", message="")
            self.log("canceled" if canceled else "paused", job)
        except Exception as error:  # noqa: BLE001 - one bad job must not stop the others
            if is_full(error):  # the others could not be written either
                raise self._let_go(job, error) from error
            self._failed(job, error)
        except BaseException:  # asked to end
            with contextlib.suppress(OutputError):
                self.store.put(job.name, status="pending", worker="")
            raise
        finally:
            if row.batch:
                self.fresh()
        return False

    def fresh(self, batch: int | None = None) -> None:
        """Drop the networks; they are loaded again when next needed, for batches of this size."""
        self._pipelines.clear()
        self.runtime = Runtime(self.settings.device, self.settings.precision, batch)

    def intact(self, job: Job, row: Row) -> bool:
        """Whether a finished job's output is still what was written."""
        try:
            return row.output_sha == self.store.sha256(job.output)
        except OSError:
            return False

    def folder(self, job: Job, made: str) -> Path:
        """The folder of a job's parts; parts of the same output made from other inputs are removed."""
        mine = self.store.work / f"{key(job.name)}-{made[:16]}"
        for other in self.store.work.glob(f"{key(job.name)}-*"):
            if other != mine:
                shutil.rmtree(other, ignore_errors=True)
        return mine

    def _keep_sheet(self, job: Job, folder: Path) -> None:
        if (folder / "sheet.png").exists():
            target = self.store.work / "sheets" / f"{key(job.name)}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / "sheet.png", target)

    def _watch(self, job: Job, survey: bool = False) -> Callable[[int, int | None], None]:
        last = 0.0

        def watch(done: int, total: int | None) -> None:
            nonlocal last
            if time.time() - last > 0.5:
                last = time.time()
                if survey:
                    said = f"looking at the footage: frame {done}{f' of {total}' if total else ''}"
                    self.store.put(job.name, message=said, worker=self.name)
                else:
                    self.store.put(job.name, frames=done, total=total, message="", worker=self.name)

        return watch

    def _stop(self, job: Job) -> Callable[[], bool]:
        return lambda: self.store.asked(f"stop:{self.settings.runner}") or self.store.asked(f"cancel:{job.name}")

    def _stop_now(self, job: Job) -> Callable[[], bool]:
        return lambda: self.store.asked(f"stop-now:{self.settings.runner}") or self.store.asked(f"cancel:{job.name}")

    # ---- failing

    def _let_go(self, job: Job, error: Exception) -> DiskFull:
        """The error to raise when a disk is full; the job waits for the next run."""
        with contextlib.suppress(OutputError):  # the next run corrects the state of a worker that is gone
            self.store.put(job.name, status="pending", kind="disk full", message=str(error), worker="")
        self.log("disk full", job, message=str(error))
        if isinstance(error, DiskFull):
            return error
        return DiskFull(f"the disk is full ({error}); make room and run again: it continues where it was")

    def _failed(self, job: Job, error: Exception) -> None:
        row, kind = self.store.get(job.name), self.kind(error)
        message = str(error) or type(error).__name__
        if not isinstance(error, (Wav2LipHQError, OSError)):
            message = f"{type(error).__name__}: {message}"
        attempts = row.attempts + 1
        changes: dict[str, Any] = {"kind": kind, "message": message, "attempts": attempts, "worker": ""}
        if kind in ("memory", "passing") and attempts < TRIES:
            wait = 0.0 if kind == "memory" else self.settings.retry_pause * 2 ** (attempts - 1)
            if kind == "memory":
                changes["batch"] = max(1, (row.batch or self.runtime.batch_size) // 2)
            self.store.put(job.name, status="pending", due=time.time() + wait, **changes)
            self.log("retry", job, kind=kind, message=message, wait=wait)
            return
        self.store.put(job.name, status="failed", finished=time.time(), **changes)
        self.log("failed", job, kind=kind, message=message)

    def kind(self, error: BaseException) -> str:
        """The name of a failure's kind; "passing" for those worth another attempt."""
        if is_full(error):
            return "disk full"
        if ran_out(error):
            return "memory"
        seen: BaseException | None = error
        while seen is not None:
            if isinstance(seen, OSError) and seen.errno in PASSING:
                return "passing"
            seen = seen.__cause__ or seen.__context__
        return next((name for kind, name in KINDS if isinstance(error, kind)), "unexpected")

    def log(self, event: str, job: Job, **facts: Any) -> None:
        """One JSON line; appended whole, so that several workers may share a file."""
        if not self.settings.log:
            return
        row = {"time": round(time.time(), 3), "event": event, "job": job.name, "worker": self.name, **facts}
        line = json.dumps(row).encode() + b"\n"
        try:
            with open(self.settings.log, "a+b", buffering=0) as file:
                if end := file.seek(0, os.SEEK_END):
                    file.seek(end - 1)
                    if file.read(1) != b"\n":
                        line = b"\n" + line  # after half a line, of a disk that was full
                file.write(line)
        except OSError as error:  # work is not lost for the sake of the log, and a full disk is reported once
            if is_full(error):
                return
            print(f"wav2lip-hq: {self.settings.log} cannot be written: {error.strerror}", file=sys.stderr)
