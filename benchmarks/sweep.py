"""Timing of one preset against one parameter: a synthetic clip for each value, everything else fixed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from skimage import data

from wav2lip_hq.errors import OptionError, Wav2LipHQError

from .memory import clip
from .timed import Job, apart

SIZE = (640, 480)  # of all made clips but the resolutions'
CROWD = (1280, 480)  # of clips with several faces


def sweep(dimension: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row of ``timed.measure`` for each value, or ``{"value", "error"}`` where one cannot be run here."""
    rows: list[dict[str, Any]] = []
    for value, job, made in _jobs(dimension, args):
        try:
            row = {"value": value, **apart(job)}
        except Wav2LipHQError as error:
            row = {"value": value, "error": str(error).splitlines()[0]}
        for path in made:
            path.unlink(missing_ok=True)  # ten minutes of 2160p are large
        said = row.get("error") or f"{row['fps']} frames/s ({row['fps_low']} to {row['fps_high']})"
        print(f"{dimension} {value}: {said}", flush=True)
        rows.append(row)
    return rows


def _jobs(dimension: str, args: argparse.Namespace) -> Iterator[tuple[str, Job, tuple[Path, Path]]]:
    def job(made: tuple[Path, Path], **options: Any) -> Job:
        face, speech = made
        return Job(args.sweep_preset, str(face), str(speech), str(args.out / "out.mp4"), args.repeat, **options)

    if dimension == "length":
        for seconds in args.lengths:
            made = clip(args.out, seconds, *SIZE)
            yield f"{seconds:g} s", job(made), made
    elif dimension == "resolution":
        for text in args.resolutions:
            made = clip(args.out, args.seconds, *size(text))
            yield text, job(made), made
    elif dimension == "batch":
        for batch in args.batches:
            made = clip(args.out, args.seconds, *SIZE)
            yield str(batch), job(made, batch=batch), made
    elif dimension == "precision":
        for precision in args.precisions:
            made = clip(args.out, args.seconds, *SIZE)
            yield precision, job(made, precision=precision), made
    else:
        for faces in args.faces:
            made = clip(args.out, args.seconds, *SIZE)
            crowd(made[0], args.seconds, faces, max(args.faces))
            yield str(faces), job(made, settings=("track.faces=all",)), made


def size(text: str) -> tuple[int, int]:
    """ "1920x1080" -> (1920, 1080). Raises OptionError."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) % 2 == int(height) % 2 == 0 and int(width) >= 64):
        raise OptionError(f"a resolution is WIDTHxHEIGHT in even pixels, such as 1920x1080, not '{text}'")
    return int(width), int(height)


def crowd(path: Path, seconds: float, faces: int, most: int) -> None:
    """Write a clip of ``faces`` portraits side by side, each drifting in its own way.

    Faces are as large as if there were ``most``, so that only their number differs.
    """
    width, height = CROWD
    side = min(height, width // most)
    photo = cv2.resize(data.astronaut()[:260, 100:360], (side, side), interpolation=cv2.INTER_AREA)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(round(seconds * 25)):
            picture = np.full((height, width, 3), 90, np.uint8)
            for face in range(faces):
                shift = np.array([[1, 0, 3 * np.sin(n / 20 + face)], [0, 1, 2 * np.cos(n / 31 + 2 * face)]])
                moved = cv2.warpAffine(photo, shift, (side, side), borderMode=cv2.BORDER_REPLICATE)
                picture[:side, face * side : (face + 1) * side] = moved
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def tables(dimension: str, rows: list[dict[str, Any]]) -> list[str]:
    """Lines of Markdown: totals, then stages."""
    good = [r for r in rows if "error" not in r]
    lines = [
        f"| {dimension} | frames | frames/s | slowest to fastest | s of work a s of video | outside networks | "
        "start-up s | peak MB | VRAM MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['value']} | {r['frames']} | {r['fps']} | {r['fps_low']} to {r['fps_high']} | {r['real_time']} | "
        f"{100 * r['outside']:.1f} % | {r['start_up_s']} | {r['peak_mb']} | {r['vram_mb'] or '-'} |"
        for r in good
    ]
    lines += [f"| {r['value']} | not run: {r['error']} |" + " |" * 7 for r in rows if "error" in r]
    names = list(dict.fromkeys(name for r in good for name in r["ms"]))
    if names:
        lines += ["", f"| ms a frame (share), by {dimension} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for r in good:
            total = sum(r["ms"].values())
            cells = (f"{r['ms'].get(n, 0.0)} ({100 * r['ms'].get(n, 0.0) / total:.0f} %)" for n in names)
            lines.append(f"| {r['value']} | {' | '.join(cells)} |")
    return [*lines, ""]
