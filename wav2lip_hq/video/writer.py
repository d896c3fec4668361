"""Footage out: encoded on a thread of its own, under a temporary name until it is complete."""

from __future__ import annotations

import os
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av

from .. import places
from ..errors import OutputError, Wav2LipHQError
from ..types import Array, VideoInfo
from .codecs import CODECS, check_output
from .encoder import Encoder
from .imagefolder import ImageFolder
from .sound import Sound


class VideoWriter:
    """Writes frames with their own timestamps. A context manager: leaving it normally completes the file, leaving it by
    an exception removes everything.

    path: ending chooses the container; info: of the source, for color tags, aspect ratio, time base and depth;
    codec: key of CODECS or None; crf, preset, pix_fmt override its defaults; sound: track to put beside; until: end of
    the track in seconds; beside: further tracks; mark: write the notice that the lip movement is synthetic into the
    metadata; finish: called with the complete file, or folder, before it gets its name: to sign it, say. Raises
    OptionError and OutputError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        info: VideoInfo,
        *,
        codec: str | None = None,
        crf: int | None = None,
        preset: str | None = None,
        pix_fmt: str | None = None,
        sound: Sound | None = None,
        until: Fraction | None = None,
        beside: Sequence[Sound] = (),
        mark: bool = True,
        size: tuple[int, int] | None = None,
        finish: Callable[[Path], None] | None = None,
    ) -> None:
        self.path = Path(os.fspath(path))
        self.codec = check_output(self.path, [], codec)
        self.info = info
        self._finish = finish
        self.width, self.height = size or (info.width, info.height)
        self._temporary = places.beside(self.path)
        self.written = 0
        self._error: BaseException | None = None
        self._ended = False
        self._output: Encoder | ImageFolder | None = None
        self._queue: queue.Queue[tuple[Array, Fraction, Array | None, Path | None] | None] = queue.Queue(maxsize=8)
        self._thread = threading.Thread(target=self._work, name="encode", daemon=True)
        try:
            if CODECS[self.codec].sequence:
                self._output = ImageFolder(self._temporary, self.path, info, self.codec, mark)
            else:
                self._output = Encoder(
                    self._temporary,
                    self.path.suffix.lower(),
                    info,
                    (self.width, self.height),
                    self.codec,
                    crf=crf,
                    preset=preset,
                    pix_fmt=pix_fmt,
                    sounds=[*([] if sound is None else [sound]), *beside],
                    until=until,
                    mark=mark,
                )
            self._thread.start()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._remove()
            if isinstance(error, Wav2LipHQError):
                raise
            raise OutputError(f"{self.path} cannot be written as {self.codec}: {error}") from error
        except BaseException:
            self._remove()
            raise

    # ---- frames

    def write(self, frame: Array, pts: Fraction, alpha: Array | None = None, like: Path | None = None) -> None:
        """Queue a frame (H, W, 3), or (H, W) for one channel, uint8 or uint16 (or floats, for exr) with its time in
        seconds. like: the footage's own picture, whose facts an EXR or DPX file keeps. Raises OutputError of earlier
        frames."""
        if self._error is not None:
            self._fail()
        if frame.shape[:2] != (self.height, self.width):
            raise OutputError(
                f"{self.path}: frame of {frame.shape[1]}x{frame.shape[0]}, not {self.width}x{self.height}"
            )
        while True:
            try:
                self._queue.put((frame, pts, alpha, like), timeout=0.2)
                return
            except queue.Full:
                if self._error is not None:
                    self._fail()

    def _work(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if self._error is not None:
                continue
            try:
                self._encode(*item)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                self._error = error

    def _encode(self, frame: Array, pts: Fraction, alpha: Array | None, like: Path | None) -> None:
        self.written += 1
        if isinstance(self._output, ImageFolder):
            self._output.add(frame, alpha, like)
        elif self._output is not None:
            self._output.add(frame, pts, alpha)

    # ---- the end

    def _fail(self) -> None:
        error = self._error
        self.abort()
        if isinstance(error, OutputError):
            raise error
        raise OutputError(f"{self.path} could not be written: {error}") from error

    def _finish_thread(self) -> None:
        if self._thread.is_alive():
            while True:
                try:
                    self._queue.put(None, timeout=0.2)
                    break
                except queue.Full:
                    continue
            self._thread.join()

    def close(self) -> None:
        """Flush, complete the file and give it its name. Raises OutputError; then nothing is left behind."""
        if self._ended:
            return
        self._finish_thread()
        if self._error is not None:
            self._fail()
        try:
            if isinstance(self._output, Encoder):
                self._output.end()
                with self._temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            if self._finish is not None:
                self._finish(self._temporary)
            if CODECS[self.codec].sequence and self.path.is_dir():
                self.path.rmdir()
            os.replace(self._temporary, self.path)
        except BaseException as error:
            self._error = error
            self._fail()
        self._ended = True

    def abort(self) -> None:
        """Stop and remove what was written."""
        if self._ended:
            return
        self._ended = True
        self._error = self._error or RuntimeError("aborted")
        self._finish_thread()
        if isinstance(self._output, Encoder):
            self._output.abort()
        self._remove()

    def _remove(self) -> None:
        if self._temporary.is_dir():
            shutil.rmtree(self._temporary, ignore_errors=True)
        else:
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()
