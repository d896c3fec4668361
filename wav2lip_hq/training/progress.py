"""Lines that say how a run is doing, also where no terminal is: in a log file, under a scheduler. Imports no torch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

EVERY = 30.0  # seconds of silence after which a run says where it is


def say(text: str) -> None:
    """Print a line at once, also into a pipe or file."""
    print(text, flush=True)


class Heartbeat:
    """While in its ``with`` block, logs ``text()`` whenever nothing was logged for ``every`` seconds, whatever the run
    is busy with: a step, a validation, reading data."""

    def __init__(self, text: Callable[[], str], on_log: Callable[[str], None] = say, every: float = EVERY) -> None:
        self.text, self.every = text, every
        self._on_log = on_log
        self._spoke = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def log(self, text: str) -> None:
        """Log a line of the run itself; silence counts from here."""
        with self._lock:
            self._on_log(text)
            self._spoke = time.monotonic()

    def beat(self) -> None:
        """Log where the run is now."""
        self.log(self.text())

    def _watch(self) -> None:
        while not self._over.wait(max(0.01, self._spoke + self.every - time.monotonic())):
            if time.monotonic() - self._spoke >= self.every:
                try:
                    self.beat()
                except OSError:  # nobody reads any more; the run itself will notice when it has something to say
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


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
