"""Timing of this project against the peers' chain: same weights, clip and process, in alternation."""

from __future__ import annotations

import ctypes
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wav2lip_hq import HQPipeline
from wav2lip_hq.runtime import keep_pages

from .chain import Chain, has_nms, random_weights
from .networks import Watch, efficiency, matrix_rate, synchronize, table

NOTE = (
    "Both sides run the same embedded detector, generator and parser, and the same restorer with RANDOM weights of the "
    "official size (the published ones cannot be downloaded here): these are times, not pictures. GFPGANer has its "
    "own ParseNet; otherwise the chain is cheaper than the scripts it stands for (see benchmarks/chain.py), and it "
    "muxes no sound. In its turns the C library gives memory back as it does by itself, in ours as runtime.keep_pages "
    "sets it. Ratios are of runs that took turns; a warm-up went before."
)


def compare(
    composition: str,
    face: Path,
    speech: Path,
    folder: Path,
    repeat: int = 3,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Frames a second of both, and the ratio of each turn. options: of the restorer's network (tests: a small one).

    Each run is timed from opening the clip to the closed result. This side runs as a user's would, apart from the
    measurement of the audio-video offset, which the chain does not make. Raises what either side raises.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        weights, output = Path(temporary) / f"{composition}.pth", Path(temporary) / "out.mp4"
        random_weights(composition, weights, options)
        pipe = HQPipeline(composition).set(
            "detect.model=embedded-detector",
            "lipsync.model=embedded-generator",
            "parse.model=embedded-parser",
            f"restore.model={weights.resolve()}",
        )
        pipe.load()
        device = pipe.runtime.device
        chain = Chain(composition, weights, device, options)

        def ours() -> int:
            return pipe.run(face, speech, output, trim=True, measure=False, own_words="redo").frames

        def theirs() -> int:
            pages(keep=False)
            try:
                return chain.run(face, speech, output)
            finally:
                pages(keep=True)

        def rate(run: Callable[[], int]) -> float:
            synchronize(device)
            began = time.perf_counter()
            frames = run()
            synchronize(device)
            return frames / (time.perf_counter() - began)

        with Watch(counting=True) as counted:
            frames = ours()
        chain_frames = theirs()
        watch = Watch()
        pairs: list[tuple[float, float]] = []
        inside: list[float] = []
        for turn in range(repeat):
            if turn % 2:
                other = rate(theirs)
            before = watch.seconds
            with watch:
                own = rate(ours)
            inside.append((watch.seconds - before) * own / frames)
            if not turn % 2:
                other = rate(theirs)
            pairs.append((own, other))
    rates = {p: matrix_rate(device, p) for p in sorted({c.precision for c in watch.costs.values()})}
    named = {str(weights.resolve()): f"restorer of {composition}"}
    networks = efficiency(counted.costs, watch.costs, rates)
    return {
        "composition": composition,
        "device": str(device),
        "frames": frames,
        "chain_frames": chain_frames,
        "ours": _spread([own for own, _ in pairs]),
        "chain": _spread([other for _, other in pairs]),
        "ratio": _spread([own / other for own, other in pairs]),
        "outside": round(1 - statistics.median(inside), 4),
        "nms": "torchvision" if has_nms() else "OpenCV (torchvision's does not work here)",
        "networks": [{**row, "network": named.get(row["network"], row["network"])} for row in networks],
        "rates": rates,
    }


def pages(keep: bool) -> None:
    """This project's settings of glibc's allocator, or the upper limits of glibc's own (32 and 64 MiB)."""
    keep_pages()
    if not keep:
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD
            libc.mallopt(-1, 64 << 20)  # M_TRIM_THRESHOLD
        except (OSError, AttributeError):
            pass


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
    }


def tables(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "| composition | frames | wav2lip-hq, frames/s | the packages' chain, frames/s | ratio | outside networks |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [f"{v['median']} ({v['low']} to {v['high']})" for v in (row["ours"], row["chain"], row["ratio"])]
        share = f"{100 * row['outside']:.1f} %"
        lines.append(f"| {row['composition']} | {row['frames']} | {' | '.join(cells)} | {share} |")
    lines += ["", NOTE, ""]
    for row in rows:
        lines += [f"{row['composition']}:", "", *table(row["networks"], row["rates"])]
    return lines
