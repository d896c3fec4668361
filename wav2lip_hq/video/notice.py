"""The notice in a file's metadata that its lip movement was synthesized: readable by people, and easy to remove."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av

from ..errors import InputError
from .opening import open_input

NOTICE = "Lip movement in this video was synthesized with wav2lip_hq."
_PNG = b"\x89PNG\r\n\x1a\n"
_FILM = (b"v/1\x01", b"SDPX", b"XPDS")  # EXR and DPX
_HEAD = 1 << 16  # bytes at the start of a picture that contain the notice


def commented(png: bytes) -> bytes:
    """A PNG file with the notice, as text behind its header."""
    text = b"tEXtComment\0" + NOTICE.encode("latin-1")
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return png[:33] + chunk + png[33:]


def notice_of(path: Path) -> bool:
    """Whether a video or picture carries the notice. Raises InputError if it is neither."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith((_PNG, *_FILM)):
        return NOTICE.encode() in head
    with open_input(path) as container:
        if not container.streams.video:
            raise InputError(f"{path} has neither a manifest nor a picture")
        try:
            texts = [*container.metadata.values(), *container.streams.video[0].metadata.values()]
        except av.FFmpegError as error:
            raise InputError(f"{path} cannot be read: {error}") from error
    return any(NOTICE in text for text in texts)
