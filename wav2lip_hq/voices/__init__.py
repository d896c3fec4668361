"""Speech and text engines, and what is made with them: a text said by a face, footage in another language.

from wav2lip_hq.voices import DubOptions, SayOptions, dub, say

say("face.mp4", "Good morning!", "out.mp4", SayOptions(language="en"))
dub("talk.mp4", "talk_es.mp4", DubOptions(to="es"))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .choices import DubOptions, SayOptions
    from .dubbing import Dubbed, dub
    from .engines import find, listing
    from .saying import Said, say
    from .script import Line, Role, Script
    from .speech import Engine, Listener, Segment, Speaker, Spoken, Translator, Word, Writer

# Imported when first used, so that ``wav2lip-hq --help`` does not wait for the networks.
_WHERE = {
    **dict.fromkeys(("DubOptions", "SayOptions"), "choices"),
    **dict.fromkeys(("Dubbed", "dub"), "dubbing"),
    **dict.fromkeys(("find", "listing"), "engines"),
    **dict.fromkeys(("Said", "say"), "saying"),
    **dict.fromkeys(("Line", "Role", "Script"), "script"),
    **dict.fromkeys(("Engine", "Listener", "Segment", "Speaker", "Spoken", "Translator", "Word", "Writer"), "speech"),
}

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


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
