"""The shots of a timeline in whole frames: what is shown when, of which footage, and what is heard under it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from ...errors import InputError, OptionError
from ...options import suggestion
from ...timecode import standard_rate
from .files import Cut, library


@dataclass(frozen=True)
class Shot:
    """A clip of the picture. All times are frames of the timeline's rate."""

    number: int  # of the clip in its track, from 1 on
    name: str
    reel: str  # as the edit calls the footage; "" = not said
    media: str  # path in the edit; "" = not said
    start: int  # first frame by the footage's timecode
    length: int
    record: int  # first frame by the timeline, from 0 on
    head: int = 0  # frames more that a transition shows before the first
    tail: int = 0  # and after the last
    begins: int | None = None  # the footage's first timecode, where the edit says it
    refused: str = ""  # why it cannot be dubbed as it is


@dataclass(frozen=True)
class Heard:
    """A clip of sound: from ``record`` frames of the timeline on, ``start`` seconds into its file."""

    track: str
    name: str
    media: str
    reel: str
    record: int
    length: int
    start: Fraction


def picture(cut: Cut, name: str = "") -> Any:
    """The video track that is meant: the named one (or its number, from 1 on), else the first with clips. Raises
    OptionError, InputError."""
    otio = library()
    tracks = list(cut.timeline.video_tracks())
    full = [t for t in tracks if any(isinstance(item, otio.schema.Clip | otio.schema.Stack) for item in t)]
    if not full:
        raise InputError(f"{cut.path} has no video track with clips")
    if not name:
        return full[0]
    named = {t.name: t for t in tracks} | {str(n): t for n, t in enumerate(tracks, 1)}
    if name not in named:
        raise OptionError(f"{cut.path} has no video track '{name}'{suggestion(name, named)}")
    return named[name]


def shots(cut: Cut, track: Any) -> list[Shot]:
    """All clips of a track, in order; nested sequences are shots that are refused."""
    otio = library()
    found: list[Shot] = []
    for index, item in enumerate(track):
        if isinstance(item, otio.schema.Gap | otio.schema.Transition):
            continue
        record = frames(track.range_of_child_at_index(index).start_time, cut.rate)
        head = _offset(track, index - 1, "in_offset", cut.rate)
        tail = _offset(track, index + 1, "out_offset", cut.rate)
        found.append(_shot(item, len(found) + 1, record, head, tail, cut.rate))
    return found


def _offset(track: Any, index: int, name: str, rate: Fraction) -> int:
    """Frames of a transition beside a clip that show more of it."""
    inside = 0 <= index < len(track) and isinstance(track[index], library().schema.Transition)
    return frames(getattr(track[index], name), rate) if inside else 0


def _shot(item: Any, number: int, record: int, head: int, tail: int, rate: Fraction) -> Shot:
    otio = library()
    span = item.trimmed_range()
    name = item.name or f"shot {number}"
    base: dict[str, Any] = {"number": number, "name": name, "record": record, "head": head, "tail": tail}
    if not isinstance(item, otio.schema.Clip):
        length = frames(span.duration, rate)
        return Shot(
            **base, reel="", media="", start=0, length=length, refused="it is a nested sequence; flatten it first"
        )
    media, begins = _media(item, rate)
    refused = _retime(item)
    counted = standard_rate(Fraction(span.duration.rate).limit_denominator(100_000))
    if counted != rate:
        refused = refused or f"it counts {float(counted):.5g} frames a second, the timeline {float(rate):.5g}"
    if isinstance(item.media_reference, otio.schema.GeneratorReference):
        refused = f"it is not footage ({item.media_reference.generator_kind})"
    if isinstance(item.media_reference, otio.schema.ImageSequenceReference):
        refused = refused or "it is a sequence of pictures; give it as a file of its own"
    start, length = frames(span.start_time, rate), frames(span.duration, rate)
    return Shot(**base, reel=reel(item), media=media, start=start, length=length, begins=begins, refused=refused)


def _retime(clip: Any) -> str:
    otio = library()
    for effect in clip.effects:
        if isinstance(effect, otio.schema.FreezeFrame):
            return "it is a freeze frame; render it first"
        if isinstance(effect, otio.schema.LinearTimeWarp) and effect.time_scalar == 1:
            continue
        if isinstance(effect, otio.schema.TimeEffect):
            speed = getattr(effect, "time_scalar", 0)
            return f"it is retimed{f' (to {speed:.0%})' if speed else ''}; render the retime first, and cut that in"
    return ""


def _media(clip: Any, rate: Fraction) -> tuple[str, int | None]:
    """Path of a clip's media, and its first timecode in frames."""
    media = clip.media_reference
    url = getattr(media, "target_url", "") or ""
    span = getattr(media, "available_range", None)
    return _path(url), None if span is None else frames(span.start_time, rate)


def _path(url: str) -> str:
    if not url.startswith("file:"):
        return url.replace("\\", "/")
    return unquote(urlparse(url).path)


def reel(clip: Any) -> str:
    """The edit's name for a clip's footage."""
    said = clip.metadata.get("cmx_3600", {})
    reel = said.get("reel", "") if hasattr(said, "get") else ""
    return str(reel) or str(getattr(clip.media_reference, "name", "") or "")


def frames(time: Any, rate: Fraction) -> int:
    """A time in frames of the timeline; times in other units (samples of sound, say) are rounded."""
    own = standard_rate(Fraction(time.rate).limit_denominator(1_000_000))
    return round(time.value if own == rate else Fraction(time.value).limit_denominator(10**6) / own * rate)


def heard(cut: Cut) -> list[Heard]:
    """All clips of the audio tracks that can be read; retimed ones are left out."""
    otio = library()
    found = []
    for number, track in enumerate(cut.timeline.audio_tracks(), 1):
        for index, item in enumerate(track):
            if not isinstance(item, otio.schema.Clip) or _retime(item):
                continue
            span, place = item.trimmed_range(), track.range_of_child_at_index(index)
            start = _exact(span.start_time)
            available = getattr(item.media_reference, "available_range", None)
            if available is not None:
                start -= _exact(available.start_time)
            media, _ = _media(item, cut.rate)
            record, length = frames(place.start_time, cut.rate), frames(place.duration, cut.rate)
            found.append(Heard(track.name or str(number), item.name, media, reel(item), record, length, start))
    return found


def _exact(time: Any) -> Fraction:
    return Fraction(time.value).limit_denominator(10**6) / standard_rate(
        Fraction(time.rate).limit_denominator(1_000_000)
    )


def local(path: str, base: Path) -> Path | None:
    """The file that an edit names, if it exists; relative names are relative to the edit's own folder."""
    try:
        return found if path and (found := base / path).is_file() else None
    except (OSError, ValueError):
        return None
