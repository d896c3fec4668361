"""What the page offers of presets and options: those of ``wav2lip-hq run``, without what names files or code.

Somebody at a browser may be somebody else than whoever started the studio. So only presets of the package are taken,
and only options that are numbers, switches or choices, or texts that nothing is read from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

from .. import config, options
from ..errors import OptionError
from ..run_options import RunOptions
from ..stages import STAGES

FORMATS = {".mp4": ("h264", "hevc"), ".mov": ("h264", "hevc", "prores_422hq", "prores_4444"), ".mkv": ("h264", "ffv1")}
# The marks are left to whoever started the studio, and so are files, memory and what only a command line can show.
RUN = (
    *("extend", "trim", "start", "end", "speech_start", "speech_end", "sync_offset", "label", "language"),
    *("loudness", "keep_tracks", "clean_speech", "deinterlace", "crf", "encoder_preset", "watermark_id"),
)
LEFT_OUT = {("watermark", "number"), ("track", "faces"), ("lipsync", "sync_offset"), ("detect", "size")}
_NAMES = {"float": "number", "int": "integer", "bool": "switch"}


def field(kind: Any, one: options.Option) -> dict[str, Any] | None:
    """An option as a form's field, None if it is none that may be offered."""
    rule = options.rule(next(f for f in dataclasses.fields(kind) if f.name == one.name))
    plain = one.type.removesuffix(" or None")
    shape = "choice" if rule.choices else _NAMES.get(plain, "text")
    row: dict[str, Any] = {
        "name": one.name,
        "shape": shape,
        "default": one.default,
        "help": one.help,
        "unit": one.unit,
        "optional": plain != one.type,
        "choices": list(rule.choices),
        "low": rule.low if rule.low is not None else rule.above,
        "high": rule.high if rule.high is not None else rule.below,
    }
    return row


@cache
def _stage_fields(name: str) -> tuple[str, ...]:
    """The options of a stage that are no text: nothing can be named by them."""
    kind = STAGES[name]
    made = []
    for one in options.listing(kind):
        row = field(kind, one)
        if row and row["shape"] != "text" and (name, one.name) not in LEFT_OUT:
            made.append(one.name)
    return tuple(made)


def listing() -> dict[str, Any]:
    """Presets with their stages' options, and the options of a run, as the page shows them."""
    from .. import checkpoints

    presets = []
    for name in config.preset_names():
        preset = config.read_preset(name)
        stages = []
        for stage in preset.stages:
            if stage.name not in STAGES:
                continue
            rows = {o.name: field(type(stage), o) for o in options.listing(stage)}
            fields = [rows[n] for n in _stage_fields(stage.name) if rows[n]]
            if fields:
                stages.append({"name": stage.name, "about": _summary(stage), "fields": fields})
        missing = [m for s in preset.stages for m in s.models if checkpoints.locate(m) is None]
        presets.append({"name": name, "about": preset.description, "missing": missing, "stages": stages})
    presets.sort(key=lambda p: (bool(p["missing"]), p["name"] != "default"))
    there = {o.name: field(RunOptions, o) for o in options.listing(RunOptions)}
    formats = {ending: list(codecs) for ending, codecs in FORMATS.items()}
    return {"presets": presets, "run": [there[name] for name in RUN], "formats": formats}


def checked(preset: Any, given: Any, format: Any, codec: Any) -> tuple[str, dict[str, Any], list[str]]:
    """(preset, fields of a job file's row, settings of stages) for what a form says: ``{"extend": "hold",
    "blend.texture": 0.8}``. Raises OptionError, as the command line does."""
    known = config.preset_names()
    if preset not in known:  # the name of a file would be read
        raise OptionError(f"unknown preset '{str(preset)[:100]}'{options.suggestion(str(preset), known)}")
    if not isinstance(given, Mapping):
        raise OptionError("options are a mapping of names to values")
    run: dict[str, Any] = {}
    settings = []
    for name, value in given.items():
        stage, dot, inner = str(name).partition(".")
        if isinstance(value, str) and (len(value) > 200 or not value.isprintable()):
            raise OptionError(f"{str(name)[:60]}: at most 200 characters, in one line")
        if not dot:
            if name not in RUN:
                raise OptionError(f"the studio has no option '{str(name)[:60]}'{options.suggestion(str(name), RUN)}")
            run[name] = options.convert(RunOptions, name, value, label="")
        else:
            if stage not in STAGES or inner not in _stage_fields(stage):
                raise OptionError(f"the studio has no option '{str(name)[:60]}'")
            made = options.convert(STAGES[stage], inner, value)
            settings.append(f"{stage}.{inner}={options.plain(made)}")
    RunOptions(**run)
    config.set_options(config.load_preset(preset), settings)
    if format not in FORMATS:
        raise OptionError(f"a video is {', '.join(FORMATS)}, not '{str(format)[:20]}'")
    if codec:
        if codec not in FORMATS[format]:
            raise OptionError(f"{format} holds {', '.join(FORMATS[format])} here, not '{str(codec)[:20]}'")
        run["codec"] = codec
    return str(preset), run, settings


def _summary(stage: Any) -> str:
    words = " ".join(str(type(stage).__doc__ or "").replace("`", "").split("\n\n")[0].split())
    return words.partition(". ")[0].rstrip(".") + "."
