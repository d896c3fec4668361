"""What a dub was made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..run_options import RunOptions
from .fit import Fitted
from .lipsync import Passage, Synced


@dataclass(frozen=True)
class Dubbed:
    """What ``dub`` did. lines: as spoken, with the times they have in the output. seconds: of each step, so far as it
    was not done before. warnings: what could not be done as the script has it, and those of the lip-sync. passages,
    run: what is lip-synced to what sound, and how, for a batch (``lipsync.add_job``)."""

    output: Path | None
    script: Path
    lines: tuple[Fitted, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    footage_seconds: float = 0.0
    synced: Synced | None = None
    subtitles: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    run: RunOptions = field(default_factory=RunOptions)
