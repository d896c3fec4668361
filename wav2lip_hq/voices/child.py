"""Speech synthesizers in processes of their own: a crash there is a one-line error here.

The programs ``_espeak.py`` and ``_piper.py`` take a JSON line for each request on stdin. They answer with a JSON line
(``rate``, ``samples``, ``words``, or ``error``) and after it the samples, 16 bits each. Both engines are under the GPL,
which reaches no further than these processes.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError
from .speech import Spoken, Word

PATIENCE = 300.0  # seconds that one line of text may take
LONGEST = 1 << 28  # samples: more than an hour


class Child:
    """A program beside this file, started when it is first asked and stopped with this object."""

    def __init__(self, program: str, engine: str) -> None:
        self.program, self.engine = Path(__file__).with_name(program), engine
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, patience: float = PATIENCE, **request: Any) -> Spoken:
        """The answer to a request. Raises EngineError: the program's own words, it died, or it takes too long."""
        with self._lock:
            process = self._started()
            late = threading.Timer(patience, process.kill)
            late.start()
            try:
                return self._answer(process, request)
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._stop()
                code = process.poll()
                why = f"took more than {patience:.0f} s" if late.finished.is_set() else f"ended with code {code}"
                raise EngineError(f"{self.engine} {why} at {str(request.get('text', ''))[:60]!r}") from error
            finally:
                late.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", str(self.program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            weakref.finalize(self, _end, self._process)
        return self._process

    def _answer(self, process: subprocess.Popen[bytes], request: dict[str, Any]) -> Spoken:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        head = json.loads(process.stdout.readline(1 << 22))
        if "error" in head:
            raise EngineError(f"{self.engine}: {head['error']}")
        if not 0 <= head["samples"] <= LONGEST:
            raise ValueError("more sound than there can be")
        data = process.stdout.read(head["samples"] * 2)
        if len(data) != head["samples"] * 2:
            raise ValueError("it ended early")
        wav = np.frombuffer(data, "<i2").astype(np.float32) / 32768
        return Spoken(wav, int(head["rate"]), tuple(Word(*row) for row in head["words"]))

    def _stop(self) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    process.kill()
    process.wait()
