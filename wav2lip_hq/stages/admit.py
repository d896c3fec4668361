"""Admit: which of the chosen faces can be synthesized well, and why the others are left as they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine import Stage
from ..options import check, described, option
from ..types import Array, Chunk, Reason

if TYPE_CHECKING:
    from ..runtime import Runtime

POSE_WINDOW = 2  # frames to either side over which pose and visibility are averaged, against single wrong estimates


@described
@dataclass(frozen=True)
class Admit(Stage):
    """Leave faces as they are that are turned too far away or whose mouth is hidden. Adds ``faces.strength`` and moves
    those faces to ``left``, with the reason.

    Beside a stretch that is left as it is, the synthesis fades in and out over ``fade`` frames. Without landmarks
    (no ``landmarks`` stage before) every chosen face is admitted.
    """

    name: ClassVar[str] = "admit"
    reads: ClassVar[tuple[str, ...]] = ("faces.frame", "faces.track")
    optional: ClassVar[tuple[str, ...]] = ("faces.pose", "faces.visible", "left")
    adds: ClassVar[tuple[str, ...]] = ("faces.strength", "left")

    max_yaw: float = option(
        50.0, "Faces with a larger yaw are left as they are; more admits profiles.", unit="degrees", low=5, high=90
    )
    max_pitch: float = option(
        40.0,
        "Faces with a larger pitch, up or down, are left as they are.",
        unit="degrees",
        low=5,
        high=90,
    )
    min_visible: float = option(
        0.3,
        "Faces whose mouth is visible with a lower probability are left as they are; 0 admits hands and blur.",
        low=0,
        high=1,
    )
    fade: int = option(
        4, "How long the synthesis fades beside a stretch that is left as it is.", unit="frames", low=0, high=25
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def lookahead(self) -> int:
        """Frames the fade and the averaged pose wait for."""
        return self.fade + POSE_WINDOW

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Generator[Chunk, None, None]:
        """Hold chunks back until the frames that decide about them have been seen."""
        waiting: deque[Chunk] = deque()
        seen: deque[dict[int, Array]] = deque()  # for each frame: track -> yaw, pitch, visible
        at = 0  # the frame of ``seen`` that the first waiting chunk begins with
        for chunk in chunks:
            waiting.append(chunk)
            seen.extend(_facts(chunk))
            while len(seen) >= at + len(waiting[0]) + self.lookahead:
                yield self._admitted(waiting[0], seen, at)
                at += len(waiting.popleft())
                while at > self.lookahead:
                    seen.popleft()
                    at -= 1
                if not waiting:
                    break
        while waiting:
            yield self._admitted(waiting[0], seen, at)
            at += len(waiting.popleft())

    def _admitted(self, chunk: Chunk, seen: deque[dict[int, Array]], at: int) -> Chunk:
        faces = chunk.faces
        assert faces is not None and faces.track is not None
        strength = np.ones(len(faces), np.float32)
        reason = np.zeros(len(faces), np.uint8)
        for n, (i, track) in enumerate(zip(faces.frame.tolist(), faces.track.tolist(), strict=True)):
            why = self._refused(seen, at + i, track)
            if why is not None:
                strength[n], reason[n] = 0, why
                continue
            for step in range(1, self.fade + 1):
                if any(self._refused(seen, at + i + s, track) is not None for s in (-step, step)):
                    strength[n] = step / (self.fade + 1)
                    break
        return chunk.faded(strength, reason)

    def _refused(self, seen: deque[dict[int, Array]], at: int, track: int) -> Reason | None:
        """Why the track's face is not synthesized in a frame; None if it is, or is not there."""
        if not 0 <= at < len(seen) or track not in seen[at]:
            return None
        near = [
            seen[k][track]
            for k in range(max(0, at - POSE_WINDOW), min(len(seen), at + POSE_WINDOW + 1))
            if track in seen[k]
        ]
        yaw, pitch, visible = np.mean(near, 0)
        if abs(yaw) > self.max_yaw or abs(pitch) > self.max_pitch:
            return Reason.TURNED
        return Reason.HIDDEN if visible < self.min_visible else None


def _facts(chunk: Chunk) -> list[dict[int, Array]]:
    """For each frame: track -> (3,) yaw and pitch in degrees, visibility in [0, 1]."""
    faces = chunk.faces
    assert faces is not None and faces.track is not None
    out: list[dict[int, Array]] = [{} for _ in range(len(chunk))]
    for n, i in enumerate(faces.frame.tolist()):
        yaw, pitch = (0.0, 0.0) if faces.pose is None else faces.pose[n, :2]
        out[i][int(faces.track[n])] = np.array([yaw, pitch, 1.0 if faces.visible is None else faces.visible[n]])
    return out
