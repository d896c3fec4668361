"""Progress of a run as lines of text, which also work in log files and under schedulers. Imports no torch."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

EVERY = 30.0  # seconds without a line after which a run logs its progress


def say(text: str) -> None:
    """Print a line at once, also into a pipe or file."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Print a line to stderr at once."""
    print(text, file=sys.stderr, flush=True)


class Heartbeat:
    """Within its ``with`` block, logs ``text()`` whenever nothing has been logged for ``every`` seconds, whatever the
    run is doing."""

    def __init__(self, text: Callable[[], str], on_log: Callable[[str], None] = say, every: float = EVERY) -> None:
        self.text, self.every = text, every
        self._on_log = on_log
        self._spoke = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def log(self, text: str) -> None:
        """Log a line; the next automatic one comes ``every`` seconds later at the earliest."""
        with self._lock:
            self._on_log(text)
            self._spoke = time.monotonic()

    def beat(self) -> None:
        """Log the progress now."""
        self.log(self.text())

    def _watch(self) -> None:
        while not self._over.wait(max(0.01, self._spoke + self.every - time.monotonic())):
            if time.monotonic() - self._spoke >= self.every:
                try:
                    self.beat()
                except OSError:  # the reader is gone; the run itself will notice
                    return

    def __enter__(self) -> Heartbeat:
        self._spoke = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


class Lines:
    """Counted frames in a log, through a Heartbeat: "render 1200 of 15000 frames, 17.8 frames/s, about 13 min left".
    Terminals get ``terminal.Bar`` instead. Close it when done."""

    def __init__(self, label: str, *, every: float = EVERY, on_log: Callable[[str], None] = complain) -> None:
        self.label = label
        self._began = time.monotonic()
        self._first: int | None = None  # done before, by another run
        self._done, self._more = 0, ""
        self._total: int | None = None
        self._pulse = Heartbeat(self.text, on_log, every)
        self._pulse.__enter__()

    def __call__(self, done: int, total: int | None, more: str = "") -> None:
        """What has been done. more: is put before the frames."""
        self._first = done if self._first is None else self._first
        self._done, self._total, self._more = done, total, more

    def text(self) -> str:
        """The line."""
        done, total = self._done, self._total
        rate = (done - (self._first or 0)) / max(time.monotonic() - self._began, 1e-3)
        text = f"{self.label} {self._more}{done}{f' of {total}' if total else ''} frames, {rate:.1f} frames/s"
        return text + (f", about {duration((total - done) / rate)} left" if total and rate > 0 and done < total else "")

    def close(self) -> None:
        """No more lines."""
        self._pulse.__exit__(None, None, None)


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
