"""Objects of the user's own code, named as ``package.module:name``: restorers, stages.

Only references that the user wrote on the command line, in a preset or in a job file are looked up, never a name in a
checkpoint.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from .errors import OptionError
from .options import suggestion

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_reference(text: str) -> bool:
    """Whether a text has the form ``package.module:name``."""
    return _REFERENCE.fullmatch(text) is not None


def find(reference: str) -> Any:
    """The object at ``package.module:name``.

    Modules are looked for among the installed packages, then in the current directory. Raises OptionError: no such
    module, it cannot be imported, or nothing of that name in it.
    """
    module_name, _, path = reference.partition(":")
    found: Any = _module(module_name, reference)
    for name in path.split("."):
        if not hasattr(found, name):
            public = [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
            raise OptionError(f"'{reference}': there is no '{name}' in {_where(found)}{suggestion(name, public)}")
        found = getattr(found, name)
    return found


def source(reference: str) -> Path | None:
    """The file a reference's module is in, if it is in one."""
    file = getattr(_module(reference.partition(":")[0], reference), "__file__", None)
    return Path(file) if file else None


def _module(name: str, reference: str) -> Any:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # and left there: the module may import its neighbors later
        importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise OptionError(
                f"'{reference}': there is no module '{error.name}', neither installed nor in {here}"
            ) from error
        raise OptionError(f"'{reference}': its module needs '{error.name}', which is not installed") from error
    except (Exception, SystemExit) as error:
        raise OptionError(f"'{reference}': its module fails ({type(error).__name__}: {error})") from error


def _where(found: Any) -> str:
    return str(getattr(found, "__file__", None) or getattr(found, "__name__", None) or found)
