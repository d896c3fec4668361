"""Memory and address space: what this process uses, and what it is allowed."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_memory() -> int:
    """Peak resident memory of this process in bytes; 0 where the system does not report it (Windows)."""
    if known := _status("VmHWM"):  # getrusage includes the time between fork and exec, when it was a copy of its parent
        return known
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def address_space() -> int | None:
    """Bytes of address space that this process may have (``ulimit -v``), or None without such a limit."""
    try:
        import resource
    except ImportError:
        return None
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def cramped() -> bool:
    """Whether this process has used nearly all the address space it is allowed. Libraries that cannot allocate memory
    often report some other error."""
    limit = address_space()
    return limit is not None and _status("VmPeak") > 0.9 * limit


def _status(name: str) -> int:
    """Bytes that the system reports for this process under this name; 0 if it does not."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:")))
    except (OSError, StopIteration, ValueError, UnicodeError):
        return 0
