"""The measurement of one result: a row of figures, series over frames, and pictures.

Regions: ``mouth`` is the middle of the lower half of the face aligned to 512 px, every frame;
``face`` the whole aligned face and ``frame`` the whole frame, every few frames (they cost more than the synthesis).
PSNR is limited to 100 dB, so that means are finite. Of several faces in a frame the first is measured.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from wav2lip_hq import checkpoints, geometry
from wav2lip_hq.engine import Stage, run_stages
from wav2lip_hq.machine import peak_memory
from wav2lip_hq.metrics.agreement import syncnet_score, tss
from wav2lip_hq.metrics.face import identity_similarity, landmark_distance
from wav2lip_hq.metrics.image import Mean, psnr, ssim
from wav2lip_hq.metrics.lipsync import FPS, benchmark_crop, judge, lip_sync_error
from wav2lip_hq.metrics.motion import background_change, flicker, seam, sharpness
from wav2lip_hq.metrics.offset import OffsetMeter
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.types import Array, Chunk

from .observe import RATE, Facts, Seen

MOUTH = (slice(300, 440), slice(170, 342))  # of the aligned 512 px face
SHOWN = (slice(0, 512), slice(90, 422))  # in the sheets
FACE_EVERY, FRAME_EVERY = 5, 25
MOST_DB = 100.0
WORST = 4
COLUMNS = 8

# column -> (title, better: 1 higher, -1 lower, 0 neither; unit and meaning)
FIGURES: dict[str, tuple[str, int, str]] = {
    "lse_d": ("LSE-D", -1, "SyncNet distance, see the judge"),
    "lse_c": ("LSE-C", 1, "SyncNet confidence, see the judge"),
    "syncnet": ("SyncNet", 1, "share of frames whose confidence is above 1 (our definition)"),
    "tss": ("TSS", 1, "temporal stability of the framewise confidence, 0 to 1 (our definition)"),
    "offset_ms": ("offset ms", 0, "how late the picture is, in milliseconds; 0 is in sync"),
    "mouth_psnr": ("mouth PSNR", 1, "dB, mouth region against the clip, own speech only"),
    "mouth_ssim": ("mouth SSIM", 1, "mouth region against the clip, own speech only"),
    "face_psnr": ("PSNR", 1, "dB, aligned face against the clip"),
    "face_ssim": ("SSIM", 1, "aligned face against the clip"),
    "frame_psnr": ("frame PSNR", 1, "dB, whole frame"),
    "frame_ssim": ("frame SSIM", 1, "whole frame"),
    "lpips": ("LPIPS", -1, "AlexNet, aligned face"),
    "lmd": ("LMD", -1, "mouth corners, share of the eye distance, own speech only"),
    "identity": ("identity", 1, "cosine of face embeddings"),
    "flicker": ("flicker", 0, "second difference of the mouth relative to the clip's; 1 is right"),
    "sharpness": ("sharpness", 0, "Laplacian variance of the mouth relative to the clip's; 1 is right"),
    "seam": ("seam", -1, "gradient added at the mask's border, 8-bit steps a pixel (presets only)"),
    "outside": ("outside", -1, "largest change outside the mask before encoding, must be 0 (presets only)"),
    "background_psnr": ("background PSNR", 1, "dB, outside the head's box"),
}
COUNTS = ("frames", "faces", "no_face", "short", "fps", "peak_mb", "note", "error")


@dataclass
class Instruments:
    """The networks that figures are measured with. Any of lpips (image, reference) -> float, identity (N, 112, 112, 3)
    -> (N, D) and features (N, S, S, 3) -> (N, D) may be None: that figure is left out."""

    runtime: Runtime
    detect: Stage
    lpips: Callable[[Array, Array], float] | None = None
    identity: Callable[[Array], Array] | None = None
    features: Callable[[Array], Array] | None = None


@dataclass
class Outcome:
    """row: figures by name. series: per frame, by name. sheet, worst: (H, W, 3) uint8 RGB pictures or None. real, made:
    (N, D) features for the Frechet distance."""

    row: dict[str, Any] = field(default_factory=dict)
    series: dict[str, list[float]] = field(default_factory=dict)
    sheet: Array | None = None
    worst: Array | None = None
    real: Array | None = None
    made: Array | None = None


def measure(seen: Iterable[Seen], wav: Array, own: bool, tools: Instruments, facts: Facts) -> Outcome:
    """Measure a result. wav: the driving speech, (n,) float32 16 kHz. own: it should look like the source."""
    means = {name: Mean() for name in FIGURES}
    meter = OffsetMeter(tools.runtime, wav)
    sync = Sync(wav)
    mouths: list[tuple[Array, Array]] = []
    faces_kept: list[tuple[Array, Array]] = []  # every FACE_EVERY, smaller
    columns: list[Array] = []
    worst: list[tuple[float, int, Array]] = []
    series: dict[str, list[float]] = {"time": [], "mouth_ssim": [], "change": []}
    frames = found = empty = outside = 0
    masked = False
    wanted = len(wav) / RATE / COLUMNS
    for part in seen:
        chunk, faces = part.chunk, part.chunk.faces
        meter.add(chunk)
        frames += len(chunk)
        if faces is None or faces.to512 is None or faces.aligned is None or faces.box is None:
            empty += len(chunk)
            continue
        found += len(faces)
        empty += len(chunk) - len(set(faces.frame.tolist()))
        if faces.mask is not None:
            masked = True
            outside = max(outside, _outside(part))
        firsts = np.flatnonzero(np.diff(faces.frame, prepend=-1))  # the first face of each frame
        for n in firsts.tolist():
            i = int(faces.frame[n])
            source, result = geometry.eight_bits(part.source[i]), geometry.eight_bits(chunk.frames[i])
            before, after = faces.aligned[n], geometry.sample(result, faces.to512[n], 512)
            number = frames - len(chunk) + i
            pair = before[MOUTH], after[MOUTH]
            mouths.append(pair)
            similar = ssim(pair[1], pair[0])
            series["time"].append(float(chunk.pts[i]))
            series["mouth_ssim"].append(similar)
            series["change"].append(_second_difference(mouths))
            if own:
                means["mouth_psnr"].add(min(MOST_DB, psnr(pair[1], pair[0])))
                means["mouth_ssim"].add(similar)
            if number % FACE_EVERY == 0:
                _face(means, before, after, None if faces.mask is None else faces.mask[n], tools)
                small = [cv2.resize(x, (256, 256), interpolation=cv2.INTER_AREA) for x in (before, after)]
                faces_kept.append((small[0], small[1]))
            if number % FRAME_EVERY == 0:
                _frame(means, source, result, faces.box[n])
            sync.add(chunk.pts[i], result, faces.box[n])
            if float(chunk.pts[i]) >= len(columns) * wanted and len(columns) < COLUMNS:
                columns.append(_column(before, after))
            bad = 1 - similar if own else series["change"][-1]
            heapq.heappush(worst, (bad, number, _column(before, after)))
            if len(worst) > WORST:
                heapq.heappop(worst)
    row: dict[str, Any] = {"frames": frames, "faces": found, "no_face": empty, "short": facts.short}
    if facts.spent:
        row["fps"] = frames / facts.spent
    row["offset_ms"] = meter.offset_ms()
    row |= {name: mean.compute() for name, mean in means.items() if mean.count}
    row |= {"flicker": ratio(mouths, flicker), "sharpness": ratio(mouths, sharpness)}
    if masked:
        row["outside"] = outside
    row |= sync.compute(tools.runtime, series)
    outcome = Outcome(row, series)
    if faces_kept:
        real, made = (np.stack(x) for x in zip(*faces_kept, strict=True))
        if own:
            before, after = _landmarks(real, tools), _landmarks(made, tools)
            seen_in_both = ~(np.isnan(before) | np.isnan(after)).any((1, 2))
            row["lmd"] = landmark_distance(after[seen_in_both], before[seen_in_both])
        if tools.identity is not None:
            row["identity"] = identity_similarity(_arcface(made), _arcface(real), tools.identity)
        if tools.features is not None:
            outcome.real, outcome.made = tools.features(real), tools.features(made)
    row |= {"peak_mb": peak_memory() >> 20, "note": facts.note or None}
    outcome.row = {k: tidy(v) for k, v in row.items()}
    outcome.sheet = _sheet(columns)
    outcome.worst = _sheet([picture for _, _, picture in sorted(worst, key=lambda w: -w[0])])
    return outcome


def tidy(value: Any) -> Any:
    """A figure rounded for storage; None when it is not finite."""
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


# ---- parts


class Crops:
    """A face's crops on a grid of 25 frames a second. crop: a frame (H, W, 3) uint8 and a box (4,) -> (S, S, 3)."""

    def __init__(self, crop: Callable[[Array, Array], Array]) -> None:
        self.crop = crop
        self.first = Fraction(0)
        self.crops: list[Array] = []

    def add(self, pts: Fraction, frame: Array, box: Array) -> None:
        """The next frame, shown at ``pts`` seconds."""
        if not self.crops:
            self.first = pts
        due = pts - self.first
        if due < Fraction(2 * len(self.crops) - 1, 2 * FPS):
            return  # more than 25 frames a second
        crop = self.crop(frame, box)
        while Fraction(len(self.crops), FPS) <= due + Fraction(1, 2 * FPS):
            self.crops.append(crop)


class Sync(Crops):
    """Measures LSE. wav: the speech, (n,) float32 16 kHz."""

    def __init__(self, wav: Array) -> None:
        super().__init__(benchmark_crop)
        self.wav = wav

    def compute(self, runtime: Runtime, series: dict[str, list[float]]) -> dict[str, Any]:
        """LSE and the figures derived from it; {} without a sync network or two seconds of frames."""
        network = judge()
        if network is None or len(self.crops) < 2 * FPS:
            return {}
        start = round(self.first * RATE)
        result = lip_sync_error(
            np.stack(self.crops),
            np.round(np.clip(self.wav[start:], -1, 1) * 32767).astype(np.int16),
            model=runtime.model(network, "syncnet_v2"),
            centered=network in checkpoints.EMBEDDED,
        )
        series["confidence"] = [round(float(c), 4) for c in result.framewise]
        figures = {"lse_d": result.lse_d, "lse_c": result.lse_c}
        return figures | {"syncnet": syncnet_score(result.framewise), "tss": tss(result.framewise)}


def _face(means: dict[str, Mean], before: Array, after: Array, mask: Array | None, tools: Instruments) -> None:
    means["face_psnr"].add(min(MOST_DB, psnr(after, before)))
    means["face_ssim"].add(ssim(after, before))
    if tools.lpips is not None:
        means["lpips"].add(tools.lpips(after, before))
    if mask is not None:
        value = seam(after, before, mask.astype(np.float32) / 255)
        if not math.isnan(value):
            means["seam"].add(value)


def _frame(means: dict[str, Mean], source: Array, result: Array, box: Array) -> None:
    means["frame_psnr"].add(min(MOST_DB, psnr(result, source)))
    means["frame_ssim"].add(ssim(result, source))
    x1, y1, x2, y2 = geometry.pad_box(box[None], (0.4, 0.4, 0.4, 0.4))[0].round().astype(int)
    height, width = source.shape[:2]
    error = (result.astype(np.float32) - source) ** 2
    error[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)] = 0
    inside = max(0, min(y2, height) - max(0, y1)) * max(0, min(x2, width) - max(0, x1))
    if inside < height * width:
        mean = float(error.sum() / (3 * (height * width - inside)))
        means["background_psnr"].add(MOST_DB if mean == 0 else min(MOST_DB, 10 * math.log10(255**2 / mean)))


def _outside(part: Seen) -> int:
    """Largest change of a pixel outside all masks."""
    chunk, faces = part.chunk, part.chunk.faces
    assert faces is not None and faces.mask is not None and faces.to512 is not None
    touched = [np.zeros(chunk.frames.shape[1:3], bool) for _ in range(len(chunk))]
    for n, i in enumerate(faces.frame.tolist()):
        touched[i] |= reach(faces.mask[n], faces.to512[n], touched[i].shape)
    frames = zip(chunk.frames, part.source, touched, strict=True)
    return max(background_change(frame, source, where) for frame, source, where in frames)


def reach(mask: Array, to512: Array, shape: tuple[int, int]) -> Array:
    """(H, W) bool: the pixels of the frame that a mask (512, 512) may touch."""
    back = geometry.invert(to512[None])[0]
    scale = float(np.hypot(*back[:, 0]))
    grown = cv2.dilate((mask > 0).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(1 / scale)))
    return np.asarray(cv2.warpAffine(grown * 255, back, shape[::-1], flags=cv2.INTER_LINEAR) > 0)


def _landmarks(faces: Array, tools: Instruments) -> Array:
    """(T, 5, 2) points of aligned faces (T, 256, 256, 3), detected anew; NaN where no face is found. Each gets a
    margin, because detectors are not trained on pictures that are all face."""
    canvas = np.stack([cv2.copyMakeBorder(f, 96, 96, 96, 96, cv2.BORDER_REPLICATE) for f in faces])
    times = tuple(Fraction(n, FPS) for n in range(len(faces)))
    (chunk,) = run_stages(
        [tools.detect], iter([Chunk(start=0, frames=canvas, pts=times)]), tools.runtime, keep=("boxes",)
    )
    out = np.full((len(faces), 5, 2), np.nan)
    for n, boxes in enumerate(chunk.boxes or ()):
        if boxes is not None and len(boxes):
            out[n] = boxes[(boxes[:, 2] - boxes[:, 0]).argmax(), 5:].reshape(5, 2)
    return out


def _second_difference(mouths: list[tuple[Array, Array]]) -> float:
    """Mean squared second difference over the last three results."""
    if len(mouths) < 3:
        return 0.0
    a, b, c = (m[1].astype(np.float32) for m in mouths[-3:])
    return float(np.mean((a - 2 * b + c) ** 2))


def ratio(pairs: list[tuple[Array, Array]], figure: Callable[[list[Array]], float]) -> float | None:
    """The result's figure over the source's; None when there is too little."""
    if len(pairs) < 3:
        return None
    before, after = figure([p[0] for p in pairs]), figure([p[1] for p in pairs])
    return float(after / before) if before else None


# Eyes, nose and mouth corners of ArcFace's 112 px faces (insightface's published template).
ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))


def _arcface(faces: Array) -> Array:
    """(N, 256, 256, 3) aligned faces as the (N, 112, 112, 3) that identity networks read."""
    (matrix,) = geometry.fit_similarity(geometry.FFHQ_512[None] / 2, np.array(ARCFACE))
    return np.stack([cv2.warpAffine(f, matrix, (112, 112), flags=cv2.INTER_AREA) for f in faces])


def _column(before: Array, after: Array) -> Array:
    """Source, result, and four times their difference, one above the other, small."""
    difference = np.minimum(4 * cv2.absdiff(before, after).astype(np.int32), 255).astype(np.uint8)
    column = np.vstack([x[SHOWN] for x in (before, after, difference)])
    return np.asarray(cv2.resize(column, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA))


def _sheet(columns: list[Array]) -> Array | None:
    return np.hstack(columns) if columns else None
