"""Was this footage lip-synced? The invisible mark is read, and the picture itself is judged.

``look`` follows the faces of a file and measures them, ``Judge`` turns measurements into a probability, and ``detect``
does both and says what follows.
"""

from .judge import Judge
from .look import FaceSeen, look
from .verdict import Findings, detect

__all__ = ["FaceSeen", "Findings", "Judge", "detect", "look"]
