"""Why a file is not the one that was signed, where the file itself shows it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError
from ..video.opening import open_input

_PNG = b"\x89PNG\r\n\x1a\n"


def shown(path: Path, synthesis: dict[str, Any]) -> list[str]:
    """What is visibly wrong with a file whose hashes do not match. synthesis: what its manifest states, {} if nothing.

    That nothing is found means nothing: whoever changes a picture need not change anything that is looked at here.
    """
    if cut := cut_off(path):
        return [cut]
    said = synthesis.get("frames")
    count = _frames(path)
    if isinstance(said, int) and count and count != said:
        return [f"its manifest is that of a video of {said} frames, and this one has {count}"]
    return []


def cut_off(path: Path) -> str:
    """That a file lacks its end, in words; "" if it does not, or its format does not tell.

    MP4 and MOV: boxes (ISO/IEC 14496-12); AVI: RIFF chunks; PNG: the chunk that ends it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head.startswith(_PNG):
            file.seek(max(0, size - 12))
            return "" if file.read(12)[4:8] == b"IEND" else "it was cut off: its end is missing"
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            ends = list(_chunks(file, size))
        elif head[4:8] == b"ftyp":
            ends = list(_boxes(file, size))
        else:
            return ""
    end = max(ends, default=0)
    return f"it was cut off: {end - size:,} of its {end:,} bytes are missing" if end > size else ""


def _boxes(file: BinaryIO, size: int) -> Iterator[int]:
    """Where each box at the top of an MP4 ends."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        (length,) = struct.unpack(">I", head[:4])
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
        if length < 8:  # 0: up to the end of the file; less than its own head: no box
            return
        at += length
        yield at


def _chunks(file: BinaryIO, size: int) -> Iterator[int]:
    """Where each chunk at the top of an AVI ends; large files have several."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF":
            return
        at += 8 + length + length % 2
        yield at


def _frames(path: Path) -> int:
    """How many pictures a video has by its container's account; 0 if it does not say."""
    try:
        with open_input(path) as container:
            return int(container.streams.video[0].frames) if container.streams.video else 0
    except InputError:
        return 0
