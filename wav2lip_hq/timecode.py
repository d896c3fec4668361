"""Times as written in post-production: seconds, clock times, SMPTE timecode (drop-frame too)."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from .errors import OptionError

_TIMECODE = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;])(\d{2,3})")
_SECONDS = re.compile(r"-?\d{1,9}(?:\.\d{0,12})?")
_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")


def parse_time(value: object, fps: Fraction, start: Fraction = Fraction(0)) -> Fraction:
    """Seconds from the start of the footage.

    value: a number or "12.5" (seconds), "1:02.5" or "0:01:02.5" (clock), "01:00:10:12" (timecode) or "01:00:10;12"
    (drop-frame timecode, at 29.97 and 59.94 frames a second). fps: of the footage. start: the footage's own first
    timecode as seconds (see ``timecode_seconds``), taken off timecodes alone.
    Raises OptionError for anything else, a frame number beyond the rate, a dropped frame, a time before the start.
    """
    if isinstance(value, bool) or value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise OptionError(f"'{value}' is not a time; write seconds or a timecode like 01:00:10:12")
    if isinstance(value, (int, float, Fraction)):
        seconds = Fraction(value).limit_denominator(1_000_000)
    else:
        text = str(value).strip()
        if _TIMECODE.fullmatch(text):
            seconds = timecode_seconds(text, fps) - start
        elif match := _CLOCK.fullmatch(text):
            hours, minutes, rest = match.groups()
            seconds = int(hours or 0) * 3600 + int(minutes) * 60 + Fraction(rest)
        elif _SECONDS.fullmatch(text):
            seconds = Fraction(text)
        else:
            raise OptionError(f"'{text[:80]}' is not a time; write seconds or a timecode like 01:00:10:12")
    if seconds < 0:
        raise OptionError(f"'{value}' lies before the start of the footage")
    return seconds


def timecode_seconds(text: str, fps: Fraction) -> Fraction:
    """Running seconds of a timecode since 00:00:00:00.

    Drop-frame counts skip the numbers 0 and 1 (0 to 3 at 59.94) at the start of each minute but every tenth, so that
    the count keeps up with the clock (SMPTE ST 12-1).

    >>> timecode_seconds("00:01:00;02", Fraction(30000, 1001)) == 1800 * Fraction(1001, 30000)
    True
    """
    return timecode_frames(text, fps) / standard_rate(fps)


def timecode_frames(text: str, fps: Fraction) -> int:
    """Frames that a timecode stands for since 00:00:00:00; see ``timecode_seconds``."""
    match = _TIMECODE.fullmatch(text.strip())
    if match is None:
        raise OptionError(f"'{text}' is not a timecode; write HH:MM:SS:FF, or HH:MM:SS;FF for drop-frame")
    hours, minutes, seconds, frame = (int(match[n]) for n in (1, 2, 3, 5))
    fps = standard_rate(fps)
    rate = round(fps)
    if minutes > 59 or seconds > 59 or frame >= rate:
        raise OptionError(f"'{text}' does not exist at {float(fps):.5g} frames a second")
    count = (hours * 3600 + minutes * 60 + seconds) * rate + frame
    if match[4] == ";":
        if rate % 30 or fps.denominator != 1001:
            raise OptionError(
                f"'{text}' is drop-frame, which exists at 29.97 and 59.94 frames a second, not {float(fps):g}"
            )
        dropped = rate // 15
        if minutes % 10 and seconds == 0 and frame < dropped:
            raise OptionError(f"'{text}' is one of the numbers that drop-frame timecode leaves out")
        total = hours * 60 + minutes
        count -= dropped * (total - total // 10)
    return count


def standard_rate(fps: Fraction) -> Fraction:
    """The standard rate nearest to a measured or rounded one (29.97, 19001/317): a whole number of frames a second or
    1000/1001 of it, within 0.02 %; else ``fps`` itself."""
    whole = Fraction(round(fps))
    rates = (whole, whole * 1000 / 1001)
    return next((rate for rate in rates if abs(fps - rate) * 5000 <= rate), fps)


def timecode_text(frames: int, fps: Fraction, drop: bool = False) -> str:
    """The timecode of a count of frames, from 0 again after 24 hours. drop: as drop-frame, at 29.97 and 59.94 alone.

    >>> timecode_text(1800, Fraction(30000, 1001), drop=True)
    '00:01:00;02'
    """
    rate = round(fps)
    if drop:
        dropped = rate // 15
        minute, ten = rate * 60 - dropped, rate * 600 - 9 * dropped
        tens, rest = divmod(frames % (ten * 144), ten)
        frames = frames % (ten * 144) + dropped * (9 * tens + (max(rest - dropped, 0) // minute))
    seconds, frame = divmod(frames, rate)
    return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{';' if drop else ':'}{frame:02}"


def is_timecode(text: str) -> bool:
    """Whether a text reads like a timecode."""
    return _TIMECODE.fullmatch(text.strip()) is not None


def later_timecode(text: str, fps: Fraction, seconds: Fraction) -> str:
    """The timecode of what comes so many seconds after ``text``, of its kind; "" for "" and for one that does not exist
    at the rate."""
    try:
        return (
            timecode_text(timecode_frames(text, fps) + round(seconds * standard_rate(fps)), fps, ";" in text)
            if text
            else ""
        )
    except OptionError:
        return ""
