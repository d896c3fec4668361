"""Which engines there are: the project's, those that installed packages offer, and the user's own by ``module:Class``.

An installed package offers engines in the entry point groups ``wav2lip_hq.speakers``, ``wav2lip_hq.listeners``,
``wav2lip_hq.translators`` and ``wav2lip_hq.writers``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .. import lookup
from ..errors import EngineError, OptionError
from ..options import suggestion
from .speech import Listener, Speaker, Translator, Writer, base, knows

KINDS: dict[str, Any] = {"speaker": Speaker, "listener": Listener, "translator": Translator, "writer": Writer}

# The better ones first: the first that is installed and knows the language is taken.
ENGINES: dict[str, dict[str, str]] = {
    "speaker": {
        "piper": "piper:Piper",
        "espeak": "espeak:Espeak",
        "flite": "flite:Flite",
        "http": "openai:HttpSpeaker",
    },
    "listener": {"pocketsphinx": "sphinx:Sphinx", "http": "openai:HttpListener"},
    "translator": {"apertium": "apertium:Apertium", "glossary": "glossary:Glossary", "http": "openai:HttpTranslator"},
    "writer": {"template": "template:Template", "http": "openai:HttpWriter"},
}
WHERE = "wav2lip-hq voices lists all of them"


@dataclass(frozen=True)
class Listed:
    """An engine as ``wav2lip-hq voices`` shows it. missing: why it cannot be used, or ""."""

    kind: str
    name: str
    about: str
    license: str
    languages: tuple[str, ...]
    missing: str
    install: str


def offered(kind: str) -> dict[str, Any]:
    """Entry points of installed packages, by name."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=f"wav2lip_hq.{kind}s")}


def names(kind: str) -> list[str]:
    """Names of all engines of a kind, the likeliest choice first."""
    return list(dict.fromkeys([*ENGINES[kind], *sorted(offered(kind))]))


def make(kind: str, name: str) -> Any:
    """An engine by name, usable or not. Raises OptionError: no such engine, or it is not of that kind."""
    if name in ENGINES[kind]:
        module, _, attribute = ENGINES[kind][name].partition(":")
        return getattr(import_module(f".{module}", __package__), attribute)()
    points = offered(kind)
    if name in points:
        try:
            found = points[name].load()
        except Exception as error:
            raise OptionError(f"the {kind} '{name}' of an installed package fails to load: {error}") from error
    elif lookup.is_reference(name):
        found = lookup.find(name)
    else:
        raise OptionError(f"unknown {kind} '{name}'{suggestion(name, names(kind))}")
    try:
        engine = found() if isinstance(found, type) else found
    except Exception as error:
        raise OptionError(f"the {kind} '{name}' fails when it is made: {error}") from error
    if not isinstance(engine, KINDS[kind]):
        wanted = ", ".join(n for n in vars(KINDS[kind]) if not n.startswith("_"))
        raise OptionError(f"'{name}' is not a {kind}: it needs {wanted} (see wav2lip_hq.voices.{kind.capitalize()})")
    return engine


def find(kind: str, name: str, *languages: str) -> Any:
    """An engine that can be used: the one called ``name``, or with "auto" the first that knows the languages (of a
    translator: source and target). Raises OptionError, and EngineError: not installed, or none for the language."""
    wanted = _wanted(languages)
    if name != "auto":
        engine = make(kind, name)
        if why := reason(engine):
            raise EngineError(f"the {kind} '{name}' cannot be used: {why}")
        if wanted and not getattr(engine, "own_voices", False) and not _knows(engine, languages):
            raise EngineError(f"the {kind} '{name}' does not know {wanted}; it knows {_shown(known(engine))}")
        return engine
    lacking: list[str] = []
    for one in names(kind):
        engine = make(kind, one)
        if not getattr(engine, "automatic", True):
            continue
        why = reason(engine)
        if not why and _knows(engine, languages):
            return engine
        lacking.append(f"{one}: {why or f'knows {_shown(known(engine))}'}")
    raise EngineError(f"there is no {kind} for {wanted or 'this'} ({'; '.join(lacking) or 'none is known'}); {WHERE}")


def listing() -> list[Listed]:
    """All engines, in the order in which they are chosen."""
    rows = []
    for kind in KINDS:
        for name in names(kind):
            try:
                engine = make(kind, name)
            except OptionError as error:  # of somebody else's package: the others are listed all the same
                rows.append(Listed(kind, name, "", "", (), str(error), ""))
                continue
            about, terms, how = (str(getattr(engine, field, "")) for field in ("about", "license", "install"))
            rows.append(Listed(kind, name, about, terms, known(engine), reason(engine), how))
    return rows


def reason(engine: Any) -> str:
    """Why an engine cannot be used, or ""."""
    ask = getattr(engine, "missing", None)
    return str(ask()) if ask is not None else ""


def known(engine: Any) -> tuple[str, ...]:
    """Languages of an engine; any, if it does not say."""
    ask = getattr(engine, "languages", None)
    return tuple(ask()) if ask is not None else ("*",)


def label(engine: Any) -> str:
    """Name and version, for what is kept of its results."""
    ask = getattr(engine, "version", None)
    name = getattr(engine, "name", "") or f"{type(engine).__module__}:{type(engine).__name__}"
    return f"{name} {ask() if ask is not None else ''}".strip()


def _wanted(languages: tuple[str, ...]) -> str:
    return " to ".join(f"'{one}'" for one in languages)


def _knows(engine: Any, languages: tuple[str, ...]) -> bool:
    there = known(engine)
    if len(languages) == 2:
        source, target = languages
        pairs = [tuple(one.split(">")) for one in there if ">" in one]
        return "*" in there or any(base(p[0]) == base(source) and base(p[1]) == base(target) for p in pairs)
    return not languages or knows(there, languages[0])


def _shown(languages: tuple[str, ...]) -> str:
    if languages == ("*",):
        return "any language"
    return ", ".join(languages[:12]) + (f" and {len(languages) - 12} more" if len(languages) > 12 else "") or "none"
