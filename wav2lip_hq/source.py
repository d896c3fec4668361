"""Chunks of footage with their speech: which source frame is shown when, and with which mel window.

A frame's mel window depends on its timestamp alone. If the speech is longer than the footage, this is extended; if it
is shorter, the remaining frames are left unchanged (``active`` False) or, with ``trim``, left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from . import audio
from .errors import OptionError
from .run_options import EXTEND
from .types import Array, Chunk
from .video import Look, VideoReader

CHUNK_BYTES = 52 << 20  # most memory for a chunk's frames
CHUNK_FRAMES = 24  # most frames of a chunk
GROUP = 8  # the runtime's micro-batch on a CPU; smaller ones are padded, so chunks of whole ones waste nothing


class Frame(NamedTuple):
    """A frame of the output, before it is rendered."""

    time: Fraction  # seconds of the output
    image: Array  # (H, W, 3), the footage's own pixels
    alpha: Array | None  # (H, W)
    shown: Fraction  # seconds of the footage: which of its frames this is
    matte: Array | None = None  # (H, W) uint16, where an earlier voice's face was written


@dataclass
class Speech:
    """The driving speech: wav (n,) float32 16 kHz, its mel, and where there is speech in it."""

    wav: Array
    mel: Array = field(init=False)
    activity: audio.SpeechActivity = field(init=False)

    def __post_init__(self) -> None:
        self.mel = audio.mel_spectrogram(self.wav)
        self.activity = audio.SpeechActivity(self.wav)

    @property
    def seconds(self) -> Fraction:
        """Exact duration."""
        return Fraction(len(self.wav), audio.RATE)


def schedule(reader: VideoReader, seconds: Fraction, extend: str = "loop", trim: bool = False) -> Iterator[Frame]:
    """The output's frames with their times: the footage once, extended or trimmed to ``seconds`` of speech.

    Timestamps of the footage's first pass are its own. A still serves for the whole speech, at the reader's rate.
    """
    if extend not in EXTEND:
        raise OptionError(f"unknown extend '{extend}'; choose {', '.join(EXTEND)}")
    step = 1 / reader.info.fps
    if reader.info.still:
        shown, image, alpha = next(iter(reader))
        count = max(1, -(-seconds // step))
        for n in range(int(count)):
            yield Frame(n * step, image, alpha, shown)
        return
    times: list[Fraction] = []
    last: Frame | None = None
    for time, image, alpha in reader:
        if trim and time >= seconds:
            return
        times.append(time)
        last = Frame(time, image, alpha, time)
        yield last
    if last is None or extend in ("stop", "stretch"):  # what is stretched is as long as it is to be
        return
    first, end = times[0], times[-1] + step
    lap = end - first
    if extend == "hold":
        time = end
        while time < seconds:
            yield last._replace(time=time)
            time += step
        return
    number = 0
    while end < seconds:
        number += 1
        turned = extend == "pingpong" and number % 2 == 1
        if not turned:
            reader.restart()
        for shown, image, alpha in reader.backwards(times) if turned else reader:
            time = (times[-1] - shown if turned else shown - first) + end
            if time >= seconds:
                return
            yield Frame(time, image, alpha, shown)
        end += lap


def schedule_from(
    start: Fraction, reader: VideoReader, seconds: Fraction, extend: str = "loop", trim: bool = False
) -> Iterator[Frame]:
    """The frames of ``schedule`` from ``start`` seconds on, if possible without decoding those before."""
    info = reader.info
    # The container's duration may be a little longer than the frames last: near the end decode from the start.
    short = info.duration is not None and seconds + 2 / info.fps <= info.duration
    plain = not info.still and (extend in ("stop", "stretch") or short)
    if start <= 0 or not plain:
        reader.restart()
        for item in schedule(reader, seconds, extend, trim):
            if item.time >= start:
                yield item
        return
    for time, image, alpha in reader.start_at(start):
        if trim and time >= seconds:
            return
        yield Frame(time, image, alpha, time)


def expected(reader: VideoReader, seconds: Fraction, extend: str, trim: bool) -> int | None:
    """About how many frames ``schedule`` yields, for progress bars; None when the footage's length is unknown."""
    info = reader.info
    if info.still:
        return max(1, int(-(-seconds // (1 / info.fps))))
    if info.frames is None:
        return None
    wanted = int(-(-(seconds * info.fps) // 1))
    if wanted > info.frames:
        return info.frames if extend in ("stop", "stretch") else wanted
    return wanted if trim else info.frames


def chunks(
    frames: Iterable[Frame],
    speech: Speech | None = None,
    offset_ms: float = 0.0,
    size: int | None = None,
    begins: Fraction = Fraction(0),
    group_size: int | None = None,
    look: Look | None = None,
) -> Iterator[Chunk]:
    """Group frames into chunks with their mel windows of the speech, which begins at ``begins`` seconds.

    offset_ms: shifts the windows (positive: later sound). size: frames per chunk; None = by their memory.
    group_size: chunks end at every multiple of so many frames. Without speech the chunks hold the picture alone.
    look: how the footage's pixels are shown to networks, where they have a color space of their own.
    """
    start = 0
    group: list[Frame] = []
    for item in frames:
        if size is None:
            size = chunk_frames(item.image.nbytes)
        group.append(item)
        if len(group) == size or (group_size and (start + len(group)) % group_size == 0):
            yield _chunk(start, group, speech, offset_ms, begins, look)
            start += len(group)
            group = []
    if group:
        yield _chunk(start, group, speech, offset_ms, begins, look)


def chunk_frames(nbytes: int) -> int:
    """Frames per chunk, of ``nbytes`` bytes each; a multiple of GROUP, if that many fit."""
    count = int(np.clip(CHUNK_BYTES // nbytes, 2, CHUNK_FRAMES))
    return count if count < GROUP else count // GROUP * GROUP


def _chunk(
    start: int, group: list[Frame], speech: Speech | None, offset_ms: float, begins: Fraction, look: Look | None
) -> Chunk:
    pixels = np.stack([item.image for item in group])
    picture = Chunk(
        start=start,
        frames=pixels if look is None else np.stack([look.shown(image) for image in pixels]),
        own=None if look is None else pixels,
        matte=None if group[0].matte is None else np.stack([item.matte for item in group if item.matte is not None]),
        pts=tuple(item.time for item in group),
        source_pts=tuple(item.shown for item in group),
        alpha=None if group[0].alpha is None else np.stack([item.alpha for item in group if item.alpha is not None]),
    )
    if speech is None:
        return picture
    times = tuple(item.time - begins for item in group)
    return replace(
        picture,
        mel=audio.mel_windows(speech.mel, times, offset_ms),
        phrase=audio.phrases(speech.mel, times, offset_ms),
        speech=speech.activity.at(times),
        ahead=speech.activity.ahead(times),
        active=np.array([0 <= time < speech.seconds for time in times]),
    )
