"""Tracking of faces: association, gaps, smoothing. Works frame by frame, so that chunks have no influence."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from ..boxes import iou
from ..types import Array
from ._cuts import LOOKAHEAD, CutFinder

MAX_BLIND_FRAMES = 12  # longest run of frames without detection (detect.every) that is bridged
RATE = 60.0  # frames a second up to which windows have their full time; at higher rates they are cut to as many frames
# A track shorter than this is a false alarm (say, hands in front of a shirt) if the shot has a longer one.
SHORT = 0.2  # seconds, but no less than
SHORT_FRAMES = 3  # frames
REACH = 2.0  # standard deviations at which smoothing windows are cut off, on both sides


def frames_of(ms: float) -> int:
    """Number of frames in a time in ms, at RATE."""
    return math.ceil(ms * RATE / 1000)


@dataclass
class Moment:
    """A frame that has been pushed and not popped."""

    index: int
    time: float  # seconds
    thumb: Array
    rows: Array | None  # (n, 15) detections; None = no detection in this frame
    image: Array  # the frame itself, for embeddings
    label: str = ""


@dataclass
class Seen:
    """A face of a popped frame."""

    track: Tracklet
    box: Array  # (4,) float64, smoothed
    landmarks: Array  # (5, 2) float64, smoothed
    interrupted: bool = False  # interpolated over a flash or a foreign frame, which does not show the face


@dataclass
class Tracklet:
    """A face in one shot: rows of 14 numbers (box, landmarks) at consecutive frames."""

    first: int
    first_time: float
    shot: int
    last: int = -1  # last frame it was detected in
    last_time: float = 0.0
    misses: int = 0  # frames since then with detection, but without this face
    blind: int = 0  # frames since then without detection
    velocity: Array = field(default_factory=lambda: np.zeros(14))  # px a second
    index: deque[int] = field(default_factory=deque)
    times: deque[float] = field(default_factory=deque)
    rows: deque[Array] = field(default_factory=deque)
    real: deque[bool] = field(default_factory=deque)  # detected, not interpolated
    hits: int = 0
    score: float = 0.0  # mean score of its detections
    dead: bool = False
    spurious: bool | None = None  # None = not decided yet
    number: int = -1  # public track id, given when first shown
    value: float | None = None  # the ranking's, where it is fixed for the whole track

    @property
    def end(self) -> int:
        """Last frame it has a position in."""
        return self.index[-1]

    @property
    def brief(self) -> bool:
        """Whether it is as short as false alarms are."""
        frames = self.last - self.first + 1
        return frames < SHORT_FRAMES or self.hits < 2 or self.last_time - self.first_time < SHORT - 1e-6

    def predict(self, time: float) -> Array:
        """(14,) expected position at a time, by its velocity."""
        return np.asarray(self.rows[-1] + self.velocity * (time - self.last_time))

    def add(self, index: int, time: float, row: Array, score: float, between: list[tuple[int, float]]) -> None:
        """Add a detection. between: (index, time) of the frames since the last one, which are interpolated."""
        if self.hits:
            before, start = self.rows[-1], self.last_time
            span = max(time - start, 1e-9)
            for i, t in between:
                part = (t - start) / span
                self._append(i, t, before + (row - before) * part, False)
            self.velocity = (row - before) / span
        self._append(index, time, row, True)
        self.last, self.last_time, self.misses, self.blind = index, time, 0, 0
        self.hits += 1
        self.score += (score - self.score) / self.hits

    def extend(self, after: list[tuple[int, float]]) -> None:
        """Extrapolate linearly through frames without detection, up to a cut or the end."""
        for i, t in after:
            self._append(i, t, self.predict_from_last(t), False)

    def predict_from_last(self, time: float) -> Array:
        """(14,) expected position at a time, by the velocity at the last detection."""
        at = self.index.index(self.last)
        return np.asarray(self.rows[at] + self.velocity * (time - self.last_time))

    def _append(self, index: int, time: float, row: Array, real: bool) -> None:
        self.index.append(index)
        self.times.append(time)
        self.rows.append(row)
        self.real.append(real)

    def forget(self, before: int) -> None:
        """Drop positions that no window reaches any more, except the last detection."""
        while len(self.index) > 1 and self.index[0] < before and self.index[0] != self.last:
            for column in (self.index, self.times, self.rows, self.real):
                column.popleft()


class Tracker:
    """Associates detections over frames and smooths them.

    ``push`` frames in order, ``pop`` until it returns None, ``finish`` after the last frame. A popped frame's faces
    depend on the past and on ``lookahead`` frames after it, never on when it is popped.
    """

    def __init__(self, smooth_ms: float, landmarks_ms: float, max_gap_ms: float, min_face: float) -> None:
        self.sigmas = (smooth_ms / 1000, landmarks_ms / 1000)
        self.reach = REACH * max(self.sigmas)
        self.window = max(self.reach, SHORT)  # seconds after a frame that have to be pushed before it can be popped
        self.reach_frames = frames_of(1000 * self.window)
        self.max_gap = max_gap_ms / 1000
        self.gap_frames = max(MAX_BLIND_FRAMES, frames_of(max_gap_ms))
        self.min_face = min_face
        self.lookahead = LOOKAHEAD + self.gap_frames + self.reach_frames + 2
        self._cuts = CutFinder()
        self._fresh: deque[Moment] = deque()  # not labeled yet
        self._done: deque[Moment] = deque()  # associated, not popped
        self._trail: deque[tuple[int, float]] = deque(maxlen=self.gap_frames + 2)  # (index, time) of associated frames
        self._live: list[Tracklet] = []  # may get more detections
        self._dead: list[Tracklet] = []  # ended, but still within a smoothing window
        self._shot = 0
        self._over = False

    def push(self, index: int, time: float, thumb: Array, rows: Array | None, image: Array) -> None:
        """Take the next frame: thumbnail, detections (n, 15) or None."""
        self._fresh.append(Moment(index, time, thumb, rows, image))
        for label in self._cuts.push(thumb):
            self._associate(label)

    def finish(self) -> None:
        """No more frames are coming."""
        for label in self._cuts.finish():
            self._associate(label)
        for tracklet in self._live:
            self._end(tracklet, carry_on=True)
        self._dead, self._live = self._dead + self._live, []
        self._over = True

    def pop(self) -> tuple[Moment, list[Seen]] | None:
        """The oldest frame and its faces; None as long as later frames may change them."""
        if not self._done or not self._settled(self._done[0]):
            return None
        moment = self._done.popleft()
        seen = [s for t in (*self._dead, *self._live) if (s := self._at(t, moment)) is not None]
        for tracklet in (*self._dead, *self._live):
            tracklet.forget(moment.index - self.reach_frames)
        self._dead = [t for t in self._dead if t.end >= moment.index - self.reach_frames]
        return moment, sorted(seen, key=lambda s: s.track.first)

    def nearby(self, tracklet: Tracklet, popped: Moment, count: int) -> list[tuple[Array, Array]]:
        """Up to ``count`` of a tracklet's detections from the popped frame on: (frame, landmarks (5, 2))."""
        images = {m.index: m.image for m in (popped, *self._done)}
        out: list[tuple[Array, Array]] = []
        for i, row, real in zip(tracklet.index, tracklet.rows, tracklet.real, strict=True):
            if real and i in images and len(out) < count:
                out.append((images[i], row[4:].reshape(5, 2)))
        return out

    # -- association ------------------------------------------------------------------------------------------------

    def _associate(self, label: str) -> None:
        """Give the oldest labeled frame's detections to tracklets."""
        moment = self._fresh.popleft()
        moment.label = label
        if label == "cut":
            for tracklet in self._live:
                self._end(tracklet, carry_on=True)
            self._dead, self._live = self._dead + self._live, []
            self._shot += 1
        for tracklet in self._live:
            if not self._bridgeable(tracklet, moment):
                self._end(tracklet, carry_on=False)
        self._dead += [t for t in self._live if t.dead]
        self._live = [t for t in self._live if not t.dead]
        if moment.rows is None:
            for tracklet in self._live:
                tracklet.blind += 1
        else:
            self._assign(moment, self._wanted(moment.rows))
        self._trail.append((moment.index, moment.time))
        self._done.append(moment)

    def _wanted(self, rows: Array) -> Array:
        rows = np.asarray(rows, np.float64).reshape(-1, 15)
        sides = np.minimum(rows[:, 2] - rows[:, 0], rows[:, 3] - rows[:, 1])
        return np.asarray(rows[(sides >= self.min_face) & np.isfinite(rows).all(1)])

    def _assign(self, moment: Moment, rows: Array) -> None:
        numbers = np.concatenate([rows[:, :4], rows[:, 5:]], 1)
        taken: set[int] = set()
        kept: set[int] = set()
        if len(rows) and self._live:
            from scipy.optimize import linear_sum_assignment

            guess = np.stack([t.predict(moment.time) for t in self._live])
            stay = np.stack([t.rows[-1] for t in self._live])
            # Moving on with its velocity, or having stopped: whichever fits better.
            score = np.maximum(_affinity(guess[:, :4], numbers[:, :4]), _affinity(stay[:, :4], numbers[:, :4]))
            for a, b in zip(*linear_sum_assignment(-score), strict=True):
                if score[a, b] > 0:
                    tracklet = self._live[a]
                    between = [(i, t) for i, t in self._trail if i > tracklet.last]
                    tracklet.add(moment.index, moment.time, numbers[b], float(rows[b, 4]), between)
                    taken.add(int(b))
                    kept.add(int(a))
        for n, tracklet in enumerate(self._live):
            if n not in kept:
                tracklet.misses += 1
        for b in range(len(rows)):
            if b not in taken:
                tracklet = Tracklet(moment.index, moment.time, self._shot)
                tracklet.add(moment.index, moment.time, numbers[b], float(rows[b, 4]), [])
                self._live.append(tracklet)

    def _bridgeable(self, tracklet: Tracklet, moment: Moment) -> bool:
        """Whether the gap up to this frame is short enough for a detection in it to belong to the tracklet."""
        if moment.index - tracklet.last > self.gap_frames:
            return False
        if tracklet.misses == 0 or (tracklet.misses == 1 and tracklet.blind):
            return True
        return moment.time - tracklet.last_time <= self.max_gap + 1e-6

    def _end(self, tracklet: Tracklet, carry_on: bool) -> None:
        tracklet.dead = True
        if carry_on and tracklet.misses == 0 and tracklet.blind:
            tracklet.extend([(i, t) for i, t in self._trail if i > tracklet.last])

    # -- output -----------------------------------------------------------------------------------------------------

    def _settled(self, moment: Moment) -> bool:
        """Whether all frames within the moment's smoothing window have been associated."""
        if self._over:
            return True
        edge = moment.index
        for later in self._done:
            near = later.time - moment.time <= self.window + 1e-6 or later.index - moment.index < SHORT_FRAMES
            if not near or later.index - moment.index > self.reach_frames:
                break
            edge = later.index
        else:
            return False  # the window goes on beyond the newest frame
        return all(t.last >= edge for t in self._live)

    def _at(self, tracklet: Tracklet, moment: Moment) -> Seen | None:
        """A tracklet's smoothed position in a frame; None where it has none."""
        if not tracklet.index[0] <= moment.index <= tracklet.end or tracklet.first > moment.index:
            return None
        if tracklet.spurious is None:
            tracklet.spurious = self._is_spurious(tracklet)
        if tracklet.spurious:
            return None
        times = np.fromiter(tracklet.times, np.float64) - moment.time
        index = np.fromiter(tracklet.index, np.int64) - moment.index
        here = int(np.flatnonzero(index == 0)[0])
        interrupted = moment.label == "interruption" and not tracklet.real[here]
        rows = np.stack(tracklet.rows)
        near = np.abs(index) <= self.reach_frames
        box = smooth(times[near], rows[near, :4], self.sigmas[0], rows[here, :4])
        marks = smooth(times[near], rows[near, 4:], self.sigmas[1], rows[here, 4:])
        return Seen(tracklet, box, marks.reshape(5, 2), interrupted)

    def _is_spurious(self, tracklet: Tracklet) -> bool:
        if not tracklet.dead or not tracklet.brief:
            return False
        others = [t for t in (*self._dead, *self._live) if t.shot == tracklet.shot]
        return any(not t.brief for t in others)


def _affinity(a: Array, b: Array) -> Array:
    """(n, m) affinity of boxes in [0, 1]; 0 = cannot be the same face.

    Intersection over union; for faces that move by more than their size between detections, the closeness of the
    centers of boxes of similar size.
    """
    overlap = iou(a, b)
    side_a = np.sqrt(np.maximum((a[:, 2:] - a[:, :2]).prod(1), 1e-6))
    side_b = np.sqrt(np.maximum((b[:, 2:] - b[:, :2]).prod(1), 1e-6))
    center_a, center_b = (a[:, :2] + a[:, 2:]) / 2, (b[:, :2] + b[:, 2:]) / 2
    far = np.linalg.norm(center_a[:, None] - center_b[None], axis=-1) / np.sqrt(side_a[:, None] * side_b[None])
    ratio = np.abs(np.log(side_a[:, None] / side_b[None]))
    alike = ratio < math.log(1.6)
    near = np.where(alike & (far < 1.0), 0.2 * (1 - far), 0.0)
    return np.asarray(np.where(alike & (overlap > 0.15), np.maximum(overlap, near), near))


def smooth(times: Array, values: Array, sigma: float, present: Array) -> Array:
    """(d,) local linear regression at time 0 of ``values`` (n, d) at ``times`` (n,) seconds, with Gaussian weights.

    Unlike a weighted mean it is exact for uniform motion where one side of the window is missing: at the ends of a
    track and beside uneven timestamps. ``present`` (d,): the value at time 0, returned for sigma = 0.
    """
    near = np.abs(times) <= REACH * sigma + 1e-6
    if sigma <= 0 or near.sum() < 2:
        return np.asarray(present, np.float64)
    t, v = times[near] / sigma, values[near]
    w = np.exp(-0.5 * t * t)
    w /= w.sum()
    mean_t, mean_v = w @ t, w @ v
    spread = w @ (t - mean_t) ** 2
    if spread < 1e-9:
        return np.asarray(mean_v)
    slope = (w * (t - mean_t)) @ (v - mean_v) / spread
    return np.asarray(mean_v - slope * mean_t)
