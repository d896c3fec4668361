"""Frames from memory: arrays and iterators."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import InputError
from ..types import Array, VideoInfo
from .reader import Frame, VideoReader


def check_frame(frame: Array, name: str) -> tuple[Array, Array | None]:
    try:
        frame = np.asarray(frame)
    except ValueError as error:
        raise InputError(f"{name}: frames must be (H, W, 3) uint8 or uint16 RGB, not {type(frame).__name__}") from error
    if frame.dtype not in (np.uint8, np.uint16) or frame.ndim != 3 or frame.shape[2] not in (3, 4):
        raise InputError(f"{name}: frames must be (H, W, 3) uint8 or uint16 RGB, not {frame.dtype} {frame.shape}")
    if min(frame.shape[:2]) < 2:
        raise InputError(f"{name}: a frame of {frame.shape[1]}x{frame.shape[0]} pixels is too small")
    return np.ascontiguousarray(frame[..., :3]), (frame[..., 3].copy() if frame.shape[2] == 4 else None)


def info_of(frame: Array, fps: Fraction, name: str, count: int | None, **more: Any) -> VideoInfo:
    return VideoInfo(
        path=name,
        width=frame.shape[1],
        height=frame.shape[0],
        fps=fps,
        frames=count,
        duration=None if count is None else count / fps,
        time_base=1 / fps,
        bit_depth=8 if frame.dtype == np.uint8 else 16,
        has_alpha=frame.shape[2] == 4,
        **more,
    )


def from_array(frames: Array, fps: Fraction) -> VideoReader:
    if frames.ndim != 4 or not len(frames):
        raise InputError(f"an array of frames must be (T, H, W, 3) with T > 0, not {frames.shape}")
    check_frame(frames[0], "array of frames")

    def make(_: VideoReader) -> Iterator[Frame]:
        for n, frame in enumerate(frames):
            yield (n / fps, *check_frame(frame, "array of frames"))

    return VideoReader(info_of(frames[0], fps, "", len(frames)), make)


def from_iterator(frames: Iterator[Array], fps: Fraction) -> VideoReader:
    first = next(frames, None)
    if first is None:
        raise InputError("the iterator of frames is empty")
    check_frame(first, "iterator of frames")

    def make(_: VideoReader) -> Iterator[Frame]:
        n, frame = 0, first
        while frame is not None:
            yield (n / fps, *same_size(check_frame(frame, "iterator of frames"), first, f"frame {n}"))
            n, frame = n + 1, next(frames, None)  # type: ignore[arg-type]

    return VideoReader(info_of(np.asarray(first), fps, "", None), make, once=True)


def same_size(pair: tuple[Array, Array | None], first: Array, name: str) -> tuple[Array, Array | None]:
    if pair[0].shape[:2] != np.asarray(first).shape[:2]:
        raise InputError(
            f"{name} is {pair[0].shape[1]}x{pair[0].shape[0]}, the first one {first.shape[1]}x{first.shape[0]}; "
            "all frames must have one size"
        )
    return pair
