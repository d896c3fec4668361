"""A sequence of pictures that is being written, one file a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import OutputError
from ..types import Array, VideoInfo
from . import pictures
from .notice import NOTICE, commented
from .sequences import Naming


class ImageFolder:
    """A folder of PNG, EXR or DPX pictures. folder: where they are written; name: what messages call it; info: of the
    source, for naming, depth and color space; codec: "png", "exr" or "dpx"; mark: whether each picture carries the
    notice that the lip movement is synthetic."""

    def __init__(self, folder: Path, name: Path, info: VideoInfo, codec: str, mark: bool) -> None:
        self.codec = codec
        self._folder, self._name, self._info, self._mark = folder, name, info, mark
        self._naming = info.naming if isinstance(info.naming, Naming) else Naming()
        self._written = 0
        folder.mkdir()

    def add(self, frame: Array, alpha: Array | None, like: Path | None) -> None:
        """Write the next picture; arguments as for ``VideoWriter.write``."""
        self._written += 1
        target = self._folder / self._naming.name(self._written - 1, f".{self.codec}")
        if self.codec == "png":
            target.write_bytes(self._png(frame, alpha))
            return
        if self.codec == "dpx" and frame.dtype.kind == "f":
            raise OutputError(f"{self._name}: DPX holds integers, and this is floats; choose exr")
        pictures.save_picture(
            target,
            frame,
            alpha,
            depth=self._depth(frame),
            like=like,
            colorspace=self._info.colorspace,
            notice=NOTICE if self._mark else "",
        )

    def _depth(self, frame: Array) -> int:
        """Bits of a DPX."""
        if frame.dtype == np.uint8:
            return 8
        return self._info.bit_depth if self._info.bit_depth in (10, 12) else 16

    def _png(self, frame: Array, alpha: Array | None) -> bytes:
        import cv2

        image = frame if frame.ndim == 2 else frame[..., ::-1]
        if alpha is not None:
            image = np.concatenate([image, alpha[..., None]], -1)
        done, data = cv2.imencode(".png", np.ascontiguousarray(image))
        if not done:
            raise OutputError(f"{self._name}: frame {self._written - 1} cannot be stored as PNG")
        picture = data.tobytes()
        return commented(picture) if self._mark else picture
