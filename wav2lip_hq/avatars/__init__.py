"""Avatars: faces that are kept, with the consent of the people they belong to, to speak texts again and again.

from wav2lip_hq.avatars import AvatarLibrary

library = AvatarLibrary()
library.add("anna", "anna.mp4", consent="Anna Berg agreed to this in writing on 3 May 2026")
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .choices import MakeOptions
    from .library import Avatar, AvatarLibrary
    from .making import Made, make

# Imported when first used, so that ``wav2lip-hq --help`` does not wait for the networks.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={"choices": ["MakeOptions"], "library": ["Avatar", "AvatarLibrary"], "making": ["Made", "make"]},
)

__all__ = ["Avatar", "AvatarLibrary", "Made", "MakeOptions", "make"]
