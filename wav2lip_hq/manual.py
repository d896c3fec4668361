"""The reference of all options, read from their fields: ``wav2lip-hq options`` and ``docs/options.md``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from . import config, lookup, options
from .avatars.choices import MakeOptions
from .errors import OptionError
from .options import Option
from .run_options import RunOptions
from .stages import STAGES
from .studio.choices import StudioOptions
from .training.tasks import option_classes
from .voices.choices import DubOptions, SayOptions

ENCODER = ("codec", "crf", "encoder_preset", "pix_fmt")  # RunOptions that are shown as a section of their own
HEAD = """# Options

Written by `wav2lip-hq options --markdown`; edit the fields, not this page. On the command line and in job files, a
stage's options are set with `--set STAGE.OPTION=VALUE`; in presets, beside its name; in Python, when it is made.
`wav2lip-hq options PRESET` shows what a preset sets.
"""


@dataclass(frozen=True)
class Section:
    """The options of one thing."""

    name: str  # "restore", "run", "encoder", "train.generator"
    group: str  # "Stages", "A run", "Speech", "Training"
    title: str
    options: tuple[Option, ...]
    values: str = "default"  # "default", or "set to" for the values of a preset


def sections() -> Iterator[Section]:
    """Sections of all stages (the project's and those that installed packages offer), runs, speech, training tasks."""
    for name in [*STAGES, *sorted(config.offered_stages())]:
        yield stage_section(config.stage_kind(name))
    fields = options.listing(RunOptions)
    yield Section("run", "A run", _summary(RunOptions), tuple(o for o in fields if o.name not in ENCODER))
    yield Section("encoder", "A run", "How the output is encoded.", tuple(o for o in fields if o.name in ENCODER))
    yield Section("say", "Speech", _summary(SayOptions), options.listing(SayOptions))
    yield Section("dub", "Speech", _summary(DubOptions), options.listing(DubOptions))
    yield Section("avatar", "Speech", _summary(MakeOptions), options.listing(MakeOptions))
    yield Section("studio", "The studio", _summary(StudioOptions), options.listing(StudioOptions))
    for name, kind in option_classes().items():
        yield Section(f"train.{name}", "Training", _summary(kind), options.listing(kind))


def stage_section(stage: Any) -> Section:
    """The options of a stage class with their defaults, or of a stage with its values."""
    values = "default" if isinstance(stage, type) else "set to"
    return Section(stage.name, "Stages", _summary(stage), options.listing(stage), values)


def about(topic: str) -> list[Section]:
    """Sections of a topic: "" for all, a stage (also ``module:Class``), "run", "encoder", "train" for all of
    training, "train.generator", a preset, or one option like "restore.strength". Raises OptionError for another."""
    if lookup.is_reference(topic):
        return [stage_section(config.stage_kind(topic))]
    there = list(sections())
    if not topic:
        return there
    found = [s for s in there if s.name == topic or s.name.startswith(f"{topic}.")]
    if found:
        return found
    name, _, option = topic.rpartition(".")
    found = [s for s in there if s.name == name]
    if found:
        known = [o.name for o in found[0].options]
        if option not in known:
            raise OptionError(f"'{name}' has no option '{option}'{options.suggestion(option, known)}")
        picked = tuple(o for o in found[0].options if o.name == option)
        return [Section(name, found[0].group, found[0].title, picked)]
    presets = config.preset_names()
    if topic in presets or topic.lower().endswith((".yaml", ".yml")):
        return [stage_section(stage) for stage in config.read_preset(topic).stages]
    known = [*(s.name for s in there), *presets]
    near = topic if f"train.{topic}" not in known else f"train.{topic}"
    raise OptionError(f"there are no options of '{topic}'{options.suggestion(near, known)}")


def text(shown: Iterable[Section]) -> str:
    """For a terminal."""
    return "\n\n".join(f"{s.name}: {s.title}\n{options.text(s.options, '  ', s.values)}" for s in shown)


def markdown(shown: Iterable[Section]) -> str:
    """The page."""
    parts, group = [HEAD], ""
    for section in shown:
        if section.group != group:
            group = section.group
            parts.append(f"## {group}\n")
        parts.append(f"### {section.name}\n\n{section.title}\n\n{options.markdown(section.options)}\n")
    return "\n".join(parts)


def plain(shown: Iterable[Section]) -> list[dict[str, Any]]:
    """For JSON: one mapping an option."""
    return [
        {
            "of": section.name,
            "option": one.name,
            "type": one.type,
            "default": None if one.default is None else one.default_text,
            "allowed": one.allowed,
            "unit": one.unit,
            "help": one.help,
        }
        for section in shown
        for one in section.options
    ]


def _summary(thing: Any) -> str:
    """The first sentence of a docstring."""
    words = " ".join(str(thing.__doc__ or "").split("\n\n")[0].split())
    return words.partition(". ")[0].rstrip(".") + "." if words else ""
