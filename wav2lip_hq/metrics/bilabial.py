"""Bilabial closures: does the mouth close for p, b and m? This project's own measure.

The times come from an alignment of phones, or of words as GRID has them (``.align``: start, end, word; the lips meet at
the beginning or end of words that begin or end with p, b or m). Without an alignment there is no figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..types import Array
from .mouth import CLOSED_MARGIN

PHONES = ("p", "b", "m")
UNITS = 25000.0  # steps a second in a GRID alignment (25 frames a second, a thousand steps each)
BEFORE, AFTER = 0.12, 0.06  # seconds around the moment in which the lips may meet; they close before the burst
# The words and letters of GRID with a p, b or m at the beginning (0) or the end (1).
GRID = {
    "bin": 0, "blue": 0, "by": 0, "place": 0, "please": 0, "b": 0, "p": 0, "m": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """A word or phone from ``start`` to ``end`` seconds."""

    start: float
    end: float
    text: str


def read_align(path: Path) -> list[Said]:
    """The words of a GRID ``.align`` file. Raises InputError naming the line that cannot be used."""
    out = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the alignment {path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        try:
            start, end, text = words
            out.append(Said(float(start) / UNITS, float(end) / UNITS, text.lower()))
        except ValueError as error:
            raise InputError(f"{path}, line {number}: expected 'start end word', not '{line}'") from error
    return out


def moments(said: list[Said]) -> list[float]:
    """Seconds at which the lips must meet, by words of GRID or by phones.

    >>> moments([Said(0.5, 0.8, "bin"), Said(0.8, 1.0, "at"), Said(1.0, 1.3, "m")])
    [0.5, 1.3]
    """
    out = []
    for word in said:
        if word.text in GRID:
            out.append((word.start, word.end)[GRID[word.text]])
        elif word.text in PHONES:
            out.append((word.start + word.end) / 2)
    return out


def closures(openings: Array, time: Array, when: list[float], closed: float) -> tuple[int, int]:
    """(how often the mouth closed, how often it should have): of the moments ``when`` (seconds) whose frames were all
    seen, those with an opening of at most ``closed`` + 0.01 within 120 ms before to 60 ms after.

    openings (T,), time (T,) seconds. Real footage does not reach every one: compare with the matched row of ``source``.

    >>> closures(np.array([0.2, 0.02, 0.2]), np.array([0.0, 0.04, 0.08]), [0.06], 0.02)
    (1, 1)
    """
    openings, time = np.asarray(openings, np.float64), np.asarray(time, np.float64)
    met = wanted = 0
    for moment in when:
        part = openings[(time >= moment - BEFORE - 1e-9) & (time <= moment + AFTER + 1e-9)]
        if not len(part) or not np.isfinite(part).all():
            continue
        wanted += 1
        met += bool(part.min() <= closed + CLOSED_MARGIN + 1e-9)
    return met, wanted
