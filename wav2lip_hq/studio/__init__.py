"""A web page and an HTTP API on this machine: face and speech in, a dub out.

from wav2lip_hq.studio import Client

studio = Client("http://127.0.0.1:7870")
job = studio.dub(studio.upload("face.mp4"), studio.upload("speech.wav"), consent="Anna, for this film, 3 May")
studio.download(studio.wait(job), "out.mp4")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .choices import StudioOptions
    from .client import Client, StudioError

_WHERE = {"Client": "client", "StudioError": "client", "StudioOptions": "choices"}
__all__ = ["Client", "StudioError", "StudioOptions"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
