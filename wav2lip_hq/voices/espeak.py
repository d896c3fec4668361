"""espeak-ng: a small formant synthesizer for more than a hundred languages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import cached_property
from pathlib import Path

from ..errors import EngineError
from .child import Child
from .speech import Engine, Spoken, base, knows

PACKAGE = "espeakng-loader"
# Voices that differ enough to tell people apart, without whispers and robots: variants of each language.
VARIANTS = ("m3", "f2", "m7", "f5", "m1", "f3", "m8", "f4", "m2", "f1", "m4", "m5")
ALSO = {"zh": "cmn", "no": "nb"}  # what people write for it


class Espeak(Engine):
    """Speech by espeak-ng, with the times of its words."""

    name = "espeak"
    about = "espeak-ng: small formant synthesizer, more than 100 languages, clear but mechanical; gives times of words"
    license = "GPL-3.0 (runs in a process of its own)"
    install = "pip install 'wav2lip-hq[voice]'"

    def __init__(self) -> None:
        self._child = Child("_espeak.py", "espeak-ng")

    def missing(self) -> str:
        """Why it cannot be used."""
        return "" if importlib.util.find_spec("espeakng_loader") else f"not installed: {self.install}"

    def version(self) -> str:
        """Of the package."""
        return importlib.metadata.version(PACKAGE)

    @cached_property
    def _languages(self) -> tuple[str, ...]:
        found = importlib.util.find_spec("espeakng_loader")
        if found is None or found.origin is None:
            return ()
        folder = Path(found.origin).parent / "espeak-ng-data" / "lang"
        return tuple(sorted({p.name for p in folder.rglob("*") if p.is_file()} | set(ALSO)))

    def languages(self) -> tuple[str, ...]:
        """As its data has them."""
        return self._languages

    def voices(self, language: str) -> tuple[str, ...]:
        """The language's variants: "es+m3", "es+f2", ..."""
        language = ALSO.get(base(language), language)
        if not knows(self._languages, language):
            return ()
        exact = {one.lower(): one for one in self._languages}
        name = exact.get(language.replace("_", "-").lower()) or exact.get(base(language)) or next(
            one for one in self._languages if base(one) == base(language)
        )  # fmt: skip
        return tuple(f"{name}+{variant}" for variant in VARIANTS)

    def speak(self, text: str, language: str, voice: str = "") -> Spoken:
        """See ``Speaker.speak``. voice: one of ``voices``, a variant ("f2") or any name that espeak-ng knows."""
        known = self.voices(language)
        if not known:
            raise EngineError(f"espeak-ng does not know the language '{language}'")
        name = voice or known[0]
        if voice in VARIANTS:
            name = f"{known[0].partition('+')[0]}+{voice}"
        return self._child.ask(text=text, voice=name)
