"""Media files opened for reading: what may be opened, with readable errors."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from functools import cache
from typing import Any

import av

from ..errors import InputError

# Formats that may read files or devices other than the one opened.
POINTING = {
    "hls", "concat", "dash", "imf", "image2", "sdp", "rtsp", "rtp", "sap", "webm_dash_manifest", "vobsub", "avisynth",
    "vapoursynth", "lavfi", "dvdvideo", "tty", "v4l2", "fbdev", "alsa", "pulse", "jack", "oss", "sndio", "x11grab",
    "xcbgrab", "kmsgrab", "iec61883", "libcdio", "decklink", "openal", "libdc1394", "dshow", "gdigrab", "avfoundation",
}  # fmt: skip
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<MPD", b"<?xml")


@cache
def _formats() -> str:
    """Names of all formats that read a single file, separated by commas, as FFmpeg takes them."""
    return ",".join(sorted(av.formats_available - POINTING))


def open_input(path: str | os.PathLike[str], playlists: bool = False) -> Any:
    """av.open for reading, with readable errors. playlists: whether the file may name others to read; never
    from a network."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"a media file is given by its name, not as {path!r:.100}")
    name = os.fspath(path)
    if not os.path.exists(name):
        raise InputError(f"{name} does not exist")
    if os.path.isdir(name):
        raise InputError(f"{name} is a folder, not a media file")
    if not os.access(name, os.R_OK):
        raise InputError(f"{name} cannot be read (permission denied)")
    if not os.path.isfile(name):
        raise InputError(f"{name} is a pipe or a device, not a file; save what comes out of it first")
    try:
        with open(name, "rb") as file:
            head = file.read(500).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror})") from error
    if not head and not os.path.getsize(name):
        raise InputError(f"{name} is empty (0 bytes)")
    if head.startswith(PLAYLISTS) and not playlists:
        raise InputError(f"{name} is a playlist, which names other files to read; if that is meant, add --playlists")
    options = {"protocol_whitelist": "file,crypto,data"}
    if not playlists:
        options["format_whitelist"] = _formats()
    try:
        # "file:" keeps names with colons or percent signs from being read as protocols or patterns.
        return av.open(f"file:{name}", options=options)
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        raise InputError(
            f"{name} is not a media file this build can read, or it is damaged ({short_reason(error)})"
        ) from error


def short_reason(error: BaseException) -> str:
    """FFmpeg's message without error number and file name."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)).split("; ")[0].split(":")[0].strip()


def origin(container: Any) -> Fraction:
    """Where the file's clock starts, in seconds: program streams begin at arbitrary times, other files at zero."""
    known = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    start = min(known, default=Fraction(0))
    return start if start > Fraction(1, 4) else Fraction(0)
