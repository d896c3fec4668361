"""From ComfyUI's values to ours and back: images (T, H, W, 3) in [0, 1], audio as a waveform with its rate.

Nothing here needs ComfyUI. Pixels that are not part of the mouth come back as the very numbers that came in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from wav2lip_hq.errors import InputError
from wav2lip_hq.pipeline import HQPipeline
from wav2lip_hq.tally import no_face
from wav2lip_hq.types import Array, Chunk

if TYPE_CHECKING:
    from torch import Tensor

DEEP = 65535  # images are handled in 16 bits
Progress = Callable[[int, int, Array], None]


@dataclass(frozen=True, eq=False)
class Synthesized:
    """images (T, H, W, 3) float32 in [0, 1]; mask (T, H, W) float32, 0 where nothing was changed; report: in words."""

    images: Tensor
    mask: Tensor
    report: str


@lru_cache(maxsize=2)  # networks stay loaded from one execution to the next
def pipeline(preset: str, device: str) -> HQPipeline:
    """A pipeline whose networks are kept."""
    return HQPipeline(preset, device=device)


def lipsync(
    images: Tensor,
    audio: dict[str, Any],
    fps: float,
    *,
    preset: str = "default",
    settings: tuple[str, ...] = (),
    device: str = "auto",
    on_progress: Progress | None = None,
    **options: Any,
) -> Synthesized:
    """Lip-sync images to speech.

    audio: ``waveform`` (1, C, n) float and ``sample_rate``. settings: "stage.option=value". options: of the run, by
    name. on_progress: called with (frames done, frames in all, the newest frame (H, W, 3) uint8). Raises InputError,
    NoFaceError, OptionError, CheckpointError.
    """
    import torch

    source = _sixteen(images)
    pipe = pipeline(preset, device)
    if settings:
        pipe = pipe.set(*settings)
    kept: list[Tensor] = []
    masks: list[Tensor] = []
    faces = done = 0
    left: list[str] = []
    with pipe.open(source, _speech(audio), fps=fps, keep=("faces.mask", "faces.to512"), **options) as chunks:
        for chunk in chunks:
            assert chunk.source_pts is not None
            numbers = [min(round(t * Fraction(fps).limit_denominator(1001)), len(source) - 1) for t in chunk.source_pts]
            kept.append(_floats(chunk.frames, source[numbers], images[numbers]))
            masks.append(torch.from_numpy(_mask(chunk, source[numbers])))
            faces += 0 if chunk.faces is None else len(chunk.faces)
            if chunk.left is not None and chunk.left.reason is not None:
                left += [_reason(r) for r in chunk.left.reason.tolist()]
            done += len(chunk)
            if on_progress is not None:
                on_progress(done, max(done, len(source)), (chunk.frames[-1] >> 8).astype(np.uint8))
    if not faces:
        raise no_face("the images", "; ".join(sorted(set(left))), "detect.threshold=0.3 in the settings")
    made = torch.cat(kept)
    why = "; ".join(f"{left.count(reason)} times {reason}" for reason in sorted(set(left)))
    report = f"{len(made)} frames, {faces} faces synthesized" + (f"; left as they are: {why}" if why else "")
    return Synthesized(made, torch.cat(masks), report)


def _sixteen(images: Tensor) -> Array:
    """(T, H, W, 3) uint16 of images. Raises InputError."""
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or not len(images):
        raise InputError(f"images are (frames, height, width, 3), not {tuple(images.shape)}")
    values = images[..., :3].detach().float().cpu().numpy()
    return np.asarray(np.round(np.clip(np.nan_to_num(values), 0, 1) * DEEP), np.uint16)


def _speech(audio: dict[str, Any]) -> tuple[Array, int]:
    """(samples (n,) float32, rate). Raises InputError."""
    try:
        wave, rate = audio["waveform"], int(audio["sample_rate"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("audio is a waveform with its sample_rate, as LoadAudio gives it") from error
    samples = wave.detach().float().cpu().numpy()
    while samples.ndim > 2:
        samples = samples[0]
    return np.asarray(samples.mean(0) if samples.ndim == 2 else samples, np.float32), rate


def _floats(frames: Array, source: Array, images: Tensor) -> Tensor:
    """(T, H, W, 3) float32: the frames; where they are the source's, the images' own numbers."""
    import torch

    changed = torch.from_numpy(frames != source)
    new = torch.from_numpy(frames.astype(np.float32) / DEEP)
    return torch.where(changed, new, images[..., :3].detach().float().cpu())


def _mask(chunk: Chunk, source: Array) -> Array:
    """(T, H, W) float32 in [0, 1]: the faces' masks in the frames; never 0 where a pixel was changed."""
    height, width = chunk.frames.shape[1:3]
    out = np.zeros((len(chunk), height, width), np.float32)
    faces = chunk.faces
    if faces is not None and faces.mask is not None and faces.to512 is not None:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        for i, mask, matrix in zip(faces.frame.tolist(), faces.mask, faces.to512, strict=True):
            there = cv2.warpAffine(mask, matrix, (width, height), flags=flags)
            out[i] = np.maximum(out[i], there.astype(np.float32) / 255)
    changed = (chunk.frames != source).any(-1)
    return np.where(changed, np.maximum(out, 1 / 255), out)


def _reason(number: int) -> str:
    from wav2lip_hq.types import Reason

    return Reason(number).text
