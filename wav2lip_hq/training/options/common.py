"""Options that all tasks share, and messages about what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from ...errors import InputError, OptionError
from ...options import check, option


@dataclass(frozen=True)
class TaskOptions:
    """Options of a task. A subclass has a ``name``, fields made by ``option``, and ``ready`` for checks at the start of
    a run.

    Made by ``options.make`` from what a recipe holds: a name that does not exist, a wrong type or a value out of range
    raises OptionError.
    """

    name: ClassVar[str] = "train"

    start: str | None = option(None, "Checkpoint file to start from, of the same network; none: random weights.")

    def __post_init__(self) -> None:
        check(self)

    def ready(self) -> None:
        """Raise for what is missing or contradictory, before any data is read.

        OptionError says which option to set, InputError which file or folder is not there.
        """
        self.files("start", trained=True)

    def files(self, *names: str, trained: bool = False) -> None:
        """Raise InputError for the first of these options that names a file which does not exist. trained: it would
        come from another run."""
        for name in names:
            value = getattr(self, name)
            if value and not os.path.isfile(value):
                cure = f"train it first (see the recipe) or set {name}=FILE" if trained else f"set {name}=FILE"
                raise InputError(f"{self.name}: {name}={value} does not exist; {cure}")

    def folders(self, name: str, what: str, given: Iterable[str]) -> None:
        """Raise where option ``name`` is empty, or names a place that does not exist. what: what should be there."""
        given = list(given)
        if not given:
            raise OptionError(f"{self.name} needs {what}: set {name}=FOLDER (--set {name}=FOLDER)")
        for folder in given:
            if not os.path.exists(folder):
                raise InputError(f"{self.name}: {name}={folder} does not exist; set {name}=FOLDER to {what}")
