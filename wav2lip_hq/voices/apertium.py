"""Apertium: rule-based translation by a program that Linux distributions have, one package a pair of languages."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from ..errors import EngineError
from . import program
from .speech import Engine, Segment, base

# Two-letter codes of what Apertium calls by three letters in newer packages.
SHORT = {
    "afr": "af", "arg": "an", "ast": "ast", "bel": "be", "bul": "bg", "cat": "ca", "cym": "cy", "dan": "da",
    "eng": "en", "epo": "eo", "eus": "eu", "fra": "fr", "glg": "gl", "hbs": "sh", "hin": "hi", "ind": "id", "isl": "is",
    "ita": "it", "mkd": "mk", "nld": "nl", "nno": "nn", "nob": "nb", "oci": "oc", "pol": "pl", "por": "pt",
    "ron": "ro", "rus": "ru", "slv": "sl", "spa": "es", "srd": "sc", "swe": "sv", "ukr": "uk", "urd": "ur",
}  # fmt: skip


class Apertium(Engine):
    """Translation by Apertium. Where no package translates a pair, it goes through a third language if two do."""

    name = "apertium"
    about = "Apertium: rule-based translation, rough but offline; pairs that are not there go through a third language"
    license = "GPL-2.0-or-later (a program of its own)"
    install = "apt install apertium apertium-eng-spa (or another pair: apt-cache search '^apertium-.*-')"

    def missing(self) -> str:
        """Why it cannot be used."""
        if not shutil.which("apertium"):
            return f"not installed: {self.install}"
        return "" if modes() else f"it has no pair of languages: {self.install}"

    def languages(self) -> tuple[str, ...]:
        """Pairs "en>es", those through a third language included."""
        if self.missing():
            return ()
        there = modes()
        names = sorted({name for pair in there for name in pair})
        return tuple(f"{a}>{b}" for a in names for b in names if a != b and path(a, b))

    def translate(self, segments: Sequence[Segment], source: str, target: str) -> list[Segment]:
        """See ``Translator.translate``. A region of a language ("pt-BR") is left out."""
        steps = path(base(source), base(target))
        if not steps:
            raise EngineError(f"apertium has no way from '{source}' to '{target}': {self.install}")
        texts = [" ".join(s.text.split()) for s in segments]
        for mode in steps:
            said = program.run(["apertium", "-u", "-f", "line", mode], "apertium", "".join(f"{t}\n" for t in texts))
            made = [" ".join(line.split()) for line in said.split("\n")[: len(texts)]]
            if len(made) != len(texts):
                raise EngineError(f"apertium ({mode}) gave {len(made)} lines for {len(texts)}")
            texts = made
        return [replace(s, text=_sentence(t), words=()) for s, t in zip(segments, texts, strict=True)]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def modes() -> dict[tuple[str, str], str]:
    """Installed directions: (source, target) in two letters -> the name Apertium has for it."""
    if not shutil.which("apertium"):
        return {}
    found: dict[tuple[str, str], str] = {}
    for name in sorted(program.run(["apertium", "-l"], "apertium").split(), key=len):
        parts = name.split("-")  # longer names are variants
        if len(parts) == 2 and all(part.isalpha() for part in parts):
            found.setdefault((SHORT.get(parts[0], parts[0]), SHORT.get(parts[1], parts[1])), name)
    return found


def path(source: str, target: str) -> list[str]:
    """Names of the directions to go from one language to another: one, two through a third language, or none."""
    there = modes()
    if (source, target) in there:
        return [there[source, target]]
    between = sorted(b for a, b in there if a == source and (b, target) in there)
    # The one that most pairs have is the best developed.
    best = max(between, key=lambda b: sum(b in pair for pair in there), default=None)
    return [] if best is None else [there[source, best], there[best, target]]
