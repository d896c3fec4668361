"""Subtitles of what is said, as SRT and WebVTT."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..places import write_text
from .speech import Segment, Word, spread

WIDEST, LINES = 42, 2  # characters of a line, and lines
LONGEST = 6.0  # seconds a cue is shown
_END = re.compile(r"[.!?…。！？][\"'»”)]*$")


def cues(segments: Sequence[Segment]) -> list[Segment]:
    """Segments short enough to be read: at most two lines and six seconds each, by the times of words where they are
    known, else in proportion to the letters."""
    return [cue for segment in segments for cue in _divided(segment)]


def srt(segments: Sequence[Segment]) -> str:
    """A SubRip file."""
    rows = [
        f"{n}\n{_clock(s.start, ',')} --> {_clock(s.end, ',')}\n{_folded(s.text)}\n"
        for n, s in enumerate(cues(segments), 1)
    ]
    return "\n".join(rows)


def vtt(segments: Sequence[Segment]) -> str:
    """A WebVTT file."""
    rows = ["WEBVTT\n"]
    for s in cues(segments):
        text = _folded(s.text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        rows.append(f"{_clock(s.start, '.')} --> {_clock(s.end, '.')}\n{text}\n")
    return "\n".join(rows)


def write(segments: Sequence[Segment], output: Path, formats: Sequence[str], language: str = "") -> list[Path]:
    """Write files beside ``output``: OUT.srt, or OUT.es.srt with a language. Raises OutputError."""
    made = []
    for kind in formats:
        path = output.with_name(f"{output.stem}{f'.{language}' if language else ''}.{kind}")
        write_text(path, srt(segments) if kind == "srt" else vtt(segments))
        made.append(path)
    return made


def _divided(segment: Segment) -> list[Segment]:
    words = list(segment.words) or spread(segment.text, segment.end - segment.start, segment.start)
    made: list[Segment] = []
    held: list[Word] = []
    for word in words:
        text = " ".join(w.text for w in [*held, word])
        full = held and (len(text) > WIDEST * LINES or word.end - held[0].start > LONGEST)
        ended = held and _END.search(held[-1].text) and held[-1].end - held[0].start > 1.0
        if full or ended:
            made.append(_cue(held, segment.speaker))
            held = []
        held.append(word)
    return [*made, _cue(held, segment.speaker)] if held else made


def _cue(words: Sequence[Word], speaker: str) -> Segment:
    return Segment(words[0].start, words[-1].end, " ".join(w.text for w in words), speaker)


def _folded(text: str) -> str:
    """One line, or two of about the same length."""
    if len(text) <= WIDEST:
        return text
    spaces = [m.start() for m in re.finditer(" ", text)]
    if not spaces:
        return text
    at = min(spaces, key=lambda n: abs(n - len(text) / 2))
    return f"{text[:at]}\n{text[at + 1 :]}"


def _clock(seconds: float, point: str) -> str:
    ms = max(0, round(seconds * 1000))
    return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"
