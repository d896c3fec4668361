"""HDR10's static metadata: on which display footage was mastered, and how bright it is."""

from __future__ import annotations

import struct
from typing import Any

# AVMasteringDisplayMetadata: primaries of red, green, blue, the white point, darkest and brightest, as fractions of two
# 32-bit integers each, then two flags; AVContentLightMetadata: two unsigned integers.
_DISPLAY = struct.Struct("=20i2i")
_LIGHT = struct.Struct("=2I")


def mastering(frame: Any) -> str:
    """A decoded frame's metadata in the syntax of x265 and x264: "G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)", a space and
    "maxcll,maxfall"; "-" for a missing part, "" if both are missing. Chromaticities are in units of 0.00002,
    luminances in units of 0.0001 nits."""
    display = light = "-"
    # By name: what iterating gives, and what numbers mean beside several items of one kind, depends on PyAV's version.
    if (item := frame.side_data.get("MASTERING_DISPLAY_METADATA")) and len(data := bytes(item)) >= _DISPLAY.size:
        display = _display(_DISPLAY.unpack_from(data)) or "-"
    if (item := frame.side_data.get("CONTENT_LIGHT_LEVEL")) and len(data := bytes(item)) >= _LIGHT.size:
        light = ",".join(str(n) for n in _LIGHT.unpack_from(data))
    return "" if display == light == "-" else f"{display} {light}"


def _display(values: tuple[int, ...]) -> str:
    *fractions, primaries, luminance = values
    pairs = list(zip(fractions[::2], fractions[1::2], strict=True))
    if not (primaries and luminance) or any(b == 0 for _, b in pairs):
        return ""
    steps = [50000] * 8 + [10000] * 2
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y, low, high = (
        round(a * step / b) for (a, b), step in zip(pairs, steps, strict=True)
    )
    return f"G({green_x},{green_y})B({blue_x},{blue_y})R({red_x},{red_y})WP({white_x},{white_y})L({high},{low})"


def parameters(text: str, encoder: str) -> dict[str, str]:
    """The encoder's own parameters for ``mastering``'s text: for libx265 and libx264."""
    display, _, light = text.partition(" ")
    out: dict[str, str] = {}
    if encoder == "libx265":
        if display not in ("", "-"):
            out["master-display"] = display
        if light not in ("", "-"):
            out["max-cll"] = light
        if out:
            out |= {"hdr10": "1", "repeat-headers": "1"}
    elif encoder == "libx264":
        if display not in ("", "-"):
            out["mastering-display"] = display
        if light not in ("", "-"):
            out["cll"] = light
    return out
