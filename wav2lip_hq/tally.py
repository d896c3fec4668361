"""Which frames were synthesized, and why the others were not, as stretches of frames."""

from __future__ import annotations

from fractions import Fraction

from .errors import NoFaceError
from .types import Chunk, Reason, Stretch

_Key = tuple[int, int | None, Reason | None]  # voice, track, reason

# Nothing was to be done there
IDLE = (Reason.BEFORE, Reason.AFTER, Reason.SAID)


class Tally:
    """Counts a session's output, voice by voice."""

    def __init__(self) -> None:
        self.frames = 0
        self.first: Fraction | None = None
        self.last: Fraction | None = None
        self._open: dict[_Key, tuple[int, int]] = {}
        self._closed: list[tuple[_Key, int, int]] = []

    def frame(self, pts: Fraction) -> None:
        """One more frame of the output."""
        self.frames += 1
        self.first = pts if self.first is None else self.first
        self.last = pts

    def note(self, voice: int, number: int, chunk: Chunk, idle: Reason | None = None) -> None:
        """Record the faces of a chunk whose first frame is number ``number`` of the output. idle: the reason, if all of
        its frames are left as they are."""
        fared: list[set[tuple[int | None, Reason | None]]] = [set() for _ in range(len(chunk))]
        for faces in (chunk.faces, chunk.left):
            if faces is None or faces.track is None or idle is not None:
                continue
            why = [None] * len(faces) if faces.reason is None else [Reason(int(r)) for r in faces.reason]
            for i, track, reason in zip(faces.frame.tolist(), faces.track.tolist(), why, strict=True):
                fared[i].add((track, reason))
        for i, found in enumerate(fared):
            for track, reason in found or {(None, idle or Reason.NOT_DETECTED)}:
                self._add((voice, track, reason), number + i)

    def _add(self, key: _Key, number: int) -> None:
        first, last = self._open.get(key, (number, number))
        if number > last + 1:
            self._closed.append((key, first, last))
            first = number
        self._open[key] = (first, number)

    def _all(self) -> list[tuple[_Key, int, int]]:
        rows = [*self._closed, *((key, first, last) for key, (first, last) in self._open.items())]
        return sorted(rows, key=lambda row: (row[1], row[0][0], -1 if row[0][1] is None else row[0][1]))

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """In order of their first frames."""
        return tuple(Stretch(first, last, track, reason) for (_, track, reason), first, last in self._all())

    @property
    def faces(self) -> int:
        """Face instances synthesized."""
        return sum(s.last - s.first + 1 for s in self.stretches if s.reason is None)

    @property
    def tracks(self) -> int:
        """Number of tracks that were synthesized in some frame."""
        return len({s.track for s in self.stretches if s.reason is None})

    @property
    def empty(self) -> int:
        """Frames of the speech in which no face was synthesized, although no face there says it already."""
        spoken = _union([(s.first, s.last) for s in self.stretches if s.reason not in IDLE])
        made = _union([(s.first, s.last) for s in self.stretches if s.reason is None])
        return sum(b - a + 1 for a, b in spoken) - sum(b - a + 1 for a, b in made)

    def end(self, step: Fraction) -> Fraction:
        """Duration in seconds, if the last frame is shown for ``step``."""
        return Fraction(0) if self.first is None or self.last is None else self.last - self.first + step

    def why(self) -> str:
        """The reasons for frames of the speech that were not synthesized, the most frequent first."""
        counts: dict[Reason, int] = {}
        for s in self.stretches:
            if s.reason is not None and s.reason not in IDLE:
                counts[s.reason] = counts.get(s.reason, 0) + s.last - s.first + 1
        rows = sorted(counts.items(), key=lambda item: -item[1])
        return "; ".join(f"{reason.text}: {count} {'frame' if count == 1 else 'frames'}" for reason, count in rows)


def _union(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of frames (first, last) that overlap or touch, joined."""
    out: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], last))
        else:
            out.append((first, last))
    return out


def no_face(name: str, why: str, hint: str) -> NoFaceError:
    """The error of footage in which no mouth could be synthesized. why: the reasons with their counts; hint: how to
    detect more."""
    if why and not why.startswith(Reason.NOT_DETECTED.text):
        return NoFaceError(f"no mouth was synthesized in {name}: {why}")
    return NoFaceError(
        f"no face was found anywhere in {name}; is there one at least 20 pixels wide, upright and not in profile? "
        f"Try {hint}"
    )
