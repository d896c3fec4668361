"""Moving the sound of a file against its picture by timestamps alone: every packet is copied, nothing is encoded."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..errors import InputError, OutputError
from ..places import beside, check_target
from .join import stream_like
from .opening import open_input, short_reason

# Containers whose streams have times of their own, in which sound can begin late; AVI and MXF only count.
TIMED = {".mp4", ".m4v", ".mov", ".mkv", ".webm"}


def shifted_name(source: Path, folder: Path | None = None) -> Path:
    """The name of a corrected copy: NAME.fixed.mp4, beside the file or in ``folder``; Matroska where the file's own
    container has no times for its sound."""
    suffix = source.suffix if source.suffix.lower() in TIMED else ".mkv"
    return (folder or source.parent) / f"{source.stem}.fixed{suffix}"


def shift_sound(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    by: Fraction,
    finish: Callable[[Path], None] | None = None,
) -> list[str]:
    """Copy a file with its sound ``by`` seconds later (negative: earlier), without encoding anything.

    MP4 and MOV keep sound from before the picture's beginning as a track that starts inside (an edit list); in Matroska
    the picture begins later instead. Written under a temporary name; finish: called on the complete file before it gets
    its own. Returns the streams that could not be copied (timecode and data of some cameras). Raises InputError,
    OutputError.
    """
    output = Path(target)
    check_target(output)
    if os.path.realpath(output) == os.path.realpath(source):
        raise OutputError(f"{output} would replace the file itself; give another folder")
    if output.suffix.lower() not in TIMED:
        raise OutputError(f"{output}: sound has no times of its own in {output.suffix}; use .mkv, .mov or .mp4")
    temporary = beside(output)
    try:
        with open_input(source) as given:
            if not given.streams.audio or not given.streams.video:
                raise InputError(f"{os.fspath(source)} needs picture and sound for one to be moved against the other")
            with av.open(f"file:{temporary}", "w") as made:
                lost = _copy(given, made, by)
        if finish is not None:
            finish(temporary)
        os.replace(temporary, output)
    except (av.FFmpegError, ValueError, OSError) as error:
        if isinstance(error, (InputError, OutputError)):
            raise
        raise OutputError(
            f"{os.fspath(source)} cannot be copied into {output.name} without encoding ({short_reason(error)})"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return lost


def _copy(given: Any, made: Any, by: Fraction) -> list[str]:
    made.metadata.update(given.metadata)
    pairs: dict[int, Any] = {}
    lost = []
    for stream in given.streams:
        try:
            picture = stream.type == "video"
            copy = stream_like(made, stream) if picture else made.add_stream_from_template(stream)
        except (ValueError, TypeError, av.FFmpegError):
            lost.append(f"{stream.type} stream {stream.index}")
            continue
        copy.time_base = stream.time_base
        copy.metadata.update(stream.metadata)
        pairs[stream.index] = copy
    for packet in given.demux(*[given.streams[n] for n in pairs]):
        if not packet.size:
            continue
        stream = packet.stream
        if packet.pts is None and packet.dts is None:
            raise ValueError("some packets have no times")
        packet.dts = packet.pts if packet.dts is None else packet.dts
        packet.pts = packet.dts if packet.pts is None else packet.pts
        if stream.type == "audio":
            late = round(by / packet.time_base)
            packet.pts, packet.dts = packet.pts + late, packet.dts + late
        packet.stream = pairs[stream.index]
        made.mux(packet)
    return lost
