"""Between the command line and everything below it: whatever happens becomes one line and an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from .errors import UNWRITABLE, Wav2LipHQError, told

LONGEST = 4000  # characters of a message


def guarded(work: Callable[[], int], debug: bool = False, last: bool = False) -> int:
    """The exit code of ``work``. Errors become one line on stderr; with ``debug`` they come through as they are.

    The first Ctrl-C ends the work, a second one lets it tidy up, a third ends the process at once. last: nothing
    follows but the end of the process, so that Ctrl-C need not work again.
    """
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with _interrupts(last):
        try:
            code = work()
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            _say("interrupted; nothing was left under the output's name")
            return 130
        except BrokenPipeError:  # `wav2lip-hq checkpoints list | head`
            _abandon_stdout()
            return 128 + getattr(signal, "SIGPIPE", 13)
        except Exception as error:
            if isinstance(error, OSError) and not isinstance(error, Wav2LipHQError) and error.errno in UNWRITABLE:
                _abandon_stdout()
            if debug:
                raise
            text, code = told(error)
            _say(text)
            return code


def _say(text: str) -> None:
    """Print to stderr without control characters, shortened if very long."""
    plain = "".join(c if c.isprintable() or c == "\n" else "?" for c in text[:LONGEST])
    with contextlib.suppress(OSError, ValueError):
        print(f"wav2lip-hq: {plain}", file=sys.stderr, flush=True)


def _abandon_stdout() -> None:
    """Stdout is closed or its disk is full: keep the interpreter from failing again when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def terminated(*_: Any) -> None:
    """Handler of SIGTERM: ends the work as an error would, so that nothing incomplete is left behind."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise SystemExit(128 + signal.SIGTERM)


@contextlib.contextmanager
def _interrupts(last: bool) -> Iterator[None]:
    """SIGTERM cleans up before the process ends, and a Ctrl-C does not interrupt the clean-up it has started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous, ending = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    ends = ending is signal.SIG_DFL
    if ends:
        signal.signal(signal.SIGTERM, terminated)
    presses = 0

    def pressed(*_: Any) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            raise KeyboardInterrupt
        if presses > 2:
            os._exit(130)
        _say("tidying up; press Ctrl-C once more to end at once")

    mine = previous is signal.default_int_handler  # shells start background jobs with Ctrl-C ignored; keep that
    if mine:
        signal.signal(signal.SIGINT, pressed)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGINT, signal.SIG_IGN if last and presses else previous)
        if ends:
            signal.signal(signal.SIGTERM, ending)
