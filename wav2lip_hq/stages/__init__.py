"""The stages, and STAGES, the table presets name them by."""

from ..engine import Stage
from .admit import Admit
from .align import Align
from .articulate import Articulate
from .blend import Blend
from .detect import Detect
from .frame import Frame
from .landmarks import Landmarks
from .lipsync import LipSync
from .movement import Movement
from .parse import Parse
from .restore import Restore
from .restore_face import RestoreFace
from .track import Track
from .watermark import Watermark

STAGES: dict[str, type[Stage]] = {
    s.name: s
    for s in (
        *(Detect, Track, Landmarks, Admit, Align, Articulate, LipSync, Parse, Restore, Blend, RestoreFace),
        *(Watermark, Movement, Frame),
    )
}

__all__ = [
    "STAGES",
    "Admit",
    "Align",
    "Articulate",
    "Blend",
    "Detect",
    "Frame",
    "Landmarks",
    "LipSync",
    "Movement",
    "Parse",
    "Restore",
    "RestoreFace",
    "Stage",
    "Track",
    "Watermark",
]
