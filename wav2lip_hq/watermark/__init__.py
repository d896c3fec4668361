"""The invisible mark: a pattern of weak light and dark cells that moves with the face and beats in time, in synthesized
mouths only.

``signs`` says which cell has which sign, ``grid`` where the cells lie on a face, ``paint`` writes them, ``reader``
finds them again. Nothing here knows videos: ``stages.watermark`` writes, ``forensics`` reads files.
"""

from .grid import anchor
from .paint import painted
from .reader import Marks, Reading
from .signs import BITS, meant, speech_id

__all__ = ["BITS", "Marks", "Reading", "anchor", "meant", "painted", "speech_id"]
