"""The sounds of a dub as files: what drives each passage, and what is heard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..places import make_folder
from ..watermark import marked_sound
from . import mix
from .fit import Fitted
from .lipsync import Passage, passage, stretches
from .narrate import save
from .script import Line, Script
from .speech import Spoken


def mixed(
    face: Path,
    text: Script,
    lines: Sequence[tuple[Line, Fitted]],
    length: float,
    slower: float,
    original: str,
    folder: Path,
    heard: Path,
    marked: bool = True,
) -> list[Passage]:
    """What is lip-synced to what; the mix is written to ``heard``.

    lines: with the times they have in the output. length: seconds of the footage, which is shown ``slower`` times as
    long. original: what becomes of its sound, see ``mix.bed``. marked: whether the voices carry the inaudible mark.
    Raises OutputError.

    Slowed footage is one passage for each speaker, all of it: its pauses are no longer those of the footage.
    """
    total = length * slower
    spans = [(line.start, line.end) for line, _ in lines]
    loudness = mix.level(str(face), [(a / slower, b / slower) for a, b in spans])
    whole = mix.bed(str(face), spans, original, total, slower)
    found: list[Passage] = []
    for name in text.names:
        own = [(line, fitted) for line, fitted in lines if line.speaker == name]
        times = stretches([(line.start, max(line.end, fitted.end)) for line, fitted in own], total)
        for start, end in times if slower == 1 else [(0.0, total)] if own else []:
            wav = mix.voices([f for _, f in own if start <= f.start < end], start, end, loudness)
            wav = marked_sound(wav, mix.RATE, start) if marked else wav
            at = round(start * mix.RATE)
            whole[at : at + len(wav)] += wav[: len(whole) - at, None]
            found.append(passage(start, end, wav, text.role(name).face, folder))
    make_folder(folder)
    peak = float(abs(whole).max(initial=0.0))
    save(Spoken(whole / max(1.0, peak), mix.RATE), heard)
    return found
