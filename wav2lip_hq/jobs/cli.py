"""``wav2lip-hq batch ...``: plan, run, status, retry, cancel, report; import and export in ``cutlist.cli``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import progress

if TYPE_CHECKING:
    from .jobfile import Job
    from .store import Row

FAILED = 9  # exit code: some jobs failed, as in ``standing``


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands. Imports nothing heavy."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    from .cutlist import cli as cutlist

    cutlist.add_arguments(commands)
    for name, text in (
        ("plan", "check everything and estimate the time; renders nothing"),
        ("run", "render what is not done; killed and started again, it continues"),
        ("status", "where each job stands"),
        ("retry", "make failed and canceled jobs pending again"),
        ("cancel", "stop jobs, running ones too"),
        ("report", "one HTML page with thumbnails, timings and warnings"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("jobfile", type=Path, help="YAML, CSV or JSONL")
        if name in ("run", "retry", "cancel"):
            one.add_argument("outputs", nargs="*", help="only the jobs that make these (default: all)")
        if name in ("plan", "run"):
            one.add_argument("--device", action="append", help="auto, cpu, cuda:0, ...; several are shared out")
        if name == "run":
            one.add_argument("--workers", type=int, default=1, help="processes (default 1)")
            one.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16")
            one.add_argument(
                "--watch", type=Path, metavar="FOLDER", help="make jobs of new clips with speech in FOLDER"
            )
            one.add_argument("--log", type=Path, help="append what happens as JSON lines")
            one.add_argument(
                "--engine", choices=("local", "ray"), default="local", help="ray: on a running Ray cluster"
            )
            one.add_argument("--quiet", action="store_true", help="no progress")
        if name == "report":
            one.add_argument("--out", type=Path, help="default: JOBFILE.html")
        if name in ("plan", "status", "run"):
            one.add_argument("--json", action="store_true")


def main(args: argparse.Namespace) -> int:
    """Run the chosen sub-command; errors are for the caller to print."""
    from .. import jobs
    from ..options import counted

    if args.what in ("import", "export"):
        from .cutlist import cli as cutlist

        return cutlist.main(args)
    if args.what == "plan":
        made = jobs.plan(args.jobfile, device=(args.device or ["auto"])[0])
        print(json.dumps(_plain(made)) if args.json else made.text())
        return FAILED if made.fatal else 0
    if args.what == "run":
        return _run(args)
    if args.what == "status":
        return _status(args)
    if args.what == "retry":
        again = jobs.retry(args.jobfile, args.outputs)
        print(f"{counted(again, 'job')} pending again")
    elif args.what == "cancel":
        print(f"{counted(jobs.cancel(args.jobfile, args.outputs), 'job')} canceled")
    else:
        print(jobs.report(args.jobfile, args.out))
    return 0


def _plain(value: Any) -> Any:
    import dataclasses

    return dataclasses.asdict(value)


def _run(args: argparse.Namespace) -> int:
    from .. import jobs

    bars = _Bars(args.workers, args.quiet or args.json)
    done: jobs.Summary
    try:
        if args.engine == "ray":
            from .ray_engine import run_ray

            done = run_ray(args.jobfile, workers=args.workers, log=args.log, names=args.outputs, on_progress=bars)
        else:
            done = jobs.run(
                args.jobfile,
                workers=args.workers,
                devices=args.device,
                precision=args.precision,
                names=args.outputs,
                watch=args.watch,
                log=args.log,
                on_progress=bars,
            )
    finally:
        bars.close()
    print(json.dumps(_plain(done)) if args.json else done.text())
    return done.exit_code


def _status(args: argparse.Namespace) -> int:
    from .. import jobs
    from .standing import standing

    listed = standing(jobs.Store(args.jobfile), jobs.read_jobs(args.jobfile))
    if args.json:
        print(json.dumps([_plain(row) for row in listed]))
        return 0
    for row in listed:
        part = f"{row.frames}/{row.total or '?'}" if row.status == "running" else ""
        print(f"{row.status:10} {part:>12} {row.seconds:8.1f} s  {row.name}  {row.kind} {row.message}".rstrip())
    print(jobs.summary(args.jobfile).text().splitlines()[0])
    return 0


class _Bars:
    """One line per worker and an overall bar with the remaining time; occasional lines if stderr is not a terminal."""

    def __init__(self, workers: int, quiet: bool) -> None:
        from tqdm import tqdm

        self.off = quiet or not sys.stderr.isatty()
        self.log = progress.Lines("batch") if self.off and not quiet else None
        self.lines: list[Any] = [
            tqdm(total=1, position=n + 1, bar_format="  {desc}", disable=self.off, leave=False) for n in range(workers)
        ]
        self.whole: Any = tqdm(unit="frame", position=0, disable=self.off, dynamic_ncols=True)

    def __call__(self, rows: dict[str, Row], jobs: list[Job]) -> None:
        if self.off and self.log is None:
            return
        mine = [rows[j.name] for j in jobs if j.name in rows]
        running = [r for r in mine if r.status == "running"]
        known = [r.total for r in mine if r.total]
        typical = sum(known) / len(known) if known else 0
        ended = sum(r.status in ("done", "failed", "canceled") for r in mine)
        total = round(sum(known) + typical * (len(jobs) - len(known))) or None
        frames = sum(r.frames for r in mine if r.status in ("done", "running"))
        if self.log is not None:
            self.log(frames, total, f"{ended} of {len(jobs)} jobs, ")
            return
        self.whole.total = total
        self.whole.set_description(f"{ended}/{len(jobs)} jobs")
        self.whole.update(frames - self.whole.n)
        for line, row in zip(self.lines, [*running, *[None] * len(self.lines)], strict=False):
            text = (
                "idle"
                if row is None
                else f"{row.worker.rpartition('>')[2]}  {row.frames}/{row.total or '?'}  {row.name}"
            )
            line.set_description_str(text)

    def close(self) -> None:
        """Clear the lines."""
        if self.log is not None:
            self.log.close()
        for line in [*self.lines, self.whole]:
            line.close()
