"""A glossary: a YAML file of lines, phrases and words that the user writes, by pair of languages.

en>es:
  good morning: buenos días
  "The meeting is at nine.": La reunión es a las nueve.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace

from .. import documents
from ..errors import EngineError, InputError
from .speech import Engine, Segment, base

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Glossary(Engine):
    """Translation by a glossary alone: whole lines first, then the longest phrases. Raises for words it lacks."""

    name = "glossary"
    about = "your own YAML file of lines and phrases (--glossary FILE); whole lines of it come before any translator"
    license = "yours"
    install = "write the file: docs/dub.md"

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.pairs = read(path) if path else {}

    def missing(self) -> str:
        """Why it cannot be used."""
        return "" if self.path else "no file was named: --glossary FILE"

    def languages(self) -> tuple[str, ...]:
        """Pairs in the file."""
        return tuple(f"{a}>{b}" for a, b in self.pairs)

    def entries(self, source: str, target: str) -> Mapping[tuple[str, ...], str]:
        """Translations by the words of what they translate."""
        return self.pairs.get((base(source), base(target)), {})

    def line(self, text: str, source: str, target: str) -> str | None:
        """The translation of a whole line, if the file has it."""
        return self.entries(source, target).get(_words(text))

    def translate(self, segments: Sequence[Segment], source: str, target: str) -> list[Segment]:
        """See ``Translator.translate``."""
        entries = self.entries(source, target)
        longest = max((len(words) for words in entries), default=0)
        made, lacking = [], dict[str, None]()
        for segment in segments:
            words, said, at = _words(segment.text), [], 0
            while at < len(words):
                size = next((n for n in range(longest, 0, -1) if words[at : at + n] in entries), 0)
                if size:
                    said.append(entries[words[at : at + size]])
                else:
                    lacking[words[at]] = None
                at += size or 1
            made.append(replace(segment, text=" ".join(said), words=()))
        if lacking:
            shown = ", ".join(list(lacking)[:8]) + (f" and {len(lacking) - 8} more" if len(lacking) > 8 else "")
            raise EngineError(f"the glossary {self.path} has no {source}>{target} for: {shown}")
        return made


def read(path: str) -> dict[tuple[str, str], dict[tuple[str, ...], str]]:
    """The entries of a file by (source, target). Raises InputError."""
    try:
        whole = documents.read(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"the glossary {path} cannot be read: {why}") from error
    if not isinstance(whole, dict):
        raise InputError(f"the glossary {path} is not a list of pairs like 'en>es:'")
    found = {}
    for pair, entries in whole.items():
        parts = str(pair).split(">")
        if len(parts) != 2 or not isinstance(entries, dict):
            raise InputError(f"the glossary {path}: '{str(pair)[:60]}' is not a pair like 'en>es:' with lines below it")
        words = {_words(str(k)): str(v).strip() for k, v in entries.items() if isinstance(v, (str, int, float))}
        found[base(parts[0].strip()), base(parts[1].strip())] = {k: v for k, v in words.items() if k}
    return found


def _words(text: str) -> tuple[str, ...]:
    """Words without case and punctuation."""
    return tuple(_WORD.findall(unicodedata.normalize("NFC", text).casefold().replace("’", "'")))
