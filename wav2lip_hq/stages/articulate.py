"""Articulate: the target landmarks of a face that says its speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import articulation
from .. import mesh as meshes
from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk, Manner, TrackFacts
from ._turned import far_side_held, pressed, widest

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime import Runtime

ARCHITECTURES = ("articulation",)
TOGETHER = 8  # frames in a network call
CLOSED = 0.02  # largest opening, in eye distances, at which lips touch: landmarks of closed lips are a little apart
# Spread of the opening in the footage, in spreads of the mean person: below the first the person does not talk, and the
# mean person's is used; above the second it is the person's own; in between they are mixed.
STILL = (0.12, 0.3)
# Limits of a person's own spread, in the same unit: mumbling stays visible, and shouting does not tear the mouth.
REACH = (0.55, 2.5)
RISE = 0.12  # seconds before the lead of a breath in which a mouth begins to open
# The largest opening of a mouth in spreads of the person's own, and the share of it from which openings are compressed.
# Real mouths open less far in 99 of 100 frames (32 clips of 14 people); clear voices make the network predict 5.8.
LIMIT, KNEE = 4.0, 0.6
# And in openings of the widest mouth seen, whose teeth and tongue are to be shown in it.
WIDER = 1.3


@described
@dataclass(frozen=True)
class Articulate(Stage):
    """Predict each face's target mesh (``faces.target``) from the speech: lips, jaw, chin and skin have the shape that
    the speech of the frame gives this person's own mouth, in the pose of the frame; all other points are the mesh's.

    What the mouth does in the frame has no influence: two faces with the same speech move alike, each by its own range
    and in its own manner. What is known of a person (the closed mouth, the range of openings, the manner of speaking)
    comes from ``chunk.tracks``; a face of which nothing is known, and one that never speaks in its footage, has the
    mean person's range. No mouth opens much further than people open theirs, and those of turned heads less far than
    others.
    """

    name: ClassVar[str] = "articulate"
    reads: ClassVar[tuple[str, ...]] = ("phrase", "speech", "faces.frame", "faces.track", "faces.mesh")
    optional: ClassVar[tuple[str, ...]] = ("ahead", "tracks", "faces.pose")
    adds: ClassVar[tuple[str, ...]] = ("faces.target",)
    fits: ClassVar[tuple[str, ...]] = ARCHITECTURES

    model: str = option("embedded-articulation", "The articulation network's checkpoint: a name or a file.")
    expression: float = option(
        1.0,
        "Amplitude of the movement: 0 keeps the mouth closed, 1 is the person's own range, more exaggerates, as far as "
        "the footage shows what is in the mouth.",
        low=0,
        high=2,
    )
    smile: float = option(
        0.0, "Corners of the mouth up (1 is a clear smile) or down, in speech and in its pauses.", low=-0.5, high=1
    )
    manner: bool = option(
        True,
        "Open the mouth as the person does, where at least 15 s of speech in the footage, or in the run's person, tell "
        "how that is.",
    )
    silence: bool = option(True, "Close the mouth in pauses, whatever breath and room noise there is.")

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,)

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        faces = chunk.faces
        assert faces is not None and faces.mesh is not None and chunk.phrase is not None
        if not len(faces):
            return chunk.with_faces(target=faces.mesh)
        heard = np.unique(faces.frame)  # faces of one frame hear the same
        space = self._space(runtime)
        predicted = predict(chunk.phrase[heard], self.model, runtime)
        target = np.empty(faces.mesh.shape, np.float32)
        people: dict[int, Person] = {}
        said: dict[int, Array] = {}
        tracks = chunk.tracks or {}
        for n, (frame, mesh) in enumerate(zip(faces.frame.tolist(), faces.mesh, strict=True)):
            track = int(faces.track[n]) if faces.track is not None else -1
            if track not in people:
                people[track] = measure(tracks.get(track), space)
                said[track] = np.zeros((len(chunk), len(space.basis)))
                manner = people[track].manner if self.manner else None
                said[track][heard] = self.said(predicted, chunk, heard, manner)
            person = people[track]
            moved = articulation.reach(person.spread, space.spread, len(space.basis)) * said[track][frame]
            # Lips at rest are pressed together. A mouth that opens as far as that or further has the opening wanted.
            yaw = 0.0 if faces.pose is None else float(faces.pose[n, 0])
            rest = max(float(articulation.opening(person.body)), 0) + pressed(yaw)
            most = min(widest(yaw), person.widest, LIMIT * person.spread * self.expression)
            moved *= within(float(moved[0]), most)
            moved[0] -= np.clip(rest - moved[0], 0, rest)
            offset = np.tensordot(moved, space.basis, 1)
            if self.smile:
                offset = offset + articulation.smile(space.neutral, self.smile)
            body = articulation.articulate(person.body, offset)
            placed = articulation.place(mesh, person.body, body, space.basis[0])
            target[n] = far_side_held(mesh, placed, yaw)
        return chunk.with_faces(target=target)

    def said(self, predicted: Array, chunk: Chunk, frames: Array, manner: Manner | None = None) -> Array:
        """(n, K) float64 coefficients of some frames in a person's manner, after ``expression`` and ``silence``."""
        out = (predicted if manner is None else manner.applied(predicted)) * self.expression
        if self.silence and chunk.speech is not None:
            ahead = None if chunk.ahead is None else chunk.ahead[frames]
            out = out * spoken(chunk.speech[frames], ahead, 0.0 if manner is None else manner.lead)[:, None]
        return np.asarray(out)

    def _space(self, runtime: Runtime) -> Space:
        model = runtime.model(self.model, expect=ARCHITECTURES)
        values = [getattr(model.module, name).double().cpu().numpy() for name in ("neutral", "basis", "unit")]
        return Space(values[0], values[1], float(values[2][0]), model.sha256)


@dataclass(frozen=True)
class Space:
    """neutral (POINTS, 3) and basis (K, POINTS, 3) float64, see ``articulation``; the mean person's spread; the SHA-256
    of the network's file."""

    neutral: Array
    basis: Array
    spread: float
    network: str = ""


def predict(phrase: Array, model: str, runtime: Runtime) -> Array:
    """(T, K) float64 coefficients that an articulation network predicts for phrases (T, 80, 80)."""
    net = runtime.model(model, expect=ARCHITECTURES)

    def run(batch: Tensor) -> Tensor:
        out: Tensor = net(batch)
        return out

    return np.asarray(runtime.map(run, phrase.astype(np.float32), batch=TOGETHER), np.float64)


def spoken(speech: Array, ahead: Array | None, lead: float = 0.0) -> Array:
    """(T,) float64 in [0, 1]: how much of the mouth's movement there is, by the speech and the seconds to the next one
    (``Chunk.speech``, ``Chunk.ahead``), and from ``lead`` seconds before speech on."""
    share = np.asarray(speech, np.float64)
    if ahead is not None and lead > 0:
        share = np.maximum(share, np.clip((lead - ahead) / RISE + 1, 0, 1))
    return np.asarray(share * share * (3 - 2 * share))


def within(opening: float, most: float) -> float:
    """Factor that keeps an opening below the largest, ``most``: 1 up to KNEE of it, ever less above."""
    knee = KNEE * most
    if opening <= knee:
        return 1.0
    if most <= 0:
        return 0.0
    return (knee + (most - knee) * float(np.tanh((opening - knee) / (most - knee)))) / opening


@dataclass(frozen=True)
class Person:
    """A person's mouth. body: (POINTS, 3) float64, closed; spread: of the opening; widest: the largest opening that can
    be shown, in eye distances; manner: None = as the network predicts for everybody."""

    body: Array
    spread: float
    widest: float = float("inf")
    manner: Manner | None = None


def measure(facts: TrackFacts | None, space: Space) -> Person:
    """A person's mouth as the footage shows it, or the mean person's."""
    if facts is None:
        return Person(space.neutral, space.spread)
    low, high = STILL
    talker = float(np.clip((facts.spread / space.spread - low) / (high - low), 0, 1))
    own = float(np.clip(facts.spread, REACH[0] * space.spread, REACH[1] * space.spread))
    body = articulation.person(facts.neutral, space.neutral)
    parted = float(articulation.opening(body)) - CLOSED
    if parted > 0:  # a smile: a face that is never seen with its lips together
        body = articulation.articulate(body, -parted * space.basis[0])
    spread = talker * own + (1 - talker) * space.spread
    if talker < 1 or not len(facts.mouths):  # a drawn mouth has no limit of its own
        return Person(body, spread)
    manner = facts.manner
    if manner is not None and (manner.network != space.network or len(manner.weights) != len(space.basis) + 1):
        manner = None  # learned against another network's predictions, which says nothing of this one's
    return Person(body, spread, WIDER * float(meshes.opening(facts.mouths.mesh).max()), manner)
