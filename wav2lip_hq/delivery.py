"""What is written: the result, or what a compositor lays over the camera original: a patch, its matte, the difference.

Exact by construction. Let S be a pixel of the footage, R the result's, both integers from 0 to M, and A the matte.

- patch: straight color F = round(S + (R - S) M / A) with alpha A / M. Laid over S and rounded to the footage's depth it
  gives R: the error of F is half a step at most, and alpha makes it smaller. A is raised where F would not fit between
  0 and M, and is M from 98 % on, so that single precision is enough. EXR holds it premultiplied, as EXR does:
  R - (1 - alpha) S, in single precision.
- matte: A alone.
- offset: R - S in linear light, in single precision; 0 where nothing changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import video
from .errors import OptionError
from .originals import Originals
from .run_options import RunOptions
from .session import Session
from .types import Array, Chunk, VideoInfo
from .video.look import Look, as_float, as_type, find_look
from .video.pictures import in_codes

SOLID = 0.98  # share of the matte from which on it is full
AROUND = 16  # px of footage kept around a patch, so that a lossy codec does not blend black into its edge
SRGB = "srgb_rec709_scene"  # assumed color space of footage that states none, for offsets
WITH_ALPHA = ("prores_4444", "ffv1", "png", "exr", "dpx")
_BY_ENDING = {".mov": "prores_4444", ".mkv": "ffv1", ".avi": "ffv1"}


@dataclass(frozen=True)
class Picture:
    """What is written of one frame."""

    pixels: Array  # (H, W, 3), or (H, W) of a matte
    alpha: Array | None
    like: Path | None  # the footage's own picture


def choose_codec(options: RunOptions, output: str | os.PathLike[str], face: Any = None) -> str | None:
    """The codec of an output, if that does not follow from its ending alone. Raises OptionError for what cannot hold
    what is to be delivered."""
    codec = options.codec
    if not isinstance(output, (str, os.PathLike)):
        return codec  # no path at all: ``check_output`` says so
    what, suffix = options.deliver, Path(output).suffix.lower()
    if codec is None and suffix == "":
        codec = "exr" if what == "offset" else _film(face)
    elif codec is None and what in ("patch", "matte"):
        codec = _BY_ENDING.get(suffix)
    if what != "result" and options.compare:
        raise OptionError("compare shows source and result; it cannot be combined with --deliver")
    chosen = codec or ("png" if suffix == "" else "h264")
    if what == "offset" and chosen != "exr":
        raise OptionError(f"{output}: offsets are floats: give a folder without an ending, for EXR pictures")
    if what == "patch" and (
        chosen not in WITH_ALPHA or (options.pix_fmt and not options.pix_fmt.startswith(("yuva", "bgra", "gbra")))
    ):
        raise OptionError(
            f"{output}: a patch needs transparency: .mov (prores_4444), .mkv (ffv1), or a folder (png, exr, dpx)"
        )
    return codec


def _film(face: Any) -> str | None:
    """The kind of a sequence of EXR or DPX pictures."""
    if not isinstance(face, (str, os.PathLike)):
        return None
    path = Path(os.fspath(face))
    kinds = {p.suffix.lower() for p in path.iterdir()} if path.is_dir() else {path.suffix.lower()}
    return next((kind for kind in ("exr", "dpx") if f".{kind}" in kinds), None)


def described(session: Session, codec: str) -> VideoInfo:
    """What is written, for the writer. Raises OptionError for pixels that a codec cannot hold."""
    info, what = session.reader.info, session.options.deliver
    scale = session.scale
    if scale != 1:
        if what != "result" or session.options.compare:
            word = "--compare" if what == "result" else f"a {what}"
            raise OptionError(f"{word} fits the footage's size; leave out the stage that enlarges the picture (frame)")
        info = replace(info, width=info.width * scale, height=info.height * scale)
    if what == "result":
        if info.floating and codec != "exr":
            return replace(info, floating=False, bit_depth=16, color={"primaries": 1, "transfer": 13, "matrix": 1})
        return info
    if what == "offset":
        return replace(info, has_alpha=False, colorspace=offset_look(session).linear_name)
    if what == "patch":
        if info.floating and codec != "exr":
            raise OptionError(f"a patch of {info.path} holds floats; give a folder, for EXR pictures")
        finer = codec == "dpx" and info.bit_depth > 8  # color and alpha rounded to 12 bits would not do for 12 bits
        return replace(info, has_alpha=True, bit_depth=16 if finer else info.bit_depth)
    depth = 16 if info.bit_depth > 8 else 8
    return replace(info, has_alpha=False, floating=False, bit_depth=depth, colorspace="", mastering="", color={})


def offset_look(session: Session) -> Look:
    """The color space whose linear light offsets are given in."""
    options, look = session.options, session.reader.look
    if look is not None:
        return look
    return find_look(SRGB if options.colorspace in ("", "auto") else options.colorspace, options.ocio)


def pictures(stream: Iterator[Chunk], session: Session, codec: str) -> Iterator[tuple[Chunk, list[Picture]]]:
    """The stream's chunks, each with the pictures to write."""
    options, what = session.options, session.options.deliver
    look = offset_look(session) if what == "offset" else session.reader.look
    films = codec in ("exr", "dpx") and not session.reader.info.still
    info = session.reader.info
    steps = info.bit_depth if info.codec == "dpx" and info.bit_depth in (10, 12) else 0
    for chunk, sources in _with_sources(stream, session, what != "result" or options.compare):
        made = []
        for i, pixels in enumerate(chunk.pixels):
            if steps:  # the result is what its file will hold
                pixels = in_codes(pixels, steps)
            alpha = None if chunk.alpha is None else chunk.alpha[i]
            like = _like(session, chunk, i) if films else None
            if what == "result":
                if options.compare:
                    pixels = np.concatenate([sources[i], pixels], 1)
                    alpha = None if alpha is None else np.concatenate([alpha, alpha], 1)
                if pixels.dtype.kind == "f" and codec != "exr":
                    assert look is not None
                    pixels, alpha = look.display(pixels), None if alpha is None else as_type(as_float(alpha), np.uint16)
                made.append(Picture(pixels, alpha, like))
                continue
            matte = np.zeros(pixels.shape[:2], np.uint16) if chunk.matte is None else chunk.matte[i]
            if what == "patch":
                made.append(Picture(*patch(sources[i], pixels, matte, codec), like))
            elif what == "matte":
                share = coverage(sources[i], pixels, matte)
                made.append(Picture(as_type(share, np.uint8 if pixels.dtype == np.uint8 else np.uint16), None, like))
            else:
                assert look is not None
                made.append(Picture(offset(sources[i], pixels, look), None, like))
        yield chunk, made


def coverage(source: Array, result: Array, matte: Array) -> Array:
    """(H, W) float64 in [0, 1]: alpha of a patch, in whole steps of the footage's depth (65535 for floats)."""
    most = 255 if source.dtype == np.uint8 else 65535
    share = matte.astype(np.float64) / 65535
    changed = (source != result).any(-1)
    s, r = source[changed].astype(np.float64), result[changed].astype(np.float64)
    if source.dtype.kind == "f":
        s, r = np.nan_to_num(s), np.nan_to_num(r)
        high = np.maximum(1, 2 * np.maximum(s, r))
    else:
        high = np.full_like(s, most)
    with np.errstate(all="ignore"):
        need = np.where(r > s, (r - s) / (high - s), np.where(s > 0, (s - r) / s, 1.0))
    need = np.where(r == s, 0, need)
    share[changed] = np.clip(np.maximum(share[changed], need.max(-1)), 0, 1)
    steps = np.ceil(share * most - 1e-9)
    steps[changed] = np.maximum(steps[changed], 1)
    return np.asarray(np.where(steps >= SOLID * most, most, steps) / most)


def patch(source: Array, result: Array, matte: Array, codec: str = "png") -> tuple[Array, Array]:
    """(RGB, alpha) of only what changed between ``source`` and ``result`` (H, W, 3), see above.

    matte: (H, W) uint16, how much of each pixel is the synthesized face's. codec: exr gets premultiplied float32,
    others straight color of the footage's own type.
    """
    share = coverage(source, result, matte)
    there = share > 0
    if codec == "exr":
        alpha = share.astype(np.float32)
        s, r = as_float(source), as_float(result)
        color = np.where(alpha[..., None] == 1, r, r - (1 - alpha[..., None]) * s)
        return np.where(there[..., None], color, 0).astype(np.float32), alpha
    most = 255 if source.dtype == np.uint8 else 65535
    s, r = source.astype(np.float64), result.astype(np.float64)
    color = s + (r - s) / np.where(there, share, 1)[..., None]
    shown = there
    if codec == "prores_4444":
        disc = np.ones((2 * AROUND + 1, 2 * AROUND + 1), np.uint8)
        shown = cv2.dilate(there.astype(np.uint8), disc) > 0
    color = np.where(shown[..., None], np.clip(np.round(color), 0, most), 0)
    return color.astype(source.dtype), np.round(share * most).astype(source.dtype)


def offset(source: Array, result: Array, look: Look) -> Array:
    """(H, W, 3) float32: ``result`` minus ``source`` in linear light, in the space ``look.linear_name``."""
    out = np.zeros(source.shape, np.float32)
    changed = (source != result).any(-1)
    out[changed] = look.linear(result[changed]) - look.linear(source[changed])
    return out


def _like(session: Session, chunk: Chunk, i: int) -> Path | None:
    """The footage's picture that frame ``i`` shows."""
    files = session.reader.files
    if not files or chunk.source_pts is None:
        return None
    return files[min(len(files) - 1, round(chunk.source_pts[i] * session.reader.info.fps))]


def _with_sources(stream: Iterator[Chunk], session: Session, wanted: bool) -> Iterator[tuple[Chunk, list[Array]]]:
    """Chunks with the footage's own frames, read once more, if they are wanted."""
    originals = Originals(session.reader, own=True)
    for chunk in stream:
        yield chunk, [originals.at(shown) for shown in (chunk.source_pts or ()) if wanted]


def check_source(session: Session) -> None:
    """Raise OptionError if the footage would have to be read a second time and cannot be."""
    options = session.options
    if session.reader.once and (options.compare or options.report or options.deliver != "result"):
        what = "compare" if options.compare else "a report"
        what = what if options.deliver == "result" else f"deliver = {options.deliver}"
        raise OptionError(f"{what} needs footage that can be read again, not an iterator")


def warnings(session: Session, codec: str) -> list[str]:
    """What of the footage the output does not hold."""
    if session.options.deliver != "result":
        return []
    return video.lost(session.reader.info, codec, session.options.pix_fmt)
