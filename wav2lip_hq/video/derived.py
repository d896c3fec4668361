"""Footage that is made of other footage's frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from ..types import VideoInfo
from .reader import Frame, VideoReader


class DerivedReader(VideoReader):
    """Frames made from those of ``whole``, with its ``look``. Damaged packets of ``whole`` count here too, and closing
    one closes the other."""

    def __init__(
        self,
        whole: VideoReader,
        info: VideoInfo,
        make: Callable[[VideoReader], Iterator[Frame]],
        seek: Callable[[VideoReader, Fraction], Iterator[Frame]],
        files: Sequence[Path] = (),
    ) -> None:
        self._whole = whole
        super().__init__(info, make, seek=seek, look=whole.look, files=files)

    @property
    def damaged(self) -> int:
        """Packets that could not be decoded, of all that were read."""
        return self._whole.damaged

    @damaged.setter
    def damaged(self, count: int) -> None:
        self._whole.damaged = max(count, self._whole.damaged)

    def close(self) -> None:
        """Release the file."""
        super().close()
        self._whole.close()
