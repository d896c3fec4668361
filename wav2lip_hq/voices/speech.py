"""Inputs and outputs of engines (words with times, spoken sound, segments), and the four kinds as protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:  # at run time it would take numpy, which `--help` does not wait for
    from ..types import Array


@dataclass(frozen=True)
class Word:
    """A word and when it is said, in seconds from the beginning of its sound."""

    text: str
    start: float
    end: float


class Spoken(NamedTuple):
    """Speech: ``wav`` (n,) float32 in [-1, 1], ``rate`` in samples a second, ``words`` with times, or none where the
    engine does not know them."""

    wav: Array
    rate: int
    words: tuple[Word, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.wav) / self.rate


@dataclass(frozen=True)
class Segment:
    """A line of speech: from ``start`` to ``end`` seconds, what is said, by whom, and its words where they are known
    (their times count from the beginning of the sound, too)."""

    start: float
    end: float
    text: str
    speaker: str = ""
    words: tuple[Word, ...] = ()


class Engine:
    """What every engine says of itself. Engines derive from this, or have the same attributes and methods.

    name: by which it is chosen. about: what it is, in one sentence. license: of program and model. install: how to get
    it. automatic: whether it may be chosen without being named; engines that send data elsewhere may not.
    own_voices: whether a voice may be a file of the user's, in a language that the engine cannot know of.
    """

    name: ClassVar[str] = ""
    about: ClassVar[str] = ""
    license: ClassVar[str] = "unknown"
    install: ClassVar[str] = ""
    automatic: ClassVar[bool] = True
    own_voices: ClassVar[bool] = False

    def missing(self) -> str:
        """Why it cannot be used here; "" if it can."""
        return ""

    def languages(self) -> tuple[str, ...]:
        """Languages it knows, as "en" or "pt-BR"; for translators pairs like "en>es". ("*",) for any; empty if it is
        not installed."""
        return ("*",)

    def version(self) -> str:
        """Its version: results are kept by it."""
        return ""


@runtime_checkable
class Speaker(Protocol):
    """Text to speech."""

    def speak(self, text: str, language: str, voice: str = "") -> Spoken:
        """Say ``text`` (plain text) in ``language`` with one of ``voices``, or the default. Raises EngineError."""
        ...

    def voices(self, language: str) -> tuple[str, ...]:
        """Voices for a language, the default first."""
        ...


@runtime_checkable
class Listener(Protocol):
    """Speech to text."""

    def transcribe(self, wav: Array, rate: int, language: str) -> list[Segment]:
        """What is said in ``wav`` (n,) float32, mono, and when. Raises EngineError."""
        ...


@runtime_checkable
class Translator(Protocol):
    """Text to text."""

    def translate(self, segments: Sequence[Segment], source: str, target: str) -> list[Segment]:
        """The same segments with their text in another language. Raises EngineError."""
        ...


@runtime_checkable
class Writer(Protocol):
    """A topic to a text to speak."""

    def write(self, topic: str, seconds: float, language: str) -> str:
        """A text about ``topic`` that takes about ``seconds`` to say. Raises EngineError."""
        ...


def base(language: str) -> str:
    """The language without its region: "pt" of "pt-BR"."""
    return language.replace("_", "-").split("-")[0].lower()


def knows(languages: Sequence[str], language: str) -> bool:
    """Whether an engine with these languages covers ``language``: "en" covers "en-US", and the other way around."""
    wanted = language.replace("_", "-").lower()
    return any(one == "*" or one.lower() == wanted or base(one) == base(wanted) for one in languages)


def spread(text: str, seconds: float, start: float = 0.0) -> list[Word]:
    """The words of a text with times in proportion to their letters, for engines that do not know them."""
    texts = text.split()
    total = sum(len(t) + 1 for t in texts) or 1
    made, at = [], start
    for one in texts:
        until = at + seconds * (len(one) + 1) / total
        made.append(Word(one, at, until))
        at = until
    return made
