"""The translation of a script: whole lines of the glossary first, then an engine; kept in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import EngineError
from . import engines
from .glossary import Glossary
from .script import Script
from .speech import base

BATCH = 20  # lines that are translated before the script is written again


def translated(text: Script, engine: Any, glossary: Glossary | None, keep: Callable[[Script], None]) -> Script:
    """The script with a translation of each line that has none.

    engine: a translator, or None where the glossary does it alone or the language stays the same. keep: called with
    what there is after each batch, and before an error. Raises EngineError that says how far it came.
    """
    todo = [n for n, line in enumerate(text.lines) if line.translation is None]
    known = {n: said for n in todo if (said := _decided(text, n, glossary)) is not None}
    text = text.translated(known)
    rest = [n for n in todo if n not in known]
    by = engine or glossary
    for at in range(0, len(rest), BATCH):
        part = [text.lines[n].segment for n in rest[at : at + BATCH]]
        try:
            made = by.translate(part, text.source, text.to) if by is not None else []
            if len(made) != len(part):
                raise EngineError(f"{engines.label(by)} gave {len(made)} lines for {len(part)}")
        except EngineError as error:
            keep(text)
            raise EngineError(f"{error}; {at} of {len(rest)} lines are translated, and kept in the script") from error
        text = text.translated({n: one.text for n, one in zip(rest[at : at + BATCH], made, strict=True)})
        keep(text)
    if not rest:
        keep(text)
    return text


def _decided(text: Script, number: int, glossary: Glossary | None) -> str | None:
    """A translation that needs no engine: an empty line, the same language, or a line of the glossary."""
    line = text.lines[number]
    if not line.text or base(text.source) == base(text.to):
        return line.text
    return glossary.line(line.text, text.source, text.to) if glossary is not None else None
