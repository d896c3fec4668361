"""Errors that users can act on.

Every error says what is wrong, with which file, and what to do. Each type is also the builtin a caller would expect,
so ``except OSError`` or ``except ValueError`` keeps working. ``exit_code`` is what the command line returns.
"""

from __future__ import annotations

import errno

from .machine import address_space, cramped


class Wav2LipHQError(Exception):
    """Base of everything this package raises on purpose."""

    exit_code = 1


class InputError(Wav2LipHQError, ValueError):
    """An input file or array cannot be used: missing, empty, corrupt, wrong kind. Nothing was written."""

    exit_code = 3


class OutputError(Wav2LipHQError, OSError):
    """The output cannot be written: folder missing or read-only, disk full, codec unavailable, same as the input."""

    exit_code = 4


class OptionError(Wav2LipHQError, ValueError):
    """An unknown preset, stage, option, codec or device, or an option value out of range."""

    exit_code = 2


class WiringError(OptionError):
    """Stages are in an order that cannot work: one reads a field that no earlier stage adds."""


class CheckpointError(Wav2LipHQError, OSError):
    """A checkpoint is not installed, not the file it should be, damaged, or unsafe to open."""

    exit_code = 5


class UnknownNetwork(CheckpointError):
    """A checkpoint that can be read, but holds a network this project has no code for. ``path``: the file."""

    def __init__(self, message: str, path: object = None) -> None:
        super().__init__(message)
        self.path = path


class NoFaceError(InputError):
    """No face was found anywhere in the footage."""

    exit_code = 6


class StageError(Wav2LipHQError, RuntimeError):
    """A stage broke its contract (lost a frame, did not deliver a field) or failed inside."""

    exit_code = 7


class OutOfMemory(Wav2LipHQError, MemoryError):
    """Out of memory on the computer or the device, even with a batch of one."""

    exit_code = 8


class EngineError(Wav2LipHQError, RuntimeError):
    """A speech or text engine (speaker, listener, translator, writer) is not installed, does not know a language, or
    failed."""

    exit_code = 10


_NO_MEMORY = (
    "out of memory",
    "cannot allocate memory",
    "can't allocate memory",
    "unable to allocate",
    "insufficient memory",
    "not enough memory",
    "bad_alloc",
    "can't start new thread",
    "failed to map segment",
    "could not create a primitive",  # oneDNN, which has no other words for it
    "could not create a memory",
)


def ran_out(error: BaseException | None) -> bool:
    """Whether an error or its cause means out of memory, which libraries report in many ways; where hardly any memory
    was left (``ulimit -v``), whatever fails inside them does."""
    for _ in range(20):
        if error is None:
            return False
        if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY):
            return True
        if _inside(error) and cramped():
            return True
        error = error.__cause__ or error.__context__
    return False


def refused_memory(error: BaseException) -> bool:
    """Whether reading a file failed for the limit of this process (``ulimit -v``). Without one, a damaged file is what
    asked for too much."""
    return address_space() is not None and ran_out(error)


# Types that a failed allocation never raises. Others may: libraries' own types, ImportError, FFmpeg's errors.
_ORDINARY = (Wav2LipHQError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError)


def _inside(error: BaseException) -> bool:
    """Whether something failed inside a library, for no reason of its input's or a file's."""
    if isinstance(error, OSError) and not isinstance(error, Wav2LipHQError):
        return error.errno == errno.EAGAIN  # a thread that could not be had
    return isinstance(error, Exception) and not isinstance(error, _ORDINARY)


UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def told(error: BaseException) -> tuple[str, int]:
    """(message for whoever typed the command, exit code)."""
    text = " ".join(str(error).split()) or "no reason given"
    if isinstance(error, OutOfMemory):
        return str(error), error.exit_code
    if ran_out(error):
        return f"out of memory ({text}); close other programs, or use smaller footage", OutOfMemory.exit_code
    if isinstance(error, Wav2LipHQError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return f"what was to be written could not be: {error.strerror}", OutputError.exit_code
    if isinstance(error, OSError) and error.filename is not None:
        return f"{str(error.filename)[:500]}: {error.strerror}", InputError.exit_code
    kind = type(error).__name__
    return f"unexpected error ({kind}: {text[:500]}); add --debug to see where, and report it", 1
