"""The peers' chain: the pipeline a user would otherwise assemble from the packages, as their scripts do it.

All frames into memory, facexlib's detector on one frame at a time, the generator in batches of 128, then frame by frame
``RealESRGANer.enhance`` (composition "wav2lip-hq") or ``GFPGANer.enhance`` ("gfpgan"), a hard paste and
``cv2.VideoWriter``. Everything in float32, except RealESRGANer on a GPU, which is run in half precision there.

Where it differs from the scripts it is cheaper, so ratios to it are conservative:

- detector: RetinaFace with MobileNet 0.25 in place of S3FD, and of ResNet-50 inside GFPGANer;
- generator, and the parser of "wav2lip-hq": this project's embedded ones, half as wide as the official ones;
- no padding before RRDBNet; the sound is not muxed; models are loaded before the clock starts.

GFPGANer masks what it pastes back with facexlib's ParseNet, so the chain does, and this project with its own parser.
Nothing is downloaded: published restorers and ParseNet's weights are not available here, so they are random. That
changes the picture and not the time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch

from wav2lip_hq import (
    audio,
    checkpoints,
    compat,  # noqa: F401 - the packages below do not import without it
    models,
)
from wav2lip_hq.errors import InputError, OptionError, OutputError, StageError
from wav2lip_hq.models import imagenet
from wav2lip_hq.stages.parse import REGIONS
from wav2lip_hq.types import Array

# isort: split
import torchvision
from facexlib.detection import retinaface
from facexlib.utils import face_restoration_helper

RESTORERS = {"wav2lip-hq": "rrdbnet", "gfpgan": "gfpgan_clean"}  # composition -> architecture
BATCH = 128  # of Wav2Lip's inference
PAD = 10  # px below the box, Wav2Lip's default
THRESHOLD = 0.8  # least score of a face, facexlib's default


def random_weights(composition: str, path: Path, options: Mapping[str, Any] | None = None) -> None:
    """Write a restorer with random weights in the layout the packages publish theirs in. options: the builder's."""
    if composition not in RESTORERS:
        raise OptionError(f"there is no chain for '{composition}'; there are {', '.join(RESTORERS)}")
    torch.manual_seed(0)
    module = models.build(RESTORERS[composition], **(options or {}))
    torch.save({"params_ema": module.state_dict()}, path)


class Chain:
    """The chain with its models loaded.

    composition: a key of RESTORERS. weights: a file of ``random_weights`` (or a published one), made with ``options``.
    parsenet: let GFPGANer use the ParseNet it comes with; else the embedded parser in its place (cheaper: for tests).
    """

    def __init__(
        self,
        composition: str,
        weights: Path,
        device: torch.device,
        options: Mapping[str, Any] | None = None,
        parsenet: bool = True,
    ) -> None:
        self.parsenet = parsenet
        self.device, options = device, dict(options or {})
        self.detector = retinaface.RetinaFace("mobile0.25", device=device)
        self.detector.load_state_dict(checkpoints.load("embedded-detector").module.state_dict())
        generator = checkpoints.load("embedded-generator")
        self.offset = float(generator.card.get("mel_offset_ms", 0.0))
        self.generator = generator.module.to(device)
        self.parser = checkpoints.load("embedded-parser").module.to(device)
        self.esrgan: Any = None
        self.gfpgan: Any = None
        if composition == "gfpgan":
            self.gfpgan = self._gfpganer(weights, options)
        else:
            self.esrgan = self._realesrganer(weights, options)

    def _realesrganer(self, weights: Path, options: dict[str, Any]) -> Any:
        from basicsr.archs.rrdbnet_arch import RRDBNet
        from realesrgan import RealESRGANer

        half = self.device.type == "cuda"
        network = RRDBNet(3, 3, scale=4, **options)
        return RealESRGANer(4, str(weights), model=network, pre_pad=0, half=half, device=self.device)

    def _gfpganer(self, weights: Path, options: dict[str, Any]) -> Any:
        import gfpgan

        def detector(*_: Any, **__: Any) -> Any:
            return self.detector

        def parser(*_: Any, **__: Any) -> Any:
            if not self.parsenet:
                return self.parser
            from facexlib.parsing.parsenet import ParseNet

            return ParseNet(in_size=512, out_size=512, parsing_ch=19).eval().to(self.device)

        # Its helper would download both.
        with (
            patch.object(face_restoration_helper, "init_detection_model", detector),
            patch.object(face_restoration_helper, "init_parsing_model", parser),
        ):
            multiplier = options.get("channel_multiplier", 2)
            return gfpgan.GFPGANer(str(weights), 1, channel_multiplier=multiplier, device=self.device)

    @torch.no_grad()
    def run(self, face: Path, speech: Path, output: Path) -> int:
        """Dub a clip; returns the number of frames written. Raises InputError (no face, not a video), OutputError."""
        frames, rate = read(face)
        wav = audio.load_audio(speech)
        frames = frames[: max(1, round(len(wav) / audio.RATE * rate))]
        times = [n / rate for n in range(len(frames))]
        mel = audio.mel_windows(audio.mel_spectrogram(wav), times, self.offset)
        with working_nms():
            boxes = [self._detect(frame) for frame in frames]
            mouths = self._generate(frames, boxes, mel)
            height, width = frames[0].shape[:2]
            out = cv2.VideoWriter(str(output), cv2.VideoWriter_fourcc(*"mp4v"), rate, (width, height))
            if not out.isOpened():
                raise OutputError(f"this OpenCV cannot write {output}: it was built without an MPEG-4 encoder")
            try:
                for frame, box, mouth in zip(frames, boxes, mouths, strict=True):
                    out.write(self._finish(frame.copy(), box, mouth))
            finally:
                out.release()
        return len(frames)

    def _detect(self, frame: Array) -> tuple[int, int, int, int]:
        """The best face's box: left, top, right, bottom."""
        found = self.detector.detect_faces(frame, THRESHOLD)
        if not len(found):
            raise InputError("the chain's detector finds no face in a frame; compare on footage that shows one")
        left, top, right, bottom = (int(v) for v in found[0, :4])
        height, width = frame.shape[:2]
        return max(0, left), max(0, top), min(width, right), min(height, bottom + PAD)

    def _generate(self, frames: list[Array], boxes: list[tuple[int, int, int, int]], mel: Array) -> list[Array]:
        """The generator's pictures (96, 96, 3) uint8 BGR, all kept in memory as Wav2Lip keeps a batch's."""
        made: list[Array] = []
        for at in range(0, len(frames), BATCH):
            some = zip(frames[at : at + BATCH], boxes[at : at + BATCH], strict=True)
            faces = np.stack([cv2.resize(frame[y1:y2, x1:x2], (96, 96)) for frame, (x1, y1, x2, y2) in some])
            hidden = faces.copy()
            hidden[:, 48:] = 0
            pixels = np.concatenate([hidden, faces], 3).transpose(0, 3, 1, 2) / 255.0
            sound = torch.from_numpy(mel[at : at + BATCH, None]).to(self.device)
            out = self.generator(sound, torch.from_numpy(pixels.astype(np.float32)).to(self.device))
            made += list((out.cpu().numpy().transpose(0, 2, 3, 1) * 255).astype(np.uint8))
        return made

    def _finish(self, frame: Array, box: tuple[int, int, int, int], mouth: Array) -> Array:
        x1, y1, x2, y2 = box
        if self.esrgan is not None:
            large = cv2.resize(self.esrgan.enhance(mouth)[0], (x2 - x1, y2 - y1))
            mask = self._mask(frame[y1:y2, x1:x2])
            frame[y1:y2, x1:x2][mask] = large[mask]
            return frame
        frame[y1:y2, x1:x2] = cv2.resize(mouth, (x2 - x1, y2 - y1))
        crops, restored, whole = self.gfpgan.enhance(frame, has_aligned=False, only_center_face=True, paste_back=True)
        if not restored or np.array_equal(crops[0], restored[0]):  # it reports neither, and the chain would seem fast
            raise StageError("GFPGANer restored nothing: it found no face with a score of 0.97, or its network failed")
        return np.asarray(whole)

    def _mask(self, face: Array) -> Array:
        """(h, w) bool: where the parser sees skin, nose or lips in a BGR face."""
        large = cv2.cvtColor(cv2.resize(face, (512, 512)), cv2.COLOR_BGR2RGB)
        pixels = torch.from_numpy(((large / 255.0 - imagenet.MEAN) / imagenet.STD).astype(np.float32))
        classes = self.parser(pixels.permute(2, 0, 1)[None].to(self.device))[0].argmax(1)[0].cpu().numpy()
        inside = np.isin(classes, REGIONS["lower-face"]).astype(np.uint8)
        return np.asarray(cv2.resize(inside, face.shape[1::-1], interpolation=cv2.INTER_NEAREST).astype(bool))


def read(path: Path) -> tuple[list[Array], float]:
    """Every frame of a video (BGR), and its frame rate. Raises InputError."""
    source = cv2.VideoCapture(str(path))
    frames: list[Array] = []
    while True:
        there, frame = source.read()
        if not there:
            break
        frames.append(frame)
    rate = source.get(cv2.CAP_PROP_FPS)
    source.release()
    if not frames or rate <= 0:
        raise InputError(f"{path}: OpenCV reads no frames from it")
    return frames, rate


def has_nms() -> bool:
    """Whether torchvision's compiled operators fit the installed torch."""
    try:
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (RuntimeError, AttributeError):
        return False
    return True


@contextmanager
def working_nms() -> Iterator[None]:
    """Give facexlib OpenCV's non-maximum suppression where torchvision's does not work; it takes microseconds."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # the packages' own deprecation warnings
        if not has_nms():
            stack.enter_context(patch.object(retinaface, "py_cpu_nms", _nms))
        yield


def _nms(rows: Array, threshold: float) -> list[int]:
    corners = np.concatenate([rows[:, :2], rows[:, 2:4] - rows[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(corners.tolist(), rows[:, 4].tolist(), 0.0, threshold)
    return [int(n) for n in np.ravel(np.asarray(kept))]
