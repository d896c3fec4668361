"""What commands show on a terminal: progress, and the report at the end."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from . import options, progress


class Bar:
    """Progress with rate and remaining time: a bar on a terminal, occasional lines in a log."""

    def __init__(self, quiet: bool, label: str) -> None:
        from tqdm import tqdm

        self.bar: Any = tqdm(unit="frame", desc=label, disable=True if quiet else None, dynamic_ncols=True)
        self.lines = None if quiet or not self.bar.disable else progress.Lines(label)

    def __call__(self, done: int, total: int | None) -> None:
        if self.lines is not None:
            self.lines(done, total)
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.lines is not None:
            self.lines.close()
        self.bar.close()


class Bars:
    """One bar for the survey, and after it one for the rendering."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bars: dict[str, Bar] = {}

    def survey(self, done: int, total: int | None) -> None:
        self._at("survey", done, total)

    def render(self, done: int, total: int | None) -> None:
        self._at("render", done, total)

    def _at(self, label: str, done: int, total: int | None) -> None:
        if label not in self.bars:
            self.close()
            self.bars[label] = Bar(self.quiet, label)
        self.bars[label](done, total)

    def close(self) -> None:
        for bar in self.bars.values():
            bar.close()


def print_report(report: Any, as_json: bool, explained: str | None = None) -> None:
    if as_json:
        row = dataclasses.asdict(report)
        row["output"], row["duration"] = str(report.output), float(report.duration)
        row["stretches"] = [
            {
                "first": s.first,
                "last": s.last,
                "face": s.track,
                "synthesized": s.reason is None,
                "reason": "" if s.reason is None else s.reason.text,
            }
            for s in report.stretches
        ]
        if explained is not None:
            row["explained"] = explained
        print(json.dumps(row))
        return
    offset = "not measured" if report.offset_ms is None else f"{report.offset_ms:+.0f} ms"
    print(
        f"{report.output}: {options.counted(report.frames, 'frame')} ({float(report.duration):.2f} s), "
        f"{options.counted(report.faces, 'face')} in {options.counted(report.tracks, 'track')}, "
        f"{options.counted(report.frames_without_face, 'frame')} without one, {report.fps:.1f} frames/s, "
        f"audio-video offset {offset}, peak memory {report.peak_memory / 2**30:.2f} GiB"
    )
    if report.watermarks:
        print(f"the mouths carry an invisible mark that says {', '.join(report.watermarks)} (--no-watermark: none)")
    else:
        print("the mouths carry no invisible mark (--no-watermark)")
    if report.loudness is not None:
        print(f"loudness of what is heard: {report.loudness:.1f} LUFS")
    if report.sync_offset:
        print(f"the mouth was moved by {report.sync_offset:+.0f} ms against the sound (sync_offset)")
    print(f"provenance: {report.provenance}")
    if explained is not None:
        print(explained)
    for text in report.warnings:
        print(f"warning: {text}", file=sys.stderr)
