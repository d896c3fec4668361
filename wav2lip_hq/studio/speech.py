"""Speech engines as the page offers them: those that are installed, and only by their names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from ..errors import InputError, OptionError
from ..options import suggestion
from ..voices import engines, markup
from . import errands

LONGEST = 20_000  # characters
REMOTE = "http"  # an engine elsewhere: nothing leaves this machine from here


def listing() -> list[dict[str, Any]]:
    """Engines that speak, ready or not."""
    return [dataclasses.asdict(row) for row in engines.listing() if row.kind == "speaker" and row.name != REMOTE]


def written(body: Mapping[str, Any]) -> dict[str, Any]:
    """A text about a topic, to be read and corrected before it is spoken. Raises InputError, OptionError."""
    topic, seconds, language = body.get("topic", ""), body.get("seconds", 20), body.get("language", "en")
    if not isinstance(topic, str) or not topic.strip() or len(topic) > 1000:
        raise InputError("say what the text is to be about, in at most 1000 characters")
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 1 <= seconds <= 3600:
        raise OptionError("seconds is between 1 and 3600")
    return errands.run("write", topic=" ".join(topic.split()), seconds=seconds, language=_language(language))


def _language(given: Any) -> str:
    if not isinstance(given, str) or not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*", given):
        raise OptionError(f"a language is a code like en or pt-BR, not '{str(given)[:40]}'")
    return given


def checked(body: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """(text, language, engine, voice) of a request. Raises InputError, OptionError."""
    unknown = set(body) - {"text", "language", "speaker", "voice"}
    if unknown:
        raise OptionError(f"speech has no '{min(unknown)[:40]}'; it has text, language, speaker and voice")
    text, language = body.get("text", ""), body.get("language", "en")
    speaker, voice = body.get("speaker", "auto"), body.get("voice", "")
    for name, value in (("text", text), ("language", language), ("speaker", speaker), ("voice", voice)):
        if not isinstance(value, str):
            raise OptionError(f"{name} is text")
    if len(text) > LONGEST:
        raise InputError(f"the text has {len(text)} characters, {LONGEST} are the most here")
    known = ["auto", *(name for name in engines.names("speaker") if name != REMOTE)]
    if speaker not in known:  # "module:Class" would be code
        raise OptionError(f"unknown speaker '{speaker[:40]}'{suggestion(speaker, known)}")
    if len(voice) > 100 or "/" in voice or "\\" in voice or voice.lower().endswith(".onnx"):
        raise OptionError("a voice is one of the names that the engine lists, not a file")
    markup.pieces(text)
    return text, _language(language), speaker, voice
