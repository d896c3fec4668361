"""`wav2lip-hq train ...`: prepare data, train a task, personalize to one person."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..errors import OptionError
from ..options import listing, make
from .options.prepare import PrepareOptions
from .tasks import TASKS, load_recipe, recipe_path, train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands. Imports nothing heavy."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="TASK")
    prepare = commands.add_parser("prepare", help="footage -> training set (face crops at 25 fps with their speech)")
    prepare.add_argument("source", type=Path, help="folder of clips (plain, GRID, LRS2/3, LRW) or a list file")
    prepare.add_argument("target", type=Path, help="folder for the prepared clips")
    prepare.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    for option in listing(PrepareOptions):
        if option.name != "stages":
            facts = ", ".join(f for f in (option.unit, f"default {option.default_text}") if f)
            text = f"{option.help.rstrip('.')} ({facts})"
            prepare.add_argument(f"--{option.name}", metavar=option.name.upper(), help=text.replace("%", "%%"))
    prepare.add_argument("--detector", help="detector checkpoint (default: embedded)")
    for task, entry in TASKS.items():
        one = commands.add_parser(
            task,
            help=f"train {entry.title}",
            description=f"Train {entry.title}. All options: wav2lip-hq options train.{task}",
        )
        one.add_argument("recipe", nargs="?", default=task, help="recipe YAML or a packaged recipe's name")
        one.add_argument("--out", type=Path, help="folder of the run (default runs/RECIPE); an existing run continues")
        one.add_argument("--minutes", type=_minutes, help="stop after this long; run again to continue")
        one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe value")
    embed = commands.add_parser("embed", help="put a trained checkpoint among the embedded weights, with a model card")
    embed.add_argument("source", type=Path, help="a run's best.safetensors")
    embed.add_argument("name", help="detector, landmarks, articulation, generator, parser, restorer, expert or syncnet")
    embed.add_argument(
        "--mean", type=Path, nargs="+", default=[], help="embed the mean of SOURCE and these checkpoints"
    )
    embed.add_argument(
        "--bits", type=int, choices=(16, 8), default=16, help="how weights are stored; 8 halves the file (default 16)"
    )
    embed.add_argument("--folder", type=Path, default=Path("checkpoints/embedded"), help="default checkpoints/embedded")
    judged = commands.add_parser("evaluate", help="measure a generator on people it was not trained on")
    judged.add_argument("model", help="checkpoint name or path")
    judged.add_argument("--data", type=Path, default=Path("runs/data"), help="made by `prepare` (default runs/data)")
    judged.add_argument("--identities", nargs="+", help="people to use (default: those of the data's split.json)")
    judged.add_argument("--every", type=int, default=1, metavar="N", help="every Nth clip only")
    judged.add_argument("--judge", default="embedded-syncnet", help="sync network (default embedded-syncnet)")
    table = commands.add_parser("ablation", help="the paper's Table 3: sync networks of 1, 3, 5 frames, frozen or not")
    table.add_argument("--out", type=Path, default=Path("runs/ablation"), help="default runs/ablation; continues")
    table.add_argument("--minutes", type=_minutes, help="stop each of the seven runs after this long")
    table.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override in all recipes")
    resync = commands.add_parser("resync", help="find prepared clips whose own sound is late, and correct them")
    resync.add_argument("data", type=Path, help="a folder made by `prepare`")
    resync.add_argument("--model", default="embedded-expert", help="lip-sync expert (default embedded-expert)")
    add_personalize(commands.add_parser("personalize", help="fine-tune generator and restorer on one person"))


def add_personalize(person: argparse.ArgumentParser) -> None:
    """Add the options of `wav2lip-hq personalize`, which is also a training task."""
    person.add_argument("--video", type=Path, required=True, help="one or two minutes of the person talking")
    person.add_argument("--name", required=True, help="name to use later: -p generated --set lipsync.model=NAME")
    person.add_argument("--minutes", type=_minutes, default=20, help="training time (default 20)")
    person.add_argument("--work", type=Path, help="folder for intermediate data (default runs/personal-NAME)")


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value < 10**7:
        raise ValueError("no time")
    return value


def settings(pairs: list[str]) -> dict[str, str]:
    """["lr=1e-4", "sync_weight=0"] -> {"lr": "1e-4", "sync_weight": "0"}; the recipe knows what type each has."""
    out: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise OptionError(f"--set takes KEY=VALUE, not '{pair}'")
        out[key.strip()] = value.strip()
    return out


def personalize_main(args: argparse.Namespace) -> int:
    """Fine-tune on one person and say what was gained."""
    from .personalize import personalize

    print(personalize(args.video, args.name, minutes=args.minutes, work=args.work).text())
    return 0


def main(args: argparse.Namespace) -> int:
    """Run the chosen sub-command; errors are for the caller to print."""
    if args.what == "prepare":
        given = {option.name: getattr(args, option.name, None) for option in listing(PrepareOptions)}
        given["stages"] = {"detect": {"model": args.detector}} if args.detector else {}
        options = make(PrepareOptions, {name: value for name, value in given.items() if value is not None})
        from .prepare import prepare

        done = prepare(args.source, args.target, options, workers=args.workers)
        print(
            f"{done.clips} clips, {done.seconds:.0f} s, {done.identities} identities, {done.bytes / 2**20:.1f} MiB "
            f"in {done.folder}; dropped: {json.dumps(done.dropped)}"
        )
        return 0
    if args.what == "embed":
        from .embed import embed

        print(embed(args.source, args.name, args.folder, args.mean, args.bits))
        return 0
    if args.what == "evaluate":
        from .. import checkpoints
        from . import talking
        from .evaluate import evaluate_generator

        held = args.identities or talking.held_identities(args.data)
        clips = talking.load_clips(args.data, identities=held)[:: max(1, args.every)]
        judge = checkpoints.load(args.judge, "syncnet_v2").module
        print(json.dumps(evaluate_generator(checkpoints.load(args.model, "wav2lip").module, judge, clips), indent=1))
        return 0
    if args.what == "ablation":
        from .ablation import ablation, table

        print(table(ablation(args.out, settings(args.set), args.minutes)))
        return 0
    if args.what == "resync":
        from .resync import resync

        print(resync(args.data, args.model).text())
        return 0
    if args.what == "personalize":
        return personalize_main(args)
    recipe = load_recipe(args.recipe, settings(args.set))
    if recipe.task != args.what:
        raise OptionError(f"'{args.recipe}' is a recipe for another task: wav2lip-hq train {recipe.task} {args.recipe}")
    folder = args.out or Path("runs") / recipe_path(args.recipe).stem
    figures = train(recipe, folder, args.minutes)
    print(json.dumps({"run": str(folder), **figures}))
    return 0
