"""The survey's stages: which of them several voices share, and how they are described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..engine import Stage
from ..runtime import Runtime
from ..stages import Track
from ..stages.articulate import Articulate


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


def networks(looks: Sequence[Stage], stages: Sequence[Stage], runtime: Runtime) -> dict[str, str]:
    """SHA-256 by name of the networks that a survey depends on: those of its own stages (``looks``), and of those that
    render the one whose predictions its mouths are compared with (``manner``)."""
    heard = [stage for stage in stages if isinstance(stage, Articulate)]
    return {name: runtime.model(name).sha256 for stage in (*looks, *heard) for name in stage.models}


def choice(stages: Sequence[Stage]) -> tuple[str, ...]:
    """How the stages choose among faces, as something to compare."""
    return tuple(f"{s.faces}:{s.reference}" for s in stages if isinstance(s, Track))
