"""Final Cut Pro 7's XML, which Premiere and Resolve write, too: what OpenTimelineIO's adapter leaves out."""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

from ...errors import InputError, OptionError
from ...timecode import standard_rate

RETIMED = "\u2042retimed"  # at the end of a clip's name, on the way through the adapter


def read(text: str, name: str) -> tuple[Any, Fraction, bool, list[str]]:
    """(OTIO timeline, frames a second, whether it counts drop-frame, problems). Raises InputError, OptionError."""
    import opentimelineio as otio

    if "fcp_xml" not in otio.adapters.available_adapter_names():
        raise OptionError(f"{name} needs OpenTimelineIO's adapter: pip install 'wav2lip-hq[delivery]'")
    if "<!ENTITY" in text:
        raise InputError(f"{name} defines XML entities, which no edit needs; it is not read")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{name} is not XML, or it is damaged: {error}") from error
    outer = {inner for one in root.iter("clipitem") for inner in one.iter("sequence")}
    sequences = [one for one in root.iter("sequence") if one not in outer and one.find("media") is not None]
    if root.tag != "xmeml" or not sequences:
        raise InputError(f"{name} holds no sequence of Final Cut Pro 7's XML; export the timeline as such")
    problems = []
    if len(sequences) > 1:
        problems.append(f"it holds {len(sequences)} sequences: the first, {sequences[0].findtext('name')}, is read")
    first = sequences[0]
    try:
        rate = _rate(first)
        for clip in first.iter("clipitem"):
            if _retimed(clip):
                found = clip.find("name")
                found = ElementTree.SubElement(clip, "name") if found is None else found
                found.text = (found.text or "") + RETIMED
        plain = ElementTree.Element("xmeml", {"version": root.get("version", "5")})
        plain.append(first)
        timeline = otio.adapters.read_from_string(ElementTree.tostring(plain, encoding="unicode"), "fcp_xml")
    except Exception as error:  # noqa: BLE001 - the adapter fails in many ways at files that are not as it expects
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{name} cannot be read as Final Cut Pro 7's XML: {why}") from error
    if not isinstance(timeline, otio.schema.Timeline):
        raise InputError(f"{name} holds no timeline")
    for item in timeline.tracks.find_children():
        if isinstance(item, otio.schema.Clip) and item.name.endswith(RETIMED):
            item.name = item.name.removesuffix(RETIMED)
            item.effects.append(otio.schema.LinearTimeWarp(time_scalar=0.0))
    return timeline, rate, first.findtext("timecode/displayformat") == "DF", problems


def _rate(sequence: Any) -> Fraction:
    """Frames a second: ``timebase``, a thousandth fewer where ``ntsc`` says so."""
    whole = int(sequence.findtext("rate/timebase", ""))
    slower = sequence.findtext("rate/ntsc", "").strip().upper() == "TRUE"
    return standard_rate(Fraction(whole * 1000, 1001) if slower else Fraction(whole))


def _retimed(clip: Any) -> bool:
    """Whether a clip is played at another speed, backwards, or at several."""
    for effect in clip.iterfind("filter/effect"):
        if effect.findtext("effectid") != "timeremap":
            continue
        said = {p.findtext("parameterid"): p.findtext("value", "") for p in effect.iterfind("parameter")}
        if said.get("variablespeed", "0") not in ("0", "", "FALSE") or said.get("reverse", "FALSE").upper() == "TRUE":
            return True
        return float(said.get("speed") or 100) != 100
    return False
