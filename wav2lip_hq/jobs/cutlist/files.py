"""Timeline files in and out, by their endings."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...errors import InputError, OptionError
from ...places import check_target, write_text
from ...timecode import standard_rate
from . import edl, fcp7, fcpxml

LARGEST = 64 << 20  # bytes of a timeline file
DEEPEST = 200  # levels of JSON: the library's reader has no limit of its own, and would crash
PATIENCE = 120  # seconds that a file may take to be read
READ = (".aaf", ".edl", ".fcpxml", ".otio", ".xml")  # .xml: Final Cut Pro 7's
WRITTEN = (".edl", ".fcpxml", ".otio")


@dataclass(frozen=True)
class Cut:
    """A timeline that was read. rate: frames a second that it counts; drop: whether its timecode is drop-frame;
    problems: what could not be read of it."""

    path: Path
    timeline: Any
    rate: Fraction
    drop: bool = False
    problems: list[str] = field(default_factory=list)


def library() -> Any:
    """OpenTimelineIO. Raises OptionError where it is not installed."""
    try:
        import opentimelineio

        return opentimelineio
    except ImportError as error:
        raise OptionError("timelines need OpenTimelineIO: pip install 'wav2lip-hq[delivery]'") from error


def check_ending(path: Path, endings: Sequence[str] = WRITTEN) -> str:
    """The file's ending, in lower case. Raises OptionError for one that is not a timeline's."""
    suffix = path.suffix.lower()
    if suffix not in endings:
        raise OptionError(f"{path}: a timeline is a file that ends in {', '.join(endings)}")
    return suffix


def read(path: Path, rate: Fraction | None = None, loose: bool = False) -> Cut:
    """Read a timeline. rate: what an EDL counts, which does not say so itself; loose: see ``edl.read``. Raises
    InputError, OptionError."""
    suffix = check_ending(path, READ)
    otio = library()
    text = _from_aaf(path) if suffix == ".aaf" else _text(path)
    problems: list[str] = []
    drop = False
    if suffix == ".edl":
        if rate is None:
            raise OptionError(f"{path}: an EDL does not say how many frames a second it counts; give --rate, say 25")
        rate = standard_rate(rate)
        timeline, drop, problems = edl.read(text, str(path), rate, loose)
        return Cut(path, timeline, rate, drop, problems)
    if suffix in (".fcpxml", ".xml"):
        kind = fcp7 if suffix == ".xml" and "<fcpxml" not in text[:4096] else fcpxml
        timeline, found, drop, problems = kind.read(text, str(path))
    else:
        _check_depth(text, path)
        _check_alive(text, path)
        try:
            timeline = otio.adapters.read_from_string(text, "otio_json")
        except Exception as error:  # noqa: BLE001 - the library's errors are of many types
            raise InputError(
                f"{path} is not an OTIO file, or it is damaged: {' '.join(str(error).split())[:160]}"
            ) from error
        timeline = first_timeline(timeline, path)
        found = _rate(timeline, path)
    if rate is not None and standard_rate(rate) != found:
        raise OptionError(f"{path} counts {float(found):.5g} frames a second, not {float(rate):.5g}")
    return Cut(path, timeline, found, drop, problems)


def _check_size(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"there is no timeline {path}")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST >> 20} MiB, which no timeline is")


def _text(path: Path) -> str:
    _check_size(path)
    data = path.read_bytes()
    if not data.strip():
        raise InputError(f"{path} is empty")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in data[:4096]:
            raise InputError(f"{path} is not a text file") from None
        return data.decode("latin-1")


def _from_aaf(path: Path) -> str:
    """An AAF file as OTIO's text, made in another process: the adapter follows what the file says wherever that leads.
    Raises InputError, OptionError."""
    _check_size(path)
    if "AAF" not in library().adapters.available_adapter_names():
        raise OptionError(f"{path} needs OpenTimelineIO's adapter: pip install 'wav2lip-hq[delivery]'")
    try:
        made = subprocess.run(
            [sys.executable, "-c", _AAF, str(path)], capture_output=True, timeout=PATIENCE, check=False
        )
        if made.returncode == 0:
            return made.stdout.decode()
        why = made.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    except (OSError, subprocess.TimeoutExpired) as error:
        why = [type(error).__name__]
    raise InputError(f"{path} is not an AAF file, or it is damaged{f' ({why[0][:160]})' if why else ''}")


_AAF = """
import os, sys
import opentimelineio as otio
out = os.dup(1)
os.dup2(2, 1)  # what the adapter prints is no part of it
text = otio.adapters.read_from_file(sys.argv[1], "AAF").to_json_string()
with open(out, "wb") as file:
    file.write(text.encode())
"""


def _check_depth(text: str, path: Path) -> None:
    depth = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        if match[0] in "[{":
            depth += 1
            if depth > DEEPEST:
                raise InputError(f"{path} is nested more than {DEEPEST} levels deep; it is damaged, or not a timeline")
        elif match[0] in "]}":
            depth -= 1


def _check_alive(text: str, path: Path) -> None:
    """Read the file in another process first: the library crashes, and Python with it, where a damaged file lacks what
    it expects. Raises InputError."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRIAL], input=text.encode(), capture_output=True, timeout=PATIENCE, check=False
        )
        if tried.returncode == 0:
            return
        why = tried.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] if tried.returncode > 0 else []
    except (OSError, subprocess.TimeoutExpired) as error:
        why = [type(error).__name__]
    more = f" ({why[0][:160]})" if why else ""
    raise InputError(f"{path} is not an OTIO file, or it is damaged{more}")


_TRIAL = """
import sys
import opentimelineio as otio
found = otio.adapters.read_from_string(sys.stdin.buffer.read().decode(), "otio_json")
whole = [found] if isinstance(found, otio.schema.Timeline) else list(found)
for timeline in whole:
    if isinstance(timeline, otio.schema.Timeline):
        for track in [*timeline.video_tracks(), *timeline.audio_tracks()]:
            for index, item in enumerate(track):
                track.range_of_child_at_index(index)
                if isinstance(item, otio.core.Item):
                    item.trimmed_range(), list(item.effects)
                if isinstance(item, otio.schema.Clip):
                    getattr(item.media_reference, "target_url", "")
found.to_json_string()
"""


def first_timeline(found: Any, path: Path) -> Any:
    """The timeline in what was read. Raises InputError."""
    otio = library()
    if isinstance(found, otio.schema.SerializableCollection):
        found = next((one for one in found if isinstance(one, otio.schema.Timeline)), None)
    if not isinstance(found, otio.schema.Timeline):
        raise InputError(f"{path} holds no timeline")
    return found


def _rate(timeline: Any, path: Path) -> Fraction:
    """Frames a second: those of the first clip of the first video track that has any."""
    for track in timeline.video_tracks():
        for item in track:
            span = getattr(item, "source_range", None)
            if span is not None and span.duration.rate > 1:
                return standard_rate(Fraction(span.duration.rate).limit_denominator(100_000))
    raise InputError(f"{path} has no video track with clips")


def write(timeline: Any, path: Path, rate: Fraction, drop: bool) -> None:
    """Write a timeline as what its ending says, complete or not at all. Raises OptionError, OutputError."""
    suffix = check_ending(path)
    check_target(path)
    if suffix == ".edl":
        text = edl.written(timeline, rate, drop)
    elif suffix == ".fcpxml":
        text = fcpxml.written(timeline, rate, drop)
    else:
        text = timeline.to_json_string(indent=2)
    write_text(path, text)
