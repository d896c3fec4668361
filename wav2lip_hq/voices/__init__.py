"""Speech and text engines, and what is made with them: a text said by a face, footage in another language.

from wav2lip_hq.voices import DubOptions, SayOptions, dub, say

say("face.mp4", "Good morning!", "out.mp4", SayOptions(language="en"))
dub("talk.mp4", "talk_es.mp4", DubOptions(to="es"))
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .choices import DubOptions, SayOptions
    from .dubbed import Dubbed
    from .dubbing import dub
    from .engines import find, listing
    from .saying import Said, say
    from .script import Line, Role, Script
    from .speech import Engine, Listener, Segment, Speaker, Spoken, Translator, Word, Writer

# Imported when first used, so that ``wav2lip-hq --help`` does not wait for the networks.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "choices": ["DubOptions", "SayOptions"],
        "dubbed": ["Dubbed"],
        "dubbing": ["dub"],
        "engines": ["find", "listing"],
        "saying": ["Said", "say"],
        "script": ["Line", "Role", "Script"],
        "speech": ["Engine", "Listener", "Segment", "Speaker", "Spoken", "Translator", "Word", "Writer"],
    },
)

__all__ = [
    "DubOptions",
    "Dubbed",
    "Engine",
    "Line",
    "Listener",
    "Role",
    "Said",
    "SayOptions",
    "Script",
    "Segment",
    "Speaker",
    "Spoken",
    "Translator",
    "Word",
    "Writer",
    "dub",
    "find",
    "listing",
    "say",
]
