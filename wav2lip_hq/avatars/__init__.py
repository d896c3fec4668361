"""Faces that are kept, with the consent of the people they belong to, to say texts again and again.

from wav2lip_hq.avatars import AvatarLibrary

library = AvatarLibrary()
library.add("anna", "anna.mp4", consent="Anna Berg agreed to this in writing on 3 May 2026")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .choices import MakeOptions
    from .library import Avatar, AvatarLibrary
    from .making import Made, make

# Imported when first used, so that ``wav2lip-hq --help`` does not wait for the networks.
_WHERE = {
    **dict.fromkeys(("Avatar", "AvatarLibrary"), "library"),
    "MakeOptions": "choices",
    **dict.fromkeys(("Made", "make"), "making"),
}

__all__ = ["Avatar", "AvatarLibrary", "Made", "MakeOptions", "make"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
