"""FCPXML: what OpenTimelineIO's adapter leaves out, before and after it.

The adapter counts whole frames a second, rounding down (29.97 becomes 29), ignores retimes, multicam clips and the
sequence's first timecode, and fails at a clip without media. So it is given a file that counts the sequence's frames in
whole numbers, and what it writes is converted back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

from ...errors import InputError
from ...timecode import standard_rate

TIMES = ("offset", "start", "duration", "tcStart")
CLIPS = ("clip", "asset-clip", "ref-clip")
UNREAD = ("mc-clip", "sync-clip", "audition")
RETIMED = "\u2042retimed"  # at the end of a clip's name, on the way through the adapter


def read(text: str, name: str) -> tuple[Any, Fraction, bool, list[str]]:
    """(OTIO timeline, frames a second, whether it counts drop-frame, problems). Raises InputError."""
    import opentimelineio as otio

    if "<!ENTITY" in text:
        raise InputError(f"{name} defines XML entities, which no FCPXML needs; it is not read")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{name} is not XML, or it is damaged: {error}") from error
    sequences = list(root.iter("sequence"))
    projects = [p for p in root.iter("project") if p.find("sequence") is not None]
    if root.tag != "fcpxml" or not projects:
        raise InputError(f"{name} holds no project with a sequence; export the project as FCPXML")
    problems = []
    if len(projects) > 1:
        problems.append(f"it holds {len(projects)} projects: the first, {projects[0].get('name')}, is read")
    sequence = projects[0].find("sequence")
    assert sequence is not None
    try:
        formats = {f.get("id"): f for f in root.iter("format")}
        rate = standard_rate(1 / _seconds(formats[sequence.get("format")].get("frameDuration", "")))
        zero = _seconds(sequence.get("tcStart", "0s"))
        problems += _prepared(root, sequence, rate, zero, sequences)
        plain = ElementTree.Element("fcpxml", root.attrib)
        plain.extend([*root.findall("resources"), projects[0]])
        timeline = otio.adapters.read_from_string(ElementTree.tostring(plain, encoding="unicode"), "fcpx_xml")
    except Exception as error:  # noqa: BLE001 - the adapter fails in many ways at files that are not as it expects
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{name} cannot be read as FCPXML: {why}") from error
    if not isinstance(timeline, otio.schema.Timeline):
        raise InputError(f"{name} holds no timeline")
    _restored(timeline, rate)
    timeline.global_start_time = otio.opentime.RationalTime(round(zero * rate), float(rate))
    return timeline, rate, sequence.get("tcFormat") == "DF", problems


def _seconds(text: str) -> Fraction:
    return Fraction(text.removesuffix("s"))


def _prepared(root: Any, sequence: Any, rate: Fraction, zero: Fraction, sequences: list[Any]) -> list[str]:
    """The file as the adapter reads it without loss; returns what it will not read."""
    problems = []
    whole = round(rate)
    for one in root.iter("format"):
        one.set("frameDuration", f"1/{whole}s")
    assets = {a.get("id") for a in root.iter("asset")} | {m.get("id") for m in root.iter("media")}
    spine = sequence.find("spine")
    tops = [] if spine is None else list(spine)
    late = zero > 0 and all(_seconds(top.get("offset", "0s")) >= zero for top in tops)
    for clip in sequence.iter():
        if clip.tag in UNREAD:
            problems.append(f"{clip.get('name', 'a clip')} is left out: a {clip.tag} cannot be read; flatten it first")
        elif clip.tag in CLIPS and clip.find("timeMap") is not None:
            clip.set("name", clip.get("name", "") + RETIMED)
        if clip.tag in ("video", "audio", "asset-clip", "ref-clip") and clip.get("ref") not in assets:
            clip.tag = "title"  # made by the suite itself: the adapter would stop at it
        if late and clip in tops:
            clip.set("offset", str(_seconds(clip.get("offset", "0s")) - zero))
    for item in root.iter():
        for attribute in TIMES:
            if item.get(attribute) is not None:
                frames = round(_seconds(item.get(attribute)) * rate)
                item.set(attribute, f"{frames}.25/{whole}s" if frames else "0s")  # the adapter rounds down
    return problems


def _restored(timeline: Any, rate: Fraction) -> None:
    """Times at the true rate; retimes as effects."""
    import opentimelineio as otio

    def true(span: Any) -> Any:
        start, long = (otio.opentime.RationalTime(t.value, float(rate)) for t in (span.start_time, span.duration))
        return otio.opentime.TimeRange(start, long)

    for item in timeline.tracks.find_children():
        if isinstance(item, otio.core.Item) and item.source_range is not None:
            item.source_range = true(item.source_range)
        if isinstance(item, otio.schema.Clip):
            media = item.media_reference
            if media is not None and media.available_range is not None:
                media.available_range = true(media.available_range)
            if item.name.endswith(RETIMED):
                item.name = item.name.removesuffix(RETIMED)
                item.effects.append(otio.schema.LinearTimeWarp(time_scalar=0.0))


def written(timeline: Any, rate: Fraction, drop: bool) -> str:
    """A timeline that counts ``round(rate)`` frames a second as FCPXML at the true rate."""
    import opentimelineio as otio

    text = otio.adapters.write_to_string(timeline, "fcpx_xml")
    root = ElementTree.fromstring(text)
    rate = standard_rate(rate)
    slower = round(rate) / rate
    for one in root.iter("format"):
        one.set("frameDuration", f"{rate.denominator}/{rate.numerator}s")
    for item in root.iter():
        for attribute in TIMES:
            if item.get(attribute) is not None:
                value = _seconds(item.attrib[attribute]).limit_denominator(100_000) * slower
                item.set(attribute, f"{value}s")
    first = timeline.global_start_time
    zero = Fraction(0) if first is None else Fraction(round(first.value)) / rate
    for sequence in root.iter("sequence"):
        sequence.set("tcFormat", "DF" if drop else "NDF")
        sequence.set("tcStart", f"{zero}s")
        for top in sequence.iterfind("spine/*"):  # counted from the sequence's first timecode, as suites write it
            top.set("offset", f"{_seconds(top.get('offset', '0s')) + zero}s")
    ElementTree.indent(root, "    ")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{ElementTree.tostring(root, encoding="unicode")}\n'
    )
