"""The footage's own frames beside those of a result, read a second time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from .types import Array
from .video import VideoReader


class Originals:
    """Frames of footage by time, quickest in ascending order."""

    def __init__(self, reader: VideoReader, own: bool = False) -> None:
        """own: give the pixels in the footage's own color space, not as they are shown."""
        self._reader, self._own = reader, own
        self._frames: Iterator[Any] | None = None
        self._last: tuple[Fraction, Array] | None = None

    def at(self, shown: Fraction) -> Array:
        """(H, W, 3): the frame that is shown at a time of the footage (``Chunk.source_pts``)."""
        if self._last is None or shown < self._last[0]:
            self._frames, self._last = iter(self._reader.start_at(shown)), None
        while self._last is None or self._last[0] < shown:
            assert self._frames is not None
            time, image, _ = next(self._frames)
            self._last = (time, image if self._own else self._reader.shown(image))
        return self._last[1]
