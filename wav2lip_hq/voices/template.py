"""A writer without a model: template sentences with the topic inserted, as many as fit the time."""

from __future__ import annotations

import importlib.resources
from functools import cache

from .. import documents
from ..errors import EngineError
from .speech import Engine, base

RATE = 14.0  # characters said in a second


class Template(Engine):
    """Fills the sentences of ``_data/templates.yaml``. It knows nothing of the topic and claims nothing about it."""

    name = "template"
    about = "sentences into which the topic is put; knows nothing of it: a first draft to be edited"
    license = "Apache-2.0 (part of this package)"
    install = "it is always there"

    def languages(self) -> tuple[str, ...]:
        """Those of its sentences."""
        return tuple(sentences())

    def write(self, topic: str, seconds: float, language: str) -> str:
        """See ``Writer.write``. Raises EngineError: no topic, or no sentences in the language."""
        topic = " ".join(topic.split()).rstrip(".!?")
        if not topic:
            raise EngineError("there is no topic to write about")
        there = sentences().get(base(language))
        if there is None:
            raise EngineError(f"the template writer has no sentences in '{language}'; it has {', '.join(sentences())}")
        filled = [s.replace("{topic}", topic) for s in there]
        first, middle, last = filled[0], filled[1:-1], filled[-1]
        room = seconds * RATE - len(first)
        said = [first]
        ends = room > len(last)
        room -= len(last) if ends else 0
        for sentence in middle:
            if len(sentence) + 1 > room:
                break
            said.append(sentence)
            room -= len(sentence) + 1
        return " ".join([*said, last] if ends else said)


@cache
def sentences() -> dict[str, list[str]]:
    """Sentences by language: how to begin, what to say, how to end."""
    file = importlib.resources.files("wav2lip_hq") / "_data" / "templates.yaml"
    found: dict[str, list[str]] = documents.parse(file.read_text(encoding="utf-8"))
    return found
