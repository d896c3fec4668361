"""The survey itself: a frozen table of faces over the frames of the footage, and what is kept of each face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from .. import geometry, mesh
from ..errors import InputError, OptionError
from ..types import Array, Faces, Reason, TrackFacts
from .persons import persons, summed_up
from .shown import SurveyedTrack
from .spoken import Spoken

UNIT = 4096  # steps of the larger side of a face's box in which its mesh is kept: 0.03 px of a face of 120 px


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of footage before it is rendered.

    ``faces`` are those that will be synthesized, ``left`` those that are left as they are, with the reason; both are
    arrays over all of them, ordered by ``frame``, which counts the frames of the footage here. Meshes are kept in
    ``coded``. Change one with ``drop``, ``pick``, ``split`` and ``correct``, which return a changed copy.
    """

    times: Array  # (T,) float64 seconds: when each frame of the footage is shown
    size: tuple[int, int]  # width, height
    faces: Faces
    left: Faces
    coded: Array | None  # (N, POINTS, 2) int16: the meshes of ``faces``, see ``encode_mesh``
    tracks: Mapping[int, SurveyedTrack]
    whole: bool = True  # whether it goes to the end of the footage
    footage: str = ""  # SHA-256 of the footage's content; "" = not known
    made: Mapping[str, Any] = field(default_factory=dict)  # stages, their options and networks
    speakers: tuple[Spoken, ...] | None = None  # who speaks in each shot; None = was not measured

    def __len__(self) -> int:
        return len(self.times)

    def index(self, time: Fraction) -> int:
        """The frame that is shown at a time of the footage. Raises OptionError where the survey does not reach."""
        at = int(np.searchsorted(self.times, float(time) - 1e-6))
        if at >= len(self.times) or abs(self.times[at] - float(time)) > 1e-5:
            end = self.times[-1] if len(self.times) else 0.0
            raise OptionError(
                f"the survey knows nothing of the frame at {float(time):.3f} s: it ends at {end:.3f} s, or belongs to "
                "other footage; make it again with 'wav2lip-hq survey'"
            )
        return at

    def rows(self, frame: int, left: bool = False) -> slice:
        """Where ``faces`` (or ``left``) holds those of a frame."""
        order = (self.left if left else self.faces).frame
        return slice(int(np.searchsorted(order, frame)), int(np.searchsorted(order, frame, side="right")))

    def at(self, times: Iterable[Fraction]) -> tuple[Faces, Faces]:
        """(faces, left) of frames shown at these times of the footage, numbered 0, 1, ... in their order."""
        numbers = [self.index(t) for t in times]
        return self._picked(numbers, False), self._picked(numbers, True)

    def _picked(self, numbers: list[int], left: bool) -> Faces:
        spans = [self.rows(n, left) for n in numbers]
        index = np.concatenate([np.arange(s.start, s.stop) for s in spans] or [np.zeros(0, int)]).astype(int)
        frame = np.repeat(np.arange(len(numbers)), [s.stop - s.start for s in spans])
        faces = (self.left if left else self.faces).take(index)
        decoded = None if left or self.coded is None else decode_mesh(self.coded[index], faces.box)
        return replace(faces, frame=frame, mesh=decoded)

    def facts(self, tracks: Iterable[int]) -> dict[int, TrackFacts]:
        """What is known of these faces."""
        found = {t: self.tracks[t].facts() for t in sorted(set(tracks)) if t in self.tracks}
        return {t: f for t, f in found.items() if f is not None}

    def opening(self, track: int) -> tuple[Array, Array]:
        """(frames, openings) of one face where its mouth was measured; see ``mesh.opening``."""
        assert self.faces.track is not None
        mine = np.flatnonzero(self.faces.track == track)
        if self.coded is None:
            return self.faces.frame[mine], np.full(len(mine), np.nan)
        return self.faces.frame[mine], mesh.opening(decode_mesh(self.coded[mine], self.faces.take(mine).box))

    @property
    def person(self) -> SurveyedTrack:
        """Who is seen in most frames, before and after cuts. Raises InputError when no mouth was seen."""
        found = persons(self)
        if not found:
            raise InputError("no mouth was seen clearly in that footage")
        return summed_up(self, found[0])

    def told(self, person: SurveyedTrack) -> Survey:
        """With what other footage of the person shows; see ``SurveyedTrack.joined``. Raises OptionError when several
        faces of a frame would be that person."""
        assert self.faces.track is not None
        if len(np.unique(self.faces.frame)) < len(self.faces.frame):
            raise OptionError(
                "the footage shows several faces to dub at a time, and only one can be that person: choose it "
                "(track.faces, say largest or left-to-right)"
            )
        mine = set(self.faces.track.tolist())
        return replace(self, tracks={t: f.joined(person) if t in mine else f for t, f in self.tracks.items()})

    def within(self, start: Fraction, end: Fraction | None) -> Survey:
        """The part from ``start`` to ``end`` seconds of the footage (None: its end), whose times begin at 0 again."""
        last = np.inf if end is None else float(end) - 1e-6
        inside = np.flatnonzero((self.times >= float(start) - 1e-6) & (self.times < last))
        first, count = (int(inside[0]), len(inside)) if len(inside) else (0, 0)

        def part(faces: Faces) -> tuple[Faces, Array]:
            kept = (faces.frame >= first) & (faces.frame < first + count)
            some = faces.take(kept)
            return replace(some, frame=some.frame - first), kept

        faces, kept = part(self.faces)
        return replace(
            self,
            times=self.times[inside] - float(start),
            faces=faces,
            left=part(self.left)[0],
            coded=None if self.coded is None else self.coded[kept],
        )

    # ---- editing

    def drop(self, *tracks: int) -> Survey:
        """Without these faces: they are left as they are. Raises OptionError for a face there is not."""
        self._known(tracks)
        assert self.faces.track is not None
        return self.leave(np.isin(self.faces.track, tracks), Reason.DROPPED)

    def pick(self, *tracks: int) -> Survey:
        """With only these faces. Raises OptionError for a face there is not, or one that was not surveyed because
        another was chosen: survey with ``track.faces=all`` to choose afterwards."""
        self._known(tracks)
        assert self.faces.track is not None
        unseen = [t for t in tracks if t not in self.faces.track]
        if unseen:
            raise OptionError(
                f"face {unseen[0]} was found but not surveyed, since another was chosen: survey again with "
                "--set track.faces=all"
            )
        return self.leave(~np.isin(self.faces.track, tracks), Reason.NOT_CHOSEN)

    def split(self, track: int, frame: int) -> Survey:
        """With a face's later part, from a frame of the footage on, as a face of its own with the next free number."""
        self._known((track,))
        assert self.faces.track is not None and self.left.track is not None
        new = max(self.numbers, default=-1) + 1

        def renamed(faces: Faces) -> Faces:
            assert faces.track is not None
            later = (faces.track == track) & (faces.frame >= frame)
            return replace(faces, track=np.where(later, new, faces.track))

        tracks = dict(self.tracks)
        if track in tracks:
            tracks[new] = tracks[track]
        # Who speaks is to be measured again: its faces have other numbers now.
        return replace(self, faces=renamed(self.faces), left=renamed(self.left), tracks=tracks, speakers=None)

    def correct(self, track: int, frame: int, *, box: Any = None, landmarks: Any = None) -> Survey:
        """With another box (x1, y1, x2, y2) or five landmarks (5, 2) of a face in one frame, in its pixels; the mesh
        moves along. Raises OptionError when the face is not in that frame."""
        faces = self.faces
        assert faces.track is not None and faces.box is not None and faces.landmarks is not None
        found = np.flatnonzero((faces.track == track) & (faces.frame == frame))
        if not len(found):
            raise OptionError(f"face {track} is not synthesized in frame {frame}, so there is nothing to correct")
        n = int(found[0])
        boxes, marks = faces.box.copy(), faces.landmarks.copy()
        points = None if self.coded is None else decode_mesh(self.coded[n : n + 1], boxes[n : n + 1])
        if box is not None:
            boxes[n] = np.asarray(box, np.float32).reshape(4)
        if landmarks is not None:
            new = np.asarray(landmarks, np.float32).reshape(5, 2)
            if points is not None:
                moved = geometry.fit_similarity(marks[n : n + 1], new)[0]
                points = points @ moved[:, :2].T + moved[:, 2]
            marks[n] = new
        coded = self.coded
        if coded is not None and points is not None:
            coded = coded.copy()
            coded[n : n + 1] = encode_mesh(points, boxes[n : n + 1])
        return replace(self, faces=replace(faces, box=boxes, landmarks=marks), coded=coded)

    def both(self, other: Survey) -> Survey:
        """With only the faces that both surveys of the same footage mean, and this one's reasons for the others."""
        assert self.faces.track is not None and other.faces.track is not None
        meant = set(zip(other.faces.frame.tolist(), other.faces.track.tolist(), strict=True))
        mine = zip(self.faces.frame.tolist(), self.faces.track.tolist(), strict=True)
        return self.leave(np.array([one not in meant for one in mine], bool), Reason.NOT_CHOSEN)

    @property
    def numbers(self) -> list[int]:
        """All track numbers, synthesized or not."""
        assert self.faces.track is not None and self.left.track is not None
        return sorted({int(t) for t in (*self.faces.track, *self.left.track)})

    def _known(self, tracks: Iterable[int]) -> None:
        for track in tracks:
            if track not in self.numbers:
                there = ", ".join(str(n) for n in self.numbers) or "none"
                raise OptionError(f"there is no face {track} in this survey; there is {there}")

    def leave(self, gone: Array, reason: Reason) -> Survey:
        """With some of ``faces`` (a mask over them) left as they are."""
        left = self.left.joined(self.faces.take(gone).refused(reason))
        coded = None if self.coded is None else self.coded[~gone]
        return replace(self, faces=self.faces.take(~gone), left=left, coded=coded)


def encode_mesh(points: Array, box: Array) -> Array:
    """(N, POINTS, 2) int16: meshes in UNITs of their boxes (N, 4), from the boxes' top left corners."""
    corner, side = _frame(box)
    coded = np.round((np.asarray(points, np.float64) - corner) / side * UNIT)
    return np.clip(coded, -32768, 32767).astype(np.int16)


def decode_mesh(coded: Array, box: Array | None) -> Array:
    """(N, POINTS, 2) float32: what ``encode_mesh`` was given, to its precision."""
    assert box is not None
    corner, side = _frame(box)
    return np.asarray(coded * (side / UNIT) + corner, np.float32)


def _frame(box: Array) -> tuple[Array, Array]:
    b = np.asarray(box, np.float64)
    side = np.maximum((b[:, 2:] - b[:, :2]).max(1), 1e-3)
    return b[:, None, :2], side[:, None, None]
