"""Footage and speech cut into chunks: which frame is shown when, and what it hears.

A frame's mel window follows from its timestamp alone. Speech longer than the footage extends it; speech that ends
earlier leaves the remaining frames untouched (``active`` False) or, with ``trim``, ends the output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from . import audio
from .errors import OptionError
from .types import Array, Chunk
from .video import VideoReader

EXTEND = ("loop", "pingpong", "hold", "stop")
CHUNK_BYTES = 48 << 20  # frames of one chunk
CHUNK_FRAMES = 25

Frame = tuple[Fraction, Array, Array | None]


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
        _, frame, alpha = next(iter(reader))
        count = max(1, -(-seconds // step))
        for n in range(int(count)):
            yield n * step, frame, alpha
        return
    times: list[Fraction] = []
    last: Frame | None = None
    for item in reader:
        if trim and item[0] >= seconds:
            return
        times.append(item[0])
        last = item
        yield item
    if last is None or extend == "stop":
        return
    first, end = times[0], times[-1] + step
    lap = end - first
    if extend == "hold":
        time = end
        while time < seconds:
            yield time, last[1], last[2]
            time += step
        return
    number = 0
    while end < seconds:
        number += 1
        if extend == "pingpong" and number % 2:
            frames: Iterable[Frame] = ((first + times[-1] - t, f, a) for t, f, a in reader.backwards(times))
        else:
            reader.restart()
            frames = iter(reader)
        for time, frame, alpha in frames:
            shown = time - first + end
            if shown >= seconds:
                return
            yield shown, frame, alpha
        end += lap


def schedule_from(
    start: Fraction, reader: VideoReader, seconds: Fraction, extend: str = "loop", trim: bool = False
) -> Iterator[Frame]:
    """What ``schedule`` gives from ``start`` seconds on, without decoding what comes before where that can be
    helped."""
    info = reader.info
    # The footage's stated duration may be a little more than its frames last: near its end `schedule` decides.
    short = info.duration is not None and seconds + 2 / info.fps <= info.duration
    plain = not info.still and (extend == "stop" or short)
    if start <= 0 or not plain:
        for item in schedule(reader, seconds, extend, trim):
            if item[0] >= start:
                yield item
        return
    for item in reader.start_at(start):
        if trim and item[0] >= seconds:
            return
        yield item


def expected(reader: VideoReader, seconds: Fraction, extend: str, trim: bool) -> int | None:
    """About how many frames ``schedule`` gives, for progress; None when the footage's length is unknown."""
    info = reader.info
    if info.still:
        return max(1, int(-(-seconds // (1 / info.fps))))
    if info.frames is None:
        return None
    wanted = int(-(-(seconds * info.fps) // 1))
    if wanted > info.frames:
        return info.frames if extend == "stop" else wanted
    return wanted if trim else info.frames


def chunks(frames: Iterator[Frame], speech: Speech, offset_ms: float = 0.0, size: int | None = None) -> Iterator[Chunk]:
    """Group frames into chunks and give each its mel window, shifted by ``offset_ms`` (positive: hears later sound)."""
    start = 0
    group: list[Frame] = []
    for item in frames:
        if size is None:
            size = int(np.clip(CHUNK_BYTES // item[1].nbytes, 2, CHUNK_FRAMES))
        group.append(item)
        if len(group) == size:
            yield _chunk(start, group, speech, offset_ms)
            start += len(group)
            group = []
    if group:
        yield _chunk(start, group, speech, offset_ms)


def _chunk(start: int, group: list[Frame], speech: Speech, offset_ms: float) -> Chunk:
    times = tuple(time for time, _, _ in group)
    alpha = None if group[0][2] is None else np.stack([a for _, _, a in group if a is not None])
    return Chunk(
        start=start,
        frames=np.stack([frame for _, frame, _ in group]),
        pts=times,
        mel=audio.mel_windows(speech.mel, times, offset_ms),
        phrase=audio.phrases(speech.mel, times, offset_ms),
        speech=speech.activity.at(times),
        alpha=alpha,
        active=np.array([0 <= time < speech.seconds for time in times]),
    )
