"""Augmentation for the landmark network: labeled faces moved, turned, relit, degraded and occluded."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .. import geometry, mesh
from ..stages.landmarks import FIVE, SIDE
from ..types import Array
from .beards import bearded
from .data_images import spoil, tone
from .meshpack import SIZE
from .newfaces import opened, patch, reshaped
from .teachers import MIRROR
from .turning import turned

FACE = 100.0  # width of a frontal face in the network's input, px


@dataclass(frozen=True)
class View:
    """image (SIDE, SIDE, 3) uint8; mesh (POINTS, 2) px and pose (3,) degrees in it; visible: whether the mouth can be
    seen, in [0, 1]; face: 0 where there is none."""

    image: Array
    mesh: Array
    pose: Array
    visible: float
    face: float = 1.0


def view(
    crop: Array,
    points: Array,
    five: Array,
    pose: Array,
    others: Array,
    rng: np.random.Generator,
    opening: float | None = None,
) -> View:
    """A random view of one stored face: crop (SIZE, SIZE, 3), points (POINTS, 2), five (5, 2), pose (3,) in degrees,
    all in the crop; others (SIZE, SIZE, 3): another picture, for occluders and for views without a face.
    opening: opening to give the mouth (see ``opened``), None: leave it."""
    if opening is not None:
        crop, points, five = _mouth(crop, points, five, opening, rng)
    if rng.random() < 0.15:
        crop, moved = reshaped(crop, np.concatenate([points, five]), rng)
        points, five = moved[: mesh.POINTS], moved[mesh.POINTS :]
    if rng.random() < 0.2:
        face = patch(points, crop.shape)
        crop = crop.copy()
        crop[face] = bearded(crop[face], points - (face[1].start, face[0].start), rng)
    if rng.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
        points, five = ((SIZE - 1, 0) + p * (-1, 1) for p in (points, five))
        points, five, pose = points[list(mesh.MIRROR)], five[MIRROR], pose * np.array([-1, 1, -1])
    if rng.random() < 0.15:
        yaw = float(rng.uniform(-0.5, 0.5))
        box = np.concatenate([points.min(0), points.max(0)]).astype(np.float64)
        crop, moved = turned(crop, box, np.concatenate([points, five]), yaw)
        points, five, pose = moved[: mesh.POINTS], moved[mesh.POINTS :], pose + np.array([np.degrees(yaw), 0, 0])
    if rng.random() < 0.1:
        crop = lit(crop, rng)
    visible = 1.0
    chance = rng.random()
    if chance < 0.2:
        crop, visible = cover(crop, points, others, rng)
    elif chance < 0.24:
        return View(weather(nothing(others, rng), rng)[0], points * 0, pose * 0, 0.0, 0.0)
    matrix, turn = placed(five, rng)
    image = geometry.sample(crop, matrix, SIDE)
    image, clear = weather(image, rng)
    moved = geometry.apply(matrix[None], points[None])[0]
    return View(image, moved, pose + np.array([0, 0, turn]), visible * clear)


def _mouth(
    crop: Array, points: Array, five: Array, opening: float, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Crop, points and five landmarks with the mouth open that far; unchanged where ``opened`` cannot."""
    face = patch(points, crop.shape)
    corner = np.array([face[1].start, face[0].start])
    found = opened(np.ascontiguousarray(crop[face]), np.concatenate([points, five]) - corner, opening, rng)
    if found is None:
        return crop, points, five
    crop, moved = crop.copy(), found[1] + corner
    crop[face] = found[0]
    return crop, moved[: mesh.POINTS], moved[mesh.POINTS :]


def lit(image: Array, rng: np.random.Generator) -> Array:
    """The picture with random, sometimes tinted light from one side."""
    height, width = image.shape[:2]
    angle, steep = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.0)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None] * np.float32(np.cos(angle))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    ramp = np.exp(np.float32(steep) * (np.tanh(2 * (x + y)) - 0.3))[..., None]
    color = np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    return np.asarray(np.clip(image * (ramp**color if rng.random() < 0.5 else ramp), 0, 255).astype(np.uint8))


def placed(five: Array, rng: np.random.Generator | None = None) -> tuple[Array, float]:
    """The map (2, 3) from the stored crop to the input by the five landmarks, and by how many degrees it rotates
    pictures (clockwise). With ``rng`` the landmarks have a detector's noise, and the crop is moved a little."""
    if rng is not None:
        tall = float(np.linalg.norm(five[:2].mean(0) - five[3:].mean(0)))
        five = five + rng.normal(0, 0.03, five.shape) * tall
    matrix = geometry.fit_upright(five[None], FIVE)[0]
    if rng is not None:
        angle = np.radians(rng.normal(0, 5) if rng.random() < 0.93 else rng.uniform(-35, 35))
        zoom, middle = float(np.exp(rng.normal(0, 0.05))), (SIDE - 1) / 2
        c, s = zoom * np.cos(angle), zoom * np.sin(angle)
        offset = middle - np.array([[c, -s], [s, c]]) @ np.array([middle, middle]) + rng.normal(0, 1.5, 2)
        matrix = geometry.compose(np.array([[c, -s, offset[0]], [s, c, offset[1]]]), matrix)
    return matrix, float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))


def weather(image: Array, rng: np.random.Generator) -> tuple[Array, float]:
    """The picture relit, shrunk, blurred, noisy or compressed at random, and how visible a mouth still is, in [0,
    1]."""
    clear = 1.0
    chance = rng.random()
    if chance < 0.25:
        face = float(np.exp(rng.uniform(np.log(14), np.log(FACE))))
        side = max(8, round(SIDE * face / FACE))
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        how = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
        image = cv2.resize(small, (SIDE, SIDE), interpolation=how)
        clear = float(np.clip((face - 12) / 24, 0, 1))
    elif chance < 0.35:
        sigma = float(np.exp(rng.uniform(np.log(0.6), np.log(8))))
        image = cv2.GaussianBlur(image, (0, 0), sigma)
        clear = float(np.clip(1 - (sigma - 2) / 3, 0, 1))
    image = tone(image, rng, 0.7)
    if rng.random() < 0.12:
        image = np.clip(image * rng.uniform(0.08, 0.5) + rng.normal(0, rng.uniform(0.5, 5), image.shape), 0, 255)
        image = image.astype(np.uint8)
    return spoil(image, rng, 0.8), clear


def cover(crop: Array, points: Array, others: Array, rng: np.random.Generator) -> tuple[Array, float]:
    """The crop with an occluder at random (hand, microphone, board), and how visible the mouth still is, in [0, 1]: 0
    where half of the lips' points or more are covered."""
    lips = points[mesh.LIPS]
    middle, size = lips.mean(0), float(np.ptp(lips[:, 0])) + 4
    center = middle + rng.normal(0, 0.7, 2) * size if rng.random() < 0.75 else rng.uniform(0, SIZE, 2)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    kind = rng.random()
    if kind < 0.4:  # fingers: thick lines from one side, joined in a palm
        angle = rng.uniform(0, 2 * np.pi)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        thick = size * rng.uniform(0.25, 0.5)
        for k in range(int(rng.integers(1, 5))):
            start = center + across * thick * 1.05 * (k - 1.5)
            end = start - along * SIZE
            start = start + along * size * rng.uniform(0, 0.5)
            cv2.line(mask, tuple(start.astype(int).tolist()), tuple(end.astype(int).tolist()), 255, max(2, int(thick)))
    elif kind < 0.7:  # a microphone: a ball on a stick
        ball = size * rng.uniform(0.25, 0.8)
        end = center + np.array([rng.normal(0, 0.5), 1]) * SIZE
        cv2.line(
            mask, tuple(center.astype(int).tolist()), tuple(end.astype(int).tolist()), 255, max(2, int(ball * 0.5))
        )
        cv2.ellipse(mask, (center.tolist(), (2 * ball, 2 * ball * rng.uniform(0.7, 1.4)), rng.uniform(0, 180)), 255, -1)
    else:  # a board, a mask, a caption
        wide = size * rng.uniform(0.4, 2.5, 2)
        corners = cv2.boxPoints((center.tolist(), wide.tolist(), float(rng.normal(0, 25))))
        cv2.fillPoly(mask, [corners.astype(np.int32)], 255)
    hidden = mask[tuple(np.clip(np.round(lips[:, ::-1]).astype(int), 0, SIZE - 1).T)] > 0
    if kind < 0.4 and rng.random() < 0.7:  # skin of the same person
        x, y = np.clip(points[mesh.at(205, 425)[int(rng.integers(2))]].astype(int), 4, SIZE - 5)
        color = crop[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(0) * rng.uniform(0.7, 1.2)
        noise = cv2.resize(rng.normal(0, 14, (14, 14, 1)).astype(np.float32), (SIZE, SIZE))[..., None]
        what = np.clip(color + noise + rng.normal(0, 2, (SIZE, SIZE, 1)), 0, 255)
    elif rng.random() < 0.5:
        what = np.clip(rng.uniform(0, 200, 3) + rng.normal(0, rng.uniform(1, 25), (SIZE, SIZE, 1)), 0, 255)
    else:
        what = np.roll(others, rng.integers(0, SIZE, 2), (0, 1)).astype(np.float64)
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 2.5))[..., None] / 255.0
    out = (crop * (1 - soft) + what * soft).astype(np.uint8)
    return out, float(np.clip(1 - 2 * hidden.mean(), 0, 1))


def nothing(picture: Array, rng: np.random.Generator) -> Array:
    """A view without a whole upright face: a small part of a picture, mostly its edge."""
    side = float(np.exp(rng.uniform(np.log(24), np.log(90))))
    corner = rng.uniform(0, SIZE - side, 2)
    if rng.random() < 0.6:  # beside the face
        corner[int(rng.integers(2))] = rng.choice([0.0, SIZE - side])
    matrix = geometry.box_to_crop(np.array([[*corner, *(corner + side)]]), SIDE)[0]
    return geometry.sample(picture, matrix, SIDE)
