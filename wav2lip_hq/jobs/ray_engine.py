"""The same workers on a Ray cluster (the extra ``ray``).

Every node must see the job file, the inputs and the outputs under the same paths (a network share). A Ray task is one
``Worker``; what it works on is held by the same locks and stored in the same state, so a task or a node that dies loses
at most the part being rendered: Ray starts the task again elsewhere, and it continues."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import OptionError
from .jobfile import Job, read_jobs
from .runner import refresh
from .standing import Summary, chosen, ended, finished, me
from .store import Row, Store
from .worker import Settings


def run_ray(
    jobfile: Path | str,
    *,
    workers: int = 1,
    address: str | None = None,
    log: Path | None = None,
    names: list[str] | None = None,
    on_progress: Callable[[dict[str, Row], list[Job]], None] = lambda rows, jobs: None,
    gpus: float | None = None,
) -> Summary:
    """As ``run``, with ``workers`` Ray tasks. address: of the cluster (default: the running one, else one of its own).

    gpus: of each worker (default: 1 where the cluster has any). Ctrl-C stops after the parts being rendered. Raises
    OptionError when Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise OptionError("the Ray engine needs the package ray: pip install ray") from error
    jobfile = Path(jobfile).resolve()
    jobs, store = chosen(read_jobs(jobfile), names), Store(jobfile)
    before = finished(store)
    refresh(jobfile)
    began = time.time()
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
    share = gpus if gpus is not None else float(ray.cluster_resources().get("GPU", 0) > 0)
    # A task that dies with its process or node is restarted without limit.
    remote = ray.remote(num_cpus=1, num_gpus=share, max_retries=-1)(_work)
    facts = asdict(Settings(log=str(log or ""), names=[j.name for j in jobs] if names else [], runner=me()))
    tasks = [remote.remote(str(jobfile), facts) for _ in range(workers)]
    stopped = False
    try:
        left: list[Any] = tasks
        while left:
            _, left = ray.wait(left, num_returns=len(left), timeout=0.5)
            on_progress(store.all(), jobs)
    except KeyboardInterrupt:
        stopped = True
        store.ask(f"stop:{me()}")
        ray.wait(tasks, num_returns=len(tasks))
    finally:
        store.forget(f"stop:{me()}")
    return ended(jobfile, jobs, before, began, stopped)


def _work(jobfile: str, facts: dict[str, Any]) -> int:
    from .worker import Worker

    return Worker(Path(jobfile), Settings(**facts)).work()
