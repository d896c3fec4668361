"""Codecs: how footage can be encoded, and which containers take it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..errors import OptionError, OutputError
from ..places import check_target, existing
from ..timecode import later_timecode
from ..types import VideoInfo
from . import hdr

TIMECODED = (".mov", ".mp4", ".m4v", ".mxf", ".mkv")
ALPHA = ("yuva", "bgra", "gbra")  # prefixes of pixel formats with transparency


@dataclass(frozen=True)
class Codec:
    """How to encode: encoder, its default options, pixel formats by (deep, alpha), file name endings it fits."""

    encoder: str
    options: dict[str, str]
    formats: dict[tuple[bool, bool], str]
    suffixes: tuple[str, ...]
    crf: int | None = None  # visually lossless default

    @property
    def sequence(self) -> bool:
        """Whether it is a folder of pictures, one a frame."""
        return not self.encoder


def _formats(plain: str, deep: str, alpha: str = "", deep_alpha: str = "") -> dict[tuple[bool, bool], str]:
    return {
        (False, False): plain,
        (True, False): deep,
        (False, True): alpha or plain,
        (True, True): deep_alpha or alpha or deep,
    }


CODECS: dict[str, Codec] = {
    "h264": Codec(
        "libx264",
        {"preset": "medium"},
        _formats("yuv420p", "yuv420p10le"),
        (".mp4", ".mov", ".mkv", ".m4v", ".avi"),
        14,
    ),
    "hevc": Codec(
        "libx265",
        {"preset": "medium", "x265-params": "log-level=error"},
        _formats("yuv420p", "yuv420p10le"),
        (".mp4", ".mov", ".mkv", ".m4v"),
        16,
    ),
    "prores_422hq": Codec(
        "prores_ks",
        {"profile": "3", "vendor": "apl0"},
        _formats("yuv422p10le", "yuv422p10le"),
        (".mov", ".mkv", ".mxf"),
    ),
    "prores_4444": Codec(
        "prores_ks",
        {"profile": "4", "vendor": "apl0"},
        _formats("yuv444p10le", "yuv444p10le", "yuva444p10le", "yuva444p10le"),
        (".mov", ".mkv"),
    ),
    "ffv1": Codec("ffv1", {"level": "3"}, _formats("bgr0", "gbrp16le", "bgra", "gbrap16le"), (".mkv", ".avi", ".mov")),
    "png": Codec("", {}, {}, ()),
    "exr": Codec("", {}, {}, ()),
    "dpx": Codec("", {}, {}, ()),
}


def pick_codec(name: str | None, path: Path) -> str:
    """``name``, or what the output's ending suggests. Raises OptionError for unknown names and misfits."""
    suffix = path.suffix.lower()
    if name is None:
        name = "png" if suffix == "" else "h264"
    if name not in CODECS:
        raise OptionError(f"unknown codec '{name}'; choose {', '.join(CODECS)}")
    fits = CODECS[name].suffixes
    if CODECS[name].sequence:
        if suffix:
            raise OptionError(f"{path}: {name} pictures are written into a folder; give a name without an ending")
    elif suffix not in fits:
        raise OptionError(f"{path}: {name} goes into {', '.join(fits)}, not '{suffix or 'a name without an ending'}'")
    return name


def check_output(
    path: str | os.PathLike[str],
    inputs: Iterable[str | os.PathLike[str]],
    codec: str | None,
    *,
    new_folder: bool = False,
) -> str:
    """Check an output before work starts; returns the codec's name. new_folder: the folder will be made.

    Raises OptionError (unknown codec, wrong ending) and OutputError (no such folder, read-only, disk full, equal to an
    input, a folder in the way).
    """
    if not isinstance(path, (str, os.PathLike)):
        raise OutputError(f"the output is a file name, not {path!r:.100}")
    target = Path(os.fspath(path))
    name = pick_codec(codec, target)
    check_target(target)
    folder = existing(target.absolute().parent) if new_folder else target.absolute().parent
    if not os.path.isdir(folder):
        raise OutputError(f"{folder} does not exist; create the folder first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} is not writable; choose another folder for the output")
    sequence = CODECS[name].sequence
    if not sequence and target.is_dir():
        raise OutputError(f"{target} is a folder; give a file name")
    if sequence and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{target} exists and is not an empty folder; choose another name")
    for given in inputs:
        source = Path(os.fspath(given))
        if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
            raise OutputError(f"{target} is also an input; writing it would destroy the source, choose another name")
    if shutil.disk_usage(folder).free < 16 << 20:
        full = OutputError(f"the disk of {folder} is full (less than 16 MB free)")
        full.errno = errno.ENOSPC
        raise full
    return name


def lost(info: VideoInfo, codec: str, pix_fmt: str | None = None) -> list[str]:
    """What a codec cannot keep of the footage: one readable line each."""
    name, kind = info.path or "the footage", CODECS[codec]
    chosen = pix_fmt or kind.formats.get((info.bit_depth > 8, info.has_alpha), "")
    how = f"{codec} as {pix_fmt}" if pix_fmt else codec
    out = []
    if info.has_alpha and not kind.sequence and not chosen.startswith(ALPHA):
        out.append(f"the transparency of {name} is lost: {how} has none (prores_4444, ffv1, png, exr and dpx have)")
    if info.floating and codec != "exr":
        out.append(f"the range of {name} is lost: {how} gets a picture for displays (sRGB); exr keeps it")
    if info.mastering and not hdr.parameters(info.mastering, kind.encoder):
        out.append(f"the mastering display of {name} is lost: {how} does not tell it (hevc and h264 do)")
    return out


def container_options(suffix: str) -> dict[str, str]:
    """Muxer options: playable while it downloads where the container allows that, no random numbers in the header."""
    if suffix in (".mp4", ".mov", ".m4v"):
        return {"movflags": "+faststart+write_colr"}
    return {"fflags": "+bitexact"} if suffix == ".mkv" else {}


def keep_timecode(container: Any, suffix: str, timecode: str, fps: Fraction) -> None:
    """State the first frame's timecode in a container that is being written: MOV and MP4 make a track of it, MXF
    counts by it, Matroska has a tag. One that does not exist at the rate is left out."""
    if timecode and suffix in TIMECODED and later_timecode(timecode, fps, Fraction(0)):
        container.metadata["timecode"] = timecode


def available(name: str) -> bool:
    """Whether this build of PyAV has the encoder of a codec."""
    encoder = CODECS[name].encoder
    if not encoder:
        return True
    try:
        av.codec.Codec(encoder, "w")
    except (ValueError, av.FFmpegError):
        return False
    return True
