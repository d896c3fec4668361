"""Streams of frames and chunks between footage and stages."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from .engine import Stage
from .source import Frame
from .survey import Survey, SurveyedTrack
from .survey.collector import ADDED, Collector
from .survey.own_words import OwnWords
from .types import Array, Chunk, Reason
from .video import Look

GROWTH = 24  # frames: footage that can be read only once is surveyed in groups of so many frames


class Peekable:
    """An iterator of frames that can be consumed up to a time and continued."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames

    def until(self, end: Fraction | None) -> Iterator[Frame]:
        """Frames before ``end`` seconds (None: all that are left)."""
        for item in self._frames:
            if end is not None and item.time >= end:
                self._frames = itertools.chain([item], self._frames)
                return
            yield item


def flat(chunks: Generator[Chunk, None, None]) -> Iterator[Frame]:
    """The frames of chunks one by one, as the source of the next voice."""
    try:
        for chunk in chunks:
            for i, pts in enumerate(chunk.pts):
                shown = pts if chunk.source_pts is None else chunk.source_pts[i]
                alpha = None if chunk.alpha is None else chunk.alpha[i]
                yield Frame(pts, chunk.pixels[i], alpha, shown, None if chunk.matte is None else chunk.matte[i])
    finally:
        chunks.close()


def inside(chunk: Chunk, start: Fraction, end: Fraction | None) -> Chunk | None:
    """The part of a chunk that is shown from ``start`` to ``end``; None if there is none."""
    wanted = [i for i, pts in enumerate(chunk.pts) if pts >= start and (end is None or pts < end)]
    if len(wanted) == len(chunk):
        return chunk
    return chunk.part(wanted[0], wanted[-1] + 1) if wanted else None


def noted(chunks: Iterator[Chunk], frames: deque[Array]) -> Iterator[Chunk]:
    """The chunks; their frames are added to ``frames``, for ``in_own_space``: copies, since stages may change them."""
    for chunk in chunks:
        frames.append(chunk.frames if chunk.own is None else chunk.frames.copy())
        yield chunk


def in_own_space(chunk: Chunk, before: Array, look: Look | None) -> Chunk:
    """The chunk with what changed in its pictures since ``before`` (T, H, W, 3) brought into the pixels of the
    footage's own color space, where it has one."""
    if chunk.own is None or look is None:
        return chunk
    both = zip(chunk.own, before, chunk.frames, strict=True)
    return replace(chunk, own=np.stack([look.back(*each) for each in both]))


def surveyed(chunks: Iterator[Chunk], survey: Survey) -> Iterator[Chunk]:
    """Chunks with the survey's faces and facts."""
    for chunk in chunks:
        assert chunk.source_pts is not None
        faces, left = survey.at(chunk.source_pts)
        assert faces.track is not None
        yield replace(chunk, faces=faces, left=left, tracks=survey.facts(faces.track.tolist()))


def spared(chunks: Iterator[Chunk], own: OwnWords) -> Iterator[Chunk]:
    """Chunks in which faces that say the speech already are left as they are, and fade beside. Where footage is shown
    again, to fill the time, it says other words than its sound did."""
    for chunk in chunks:
        faces = chunk.faces
        assert faces is not None and faces.track is not None and chunk.source_pts is not None
        share = own.share([chunk.source_pts[i] for i in faces.frame.tolist()], faces.track)
        share[[chunk.pts[i] != chunk.source_pts[i] for i in faces.frame.tolist()]] = 1
        if (share < 1).any():
            chunk = chunk.faded(share, Reason.SAID)
        yield chunk


def growing(chunks: Generator[Chunk, None, None], person: SurveyedTrack | None) -> Iterator[Chunk]:
    """Chunks with the facts known at the end of their group of GROWTH frames, for footage that is read only once.

    So they depend on the group a frame is in, not on the size of chunks.
    """
    collector = Collector()
    held: deque[Chunk] = deque()

    def told(chunk: Chunk) -> Chunk:
        numbers = [] if chunk.faces is None or chunk.faces.track is None else chunk.faces.track.tolist()
        known = {t: collector.tracks[t].known() for t in sorted(set(numbers)) if t in collector.tracks}
        facts = {t: (k if person is None else k.joined(person)).facts() for t, k in known.items()}
        return replace(chunk, tracks={t: f for t, f in facts.items() if f is not None})

    try:
        for chunk in chunks:
            held.append(collector.add(chunk, rows=False))
            if (chunk.start + len(chunk)) % GROWTH == 0:
                while held and held[0].start // GROWTH < chunk.start // GROWTH:
                    yield told(held.popleft())
        while held:
            yield told(held.popleft())
    finally:
        chunks.close()


def given_by(looks: Sequence[Stage]) -> tuple[str, ...]:
    """Fields that the survey's stages fill."""
    added = {name for stage in looks for name in stage.adds} & ADDED - {"boxes"}
    return (*sorted(added), "faces.sharpness", "faces.light")
