"""Marks that nobody sees or hears.

The invisible mark is a pattern of weak light and dark cells that moves with the face and beats in time, in synthesized
mouths only. ``signs`` says which cell has which sign, ``grid`` where the cells lie on a face, ``paint`` writes them,
``reader`` finds them again; ``sound`` is the mark in synthesized speech. Nothing here knows videos:
``stages.watermark`` and ``voices`` write, ``forensics`` reads files.
"""

from .grid import anchor
from .paint import needed, painted
from .reader import SPAN, Marks, Reading, readings
from .signs import BITS, meant, speech_id
from .sound import SoundReading, heard, marked_sound

__all__ = [
    "BITS",
    "SPAN",
    "Marks",
    "Reading",
    "SoundReading",
    "anchor",
    "heard",
    "marked_sound",
    "meant",
    "needed",
    "painted",
    "readings",
    "speech_id",
]
