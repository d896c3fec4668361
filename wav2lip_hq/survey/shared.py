"""The survey's stages: which of them several voices share, and how they are described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..engine import Stage
from ..stages import Track


def everybody(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The survey's stages, following all faces."""
    return tuple(replace(s, faces="all", reference="") if isinstance(s, Track) else s for s in stages)


def speakers_followed(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The survey's stages; they follow all faces if the speaking one has to be found among them."""
    return everybody(stages) if any(isinstance(s, Track) and s.faces == "speaker" for s in stages) else tuple(stages)


def described(stages: Sequence[Stage]) -> dict[str, Any]:
    """The stages' options by name, "track.faces", as plain values."""
    return {f"{stage.name}.{name}": _plain(value) for stage in stages for name, value in vars(stage).items()}


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def choice(stages: Sequence[Stage]) -> tuple[str, ...]:
    """How the stages choose among faces, as something to compare."""
    return tuple(f"{s.faces}:{s.reference}" for s in stages if isinstance(s, Track))
