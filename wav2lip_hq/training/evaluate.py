"""Evaluation of a generator on held-out people and speech, by a sync network that it was not trained with.

For each held-out clip the generator runs on the clip's own speech and on another clip's (the reference is the frame
itself). Its lower half is pasted back into the frame, and the independent sync network measures offset, LSE-D and
LSE-C, as it does on the unchanged footage for comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from .. import geometry
from ..metrics.lipsync import MFCC_PER_FRAME, MFCC_WINDOW, SAMPLES, center, distances, from_distances, mfcc
from ..metrics.motion import sharpness
from ..types import Array
from . import talking
from .generator import MEL_OFFSET_FRAMES, masked
from .talking import Clip, Look


@dataclass(frozen=True)
class Sync:
    """offset in frames (positive: the sound is late), LSE-D, LSE-C."""

    offset: int
    lse_d: float
    lse_c: float


def generate(net: Callable[..., Any], clip: Clip, speech: Clip, batch: int = 32) -> Array:
    """(T, 96, 96, 3) uint8 BGR: the clip's faces saying another clip's speech (T of the shorter)."""
    count = min(len(clip), len(speech))
    out = []
    for at in range(0, count, batch):
        frames = np.arange(at, min(at + batch, count))
        face = torch.from_numpy(talking.face_crops(clip, frames, Look())).permute(0, 3, 1, 2).float() / 255
        mels = np.stack([speech.mel_at(f + MEL_OFFSET_FRAMES)[None] for f in frames.tolist()])
        with torch.inference_mode():
            made = net(torch.from_numpy(mels).float(), torch.cat([masked(face), face], 1)).float()
        out.append((made.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(out)


def put_back(clip: Clip, faces: Array) -> Clip:
    """The clip with the lower halves of its face boxes replaced by ``faces`` (T, S, S, 3) uint8 BGR, feathered."""
    size = faces.shape[1]
    rows = np.clip((np.arange(size) - size * 0.5) / (size * 0.08), 0, 1)
    sides = np.clip(np.minimum(np.arange(size), size - 1 - np.arange(size)) / (size * 0.06), 0, 1)
    weight = (rows[:, None] * sides[None]).astype(np.float32)
    crops = clip.crops[: len(faces)].copy()
    matrices = geometry.invert(geometry.box_to_crop(clip.box[: len(faces)], size))
    shape = (crops.shape[2], crops.shape[1])
    for f, face in enumerate(faces):
        patch = cv2.warpAffine(face[..., ::-1], matrices[f], shape, flags=cv2.INTER_CUBIC)
        alpha = cv2.warpAffine(weight, matrices[f], shape, flags=cv2.INTER_LINEAR)[..., None]
        crops[f] = np.round(crops[f] * (1 - alpha) + patch * alpha).astype(np.uint8)
    n = len(faces)
    return Clip(clip.name, clip.identity, crops, clip.box[:n], clip.face[:n], clip.mel, clip.wav[: n * SAMPLES])


def measure(judge: Any, clip: Clip, wav: Array | None = None) -> Sync:
    """Offset, LSE-D and LSE-C of a clip (with another sound track, if given) by a network of SyncNet v2's layout."""
    sound = mfcc(clip.wav if wav is None else wav).astype(np.float32)
    count = min(len(clip) - talking.WINDOW + 1, (sound.shape[1] - MFCC_WINDOW) // MFCC_PER_FRAME + 1)
    face_parts, sound_parts = [], []
    for at in range(0, count, 16):
        starts = np.arange(at, min(at + 16, count))
        last = starts[-1] + talking.WINDOW
        crops = talking.benchmark_crops(clip, np.arange(starts[0], last), Look())
        windows = np.stack([crops[s - starts[0] : s - starts[0] + talking.WINDOW] for s in starts])
        sounds = np.stack([sound[None, :, MFCC_PER_FRAME * s : MFCC_PER_FRAME * s + MFCC_WINDOW] for s in starts])
        with torch.inference_mode():
            face_parts.append(judge.forward_lip(torch.from_numpy(windows).permute(0, 4, 1, 2, 3).float()).numpy())
            sound_parts.append(judge.forward_aud(torch.from_numpy(sounds)).numpy())
    faces, sounds = np.concatenate(face_parts), np.concatenate(sound_parts)
    # Centered, as for all networks trained on few speakers: see metrics.lipsync.
    found = from_distances(center(distances(faces, sounds)))
    return Sync(-found.offset, found.lse_d, found.lse_c)


def evaluate_generator(net: Callable[..., Any], judge: Any, clips: list[Clip]) -> dict[str, float]:
    """Held-out figures, keys prefixed real_ (the footage itself), own_ (its own speech), other_ (another clip's).

    within_1: share of clips whose offset is found within one frame; lse_d, lse_c: means. Of what was made, over the
    footage's own: sharpness (as in ``metrics.motion``) and movement (spread over time) of the generator's mouth pixels,
    means of the clips' ratios; 1 is like real.
    """
    rows: dict[str, list[dict[str, float]]] = {"real": [], "own": [], "other": []}
    for number, clip in enumerate(clips):
        real = mouths(talking.face_crops(clip, np.arange(len(clip)), Look()))
        rows["real"].append(_row(measure(judge, clip)))
        for kind, speech in (("own", clip), ("other", clips[(number + len(clips) // 2) % len(clips)])):
            faces = generate(net, clip, speech)
            made = put_back(clip, faces)
            row = _row(measure(judge, made, speech.wav[: len(made) * SAMPLES]))
            mine, theirs = mouths(faces), real[: len(faces)]
            row["sharpness"] = sharpness(list(mine)) / sharpness(list(theirs))
            row["movement"] = float(mine.astype(np.float32).std(0).mean() / theirs.astype(np.float32).std(0).mean())
            rows[kind].append(row)
    out: dict[str, float] = {"clips": float(len(clips))}
    for kind, found in rows.items():
        out |= {f"{kind}_{key}": float(np.mean([row[key] for row in found])) for key in found[0]}
    return out


def _row(sync: Sync) -> dict[str, float]:
    return {"within_1": float(abs(sync.offset) <= 1), "lse_d": sync.lse_d, "lse_c": sync.lse_c}


def mouths(faces: Array) -> Array:
    """(T, h, w, 3) mouths of (T, 96, 96, 3) faces."""
    return faces[:, 52:92, 22:74]
