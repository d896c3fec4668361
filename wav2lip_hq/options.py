"""Options, documented once: in the dataclass field itself.

    @described
    @dataclass(frozen=True)
    class Fade:
        seconds: float = option(0.5, "How long a fade takes; longer is softer, 0 cuts.", unit="s", low=0, high=10)

        def __post_init__(self) -> None:
            check(self)

Stages, run options and training tasks are such dataclasses. ``check`` enforces what a field says about itself,
``wav2lip-hq options``, ``help()`` and the documentation show it, and YAML and command-line text are converted by it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import textwrap
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass
from numbers import Real
from typing import Any, TypeVar

from .errors import OptionError
from .values import NOTHING, as_type, hints, type_text

T = TypeVar("T")

_KEY = "option"


@dataclass(frozen=True)
class Rule:
    """Constraints and documentation of an option, in its field's metadata."""

    help: str = ""
    unit: str = ""
    low: float | None = None  # at least
    high: float | None = None  # at most
    above: float | None = None  # more than
    below: float | None = None  # less than
    choices: tuple[Any, ...] = ()
    finite: bool = True

    @property
    def allowed(self) -> str:
        """ "between 0 and 1", "at least 32 px", "mouth, face or lips"; "" where all values of the type are allowed."""
        if self.choices:
            words = [str(c) if c != "" else '""' for c in self.choices]
            return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
        unit = f" {self.unit}" if self.unit else ""
        if self.low is not None and self.high is not None:
            return f"between {_number(self.low)} and {_number(self.high)}{unit}"
        limits = (("at least", self.low), ("more than", self.above), ("at most", self.high), ("less than", self.below))
        said = [f"{words} {_number(limit)}" for words, limit in limits if limit is not None]
        return " and ".join(said) + unit if said else ""

    def accepts(self, value: Any) -> bool:
        """Whether a value of the right type is in range; in a sequence or mapping, whether all values are."""
        if isinstance(value, Mapping):
            return all(self.accepts(v) for v in value.values())
        if isinstance(value, (tuple, list)):
            return all(self.accepts(v) for v in value)
        if value is None:  # the type says whether None is possible
            return True
        if self.choices:
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, Real):
            return True
        try:
            number = float(value)
        except OverflowError:
            return False
        if math.isnan(number) or (self.finite and math.isinf(number)):
            return not self.finite
        return (
            (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )


@dataclass(frozen=True)
class Option:
    """One option as ``listing`` shows it."""

    name: str
    type: str  # "float", "int or None"
    default: Any  # ``dataclasses.MISSING`` where a value has to be given
    allowed: str  # "between 0 and 1", or ""
    help: str
    unit: str = ""

    @property
    def default_text(self) -> str:
        """The default as one would write it in YAML."""
        return "(required)" if self.default is MISSING else plain(self.default)


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Collection[Any] = (),
    finite: bool = True,
) -> Any:
    """A dataclass field that documents itself.

    default: its value, or ``dict``, ``list`` or ``tuple`` for an empty one, or ``dataclasses.MISSING`` for a required
    option. help: one sentence on what it does and what more or less of it changes. unit: "ms", "px". low and high:
    inclusive bounds; above and below: exclusive ones. choices: all allowed values. finite: whether infinity and NaN are
    refused. Bounds hold for each number of a sequence or mapping.
    """
    rule = Rule(help, unit, low, high, above, below, tuple(choices), finite)
    metadata = {_KEY: rule}
    if default is MISSING:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, type) and default in (dict, list, tuple):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def rule(field: dataclasses.Field[Any]) -> Rule:
    """A field's rule; an empty one if it was declared without ``option``."""
    found = field.metadata.get(_KEY)
    return found if isinstance(found, Rule) else Rule()


# ---- reading


def listing(kind: Any) -> tuple[Option, ...]:
    """All options of a dataclass (or an instance of it, whose values then stand for the defaults), in its order."""
    made = []
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        default = field.default
        if not isinstance(kind, type):
            default = getattr(kind, field.name)
        elif field.default_factory is not MISSING:
            default = field.default_factory()
        said = rule(field)
        made.append(Option(field.name, type_text(field.type), default, said.allowed, said.help, said.unit))
    return tuple(made)


def text(kind: Any, indent: str = "", values: str = "default") -> str:
    """The options of a dataclass (or a listing) as paragraphs for a terminal or a docstring. values: a word
    for the values shown."""
    lines = []
    for one in kind if isinstance(kind, tuple) else listing(kind):
        facts = [one.type, one.allowed or one.unit, f"{values} {one.default_text}"]
        lines.append(f"{indent}{one.name}: " + "; ".join(f for f in facts if f))
        if one.help:
            lines += textwrap.wrap(one.help, 100, initial_indent=f"{indent}    ", subsequent_indent=f"{indent}    ")
    return "\n".join(lines)


def markdown(kind: Any) -> str:
    """The options of a dataclass (or a listing) as a Markdown table."""
    lines = ["| option | type | default | allowed | what it does |", "|---|---|---|---|---|"]
    for one in kind if isinstance(kind, tuple) else listing(kind):
        cells = [f"`{one.name}`", one.type, f"`{one.default_text}`", one.allowed or one.unit, one.help]
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines)


def described(kind: type[T]) -> type[T]:
    """Class decorator, above ``dataclass``: adds the options to the docstring, so that ``help(kind)`` shows them."""
    shown = text(kind, "    ")
    if shown:
        kind.__doc__ = f"{(kind.__doc__ or kind.__name__).rstrip()}\n\n    Options:\n\n{shown}\n"
    return kind


def plain(value: Any) -> str:
    """A value as one would write it in YAML: true, 0.5, [1, 2], "" for empty text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(plain(v) for v in value)}]"
    if isinstance(value, float):
        return _number(value)
    return str(value) if value != "" else '""'


def shown(value: Any) -> str:
    """A value that was given, in a message: short, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an object of the caller's own
        text = f"a {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'restore'?", or the list of all known words."""
    names = sorted(known)
    close = difflib.get_close_matches(word[:100], names, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there is {', '.join(names)}"


def counted(number: int, what: str) -> str:
    """ "1 job", "2 jobs"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


# ---- checking


def check(instance: Any) -> None:
    """Check all options of a dataclass instance: type, range, choices. For ``__post_init__``; raises OptionError.

    Values are converted to the field's type: 1 becomes 1.0 in a float, a list becomes a tuple.
    """
    kind = type(instance)
    for field in dataclasses.fields(kind):
        if field.init:
            given = getattr(instance, field.name)
            object.__setattr__(instance, field.name, _checked(kind, field.name, given, _label(kind), parse=False))


def convert(kind: Any, name: str, value: Any, label: str | None = None) -> Any:
    """``value``, from YAML or as text, as the type of option ``name`` of a dataclass, checked like ``check`` does.

    label: prefix of the name in messages; default "STAGE." for stages. Raises OptionError, with a suggestion for a name
    that does not exist.
    """
    known(kind, (name,), label)
    return _checked(kind, name, value, _label(kind) if label is None else label, parse=True)


def make(kind: type[T], values: Mapping[str, Any], label: str | None = None) -> T:
    """An instance of a dataclass from YAML or text values. Raises OptionError: name, type, range, one missing."""
    for one in listing(kind):
        if one.default is MISSING and one.name not in values:
            raise OptionError(f"{_label(kind) if label is None else label}{one.name} has to be given: {one.help}")
    return kind(**{name: convert(kind, name, value, label) for name, value in values.items()})


def update(instance: T, values: Mapping[str, Any], label: str | None = None) -> T:
    """A copy with all ``values`` (YAML or text) set together, so that their order does not matter."""
    changes = {name: convert(type(instance), name, value, label) for name, value in values.items()}
    return dataclasses.replace(instance, **changes)  # type: ignore[type-var]


def known(kind: Any, names: Iterable[str], label: str | None = None) -> None:
    """Raise OptionError for the first of ``names`` that is not an option of the dataclass."""
    there = [f.name for f in dataclasses.fields(kind) if f.init]
    for name in names:
        if not isinstance(name, str):
            raise OptionError(f"{_label(kind) if label is None else label}{shown(name)}: an option's name is text")
        if name not in there:
            label = _label(kind) if label is None else label
            whose = f"'{label.rstrip('.')}' has" if label.strip(". ") else "there is"
            raise OptionError(f"{whose} no option '{name}'{suggestion(name, there)}")


def _label(kind: type) -> str:
    """ "restore." for stages, "" for dataclasses without a name of their own."""
    name = getattr(kind, "name", "")
    return f"{name}." if isinstance(name, str) and name else ""


def _checked(kind: type, name: str, value: Any, label: str, *, parse: bool) -> Any:
    expected, said = hints(kind)[name], rule(next(f for f in dataclasses.fields(kind) if f.name == name))
    found = as_type(value, expected, parse)
    if found is NOTHING:
        raise OptionError(f"{label}{name} is {type_text(expected)}, not {shown(value)}")
    if not said.accepts(found):
        near = ""
        if said.choices and isinstance(found, str):
            close = difflib.get_close_matches(found, [str(c) for c in said.choices], n=1)
            near = f"; did you mean '{close[0]}'?" if close else ""
        raise OptionError(f"{label}{name} is {said.allowed or 'a finite number'}, not {shown(value)}{near}")
    return found


def _number(value: float) -> str:
    """The shortest exact text: 0.5, 16, 1e-05."""
    return f"{value:g}" if isinstance(value, int) is False and float(f"{value:g}") == value else str(value)
