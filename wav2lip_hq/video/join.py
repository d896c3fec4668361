"""Concatenating video files of the same codec without encoding again."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from .. import places
from ..errors import OutputError
from .codecs import CODECS, check_output, container_options, keep_timecode
from .notice import NOTICE
from .opening import open_input
from .sequences import naming, number
from .sound import Sound
from .tracks import Tracks


def clock_start(output: Path, first: Fraction) -> Fraction:
    """Where the clock of a part should begin, so that joined times are those of an undivided file, in seconds.

    first: when the part's first frame is shown. That is the answer for files that count in the footage's own units but
    begin late at a rougher one (MP4 and MOV: 1 ms; AVI not at all). Matroska counts milliseconds throughout: from a
    whole second on they are rounded as they are from zero on.
    """
    return Fraction(math.floor(first)) if output.suffix.lower() == ".mkv" else first


def join_videos(
    parts: Sequence[tuple[Path, Fraction]],
    output: Path,
    *,
    sound: Sound | None = None,
    until: Fraction | None = None,
    beside: Sequence[Sound] = (),
    mark: bool = True,
    finish: Callable[[Path], None] | None = None,
    timecode: str = "",
) -> int:
    """Write ``output`` from encoded parts and return how many frames it has.

    parts: (file, seconds of the output at which its clock begins: ``clock_start``), in order; files of one codec and
    size, or folders of pictures. sound, until, beside, mark, finish: as for VideoWriter; timecode: of the first
    frame. Packets are copied, so the pictures are those of the parts, bit for bit. Written under a temporary name.
    Raises OutputError, InputError.
    """
    check_output(output, [], _kind(parts[0][0]) if parts[0][0].is_dir() else None)
    sounds = [*([] if sound is None else [sound]), *beside]
    temporary = places.beside(output)
    try:
        if parts[0][0].is_dir():
            count = _folders([p for p, _ in parts], temporary)
        else:
            count = _files(parts, temporary, output.suffix.lower(), sounds, until, mark, timecode)
        if finish is not None:
            finish(temporary)
        if temporary.is_dir() and output.is_dir():
            output.rmdir()
        os.replace(temporary, output)
    except (av.FFmpegError, OSError) as error:
        _remove(temporary)
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{output} could not be written: {error}") from error
    except BaseException:
        _remove(temporary)
        raise
    return count


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _kind(folder: Path) -> str:
    """The file name ending of a folder's pictures."""
    found = {p.suffix[1:] for p in folder.iterdir()} & {name for name, codec in CODECS.items() if codec.sequence}
    return min(found, default="png")


def _folders(parts: Sequence[Path], target: Path) -> int:
    """The pictures of all parts, numbered on from the first one's number."""
    target.mkdir()
    suffix = f".{_kind(parts[0])}"
    called = naming(sorted(parts[0].glob(f"*{suffix}")))
    assert called is not None
    count = 0
    for part in parts:
        for picture in sorted(part.glob(f"*{suffix}"), key=number):
            shutil.copyfile(picture, target / called.name(count, suffix))
            count += 1
    return count


def _files(
    parts: Sequence[tuple[Path, Fraction]],
    target: Path,
    suffix: str,
    sounds: Sequence[Sound],
    until: Fraction | None,
    mark: bool,
    timecode: str,
) -> int:
    track: Tracks | None = None
    count = 0
    with av.open(f"file:{target}", "w", options=container_options(suffix)) as container:
        if mark:
            container.metadata["comment"] = NOTICE
        try:
            stream: Any = None
            behind = _behind(parts, suffix)
            last = Fraction(-1)
            for path, begin in parts:
                with open_input(path) as source:
                    given = source.streams.video[0]
                    if stream is None:
                        keep_timecode(container, suffix, timecode, Fraction(given.average_rate or 25))
                        stream = stream_like(container, given)
                        if sounds:
                            track = Tracks(container, suffix, sounds, until)
                    base = Fraction(given.time_base)
                    packets = [p for p in source.demux(given) if p.size]
                    times = [t * base + begin for t in _times(packets, suffix)]
                    for packet, decode, shown in zip(packets, sorted(times), times, strict=True):
                        # Decoding order counts on through the parts: always ascending, never after showing.
                        due = last = base * round(max(decode - behind, last + base) / base)
                        packet.time_base = base
                        packet.pts, packet.dts = round(max(shown, due) / base), round(due / base)  # later in AVI alone
                        packet.stream = stream
                        if track is not None:
                            track.mux_until(container, shown)
                        container.mux(packet)
                        count += 1
            if track is not None:
                track.mux_until(container, None)
        finally:
            if track is not None:
                track.close()
    with target.open("rb+") as file:
        os.fsync(file.fileno())
    return count


def stream_like(container: Any, given: Any) -> Any:
    """An output stream for packets of ``given``. What is stated by the file and not by the codec's own headers is not
    in PyAV's template: which ProRes it is, its aspect ratio, the frame rate (in its place stands H.264's clock)."""
    stream = container.add_stream_from_template(given)
    stream.time_base = given.time_base
    context = stream.codec_context
    if context.name == "prores":  # the tag alone says which ProRes it is, and with it how deep it is decoded
        context.codec_tag = given.codec_context.codec_tag
    if given.sample_aspect_ratio:
        context.sample_aspect_ratio = given.sample_aspect_ratio
    if given.average_rate:
        context.framerate = given.average_rate
    return stream


def _times(packets: Sequence[Any], suffix: str) -> list[int]:
    """When each packet is shown, in the stream's units. AVI does not say so, and what is guessed for it is wrong by a
    frame or more: its packets are timed as they are stored, before and after joining."""
    return [p.dts if suffix == ".avi" else p.pts for p in packets]


def _behind(parts: Sequence[tuple[Path, Fraction]], suffix: str) -> Fraction:
    """Seconds by which decoding must run ahead of presentation, for frames stored before frames shown earlier."""
    most = Fraction(0)
    for path, _ in parts:
        with open_input(path) as source:
            stream = source.streams.video[0]
            times = _times([p for p in source.demux(stream) if p.size], suffix)
            lead = max((a - b for a, b in zip(sorted(times), times, strict=True)), default=0)
            most = max(most, lead * Fraction(stream.time_base))
    return most
