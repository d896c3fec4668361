"""Which matrix and range turn YUV into RGB and back.

A wrong guess shifts every color a little, and the same guess must be made when reading and when writing. Untagged
footage is taken as BT.709 from 720 lines on and as BT.601 below, as players do.
"""

from __future__ import annotations

from typing import Any

from av.video.reformatter import ColorRange, Colorspace, Interpolation

UNSPECIFIED = 2
QUALITY = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
# ISO/IEC 23091-2 matrix code -> swscale's tables
_TABLES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 7: Colorspace.SMPTE240M}


def tags(context: Any) -> dict[str, int]:
    """Color tags of a codec context: primaries, transfer, matrix, range; unspecified ones left out."""
    found = {
        "primaries": int(context.color_primaries or UNSPECIFIED),
        "transfer": int(context.color_trc or UNSPECIFIED),
        "matrix": int(context.colorspace if context.colorspace is not None else UNSPECIFIED),
        "range": int(context.color_range or 0),
    }
    return {k: v for k, v in found.items() if v != (0 if k == "range" else UNSPECIFIED)}


def table(color: dict[str, int], height: int) -> Colorspace:
    """swscale's coefficients for tagged or untagged footage of a height."""
    matrix = color.get("matrix", UNSPECIFIED)
    if matrix in (9, 10):
        return Colorspace(9)  # BT.2020
    return _TABLES.get(matrix, Colorspace.ITU709 if height >= 720 else Colorspace.ITU601)


def span(color: dict[str, int], pix_fmt: str) -> ColorRange:
    """Full ("jpeg") or limited ("mpeg") range."""
    if color.get("range") == int(ColorRange.JPEG) or pix_fmt.startswith("yuvj"):
        return ColorRange.JPEG
    return ColorRange.MPEG
