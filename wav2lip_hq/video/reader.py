"""An opened source: its facts, and its frames one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..types import Array, VideoInfo
from .look import Look, as_float, as_type

Frame = tuple[Fraction, Array, Array | None]  # time in seconds, (H, W, 3) RGB, (H, W) alpha or None
DEFAULT_FPS = Fraction(25)
FASTEST = 1000  # frames per second, the highest accepted


class VideoReader:
    """An opened source: ``info`` and an iterator of (pts, frame, alpha).

    Frames are (H, W, 3) RGB uint8, or uint16 over 0..65535 for sources deeper than 8 bits; alpha is (H, W) of the same
    type, or None. ``pts`` is the exact time in seconds. ``restart()`` begins again (not for one-shot iterators);
    ``damaged`` counts packets that could not be decoded. ``look`` says how pictures in a color space of their own are
    shown; only with ``open_video(own=True)``, which gives pixels as they are, are floats given as float16 or float32.
    ``files`` are a sequence's pictures.
    """

    def __init__(
        self,
        info: VideoInfo,
        make: Callable[[VideoReader], Iterator[Frame]],
        once: bool = False,
        seek: Callable[[VideoReader, Fraction], Iterator[Frame]] | None = None,
        look: Look | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self.info, self.look, self.files = info, look, tuple(files)
        self._make, self._once, self._seek = make, once, seek
        self._frames: Iterator[Frame] | None = None
        self._used = False
        self.damaged = 0

    def shown(self, image: Array) -> Array:
        """A frame as it is shown to people and networks: (H, W, 3) uint8 or uint16."""
        return image if self.look is None else self.look.shown(image)

    @property
    def once(self) -> bool:
        """Whether the frames can be read only once (iterators)."""
        return self._once

    def __iter__(self) -> Iterator[Frame]:
        if self._frames is None:
            if self._used and self._once:
                raise InputError("the frames came from an iterator, which can be read only once; pass an array instead")
            self._used = True
            self._frames = self._make(self)
        return self._frames

    def restart(self) -> None:
        """Begin again at the first frame."""
        self.close()

    def start_at(self, time: Fraction) -> Iterator[Frame]:
        """Frames from the first one at or after ``time`` on, read apart from the main iteration."""
        if self._once:
            raise InputError("frames from an iterator cannot be read again; pass an array or a file instead")
        frames = self._seek(self, time) if self._seek is not None else self._make(self)
        first = next(frames, None)
        if self._seek is not None and (first is None or first[0] > time):
            # A damaged index may lead beyond what was asked for.
            frames = self._make(self)
            first = next(frames, None)
        for frame in itertools.chain([] if first is None else [first], frames):
            if frame[0] >= time:
                yield frame

    def backwards(self, times: Sequence[Fraction], segment: int = 24) -> Iterator[Frame]:
        """The frames at ``times`` (all of the clip's, ascending), last first; holds ``segment`` frames at a time."""
        for end in range(len(times), 0, -segment):
            part = times[max(0, end - segment) : end]
            held: list[Frame] = []
            frames = self.start_at(part[0])
            for frame in frames:
                if frame[0] > part[-1]:
                    break
                held.append(frame)
            if isinstance(frames, Generator):
                frames.close()
            yield from reversed(held)

    def show(self) -> None:
        """From now on convert frames for display; ``look`` is None after that."""
        make, seek, look = self._make, self._seek, self.look
        assert look is not None

        def shown(frames: Iterator[Frame]) -> Iterator[Frame]:
            for time, image, alpha in frames:
                yield time, look.shown(image), None if alpha is None else as_type(as_float(alpha), np.uint16)

        self.look, self._make = None, lambda reader: shown(make(reader))
        if seek is not None:
            self._seek = lambda reader, time: shown(seek(reader, time))

    def close(self) -> None:
        """Release the file."""
        if self._frames is not None and hasattr(self._frames, "close"):
            self._frames.close()
        self._frames = None

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
