"""The command line: ``wav2lip-hq run | survey | sync | say | dub | avatar | batch | train | ...``, see ``--help``.

Nothing heavy is imported before it is needed: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import (
    __version__,
    boundary,
    checkpoints_cli,
    color_cli,
    demo_cli,
    detect_cli,
    doctor_cli,
    machine,
    presets_cli,
    provenance_cli,
    run_cli,
    survey_cli,
    synccheck_cli,
    ulimit,
)
from .avatars import cli as avatars_cli
from .jobs import cli as jobs_cli
from .studio import cli as studio_cli
from .training import cli as training_cli
from .voices import cli as voices_cli


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser("wav2lip-hq", description="High-resolution lip-sync for real footage.")
    parser.add_argument("--version", action="version", version=f"wav2lip-hq {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run_cli.add_run(commands)
    survey_cli.add_survey(commands)
    demo_cli.add_demo(commands)
    detect_cli.add_detect(commands)
    voices_cli.add_say(commands)
    voices_cli.add_dub(commands)
    voices_cli.add_voices(commands)
    avatars_cli.add_avatar(commands)
    synccheck_cli.add_sync(commands)
    studio_cli.add_studio(commands)
    presets_cli.add_presets(commands)
    presets_cli.add_options(commands)
    checkpoints_cli.add_checkpoints(commands)
    color_cli.add_colorspaces(commands)
    doctor_cli.add_doctor(commands)
    provenance_cli.add_provenance(commands)
    provenance_cli.add_identity(commands)
    jobs_cli.add_arguments(commands.add_parser("batch", help="many shots unattended: plan, run, status, retry, report"))
    training_cli.add_arguments(commands.add_parser("train", help="prepare data, train, personalize"))
    person = commands.add_parser("personalize", help="fine-tune generator and restorer on one person's footage")
    training_cli.add_personalize(person)
    _add_debug(parser)
    return parser


def _add_debug(parser: argparse.ArgumentParser) -> None:
    """--debug is accepted anywhere: people add it to the end of the last command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
                _add_debug(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = build_parser().parse_args(argv)

    def work() -> int:
        limit = machine.address_space()
        batch = args.command == "batch" and args.what in ("plan", "run")
        if limit is not None and (batch or args.command in ulimit.HEAVY):
            ulimit.check(limit)
            if not batch and not ulimit.watched():  # the workers of a batch are watched by their runner
                return ulimit.watch(sys.argv[1:] if argv is None else list(argv), limit, _writes_to(args))
        handler = {
            "run": run_cli.run,
            "survey": survey_cli.survey,
            "demo": demo_cli.demo,
            "detect": detect_cli.detect,
            "say": voices_cli.say,
            "dub": voices_cli.dub,
            "voices": voices_cli.voices,
            "avatar": avatars_cli.avatar,
            "sync": synccheck_cli.sync,
            "studio": studio_cli.studio,
            "presets": presets_cli.presets,
            "options": presets_cli.options,
            "checkpoints": checkpoints_cli.checkpoints,
            "colorspaces": color_cli.colorspaces,
            "doctor": doctor_cli.doctor,
            "provenance": provenance_cli.provenance,
            "identity": provenance_cli.identity,
            "batch": jobs_cli.main,
            "train": training_cli.main,
            "personalize": training_cli.personalize_main,
        }[args.command]
        return int(handler(args))

    return boundary.guarded(work, args.debug, last=argv is None)


def _writes_to(args: argparse.Namespace) -> Path | None:
    """The folder in which a command may leave temporary files."""
    if args.command == "demo":
        return Path(args.out)
    # With one speech for each speaker, the output is what stands in the place of the speech.
    path = getattr(args, "output", None) or getattr(args, "audio", None) or getattr(args, "out", None)
    return Path(path).parent if path else None


if __name__ == "__main__":
    sys.exit(main())
