"""A piece of footage, from an in point to an out point, as footage of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from ..errors import InputError, OptionError
from ..timecode import later_timecode, parse_time, timecode_seconds
from ..types import VideoInfo
from .derived import DerivedReader
from .reader import Frame, VideoReader

NEAR = Fraction(1, 4)  # of a frame: containers round times, so a frame this close to an in or out point is at it


class CutReader(DerivedReader):
    """Frames of ``whole`` from the first one at ``start`` up to ``end`` seconds, whose times begin at 0 again.

    Raises InputError when there is none, OptionError for footage that cannot be cut.
    """

    def __init__(self, whole: VideoReader, start: Fraction, end: Fraction | None) -> None:
        info = whole.info
        if whole.once or info.still:
            what = "a picture" if info.still else "frames from an iterator"
            raise OptionError(f"{what} cannot be cut: start and end are for footage that can be read again")
        near = NEAR / info.fps
        if end is not None and end - start < near:
            raise OptionError(f"the end ({float(end):.3f} s) is not after the start ({float(start):.3f} s)")
        first = next(whole.start_at(max(Fraction(0), start - near)), None)
        if first is None or (end is not None and first[0] >= end - near):
            long = "" if info.duration is None else f", which is {float(info.duration):.2f} s long"
            raise InputError(
                f"{info.path or 'the footage'}{long}: nothing lies between {float(start):.3f} s and "
                f"{'its end' if end is None else f'{float(end):.3f} s'}"
            )
        self._zero, self._end = first[0], None if end is None else end - near
        skipped = round(self._zero * info.fps)  # pictures of a sequence before the in point
        super().__init__(
            whole,
            _cut_info(info, self._zero, end),
            lambda _: self._from(Fraction(0)),
            self._sought,
            whole.files[skipped:],
        )

    def _sought(self, _: VideoReader, time: Fraction) -> Iterator[Frame]:
        return self._from(time)

    def _from(self, time: Fraction) -> Iterator[Frame]:
        for at, image, alpha in self._whole.start_at(time + self._zero):
            if self._end is not None and at >= self._end:
                return
            yield at - self._zero, image, alpha


def _cut_info(info: VideoInfo, zero: Fraction, end: Fraction | None) -> VideoInfo:
    duration = None if info.duration is None else info.duration - zero
    if end is not None:
        # The last frame is shown for its whole time, wherever in it the out point lies.
        shown = math.ceil((end - zero) * info.fps - NEAR) / info.fps
        duration = shown if duration is None else min(duration, shown)
    return replace(
        info,
        duration=duration,
        frames=None if duration is None else max(1, round(duration * info.fps)),
        timecode=later_timecode(info.timecode, info.fps, zero),
        begins=info.begins + zero,
        cut=True,
    )


def cut(whole: VideoReader, start: object = None, end: object = None) -> VideoReader:
    """The piece of footage from ``start`` to ``end``: seconds, clock times or timecodes as in ``parse_time``, the
    latter counted from the footage's own (None: its beginning, its end). Raises OptionError and InputError."""
    if start is None and end is None:
        return whole
    info = whole.info
    zero = timecode_seconds(info.timecode, info.fps) if info.timecode else Fraction(0)
    first = Fraction(0) if start is None else parse_time(start, info.fps, zero)
    return CutReader(whole, first, None if end is None else parse_time(end, info.fps, zero))
