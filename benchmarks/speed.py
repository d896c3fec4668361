"""Timing: milliseconds per frame by stage, and frames per second end to end.

Presets side by side, one preset against length, resolution, batch, precision and faces (``--sweep``), and this project
against a chain assembled from the packages (``--against chain``). Each figure is the median of ``--repeat`` runs after
a warm-up, without start-up, which is a figure of its own. Each measurement has its own process (see ``timed``), except
the chain's, where both sides alternate in one. Compare figures of one run of this command only: other machines, and
this one under load, differ.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from wav2lip_hq.errors import CheckpointError, OptionError

from . import machine, networks, plots, sweep
from .memory import clip
from .timed import Job, apart


def main(args: argparse.Namespace) -> int:
    """Run the chosen measurements; results.json, results.md and plots in ``--out`` after each part."""
    _check(args)
    args.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": machine.facts(), "rows": [], "sweeps": {}, "chain": []}
    lines = _busy(result["machine"])
    if args.presets:
        result["rows"] = presets(args)
        lines += _preset_tables(result["rows"])
        _plot(args, result["rows"], [r["preset"] for r in result["rows"]], "presets")
        _save(args.out, result, lines)
    for dimension in args.sweep:
        rows = result["sweeps"][dimension] = sweep.sweep(dimension, args)
        title = f"Preset `{args.sweep_preset}` against {dimension}: made clips, medians of {args.repeat} runs."
        lines += [title, "", *sweep.tables(dimension, rows)]
        good = [r for r in rows if "error" not in r]
        _plot(args, good, [r["value"] for r in good], f"{args.sweep_preset}-{dimension}")
        _save(args.out, result, lines)
    if args.against:
        from . import versus  # brings in all of the packages

        made = clip(args.out, args.chain_seconds, *sweep.size(args.chain_size))
        face = args.face or made[0]
        for composition in args.chain_compositions:
            result["chain"].append(versus.compare(composition, face, made[1], args.out, args.repeat))
            print(json.dumps(result["chain"][-1]), flush=True)
            _save(args.out, result, [*lines, *versus.tables(result["chain"])])
        lines += versus.tables(result["chain"])
    print(_save(args.out, result, lines))
    return 0


def presets(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a preset; those whose checkpoints are not installed are left out."""
    made, speech = clip(args.out, args.seconds, 640, 480)
    rows: list[dict[str, Any]] = []
    for preset in args.presets:
        try:
            row = apart(Job(preset, str(args.face or made), str(speech), str(args.out / "out.mp4"), args.repeat))
        except CheckpointError as error:
            print(f"{preset}: left out, {str(error).splitlines()[0]}", flush=True)
            continue
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def _preset_tables(rows: list[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for row in rows:
        total = sum(row["ms"].values())
        vram = f", {row['vram_mb']} MB on the GPU" if row["vram_mb"] else ""
        lines += [
            f"**{row['preset']}**: {row['fps']} frames/s ({row['fps_low']} to {row['fps_high']}), real-time factor "
            f"{row['real_time']} (seconds of work a second of video), {100 * row['outside']:.1f} % of the time outside "
            f"the networks, start-up {row['start_up_s']} s, peak {row['peak_mb']} MB{vram}",
            "",
            "| stage | ms a frame | share |",
            "|---|---|---|",
            *(f"| {k} | {v} | {100 * v / total:.0f} % |" for k, v in row["ms"].items()),
            "",
            *networks.table(row["networks"], row["rates"]),
        ]
    return lines


def _busy(facts: dict[str, Any]) -> list[str]:
    """A warning if the machine was under load when the run began, which can make times many times longer."""
    if not facts["load"] or facts["load"] < (os.cpu_count() or 1) / 2:
        return []
    text = f"**The machine was busy** (load average {facts['load']} at the start): do not quote these figures."
    print(text, flush=True)
    return [text, ""]


def _check(args: argparse.Namespace) -> None:
    """Raise OptionError for arguments that would fail only after long measurements."""
    if not (args.presets or args.sweep or args.against):
        raise OptionError("nothing to measure: give --presets, --sweep or --against")
    counts = {"--repeat": [args.repeat], "--batches": args.batches, "--faces": args.faces}
    lengths = {"--seconds": [args.seconds], "--lengths": args.lengths, "--chain-seconds": [args.chain_seconds]}
    for name, values in counts.items():
        if min(values) < 1:
            raise OptionError(f"{name} is at least 1, not {min(values)}")
    for name, values in lengths.items():
        if min(values) < 0.2:
            raise OptionError(f"{name}: clips last at least 0.2 s, not {min(values)}")
    for text in [*args.resolutions, args.chain_size]:
        sweep.size(text)
    if args.face and not args.face.exists():
        raise OptionError(f"--face: there is no {args.face}")
    if not args.no_plot:
        plots.check()


def _plot(args: argparse.Namespace, rows: list[dict[str, Any]], labels: list[str], name: str) -> None:
    if rows and not args.no_plot:
        plots.draw(rows, labels, f"{name}: {machine.facts()['machine']}", args.out / f"{name}.png")


def _save(folder: Path, result: dict[str, Any], lines: list[str]) -> str:
    text = "\n".join([*lines, machine.sentence(), ""])
    (folder / "results.md").write_text(text)
    (folder / "results.json").write_text(json.dumps(result, indent=1))
    return text
