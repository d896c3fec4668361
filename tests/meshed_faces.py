"""Drawn talking faces with dense landmarks, for tests of what is done with these."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import cv2
import numpy as np
from media import tiny_runtime

from wav2lip_hq import geometry
from wav2lip_hq import mesh as points
from wav2lip_hq.engine import Stage, run_stages
from wav2lip_hq.types import Chunk, Faces, Mouths, References, TrackFacts

SKIN, LIPS, TEETH, DARK = (205, 160, 135), (165, 70, 75), (235, 230, 220), (45, 15, 15)
TO512 = np.array([[1.25, 0.05, 20.0], [-0.05, 1.25, 10.0]])  # of every frame here
SIZE = (400, 400)
MIDDLE = (256.0, 371.0)
_NOSE = [(256, 240), (256, 255), (256, 272), (256, 288), (256, 300), (256, 312), (256, 318), (256, 328), (228, 318)]
_NOSE += [(236, 325), (248, 328), (264, 328), (276, 325), (284, 318)]
_AROUND = [(256, 335), (240, 338), (272, 338), (225, 345), (287, 345), (205, 350), (307, 350), (200, 365), (312, 365)]
_AROUND += [(190, 371), (322, 371), (195, 385), (317, 385), (210, 405), (302, 405), (225, 415), (287, 415), (240, 420)]
_AROUND += [(272, 420), (256, 422), (256, 440), (256, 455), (256, 475), (170, 330), (342, 330), (160, 310), (352, 310)]
_AROUND += [(165, 370), (347, 370), (150, 350), (362, 350), (175, 395), (337, 395), (190, 410), (322, 410), (205, 425)]
_AROUND += [(307, 425), (225, 435), (287, 435), (240, 438), (272, 438), (235, 452), (277, 452)]


def _ring(rx: float, up: float, down: float) -> np.ndarray:
    """20 points from the left corner over the top to the right and back below."""
    angle = np.pi - np.arange(20) * np.pi / 10
    y = -np.sin(angle)
    return np.stack([MIDDLE[0] + rx * np.cos(angle), MIDDLE[1] + np.where(y < 0, up, down) * y], -1)


def face_mesh(opening: float = 0.0, wide: float = 1.0) -> np.ndarray:
    """(POINTS, 2) float64 on the canvas: a face whose lips are ``opening`` px apart."""
    mesh = np.zeros((points.POINTS, 2))
    mesh[points.INNER_LIPS] = _ring(48 * wide, 0.35 * opening, 0.65 * opening)
    mesh[points.OUTER_LIPS] = _ring(60 * wide, 0.35 * opening + 14, 0.65 * opening + 18)
    angle = np.pi - np.linspace(0, np.pi, 21)
    mesh[points.JAW] = np.stack([256 + 140 * np.cos(angle), 300 + 185 * np.sin(angle)], -1)
    angle = np.pi + np.linspace(0.1, np.pi - 0.1, 15)
    mesh[points.FOREHEAD] = np.stack([256 + 140 * np.cos(angle), 280 + 170 * np.sin(angle)], -1)
    for part, x in ((points.LEFT_EYE, 193), (points.RIGHT_EYE, 319)):
        angle = np.pi - np.arange(16) * np.pi / 8
        mesh[part] = np.stack([x + 28 * np.cos(angle), 240 - 10 * np.sin(angle)], -1)
    mesh[points.BROWS] = [(160 + 16 * n + (30 if n > 4 else 0), 210) for n in range(10)]
    mesh[points.NOSE], mesh[points.SKIN] = _NOSE, _AROUND
    for part in (points.JAW, points.SKIN):
        below = np.clip((mesh[part][:, 1] - MIDDLE[1]) / 50, 0, 1)
        mesh[part][:, 1] += 0.65 * opening * below
    return mesh


def picture(mesh: np.ndarray, seed: int = 0) -> np.ndarray:
    """(400, 400, 3) uint8: the frame that shows it, with teeth between open lips."""
    image = np.full((512, 512, 3), (90, 110, 130), np.uint8)
    draw = lambda part, color: cv2.fillPoly(image, [np.round(part * 16).astype(int)], color, cv2.LINE_AA, 4)  # noqa: E731
    draw(np.concatenate([mesh[points.JAW], mesh[points.FOREHEAD][::-1]]), SKIN)
    draw(mesh[points.OUTER_LIPS], LIPS)
    inside = np.zeros((512, 512), np.uint8)
    cv2.fillPoly(inside, [np.round(mesh[points.INNER_LIPS] * 16).astype(int)], 1, cv2.LINE_8, 4)
    if np.ptp(mesh[points.INNER_LIPS][:, 1]) > 2:
        image[inside > 0] = DARK
        teeth = inside.copy()
        teeth[round(mesh[points.INNER_LIPS][:, 1].min()) + 14 :] = 0
        teeth[:, ::10] = 0
        image[teeth > 0] = TEETH
    grain = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 12, image.shape[:2]), (0, 0), 1)[..., None]
    image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return cv2.warpAffine(image, geometry.invert(TO512), SIZE, flags=cv2.INTER_LINEAR)


def in_frame(mesh: np.ndarray) -> np.ndarray:
    back = geometry.invert(TO512)
    return (mesh @ back[:, :2].T + back[:, 2]).astype(np.float32)


def on_canvas(frames: np.ndarray) -> np.ndarray:
    """(T, 512, 512, 3): aligned faces of frames."""
    count = len(frames)
    return geometry.warp(frames, np.arange(count), np.repeat(TO512[None], count, 0), 512)


def facts(meshes: list[np.ndarray]) -> TrackFacts:
    """What a survey knows of footage that shows these."""
    aligned = on_canvas(np.stack([picture(m) for m in meshes]))[:, 272:464, 144:384]
    count, none = len(meshes), np.zeros(0, np.float32)
    mouths = Mouths(
        np.arange(count), aligned, np.float32(meshes), np.zeros((count, 3), np.float32), aligned.mean((1, 2, 3))
    )
    references = References(np.zeros(0, int), np.zeros((0, 256, 256, 3), np.uint8), none, np.zeros((0, 3)), none)
    return TrackFacts(0.0, 0.3, 0.1, np.float32(face_mesh()), mouths, references)


@dataclass(frozen=True)
class Given(Stage):
    """Stands in for everything before parse and blend: hands on the faces that the chunk already has."""

    name: ClassVar[str] = "given"
    adds: ClassVar[tuple[str, ...]] = ("faces.frame", "faces.track", "faces.box", "faces.to512", "faces.aligned")

    def process(self, chunk, runtime):
        return chunk


def talk(meshes, targets, known=None, *, frames=None, **fields) -> Chunk:
    """A chunk of frames that show ``meshes`` and are to show ``targets``."""
    frames = np.stack([picture(m, n) for n, m in enumerate(meshes)]) if frames is None else frames
    count = len(frames)
    faces = Faces(
        np.arange(count),
        np.zeros(count, np.int64),
        box=np.zeros((count, 4), np.float32),
        to512=np.repeat(TO512[None], count, 0),
        aligned=on_canvas(geometry.eight_bits(frames)),
        mesh=np.stack([in_frame(m) for m in meshes]),
        target=np.stack([in_frame(m) for m in targets]),
        pose=np.zeros((count, 3), np.float32),
        **fields,
    )
    times = tuple(Fraction(n, 25) for n in range(count))
    return Chunk(0, frames, times, faces=faces, tracks={} if known is None else {0: known})


def cut(chunk: Chunk, start: int, end: int) -> Chunk:
    """Frames ``start`` to ``end``, one face each."""
    faces = {k: v[start:end] for k, v in vars(chunk.faces).items() if v is not None}
    faces["frame"] = np.arange(end - start)
    active = None if chunk.active is None else chunk.active[start:end]
    return replace(
        chunk,
        start=start,
        frames=chunk.frames[start:end],
        pts=chunk.pts[start:end],
        faces=Faces(**faces),
        active=active,
    )


def through(chunk: Chunk, *stages: Stage, size: int = 0, runtime=None) -> np.ndarray:
    """The frames after ``stages``, taken ``size`` at a time."""
    size = size or len(chunk)
    pieces = [cut(chunk, n, min(n + size, len(chunk))) for n in range(0, len(chunk), size)]
    done = run_stages([Given(), *stages], [replace(p, start=p.start) for p in pieces], runtime or tiny_runtime())
    return np.concatenate([c.frames for c in done])
