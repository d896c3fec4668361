"""System programs behind some engines: run without a shell, for a limited time, their error in one line."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ..errors import EngineError

PATIENCE = 300.0  # seconds


def run(command: Sequence[str], name: str, text: str = "", patience: float = PATIENCE) -> str:
    """A program's output for the input ``text``. Raises EngineError: it is missing, fails, or takes too long."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, no shell
            list(command), input=text.encode(), capture_output=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{name} took more than {patience:.0f} s") from error
    except OSError as error:
        raise EngineError(f"{name} cannot be run ({error.strerror})") from error
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
        raise EngineError(f"{name} failed with code {done.returncode}{f' ({said})' if said else ''}")
    return done.stdout.decode("utf-8", "replace")
