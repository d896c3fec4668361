"""Many shots, for hours, unattended: job files, workers, state that survives a kill, sidecars, a report.

from wav2lip_hq import jobs

print(jobs.plan("reel.yaml").text())
summary = jobs.run("reel.yaml", workers=2)
jobs.report("reel.yaml")
"""

from typing import TYPE_CHECKING

import lazy_loader

from ..timecode import parse_time, timecode_seconds

if TYPE_CHECKING:
    from .jobfile import Job, Span, read_jobs
    from .page import report
    from .planning import Plan, Problem, plan
    from .runner import cancel, retry, run, work_here
    from .standing import Summary, summary
    from .store import Row, Store
    from .worker import Settings, Worker

# Imported when first used, so that ``wav2lip-hq --help`` does not wait for the networks.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "jobfile": ["Job", "Span", "read_jobs"],
        "page": ["report"],
        "planning": ["Plan", "Problem", "plan"],
        "runner": ["cancel", "retry", "run", "work_here"],
        "standing": ["Summary", "summary"],
        "store": ["Row", "Store"],
        "worker": ["Settings", "Worker"],
    },
)

__all__ = [
    "Job",
    "Plan",
    "Problem",
    "Row",
    "Settings",
    "Span",
    "Store",
    "Summary",
    "Worker",
    "cancel",
    "parse_time",
    "plan",
    "read_jobs",
    "report",
    "retry",
    "run",
    "summary",
    "timecode_seconds",
    "work_here",
]
