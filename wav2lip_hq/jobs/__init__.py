"""Many shots, for hours, unattended: job files, workers, state that survives a kill, sidecars, a report.

from wav2lip_hq import jobs

print(jobs.plan("reel.yaml").text())
summary = jobs.run("reel.yaml", workers=2)
jobs.report("reel.yaml")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..timecode import parse_time, timecode_seconds
    from .jobfile import Job, Span, read_jobs
    from .page import report
    from .planning import Plan, Problem, plan
    from .runner import cancel, retry, run, work_here
    from .standing import Summary, summary
    from .store import Row, Store
    from .worker import Settings, Worker

# Imported when first used, so that ``wav2lip-hq --help`` does not wait for the networks.
_WHERE = {
    "Job": "jobfile",
    "Plan": "planning",
    "Problem": "planning",
    "Row": "store",
    "Settings": "worker",
    "Span": "jobfile",
    "Store": "store",
    "Summary": "standing",
    "Worker": "worker",
    "cancel": "runner",
    "parse_time": "..timecode",
    "plan": "planning",
    "read_jobs": "jobfile",
    "report": "page",
    "retry": "runner",
    "run": "runner",
    "summary": "standing",
    "timecode_seconds": "..timecode",
    "work_here": "runner",
}

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


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    value = getattr(import_module(_WHERE[name] if _WHERE[name].startswith(".") else f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
