"""What is typed for ``say``: plain text, or a small part of SSML, as pieces to be spoken and pauses.

Known are ``<speak>``, ``<p>``, ``<s>``, ``<break time="500ms"/>`` or ``strength``, and ``<sub alias="...">``; the text
of other elements is spoken as it is. In plain text, ``[pause 0.5s]`` is a pause and an empty line ends a paragraph. XML
is read without entities, document types or anything from outside.
"""

from __future__ import annotations

import re
import xml.parsers.expat
from dataclasses import dataclass

from ..errors import InputError

LONGEST = 200_000  # characters
LONGEST_PAUSE = 60.0  # seconds
PARAGRAPH, SENTENCE = 0.6, 0.25  # seconds of silence after <p> and <s>
STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.7, "x-strong": 1.2}
_PAUSE = re.compile(r"\[pause\s+([0-9.]+)\s*(ms|s)\]", re.IGNORECASE)


@dataclass(frozen=True)
class Piece:
    """Text to be spoken and the silence after it, in seconds. The text may be empty."""

    text: str
    pause: float = 0.0


def pieces(text: str) -> list[Piece]:
    """The pieces of a text. Raises InputError: nothing to say, too long, or SSML that cannot be read."""
    if len(text) > LONGEST:
        raise InputError(f"the text has {len(text)} characters, {LONGEST} are the most; say it in parts")
    found = _ssml(text) if text.lstrip().startswith("<speak") else _plain(text)
    joined: list[Piece] = []
    for piece in found:
        words = " ".join(piece.text.split())
        if not re.search(r"\w", words):
            if joined and piece.pause:
                joined[-1] = Piece(joined[-1].text, min(LONGEST_PAUSE, joined[-1].pause + piece.pause))
            elif piece.pause:
                joined.append(Piece("", piece.pause))
            continue
        joined.append(Piece(words, piece.pause))
    if not any(piece.text for piece in joined):
        raise InputError("there is nothing to say: the text is empty")
    return joined


def _plain(text: str) -> list[Piece]:
    made: list[Piece] = []
    for paragraph in re.split(r"\n\s*\n", text):
        at = 0
        for match in _PAUSE.finditer(paragraph):
            made.append(Piece(paragraph[at : match.start()], _seconds(f"{match[1]}{match[2].lower()}")))
            at = match.end()
        made.append(Piece(paragraph[at:], PARAGRAPH))
    if made:
        made[-1] = Piece(made[-1].text)
    return made


def _ssml(text: str) -> list[Piece]:
    made: list[Piece] = []
    held: list[str] = []
    hidden = 0

    def spoken(pause: float) -> None:
        made.append(Piece("".join(held), pause))
        held.clear()

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal hidden
        if name == "break":
            given = attributes.get("time")
            spoken(_seconds(given) if given else _strength(attributes.get("strength", "medium")))
        elif name == "sub" and "alias" in attributes:
            held.append(attributes["alias"])
            hidden += 1
        elif name == "sub":
            raise InputError("SSML: <sub> needs the attribute alias, the text to speak")
        elif name in ("p", "s"):
            spoken(0.0)

    def end(name: str) -> None:
        nonlocal hidden
        if name == "sub":
            hidden -= 1
        elif name in ("p", "s"):
            spoken(PARAGRAPH if name == "p" else SENTENCE)

    def words(data: str) -> None:
        if not hidden:
            held.append(data)

    def refused(*_: object) -> int:
        raise InputError("SSML with a document type or entities of its own is not read")

    parser = xml.parsers.expat.ParserCreate(namespace_separator=None)
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, words
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = refused
    try:
        parser.Parse(text.strip(), True)
    except xml.parsers.expat.ExpatError as error:
        reason = xml.parsers.expat.errors.messages.get(error.code, "not well-formed")
        raise InputError(f"the SSML cannot be read: {reason} in line {error.lineno}") from error
    spoken(0.0)
    return made


def _seconds(text: str) -> float:
    match = re.fullmatch(r"\+?(\d+(?:\.\d*)?|\.\d+)\s*(ms|s)", text.strip())
    if match is None:
        raise InputError(f"a pause is a time like 500ms or 1.5s, not '{text[:40]}'")
    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1)
    if seconds > LONGEST_PAUSE:
        raise InputError(f"a pause lasts {LONGEST_PAUSE:.0f} s at most, not '{text[:40]}'")
    return seconds


def _strength(word: str) -> float:
    if word not in STRENGTHS:
        raise InputError(f"a break's strength is {', '.join(STRENGTHS)}, not '{word[:40]}'")
    return STRENGTHS[word]
