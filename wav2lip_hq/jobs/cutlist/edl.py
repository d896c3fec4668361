"""CMX 3600 edit decision lists: what OpenTimelineIO's adapter leaves out, before and after it.

The adapter ignores FCM (drop-frame or not) and reverse motion, refuses the whole list for one bad event, and writes
record times from zero and every 29.97 as drop-frame."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from ...errors import InputError, OptionError
from ...timecode import standard_rate, timecode_frames, timecode_text

_EVENT = re.compile(r"^(\d{1,6})\s+\S+\s+\S+\s+\S+")
_TIMECODE = re.compile(r"\b(\d{2}:\d{2}:\d{2})([:;.])(\d{2,3})\b")
_MOTION = re.compile(r"^M2\s+.*?(-?\d+(?:\.\d+)?)\s+[0-9:;]{11}\s*$")
_INCOMING = re.compile(r"^\*?\s*TO (?:CLIP|FILE):(.*)$", re.MULTILINE)
RETIMED = "RETIMED BY M2"


def read(text: str, name: str, rate: Fraction, loose: bool = False) -> tuple[Any, bool, list[str]]:
    """(OTIO timeline, whether it counts drop-frame, what was left out and why). loose: take lengths that do not fit,
    which is what they do at a wrong rate. Raises InputError when nothing can be read."""
    import opentimelineio as otio

    head, blocks, drop = _blocks(text, rate)
    problems = []
    kept = list(blocks)

    def parsed(parts: list[str]) -> Any:
        whole = "\n".join([head, *parts])
        return otio.adapters.read_from_string(whole, "cmx_3600", rate=float(rate), ignore_timecode_mismatch=loose)

    try:
        timeline = parsed(kept)
    except Exception:  # noqa: BLE001 - find the events that are at fault, one by one
        for block in blocks:
            try:
                parsed([block])
            except Exception as error:  # noqa: BLE001 - the adapter's own errors are of many types
                kept.remove(block)
                problems.append(f"event {_number(block)} is left out: {_plain(error)}")
        try:
            timeline = parsed(kept)
        except Exception as error:  # noqa: BLE001
            raise InputError(f"{name} cannot be read as an EDL: {_plain(error)}") from error
    if not kept:
        raise InputError(f"{name} holds no events that can be read" + (f": {problems[0]}" if problems else ""))
    starts = [timecode_frames(found, rate) for block in kept if (found := _record_in(block))]
    timeline.global_start_time = otio.opentime.RationalTime(min(starts, default=0), float(rate))
    for track in timeline.tracks:
        _settle(track, kept, min(starts, default=0), rate)
    return timeline, drop, problems


def _settle(track: Any, blocks: list[str], zero: int, rate: Fraction) -> None:
    """A gap for what lies before a track's first event, and retimes as effects."""
    import opentimelineio as otio

    track.source_range = None
    mine = [b for b in blocks if _of(b, track.name)]
    lead = timecode_frames(_record_in(mine[0]), rate) - zero if mine else 0
    if lead:
        track.insert(0, otio.schema.Gap(duration=otio.opentime.RationalTime(lead, float(rate))))
    clips = [item for item in track if isinstance(item, otio.schema.Clip)]
    for clip, block in zip(clips, mine, strict=False):
        if sum(bool(_EVENT.match(line)) for line in block.splitlines()) == 2:  # of a transition's two sides the second
            found = _INCOMING.search(block)  # the adapter gives it the first one's file
            clip.media_reference = (
                otio.schema.ExternalReference(found[1].strip()) if found else otio.schema.MissingReference()
            )
    for clip in track:
        said = clip.metadata.get("cmx_3600", {}).get("comments", []) if isinstance(clip, otio.schema.Clip) else []
        if RETIMED in said and not clip.effects:
            clip.effects.append(otio.schema.LinearTimeWarp(time_scalar=-1.0))


def _of(block: str, track: str) -> bool:
    channel = block.split()[2]
    return track in {"B": ("V", "A1"), "AA": ("A1", "A2"), "A": ("A1",), "AA/V": ("V", "A1", "A2")}.get(
        channel, tuple(channel.split("/"))
    )


def _blocks(text: str, rate: Fraction) -> tuple[str, list[str], bool]:
    """Title, events with the lines that belong to each, and whether the list counts drop-frame."""
    blocks: list[str] = []
    head, drop, counts = "", False, False
    current = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("TITLE:"):
            head = line
        elif line.startswith("FCM"):
            counts = "DROP" in line and "NON" not in line
            drop = drop or counts
        elif match := _EVENT.match(line):
            line = _TIMECODE.sub(r"\1;\3" if counts else _same, line)
            drop = drop or ";" in line
            if match[1] == current and blocks:
                blocks[-1] += f"\n{line}"
            else:
                blocks.append(line)
            current = match[1]
        elif line and blocks and not line.startswith("SPLIT"):
            motion = _MOTION.match(line)
            if motion and abs(float(motion[1]) - float(rate)) > 0.01 * float(rate):
                blocks[-1] += f"\n* {RETIMED}"
            blocks[-1] += f"\n{line}"
    return head, blocks, drop


def _same(match: re.Match[str]) -> str:
    return f"{match[1]}{';' if match[2] == ';' else ':'}{match[3]}"


def _number(block: str) -> str:
    return block.split(None, 1)[0]


def _record_in(block: str) -> str:
    """The record in point of an event; of a transition's incoming side."""
    rows = [line for line in block.splitlines() if _EVENT.match(line)]
    found = [f"{m[1]}{m[2]}{m[3]}" for m in _TIMECODE.finditer(rows[0])]
    return found[2] if len(found) == 4 else ""


def _plain(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if text.startswith("Source and record duration"):
        return "its source and its record differ in length, and no M2 line says how it is retimed"
    return text[:160]


def written(timeline: Any, rate: Fraction, drop: bool) -> str:
    """A timeline of one video track as an EDL with true record times. Raises OptionError."""
    import opentimelineio as otio

    rate = standard_rate(rate)
    start = timeline.global_start_time
    zero = 0 if start is None else round(start.value)
    try:
        text = otio.adapters.write_to_string(timeline, "cmx_3600", rate=float(rate), reelname_len=None)
    except Exception as error:  # noqa: BLE001 - rates that no timecode counts, tracks that no EDL holds
        raise OptionError(f"an EDL cannot hold this timeline: {_plain(error)}") from error

    def counted(match: re.Match[str], more: int) -> str:
        return timecode_text(timecode_frames(match[0], rate) + more, rate, drop)

    lines = []
    for line in text.splitlines():
        if _EVENT.match(line):
            at = 0

            def place(match: re.Match[str]) -> str:
                nonlocal at
                at += 1
                return counted(match, zero if at > 2 else 0)

            line = _TIMECODE.sub(place, line)
        lines.append(line)
    fcm = "FCM: DROP FRAME" if drop else "FCM: NON-DROP FRAME"
    lines.insert(1 if lines and lines[0].startswith("TITLE") else 0, fcm)
    return "\n".join(lines) + "\n"
