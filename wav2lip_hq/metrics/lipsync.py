"""Lip-sync error: LSE-D, LSE-C and the audio-video offset, as SyncNet's published evaluation computes them.

Source: Chung and Zisserman 2016 and joonson/syncnet_python's SyncNetInstance.py. Five frames at 25 fps against 0.2 s of
MFCC, Euclidean distance of embeddings over shifts of up to 15 frames, speech embeddings zero-padded at the ends; but
each of the overlapping windows is embedded only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checkpoints, geometry
from ..audio import RATE
from ..errors import InputError
from ..types import Array
from .mfcc import mfcc

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LipSyncError", "benchmark_box", "distances", "embed", "lip_sync_error", "mfcc"]

JUDGES = ("syncnet_v2", "embedded-syncnet")
FPS = 25  # frames a second that SyncNet was trained on; it is shown no others
SAMPLES = RATE // FPS  # of the sound, in a frame
WINDOW = 5  # frames
MFCC_WINDOW = 20  # MFCC columns of as many frames, 0.2 s
MFCC_PER_FRAME = 4  # at 100 columns a second
SHIFTS = 15  # frames to either side that are tried


@dataclass(frozen=True)
class LipSyncError:
    """lse_d: smallest mean distance (lower is better, >= 0). lse_c: median minus smallest (higher is better, >= 0).
    offset: frames at 25 fps; positive: the picture is late (the sound early). framewise: (N,) confidence of each
    frame."""

    lse_d: float
    lse_c: float
    offset: int
    framewise: Array
    mean_distance: Array  # (31,) over shifts -15..15


def embed(frames: Array, audio: Array, model: Any, batch: int = 16) -> tuple[Array, Array]:
    """(N, 1024) lip and speech embeddings of all windows.

    frames (T, 224, 224, 3) uint8 RGB at 25 fps; audio (n,) int16 16 kHz mono; model: a SyncNet v2 (module, or the
    runtime's Model). N = min(T, n // SAMPLES) - 5, as the reference counts. Raises InputError when N < 1.
    """
    import torch

    count = min(len(frames), len(audio) // SAMPLES) - WINDOW
    if count < 1:
        raise InputError(f"lip-sync error needs more than {WINDOW} frames with sound, got {max(0, count + WINDOW)}")
    sound = mfcc(audio).astype(np.float32)
    bgr = np.asarray(frames)[..., ::-1]

    def call(name: str, value: Tensor) -> Array:
        with torch.inference_mode():
            if hasattr(model, "module"):
                return np.asarray(model(value, method=name).float().cpu())
            return np.asarray(getattr(model, name)(value).float().cpu())

    lips, speech = [], []
    for at in range(0, count, batch):
        starts = range(at, min(at + batch, count))
        windows = np.stack([bgr[s : s + WINDOW] for s in starts]).transpose(0, 4, 1, 2, 3)
        lips.append(call("forward_lip", torch.from_numpy(np.ascontiguousarray(windows)).float()))
        columns = [sound[None, :, MFCC_PER_FRAME * s : MFCC_PER_FRAME * s + MFCC_WINDOW] for s in starts]
        speech.append(call("forward_aud", torch.from_numpy(np.stack(columns))))
    return np.concatenate(lips), np.concatenate(speech)


def distances(lips: Array, speech: Array, shifts: int = SHIFTS) -> Array:
    """(N, 2 shifts + 1) Euclidean distances of each lip window to the speech shifted by -shifts..shifts frames."""
    padded = np.pad(speech.astype(np.float64), ((shifts, shifts), (0, 0)))
    out = np.empty((len(lips), 2 * shifts + 1))
    for n, lip in enumerate(lips.astype(np.float64)):
        # torch's pairwise_distance adds 1e-6 to the difference
        out[n] = np.sqrt(((lip - padded[n : n + 2 * shifts + 1] + 1e-6) ** 2).sum(1))
    return out


def lip_sync_error(frames: Array, audio: Array, *, model: Any, batch: int = 16, centered: bool = False) -> LipSyncError:
    """LSE-D, LSE-C and offset of one face track.

    frames (T, 224, 224, 3) uint8 RGB at 25 fps cut as ``benchmark_box`` says; audio (n,) int16 16 kHz mono; model: a
    SyncNet v2. offset is the published sign: positive when the speech that fits a frame comes earlier in the file than
    the frame (the picture is late). Raises InputError for fewer than six frames.

    centered: not part of the published evaluation. Some sounds lie near every mouth and some mouths near every sound; a
    network trained on few speakers mistakes that for agreement. ``center`` removes it before offset and confidence are
    read. For this project's own small network, whose figures compare with nothing published anyway.
    """
    table = distances(*embed(frames, audio, model, batch))
    return from_distances(center(table)) if centered else from_distances(table)


def center(table: Array) -> Array:
    """A table of ``distances`` with the means of its rows (pictures) and of its sounds removed (double centering); the
    mean of the whole is kept. Shifts beyond the ends of the sound get the mean of the whole, which is neutral."""
    count, width = table.shape
    sound = np.arange(count)[:, None] + np.arange(width)[None] - (width - 1) // 2
    inside = (sound >= 0) & (sound < count)
    values = np.where(inside, table, np.nan)
    total = float(np.nanmean(values))
    values = values - np.nanmean(values, axis=1, keepdims=True) + total
    sums = np.bincount(sound[inside], values[inside] - total, minlength=count)
    each = sums / np.bincount(sound[inside], minlength=count)
    return np.where(inside, values - each[np.clip(sound, 0, count - 1)], total)


def from_distances(table: Array) -> LipSyncError:
    """Figures from a table of ``distances`` (N, 31), N >= 1.

    >>> table = np.full((4, 31), 10.0)
    >>> table[:, 17] = 4.0  # every frame is nearest to the speech two frames later
    >>> found = from_distances(table)
    >>> found.lse_d, found.lse_c, found.offset
    (4.0, 6.0, -2)
    """
    mean = table.mean(0)
    best = int(mean.argmin())
    framewise = np.median(table, axis=1) - table[:, best]
    middle = (table.shape[1] - 1) // 2
    return LipSyncError(float(mean[best]), float(np.median(mean) - mean[best]), middle - best, framewise, mean)


def benchmark_crop(frame: Array, box: Array) -> Array:
    """(224, 224, 3) uint8 RGB around one face box (4,) of a frame, as ``benchmark_box`` says."""
    matrix = geometry.box_to_crop(benchmark_box(np.asarray(box)[None]), 224)[0]
    return geometry.eight_bits(geometry.sample(frame, matrix, 224))


def judge() -> str | None:
    """Name of the best installed network for LSE: the official SyncNet, else the project's own (whose figures are read
    ``centered`` and compare with no others); None when neither is installed."""
    return next((name for name in JUDGES if checkpoints.locate(name)), None)


def benchmark_box(box: Array) -> Array:
    """(N, 4) crops of the evaluation around face boxes (N, 4): with s half the larger side, s above the center to 1.8 s
    below, 1.4 s to either side (SyncNet's run_pipeline.py, crop scale 0.4)."""
    x1, y1, x2, y2 = np.asarray(box, np.float64).T
    s, cx, cy = np.maximum(x2 - x1, y2 - y1) / 2, (x1 + x2) / 2, (y1 + y2) / 2
    return np.stack([cx - 1.4 * s, cy - s, cx + 1.4 * s, cy + 1.8 * s], -1)
