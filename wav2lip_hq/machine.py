"""Resource usage of this process."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_memory() -> int:
    """Peak resident memory of this process in bytes; 0 where the system does not report it (Windows)."""
    try:  # getrusage includes the time between fork and exec, when the process was a copy of its parent
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
