"""flite: small English voices, a program that Linux distributions have."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import audio
from ..errors import EngineError, InputError
from . import program
from .speech import Engine, Spoken

VOICES = ("slt", "rms", "awb", "kal16")


class Flite(Engine):
    """Speech by flite's built-in voices."""

    name = "flite"
    about = "flite: small English voices (slt is a woman; rms, awb and kal16 are men)"
    license = "BSD-like (CMU)"
    install = "apt install flite"

    def missing(self) -> str:
        """Why it cannot be used."""
        return "" if shutil.which("flite") else f"not installed: {self.install}"

    def languages(self) -> tuple[str, ...]:
        """English."""
        return ("en", "en-US") if shutil.which("flite") else ()

    def voices(self, language: str) -> tuple[str, ...]:
        """Its built-in voices."""
        return VOICES

    def speak(self, text: str, language: str, voice: str = "") -> Spoken:
        """See ``Speaker.speak``."""
        name = voice or VOICES[0]
        if name not in VOICES:
            raise EngineError(f"flite has no voice '{voice}'; it has {', '.join(VOICES)}")
        with TemporaryDirectory() as folder:
            words, sound = Path(folder, "text.txt"), Path(folder, "speech.wav")
            words.write_text(text, encoding="utf-8")
            program.run(["flite", "-voice", name, "-f", str(words), "-o", str(sound)], "flite")
            try:
                return Spoken(audio.load_audio(sound), audio.RATE)
            except InputError as error:
                raise EngineError(f"flite gave no sound for {text[:60]!r}") from error
