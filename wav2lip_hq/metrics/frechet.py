"""Frechet distance between sets of pictures (Heusel et al. 2017), with Inception or other features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import checkpoints
from ..errors import CheckpointError, InputError
from ..models import imagenet
from ..runtime import Model
from ..types import Array

Features = Callable[[Array], Array]  # (N, H, W, 3) uint8 RGB -> (N, D)


class FrechetDistance:
    """Accumulates mean and covariance of two sets of pictures in float64; mergeable over workers.

    features: (N, H, W, 3) uint8 RGB -> (N, D). name: of the figure; only that of ``fid`` is FID. Lower is
    better, 0 for equal sets, no upper bound; biased upwards for few pictures, so compare sets of the same size.

    >>> rng = np.random.default_rng(0)
    >>> distance = FrechetDistance(lambda pictures: pictures.reshape(len(pictures), -1).astype(float), "pixels")
    >>> pictures = rng.integers(0, 255, (50, 1, 2, 3), np.uint8)
    >>> distance.add(pictures, real=True); distance.add(pictures, real=False)
    >>> round(distance.compute(), 6)
    0.0
    """

    def __init__(self, features: Features, name: str) -> None:
        self.features, self.name = features, name
        self.sums: dict[bool, tuple[int, Array, Array]] = {}

    def add(self, pictures: Array, *, real: bool) -> None:
        """Add pictures. Raises InputError for none, or features that are not finite."""
        if not len(pictures):
            raise InputError("no pictures to compare")
        found = np.asarray(self.features(np.asarray(pictures)), np.float64)
        if not np.isfinite(found).all():
            raise InputError("the feature network gave values that are not numbers")
        count, total, outer = self.sums.get(real, (0, np.zeros(found.shape[1]), np.zeros((found.shape[1],) * 2)))
        self.sums[real] = (count + len(found), total + found.sum(0), outer + found.T @ found)

    def merge(self, other: FrechetDistance) -> None:
        """Add another worker's pictures."""
        for real, (count, total, outer) in other.sums.items():
            mine = self.sums.get(real)
            self.sums[real] = (
                (count, total, outer) if mine is None else (mine[0] + count, mine[1] + total, mine[2] + outer)
            )

    def compute(self) -> float:
        """The distance; NaN when either set has fewer than two pictures."""
        from scipy.linalg import sqrtm

        if any(self.sums.get(real, (0,))[0] < 2 for real in (True, False)):
            return float("nan")
        facts = []
        for real in (True, False):
            count, total, outer = self.sums[real]
            mean = total / count
            facts.append((mean, (outer - count * np.outer(mean, mean)) / (count - 1)))
        (m1, c1), (m2, c2) = facts
        root: Any = sqrtm(c1 @ c2)
        value = ((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * np.trace(np.real(root))
        return float(max(value, 0.0))


def fid(batch: int = 32) -> FrechetDistance:
    """FID with the standard Inception features. Raises CheckpointError as ``inception_features`` does."""
    return FrechetDistance(inception_features(batch), "FID")


def inception_features(batch: int = 32) -> Features:
    """The 2048 pooled features of FID's Inception (torch-fidelity, the checkpoint ``inception-fid``). Raises
    CheckpointError, naming the command, when the weights or the package are not installed."""
    path = checkpoints.locate("inception-fid")
    if path is None:
        raise CheckpointError("FID: needs `wav2lip-hq checkpoints fetch inception-fid`")
    from .. import compat  # noqa: F401 - before torch-fidelity, which imports torchvision

    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise CheckpointError("FID: needs the package torch-fidelity: pip install torch-fidelity") from error
    net: Any = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path)).eval()

    def features(pictures: Array) -> Array:
        return _batched(lambda part: net(part)[0], pictures, batch)

    return features


def parser_features(model: Model, batch: int = 8) -> Features:
    """Pooled features of a face parser's backbone (BiSeNet's ResNet-18), for where there are no Inception weights: a
    Frechet distance that does not compare with FID. model: a ``bisenet_79999_iter``; pictures are scaled to 256 px."""
    net: Any = model.module
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (imagenet.MEAN, imagenet.STD))

    def call(part: Tensor) -> Tensor:
        x = torch.nn.functional.interpolate(part.float() / 255, (256, 256), mode="area")
        x = ((x - mean) / std).to(model.device, model.dtype)
        pooled: Tensor = net.cp.resnet(x)[-1].float().mean((2, 3))
        return pooled

    return lambda pictures: _batched(call, pictures, batch)


def _batched(call: Callable[[Tensor], Tensor], pictures: Array, batch: int) -> Array:
    """(N, H, W, 3) uint8 through a network of (n, 3, H, W) uint8 tensors."""
    out = []
    with torch.inference_mode():
        for at in range(0, len(pictures), batch):
            part = torch.from_numpy(np.ascontiguousarray(pictures[at : at + batch].transpose(0, 3, 1, 2)))
            out.append(call(part).cpu().numpy())
    return np.concatenate(out)
