"""Footage made to last longer: every frame in between is made from its two neighbors by optical flow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from ..errors import OptionError
from ..types import Array
from .derived import DerivedReader
from .reader import Frame, VideoReader

MOST = 4  # times its length: beyond that, optical flow no longer finds the movement
WIDEST = 960  # px: larger frames are compared at half or a quarter of their size; flow of more detail costs minutes
LEAST = 32  # px: OpenCV's DIS flow crashes on smaller pictures
CUT = 12.0  # 8-bit steps: mean difference that remains after warping one frame onto the other, from which it is a cut
DOUBT = 1.5  # px: where forward and backward flow differ by more, the place counts as occluded in one of the frames


class StretchedReader(DerivedReader):
    """``whole`` slowed down to last ``seconds``. A frame of the result is a function of its time alone: the footage's
    own frame where one is shown just then, else made of the two beside it. Raises OptionError."""

    def __init__(self, whole: VideoReader, seconds: Fraction) -> None:
        info = whole.info
        name = info.path or "the footage"
        if whole.once or info.duration is None:
            raise OptionError(f"{name} cannot be stretched: its length is not known beforehand")
        self._slower = seconds / info.duration
        if self._slower > MOST:
            raise OptionError(
                f"{name} lasts {float(info.duration):.2f} s and the speech {float(seconds):.2f} s: it would have to be "
                f"stretched {float(self._slower):.1f} times, {MOST} is the most; choose another --extend"
            )
        count = math.ceil(seconds * info.fps)
        super().__init__(
            whole,
            replace(info, frames=count, duration=count / info.fps, variable_rate=False, slowed=self._slower),
            lambda _: self._from(0),
            lambda _, time: self._from(math.ceil(time * info.fps)),
        )

    def _from(self, first: int) -> Iterator[Frame]:
        """The result's frames from number ``first`` on."""
        rate, count = self.info.fps, self.info.frames or 0
        frames = self._whole.start_at(max(Fraction(0), first / rate / self._slower - 1))
        before = next(frames, None)
        if before is not None and before[0] > first / rate / self._slower and before[0] > 0:
            frames = self._whole.start_at(Fraction(0))  # two frames more than a second apart
            before = next(frames, None)
        after = next(frames, None)
        between: Between | None = None
        for number in range(first, count):
            time = number / rate / self._slower
            while after is not None and after[0] <= time:
                before, after, between = after, next(frames, None), None
            if before is None:
                return
            share = Fraction(0) if after is None else (time - before[0]) / (after[0] - before[0])
            if share <= 0 or after is None:
                yield number / rate, before[1], before[2]
                continue
            if between is None:
                between = Between(before[1], after[1])
            image = between.at(before[1], after[1], float(share))
            alpha = None
            if before[2] is not None and after[2] is not None:
                alpha = between.at(before[2], after[2], float(share))
            yield number / rate, image, alpha


class Between:
    """The movement between two frames (H, W, 3) uint8 or uint16; ``at`` shows what lies between them."""

    def __init__(self, first: Array, second: Array) -> None:
        height, width = first.shape[:2]
        self.step = max(1, 2 ** math.ceil(math.log2(max(height, width) / WIDEST)) if max(height, width) > WIDEST else 1)
        a, b = (self._small(frame) for frame in (first, second))
        self.there, self.back = _flow(a, b), _flow(b, a)
        self.cut = float(np.abs(_moved(b, self.there).astype(np.float32) - a).mean()) > CUT
        apart = self.there + _moved(self.back, self.there)
        self.doubt = np.clip(np.hypot(apart[..., 0], apart[..., 1]) / DOUBT - 1, 0, 1).astype(np.float32)

    def _small(self, frame: Array) -> Array:
        """(h, w) uint8: gray, at the size that is compared."""
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        gray = (gray >> 8).astype(np.uint8) if gray.dtype == np.uint16 else gray
        size = (-(-gray.shape[1] // self.step), -(-gray.shape[0] // self.step))
        return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA) if self.step > 1 else gray)

    def at(self, first: Array, second: Array, share: float) -> Array:
        """The picture at a share in (0, 1) of the way; across a cut, the nearer frame."""
        near = first if share < 0.5 else second
        if self.cut:
            return near
        height, width = first.shape[:2]
        there, back, doubt = (self._large(x, width, height) for x in (self.there, self.back, self.doubt[..., None]))
        a = _moved(first.astype(np.float32), -share * there)
        b = _moved(second.astype(np.float32), -(1 - share) * back)
        flat = (height, width) if first.ndim == 2 else (height, width, 1)
        doubt = doubt.reshape(flat)
        mixed = a * np.float32(1 - share) + b * np.float32(share)
        shown = mixed * (1 - doubt) + (a if share < 0.5 else b) * doubt
        return np.asarray(np.clip(np.rint(shown), 0, np.iinfo(first.dtype).max).astype(first.dtype))

    def _large(self, field: Array, width: int, height: int) -> Array:
        if self.step == 1:
            return field
        large = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(large * np.float32(self.step if field.shape[2:] == (2,) else 1))


def _flow(a: Array, b: Array) -> Array:
    """(h, w, 2) float32: where in ``b`` each pixel of ``a`` is, in pixels (x, y)."""
    height, width = a.shape
    more = (0, max(0, LEAST - height), 0, max(0, LEAST - width))
    a, b = (cv2.copyMakeBorder(x, *more, cv2.BORDER_REPLICATE) for x in (a, b))
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(a, b, None)
    return np.asarray(flow[:height, :width])


def _moved(image: Array, flow: Array) -> Array:
    """image (h, w, ...) sampled where the flow says."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    at_x, at_y = x + flow[..., 0].astype(np.float32), y + flow[..., 1].astype(np.float32)
    return np.asarray(cv2.remap(image, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def stretched(whole: VideoReader, seconds: Fraction) -> VideoReader:
    """Footage that lasts at least ``seconds``: itself if it does, or a still, else slowed down. Raises OptionError."""
    info = whole.info
    if info.still or (info.duration is not None and info.duration >= seconds):
        return whole
    return StretchedReader(whole, seconds)
