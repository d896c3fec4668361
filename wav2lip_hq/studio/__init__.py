"""A web page and an HTTP API on this machine: face and speech in, a dub out.

from wav2lip_hq.studio import Client

studio = Client("http://127.0.0.1:7870")
job = studio.dub(studio.upload("face.mp4"), studio.upload("speech.wav"), consent="Anna, for this film, 3 May")
studio.download(studio.wait(job), "out.mp4")
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .choices import StudioOptions
    from .client import Client, StudioError

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__, submod_attrs={"choices": ["StudioOptions"], "client": ["Client", "StudioError"]}
)

__all__ = ["Client", "StudioError", "StudioOptions"]
