"""Commands under a limit of address space (``ulimit -v``).

Native libraries do not always survive an allocation that fails: oneDNN dereferences null now and then. Where there is
such a limit, the work is therefore done by a second process, and the first one says what became of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from . import places
from .errors import OutOfMemory

LEAST = 17 * 10**8  # bytes of address space: with less no run was seen to come to its first frame
HEAVY = ("run", "survey", "demo", "train", "personalize")
_INNER = "WAV2LIP_HQ_WATCHED"  # environment: the process id of the one that watches
_TERMINATE_WITH_PARENT = 1  # Linux's PR_SET_PDEATHSIG


def check(limit: int) -> None:
    """Refuse to begin what cannot get anywhere. Raises OutOfMemory."""
    if limit < LEAST:
        raise OutOfMemory(
            f"this process may have {limit / 10**9:.1f} GB of address space (ulimit -v); the smallest footage takes "
            f"more than {LEAST / 10**9:.1f} GB: raise the limit"
        )


def watched() -> bool:
    """Whether this is the process that works; it ends when the one that watches does."""
    if os.environ.get(_INNER) != str(os.getppid()):
        return False
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_TERMINATE_WITH_PARENT, signal.SIGTERM)
    return True


def watch(arguments: list[str], limit: int, folder: Path | None) -> int:
    """Do a command in a process of its own; its exit code. folder: where it writes, tidied up if a signal ended it.
    Raises OutOfMemory if a library died in it."""
    env = {**os.environ, _INNER: str(os.getpid())}
    options = [f"-W{option}" for option in sys.warnoptions]
    command = [sys.executable, *options, "-m", "wav2lip_hq.cli", *arguments]
    with subprocess.Popen(command, env=env) as process, _passing(process):
        code = process.wait()
    if code >= 0:
        return code
    if folder is not None:
        places.sweep(folder)
    if -code in (signal.SIGINT, signal.SIGTERM):  # before it could tidy up itself
        return 128 - code
    raise OutOfMemory(
        f"ended by {signal.Signals(-code).name}, most likely because memory ran out: this process may have "
        f"{limit / 10**9:.1f} GB of address space (ulimit -v); raise the limit, or use smaller footage"
    )


@contextlib.contextmanager
def _passing(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The terminal sends Ctrl-C to both processes, and the one that works tidies up; SIGTERM is passed on."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
