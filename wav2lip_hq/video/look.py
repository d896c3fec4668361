"""Color spaces: footage brought to a picture that networks understand, and what changed brought back.

OpenColorIO knows the spaces. The picture for the networks is Rec. 709 in an encoding that looks like a display's up to
the middle tones and holds 64 times white above them, so that a highlight that moves is not cut off.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import InputError, OptionError
from ..types import Array

BUILT_IN = "ocio://studio-config-latest"  # the Academy's, inside the package opencolorio
NETWORKS = "lin_rec709"  # linear, in the primaries that networks were trained on
BY_TRANSFER = {16: "Rec.2100-PQ - Display", 18: "Rec.2100-HLG - Display"}  # ISO/IEC 23091-2 -> color space
HDR_WHITE = 2.03  # diffuse white of HDR video, 203 nits (ITU-R BT.2408), where 1 is 100 nits
KNEE, SHARE, TOP = 0.5, 0.85, 64.0  # linear values up to KNEE look as in sRGB, SHARE as bright; TOP is the brightest
EXTRA = "pip install 'wav2lip_hq[delivery]'"


@dataclass(frozen=True)
class Look:
    """A color space of footage: to the networks' picture and back.

    name: as OpenColorIO knows it; encoding: "scene-linear", "log", "hdr-video", "sdr-video" or "", as its config says.
    """

    name: str
    encoding: str
    config: Any
    builtin: bool
    exposure: float = 0.0  # stops, for the networks' picture alone

    def shown(self, pixels: Array) -> Array:
        """(..., 3) uint16: what networks see of ``pixels`` (..., 3), uint8, uint16, float16 or float32."""
        linear = self._run(True, NETWORKS, pixels)
        linear *= np.float32(self._gain)
        with np.errstate(over="ignore"):
            half = linear.astype(np.float16)
        return np.asarray(_encoded()[half.view(np.uint16)])

    def own(self, shown: Array) -> Array:
        """(..., 3) float32 in the footage's own space (0 to 1 for integers) of the networks' picture, uint16."""
        return self._run(False, NETWORKS, _decoded()[shown] / np.float32(self._gain))

    def back(self, pixels: Array, before: Array, after: Array) -> Array:
        """The footage's ``pixels`` with what changed between two networks' pictures of it; all (H, W, 3). Where nothing
        changed, the same values."""
        if before.shape != after.shape:  # enlarged: every pixel is new
            return as_type(self.own(after), pixels.dtype)
        changed = (before != after).any(-1)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        if not len(rows):
            return pixels
        area = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        was, now = self.own(before[area]), self.own(after[area])
        given = as_float(pixels[area])
        made = np.where(np.isfinite(given), given - was, 0) + now  # what the picture cannot hold of a pixel stays
        out = pixels.copy()
        out[area] = np.where(changed[area][..., None], as_type(made, pixels.dtype), pixels[area])
        return out

    @property
    def linear_name(self) -> str:
        """The linear space that offsets are given in: this one, if it is linear, or the config's scene_linear."""
        if self.encoding in ("scene-linear", "display-linear"):
            return self.name
        return str(self.config.getRoleColorSpace("scene_linear") or NETWORKS)

    def linear(self, pixels: Array) -> Array:
        """(..., 3) float32 in the space ``linear_name`` of ``pixels`` in the footage's own."""
        target = self.linear_name
        return as_float(pixels) if target == self.name else self._run(True, target, as_float(pixels), exact=True)

    def unlinear(self, values: Array) -> Array:
        """(..., 3) float32 in the footage's own space of values in the space ``linear_name``: undoes ``linear``."""
        target = self.linear_name
        return values if target == self.name else self._run(False, target, values, exact=True)

    def display(self, pixels: Array) -> Array:
        """(..., 3) uint16 sRGB of ``pixels``, cut off at white: for players."""
        return as_type(self._run(True, "srgb_rec709_scene", pixels), np.dtype(np.uint16))

    @property
    def _gain(self) -> float:
        return float(2.0**self.exposure / (HDR_WHITE if self.encoding == "hdr-video" else 1.0))

    def _run(self, forward: bool, target: str, pixels: Array, exact: bool = False) -> Array:
        import PyOpenColorIO as ocio

        if pixels.dtype == np.uint8:
            pixels = pixels.astype(np.uint16) * np.uint16(257)
        kinds = {"uint16": ocio.BIT_DEPTH_UINT16, "float16": ocio.BIT_DEPTH_F16, "float32": ocio.BIT_DEPTH_F32}
        given = np.ascontiguousarray(pixels)
        made = np.empty(given.shape, np.float32)
        count, size = given.size // 3, given.itemsize
        if count:
            processor = _processor(self, forward, target).getOptimizedCPUProcessor(
                kinds[given.dtype.name],
                ocio.BIT_DEPTH_F32,
                ocio.OPTIMIZATION_LOSSLESS if exact else ocio.OPTIMIZATION_DEFAULT,  # which has approximate powers
            )
            processor.apply(
                ocio.PackedImageDesc(given, count, 1, 3, kinds[given.dtype.name], size, 3 * size, 3 * size * count),
                ocio.PackedImageDesc(made, count, 1, 3, ocio.BIT_DEPTH_F32, 4, 12, 12 * count),
            )
        return made


@lru_cache(maxsize=64)
def _processor(look: Look, forward: bool, target: str) -> Any:
    import PyOpenColorIO as ocio

    config = look.config
    if look.builtin or config.getColorSpace(target) is not None:
        names = (look.name, target) if forward else (target, look.name)
        return config.getProcessor(*names)
    try:  # through what both configs know by the roles aces_interchange or cie_xyz_d65_interchange
        if forward:
            return ocio.Config.GetProcessorToBuiltinColorSpace(config, look.name, target)
        return ocio.Config.GetProcessorFromBuiltinColorSpace(target, config, look.name)
    except ocio.Exception as error:
        raise InputError(
            f"the OpenColorIO config does not say how '{look.name}' relates to other configs' spaces; it needs the "
            f"role aces_interchange ({_short(error)})"
        ) from error


def find_look(name: str, config: str = "", exposure: float = 0.0) -> Look:
    """The color space ``name`` (or alias, or role) of an OpenColorIO config, a file or "ocio://..."; "" = BUILT_IN.

    Raises InputError: no such config; OptionError: no such space, or OpenColorIO is not installed.
    """
    try:
        import PyOpenColorIO as ocio
    except ImportError as error:
        raise OptionError(f"color spaces need OpenColorIO: {EXTRA}") from error
    loaded = _config(config or BUILT_IN)
    space = loaded.getColorSpace(name)
    if space is None:
        names = [n for s in loaded.getColorSpaces() for n in (s.getName(), *s.getAliases())]
        close = difflib.get_close_matches(name[:100], names, n=3, cutoff=0.4)
        near = f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
        raise OptionError(
            f"there is no color space '{name[:100]}' in {config or 'the built-in config'}{near} "
            "(`wav2lip-hq colorspaces` lists them)"
        )
    if space.isData():
        raise OptionError(f"'{name}' holds data, no colors; footage has a color space")
    look = Look(space.getName(), space.getEncoding(), loaded, (config or BUILT_IN).startswith("ocio://"), exposure)
    try:
        _processor(look, True, NETWORKS)
        _processor(look, False, NETWORKS)
    except ocio.Exception as error:
        raise InputError(f"OpenColorIO cannot convert from and to '{name}' ({_short(error)})") from error
    return look


@lru_cache(maxsize=8)
def _config(name: str) -> Any:
    import PyOpenColorIO as ocio

    ocio.SetLoggingLevel(ocio.LOGGING_LEVEL_NONE)
    if not name.startswith("ocio://") and not os.path.isfile(name):
        raise InputError(f"there is no OpenColorIO config {name}; give a config.ocio, or leave it out for the built-in")
    try:
        return ocio.Config.CreateFromFile(name)
    except ocio.Exception as error:
        raise InputError(f"{name} is not an OpenColorIO config that can be read ({_short(error)})") from error


def spaces(config: str = "") -> list[tuple[str, str, list[str]]]:
    """(name, encoding, aliases) of every color space of a config. Raises as ``find_look``."""
    try:
        import PyOpenColorIO  # noqa: F401
    except ImportError as error:
        raise OptionError(f"color spaces need OpenColorIO: {EXTRA}") from error
    found = _config(config or BUILT_IN).getColorSpaces()
    return [(s.getName(), s.getEncoding(), list(s.getAliases())) for s in found if not s.isData()]


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


# ---- numbers


def as_float(pixels: Array) -> Array:
    """float32 of pixels: integers as shares of their whole range."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    if pixels.dtype == np.uint16:
        return pixels.astype(np.float32) / np.float32(65535)
    return np.asarray(pixels, np.float32)


def as_type(values: Array, dtype: Any) -> Array:
    """Float values as pixels of a type: the reverse of ``as_float``, rounded and kept in range."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        most = float(np.finfo(kind).max)
        return np.asarray(np.clip(values, -most, most), kind)
    most = 255 if kind == np.uint8 else 65535
    return np.asarray(np.round(np.clip(np.nan_to_num(values), 0, 1) * np.float64(most)), kind)


def _srgb(x: Array) -> Array:
    return np.asarray(np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055))


def _shoulder() -> tuple[float, float, float]:
    """(a, b, c): above KNEE the encoding is a log(x - b) + c, with the same slope at KNEE, and 1 at TOP."""
    high = SHARE * float(_srgb(np.array(KNEE)))
    slope = SHARE * 1.055 / 2.4 * KNEE ** (1 / 2.4 - 1)
    low, up = 1e-6, KNEE  # of KNEE - b: the wider, the steeper the end
    for _ in range(80):
        d = (low + up) / 2
        if slope * d * np.log((TOP - KNEE + d) / d) > 1 - high:
            up = d
        else:
            low = d
    return slope * d, KNEE - d, high - slope * d * float(np.log(d))


@lru_cache(maxsize=1)
def _encoded() -> Array:
    """(65536,) uint16: the code of every half float, by its bits."""
    with np.errstate(all="ignore"):
        x = np.clip(np.nan_to_num(np.arange(65536).astype(np.uint16).view(np.float16).astype(np.float64)), 0, TOP)
    a, b, c = _shoulder()
    return np.round(65535 * np.where(x <= KNEE, SHARE * _srgb(x), a * np.log(np.maximum(x, KNEE) - b) + c)).astype(
        np.uint16
    )


@lru_cache(maxsize=1)
def _decoded() -> Array:
    """(65536,) float32: the linear value of every code."""
    y = np.arange(65536) / 65535
    a, b, c = _shoulder()
    low = y / SHARE
    low = np.where(low <= 12.92 * 0.0031308, low / 12.92, ((low + 0.055) / 1.055) ** 2.4)
    return np.where(y <= SHARE * float(_srgb(np.array(KNEE))), low, np.exp((y - c) / a) + b).astype(np.float32)
