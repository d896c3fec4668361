"""The landmark network: distilled from the published face mesh on footage and photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import checkpoints, geometry, mesh, models
from ..errors import InputError
from ..models.landmarks import SHAPES
from ..stages.landmarks import SIDE, network_input
from ..types import Array
from . import meshpack
from .data_images import sheet
from .headpose import head_pose, mean_face
from .meshviews import View, cover, placed, view, weather
from .options.landmarks import LandmarksOptions
from .recipe import Recipe
from .task import Batch, Optimize, Task

LICENSE = (
    "research only: taught on footage and photographs released for research, by MediaPipe's face mesh (Apache-2.0)"
)
LIPS = mesh.LIPS
_UPPER, _LOWER, _EYES = mesh.at(13, 82, 312), mesh.at(14, 87, 317), mesh.at(33, 263)
_CORNERS = mesh.at(78, 308)


class LandmarksTask(Task):
    """Trains the landmark network. ``score`` (lower is better): mean error of the lips plus error of the opening, in
    eye distances."""

    Options: ClassVar[type[LandmarksOptions]] = LandmarksOptions
    options: LandmarksOptions
    product = "landmarks"
    monitor = "score"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        o = self.options
        folder = Path(o.pack)
        if not (folder / "labels.npz").exists():
            meshpack.build(folder, Path(o.data), o.photographs, Path(o.teacher), held=o.held)
        self.pack = pack = meshpack.load(folder)
        if not pack.held.any() or pack.held.all():
            raise InputError(f"{folder}: needs both held-out people and others; check 'held'")
        train = np.flatnonzero(~pack.held)
        self.face = mean_face(pack.mesh[train])
        self.pose = head_pose(pack.mesh, self.face)
        photo = np.char.startswith(pack.identity[train], "photo-")
        # A person's weight is the square root of the number of pictures, so that neither long nor short clips dominate.
        people, which, counts = np.unique(pack.identity[train], return_inverse=True, return_counts=True)
        # Wide open mouths are rare and are drawn more often: else predictions are too closed.
        self.gap = mesh.opening(pack.mesh[..., :2])
        gap = self.gap[train]
        weight = (0.5 + np.minimum(gap / gap.mean(), 2)) / np.sqrt(counts[which])
        for part, share in ((photo, o.photos), (~photo, 1 - o.photos)):
            weight[part] *= share / max(weight[part].sum(), 1e-12)
        self.train, self.chances = train, np.cumsum(weight / weight.sum())
        order = np.argsort(which, kind="stable")
        self.people = dict(zip(people, np.split(train[order], np.cumsum(counts)[:-1]), strict=True))
        self.net: Any = models.build("landmarks", width=o.width)
        if o.start:
            self.net.load_state_dict(checkpoints.load_state(Path(o.start))[0])
        else:
            self._begin_with_mean_shapes()
        self.modules = {"landmarks": self.net}
        weights = torch.ones(mesh.POINTS)
        weights[LIPS] = o.lips
        self.weights = weights / weights.sum()
        self.views = self._held_views()

    def _lip_shapes(self) -> tuple[Array, Array]:
        """(80,) mean and (SHAPES, 80) principal components of the labels' lips around their middle, in the input."""
        some = self.train[:: max(1, len(self.train) // 6000)]
        lips = np.stack([geometry.apply(placed(self.pack.five[n])[0][None], self.pack.mesh[n, None, LIPS, :2])[0]
                         for n in some])  # fmt: skip
        lips = (lips - lips.mean(1, keepdims=True)).reshape(len(some), -1)
        _, _, vt = np.linalg.svd(lips - lips.mean(0), full_matrices=False)
        return lips.mean(0), vt[:SHAPES]

    def _begin_with_mean_shapes(self) -> None:
        """Initialize the last layer with mean and principal components of the labels."""
        some = self.train[:: max(1, len(self.train) // 4000)]
        shapes = np.stack([geometry.apply(placed(self.pack.five[n])[0][None], self.pack.mesh[n, None, :, :2])[0]
                           for n in some]).reshape(len(some), -1)  # fmt: skip
        mean, basis = self._lip_shapes()
        self.net.lips_mean.copy_(torch.from_numpy(mean))
        self.net.lips_basis[: len(basis)].copy_(torch.from_numpy(basis))
        last = self.net.shape[1]
        center, scale = (SIDE - 1) / 2, 32.0
        _, s, vt = np.linalg.svd((shapes - shapes.mean(0)) / scale, full_matrices=False)
        rank = min(len(s), last.in_features)
        with torch.no_grad():
            last.bias.copy_(torch.from_numpy((shapes.mean(0) - center) / scale))
            last.weight.zero_()
            spread = s[:rank] / np.sqrt(len(some)) + 0.01
            last.weight[:, :rank] = torch.from_numpy((vt[:rank] * spread[:, None]).T)

    # ---- training

    def batch(self, rng: np.random.Generator) -> Batch:
        views = [v for _ in range(-(-self.recipe.batch_size // 2)) for v in self._pair(rng)][: self.recipe.batch_size]
        return {
            "image": np.stack([v.image for v in views]),
            "mesh": np.stack([v.mesh for v in views]).astype(np.float32),
            "pose": np.stack([v.pose for v in views]).astype(np.float32),
            "visible": np.array([v.visible for v in views], np.float32),
            "face": np.array([v.face for v in views], np.float32),
        }

    def _pair(self, rng: np.random.Generator) -> list[View]:
        """Two views of one person, of one photograph or two frames, that differ in opening."""
        pack, views = self.pack, []
        n = self.train[min(int(np.searchsorted(self.chances, rng.random())), len(self.train) - 1)]
        same = self.people[pack.identity[n]]
        some = same[rng.integers(len(same), size=3)]
        partner = some[np.argmax(np.abs(self.gap[some] - self.gap[n]))]
        for at in (n, partner):
            remade = rng.random() < (0.4 if len(same) == 1 else 0.12)
            opening = max(0.0, rng.uniform(-0.08, 0.4)) if remade else None
            other = np.array(pack.crops[int(self.train[rng.integers(len(self.train))])])
            views.append(
                view(np.array(pack.crops[at]), pack.mesh[at, :, :2], pack.five[at], self.pose[at], other, rng, opening)
            )
        return views

    def step(self, batch: dict[str, Tensor], optimize: Optimize) -> dict[str, float | Tensor]:
        parts = self.net.features(network_input(batch["image"]).contiguous(memory_format=torch.channels_last))
        with torch.autocast(batch["mesh"].device.type, enabled=False):
            points, lips, pose, logit = self.net.heads(*(p.float() for p in parts))
            losses = self._losses(points, lips, pose, logit, batch)
        optimize(self.product, losses["loss"])
        return {k: v.detach() for k, v in losses.items()}

    def _losses(
        self, points: Tensor, lips: Tensor, pose: Tensor, logit: Tensor, batch: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        truth = batch["mesh"]
        eyes = (truth[:, _EYES[0]] - truth[:, _EYES[1]]).norm(dim=-1).clamp(min=8)
        # Hidden mouths can only be guessed: give them less weight.
        sure = batch["face"] * (0.3 + 0.7 * batch["visible"])
        count = sure.sum().clamp(min=1)

        share = sure / (eyes * count)

        def mean(x: Tensor) -> Tensor:
            out: Tensor = (x * share).sum()
            return out

        final = torch.cat([points[:, : LIPS.start], lips, points[:, LIPS.stop :]], 1)
        fine = mean(((final - truth).norm(dim=-1) * self.weights.to(truth.device)).sum(1))
        coarse = mean((points[:, LIPS] - truth[:, LIPS]).norm(dim=-1).mean(1))
        gap, wide = (_mouth(final) - _mouth(truth)).abs().unbind(-1)
        shape = mean(gap + 0.5 * wide + 0.3 * (_mouth(points) - _mouth(truth)).abs()[:, 0])
        pair = _pairs(_mouth(final)[:, 0] / eyes, _mouth(truth)[:, 0] / eyes, batch["face"] * batch["visible"])
        turn = ((pose - batch["pose"]).abs().mean(1) / 30 * sure).sum() / count
        seen = F.binary_cross_entropy_with_logits(logit, batch["visible"])
        loss = fine + 0.3 * coarse + self.options.shape * shape + 0.2 * turn + 0.15 * seen
        loss = loss + self.options.pairs * pair
        return {"loss": loss, "fine": fine, "coarse": coarse, "shape": shape, "pair": pair, "turn": turn, "seen": seen}

    # ---- held-out figures

    def _held_views(self) -> dict[str, Array]:
        """The network's inputs for all held-out faces, cropped as the landmarks stage does, and their labels."""
        pack, held = self.pack, np.flatnonzero(self.pack.held)
        maps = np.stack([placed(pack.five[n])[0] for n in held])
        turn = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
        images = [geometry.sample(np.array(pack.crops[n]), m, SIDE) for n, m in zip(held, maps, strict=True)]
        return {
            "index": held,
            "image": np.stack(images),
            "mesh": geometry.apply(maps, pack.mesh[held][..., :2]),
            "pose": self.pose[held] + np.stack([turn * 0, turn * 0, turn], -1),
        }  # fmt: skip

    @torch.no_grad()
    def look(self, images: Array, device: torch.device) -> tuple[Array, Array, Array]:
        """Points, pose and visibility of inputs (N, SIDE, SIDE, 3) uint8, computed in float32."""
        out = []
        with torch.autocast(device.type, enabled=False):
            for k in range(0, len(images), 32):
                x = network_input(torch.from_numpy(images[k : k + 32]).to(device))
                points, pose, logit = self.net(x.contiguous(memory_format=torch.channels_last))
                out.append((points.cpu().numpy(), pose.cpu().numpy(), logit.sigmoid().cpu().numpy()))
        return tuple(np.concatenate(c) for c in zip(*out, strict=True))  # type: ignore[return-value]

    def validate(self, device: torch.device) -> dict[str, float]:
        v = self.views
        points, pose, seen = self.look(v["image"], device)
        eyes = mesh.eye_distance(v["mesh"])
        off = np.linalg.norm(points - v["mesh"], axis=-1) / eyes[:, None]
        yaw = np.abs(v["pose"][:, 0])
        figures: dict[str, float] = {}
        for name, part in (("", yaw < 30), ("_turned", (yaw >= 30) & (yaw < 60))):
            if part.any():
                figures[f"lips{name}"] = float(off[part][:, LIPS].mean())
                figures[f"all{name}"] = float(off[part].mean())
        mine, theirs = mesh.opening(points), mesh.opening(v["mesh"])
        figures["opening"] = float(np.abs(mine - theirs).mean())
        figures["width"] = float(np.abs(mesh.width(points) - mesh.width(v["mesh"])).mean())
        figures["pose_degrees"] = float(np.abs(pose - v["pose"]).mean())
        clip = self.pack.clip[v["index"]]
        long = [clip == c for c in np.unique(clip) if (clip == c).sum() >= 25]
        if long:
            found = [np.corrcoef(mine[part], theirs[part])[0, 1] for part in long]
            figures["correlation"], figures["correlation_least"] = float(np.mean(found)), float(np.min(found))
            # Of the opening regressed on the teacher's: 0.5 means that half of a movement is seen.
            slopes = [np.polyfit(theirs[part], mine[part], 1)[0] for part in long]
            figures["slope"], figures["slope_least"] = float(np.mean(slopes)), float(np.min(slopes))
        figures.update(self._covered(device))
        figures["score"] = figures.get("lips", float(off[:, LIPS].mean())) + figures["opening"]
        return figures

    def _covered(self, device: torch.device) -> dict[str, float]:
        """Mean visibility of clear and of covered mouths, and the accuracy of a threshold of 0.5."""
        rng, pack = np.random.default_rng(5), self.pack
        images, truth = [], []
        some = self.views["index"][:: max(1, len(self.views["index"]) // 150)]
        for n in some:
            for hide in (False, True):
                crop, clear = np.array(pack.crops[n]), 1.0
                if hide:
                    crop, clear = cover(crop, pack.mesh[n, :, :2], np.array(pack.crops[int(rng.choice(some))]), rng)
                image = geometry.sample(crop, placed(pack.five[n], rng)[0], SIDE)
                if clear in (0.0, 1.0):
                    images.append(image)
                    truth.append(clear)
        _, _, seen = self.look(np.stack(images), device)
        real = np.array(truth) > 0.5
        return {
            "visible_clear": float(seen[real].mean()),
            "visible_covered": float(seen[~real].mean()) if (~real).any() else 0.0,
            "told_apart": float(((seen > 0.5) == real).mean()),
        }

    def samples(self, device: torch.device) -> Array:
        rng, v = np.random.default_rng(2), self.views
        chosen = np.linspace(0, len(v["image"]) - 1, 16).astype(int)
        images = [v["image"][n] for n in chosen[:8]] + [weather(v["image"][n], rng)[0] for n in chosen[8:]]
        points, _, seen = self.look(np.stack(images), device)
        tiles = [draw(i, p, s) for i, p, s in zip(images, points, seen, strict=True)]
        return sheet([tiles[:8], tiles[8:]])

    def export(self, path: Path, figures: dict[str, float]) -> None:
        card = {"task": "landmarks", "figures": figures, "recipe": self.recipe.options, "license": LICENSE}
        checkpoints.save(path, self.net, "landmarks", {"width": self.options.width}, card, half=True)


def _mouth(points: Tensor) -> Tensor:
    """(N, 2): opening and width of mouths (N, POINTS, 2) in px."""
    gap = (points[:, _UPPER] - points[:, _LOWER]).norm(dim=-1).mean(1)
    wide = (points[:, _CORNERS[0]] - points[:, _CORNERS[1]]).norm(dim=-1)
    return torch.stack([gap, wide], -1)


def _pairs(opening: Tensor, truth: Tensor, clear: Tensor) -> Tensor:
    """Relative error of the difference between two openings of the same person, which no constant feature of a face
    (a mustache) can explain, plus the deviation of the batch's regression slope from one, against shrinkage towards
    the mean. opening and truth (N,) in eye distances, clear (N,) weights; 2k and 2k + 1 are the same person."""
    even = len(truth) // 2 * 2
    mine, theirs = (x[:even].view(-1, 2).diff(dim=1)[:, 0] for x in (opening, truth))
    share = clear[:even].view(-1, 2).min(1)[0]
    each = ((mine - theirs).abs() / (theirs.abs() + 0.08) * share).sum() / share.sum().clamp(min=1)
    slope = (mine * theirs * share).sum() / (theirs.square() * share).sum().clamp(min=1e-3)
    return each + (1 - slope).abs()


def draw(image: Array, points: Array, seen: float, zoom: int = 2) -> Array:
    """An input with its points (inner lips green, outer red) and the visibility as a bar below."""
    out = np.asarray(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC))
    for n, (x, y) in enumerate(points):
        color = (0, 255, 0) if n < mesh.INNER_LIPS.stop else (255, 0, 0) if n < LIPS.stop else (255, 255, 0)
        at = (round((x + 0.5) * zoom - 0.5), round((y + 0.5) * zoom - 0.5))
        cv2.circle(out, at, 1, color, -1)
    out[-5:, : round(float(seen) * out.shape[1])] = (0, 200, 255)
    return out
