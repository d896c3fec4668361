"""Options of ``avatar make``, for Python and the command line alike."""

from __future__ import annotations

from dataclasses import dataclass

from ..options import described, option
from ..voices.choices import SayOptions


@described
@dataclass(frozen=True)
class MakeOptions(SayOptions):
    """What an avatar says about a topic, and in whose voice."""

    seconds: float = option(20.0, "How long a text about a topic is to take.", unit="s", low=1, high=3600)
    writer: str = option("auto", "What writes the text about a topic.")
    movement: float = option(
        1.0, "How far the head of a photograph moves while it speaks; 0 keeps it still.", low=0, high=2
    )
