"""Command-line arguments that describe a pipeline and its options, and what is made of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from . import options
from .errors import OptionError
from .run_options import RunOptions

T = TypeVar("T")


def pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", "-p", default="default", help="preset name or YAML file (default: default)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="STAGE.OPTION=VALUE", help="change an option; see `options`"
    )
    for flag, metavar, text in (
        ("--replace", "NAME=STAGE", "put another stage in place of one: --replace parse=mymodule:Mask"),
        ("--insert-after", "NAME=STAGE", "add a stage after one: --insert-after parse=mymodule:Logo"),
        ("--insert-before", "NAME=STAGE", "add a stage before one"),
        ("--without", "NAME", "leave a stage out"),
    ):
        parser.add_argument(flag, action=_Edit, dest="edits", default=[], metavar=metavar, help=text)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default auto)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16 (default auto)")
    parser.add_argument("--batch-size", type=int, help="faces per micro-batch (default: by device)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


class _Edit(argparse.Action):
    """Collects changes of the pipeline in the order they were given: (flag, text)."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        namespace.edits = [*namespace.edits, (str(option_string), str(values))]


def option_arguments(
    parser: argparse.ArgumentParser,
    kind: type = RunOptions,
    names: Collection[str] = (),
    also: Mapping[str, str] | None = None,
) -> None:
    """One flag for every field of an options dataclass (or those named), as its field describes it. also: further
    flags by field."""
    for one in options.listing(kind):
        if names and one.name not in names:
            continue
        flag = one.name.replace("_", "-")
        text = one.help.replace("%", "%%")
        if one.type == "bool":
            shown = f"--no-{flag}" if one.default else f"--{flag}"
            about = f"turn off: {text}" if one.default else text
            parser.add_argument(shown, dest=one.name, action="store_const", const=not one.default, help=about)
        else:
            allowed = one.allowed.replace("%", "%%")
            about = f"{text} [{allowed}]" if allowed else text
            flags = [f"--{flag}", *([also[one.name]] if also and one.name in also else [])]
            parser.add_argument(*flags, dest=one.name, metavar=(one.unit or flag).upper(), help=about)


def chosen_options(args: argparse.Namespace, kind: type[T]) -> T:
    """An options dataclass from the flags that were given. Raises OptionError."""
    given = {one.name: getattr(args, one.name, None) for one in options.listing(kind)}
    try:
        return options.make(kind, {n: v for n, v in given.items() if v is not None}, label="--")
    except OptionError as error:  # names as they are typed: --sync-offset
        raise OptionError(re.sub(r"^--\w+", lambda name: name[0].replace("_", "-"), str(error))) from error


def pipeline(args: argparse.Namespace) -> Any:
    """The pipeline that the arguments describe. Raises OptionError."""
    from .pipeline import HQPipeline

    pipe = HQPipeline(args.preset, device=args.device, precision=args.precision, batch_size=args.batch_size)
    for flag, text in args.edits:
        pipe = _edited(pipe, flag, text)
    return pipe.set(*args.set) if args.set else pipe


def _edited(pipe: Any, flag: str, text: str) -> Any:
    """The pipeline after one of --replace, --insert-after, --insert-before, --without."""
    from .config import parse_stage

    if flag == "--without":
        return pipe.without(text)
    name, sign, stage = (part.strip() for part in text.partition("="))
    if not name or not stage:
        raise OptionError(f"{flag} takes NAME=STAGE, as in parse=mymodule:Mask, not '{text}'")
    if flag == "--replace":
        return pipe.replace(**{name: parse_stage(stage)})
    return pipe.insert(parse_stage(stage), **{flag.removeprefix("--insert-"): name})
