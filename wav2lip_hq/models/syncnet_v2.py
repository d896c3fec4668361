"""SyncNet of Chung and Zisserman in the layout of syncnet_v2.model: the network behind LSE-D and LSE-C."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import scale_channels

EMBEDDING = 1024


class SyncNetV2(nn.Module):
    """Official layout for ``width == 1``. Embeddings always have 1024 dimensions and are not normalized."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.width = width
        c = {n: scale_channels(n, width) for n in (64, 96, 192, 256, 384, 512)}

        def flat(inputs: int, outputs: int, kernel: int | tuple[int, int] = 3, padding: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs), nn.ReLU()]

        self.netcnnaud = nn.Sequential(
            *flat(1, c[64]),
            nn.Identity(),  # a 1x1 pooling in the original, which only takes up an index
            *flat(c[64], c[192]),
            nn.MaxPool2d(3, (1, 2)),
            *flat(c[192], c[384]),
            *flat(c[384], c[256]),
            *flat(c[256], c[256]),
            nn.MaxPool2d(3, 2),
            *flat(c[256], c[512], (5, 4), 0),
        )

        def deep(
            inputs: int, outputs: int, kernel: tuple[int, int, int] = (1, 3, 3), stride: int = 1, padding: int = 1
        ) -> list[nn.Module]:
            conv = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), (0, padding, padding))
            return [conv, nn.BatchNorm3d(outputs), nn.ReLU()]

        self.netcnnlip = nn.Sequential(
            *deep(3, c[96], (5, 7, 7), 2, 0),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *deep(c[96], c[256], (1, 5, 5), 2),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *deep(c[256], c[256]),
            *deep(c[256], c[256]),
            *deep(c[256], c[256]),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *deep(c[256], c[512], (1, 6, 6), 1, 0),
        )
        self.netfcaud = self._head(c[512])
        self.netfclip = self._head(c[512])

    @staticmethod
    def _head(hidden: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, EMBEDDING))

    def forward_aud(self, audio: Tensor) -> Tensor:
        """(N, 1, 13, 20) MFCC (0.2 s at 100 columns a second) -> (N, 1024)."""
        return self.netfcaud(self.netcnnaud(audio).flatten(1))

    def forward_lip(self, frames: Tensor) -> Tensor:
        """(N, 3, 5, 224, 224) BGR in [0, 255], five frames at 25 a second -> (N, 1024)."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))

    def forward_lipfeat(self, frames: Tensor) -> Tensor:
        """As forward_lip, without the last layers: (N, 512 at width 1)."""
        return self.netcnnlip(frames).flatten(1)

    def forward(self, audio: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Both embeddings, audio first (see forward_aud and forward_lip)."""
        return self.forward_aud(audio), self.forward_lip(frames)
