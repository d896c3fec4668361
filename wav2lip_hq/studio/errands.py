"""Starting errands (``errand.py``), following them, and ending those that take too long."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ..errors import InputError, StageError

QUICK = 300.0  # seconds that looking at a file may take


def run(
    errand: str,
    *,
    patience: float = QUICK,
    hide: dict[str, str] | None = None,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
    on_start: Callable[[subprocess.Popen[str]], None] = lambda process: None,
    **request: Any,
) -> dict[str, Any]:
    """The result of an errand. hide: what to put in messages in place of paths. Raises InputError with its one line,
    StageError when it died or took too long."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-W", "ignore", "-m", f"{__package__}.errand"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    began = time.monotonic()
    late = threading.Timer(patience, process.kill)
    late.daemon = True
    late.start()
    try:
        on_start(process)
        assert process.stdin is not None and process.stdout is not None
        answer: dict[str, Any] = {}
        try:
            process.stdin.write(json.dumps({"errand": errand, **request}) + "\n")
            process.stdin.close()
            for line in process.stdout:
                answer = json.loads(line)
                if "progress" in answer:
                    on_progress(*answer["progress"])
        except (OSError, ValueError):
            answer = {}
    finally:
        late.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if "result" in answer:
        return dict(answer["result"])
    if "error" in answer:
        text = str(answer["error"])
        for path, name in (hide or {}).items():
            text = text.replace(path, name)
        raise InputError(text)
    why = f"took more than {patience:.0f} s" if time.monotonic() - began >= patience else "was ended"
    raise StageError(f"looking at it {why}" if errand == "look" else f"it {why}; try again, or a shorter piece")
