"""Real clips through presets: one row a clip, and a contact sheet to look at.

- own sound (reconstruction): PSNR and SSIM of the mouth region against the source say what is lost.
- dubbed (``--speech``): offset, LSE-D and LSE-C say whether the mouth follows; nothing to compare pictures with.
- always: frames with a face, the largest change outside the mask before encoding (must be 0), flicker and sharpness of
  the mouth relative to the source's (1 = the same), frames a second.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wav2lip_hq import HQPipeline, checkpoints, geometry
from wav2lip_hq.errors import Wav2LipHQError
from wav2lip_hq.metrics.image import Mean, psnr, ssim
from wav2lip_hq.metrics.lipsync import FPS, benchmark_crop, judge, lip_sync_error
from wav2lip_hq.metrics.motion import background_change, flicker, sharpness
from wav2lip_hq.metrics.offset import OffsetMeter
from wav2lip_hq.pipeline import load_speech
from wav2lip_hq.video import open_video, write_png

from . import machine

MOUTH = (slice(300, 440), slice(170, 342))  # of the aligned 512 px face
MOVIES = {".mp4", ".mov", ".mkv", ".mpg", ".avi", ".webm", ".png", ".jpg", ".jpeg"}
COLUMNS = (
    *("preset", "clip", "frames", "faces", "no_face", "offset_ms", "lse_d", "lse_c", "mouth_psnr", "mouth_ssim"),
    *("outside", "flicker", "sharpness", "fps", "peak_mb", "error"),
)


def main(args: argparse.Namespace) -> int:
    """Run and write results.csv, .json, .md and the sheets."""
    paths = sorted(p for d in args.data for p in ([d] if d.is_file() else d.rglob("*")) if p.suffix.lower() in MOVIES)
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for preset in args.presets:
        pipe = HQPipeline(preset).set(*args.set)
        for path in paths:
            try:
                row = one(pipe, path, args.speech or path, args.seconds, args.speech is None, args.out / preset)
            except Wav2LipHQError as error:  # one bad clip does not stop the others
                row = {"error": str(error)}
            rows.append({"preset": preset, "clip": path.stem, **row})
            print(json.dumps(rows[-1]), flush=True)
    write(rows, args)
    return 1 if all("error" in row for row in rows) else 0


def one(pipe: HQPipeline, path: Path, speech: Path, seconds: float, own: bool, out: Path) -> dict[str, Any]:
    """Measure one clip."""
    sound = load_speech(speech)
    wav = sound.wav[: round(seconds * 16000)]
    meter = OffsetMeter(pipe.runtime, wav)
    network = judge()
    psnrs, ssims, outside = Mean(), Mean(), 0
    pairs: list[tuple[Any, Any]] = []  # aligned mouths, source and result
    crops: list[Any] = []  # SyncNet's crops
    sheet: list[Any] = []
    frames = faces_found = lonely = 0
    began = time.perf_counter()
    spent = 0.0
    keep = ("faces.mask", "faces.to512", "faces.aligned")
    untouched = source_frames(path)
    with pipe.open(path, (wav, 16000), trim=True, extend="stop", keep=keep) as chunks:
        while True:
            t0 = time.perf_counter()
            chunk = next(chunks, None)
            spent += time.perf_counter() - t0
            if chunk is None:
                break
            meter.add(chunk)
            faces = chunk.faces
            assert (
                faces is not None and faces.to512 is not None and faces.aligned is not None and faces.mask is not None
            )
            touched = [np.zeros(chunk.frames.shape[1:3], bool) for _ in range(len(chunk))]
            for n, i in enumerate(faces.frame.tolist()):
                touched[i] |= reach(faces.mask[n], faces.to512[n], touched[i].shape)
            for frame, part in zip(chunk.frames, touched, strict=True):
                outside = max(outside, background_change(frame, next(untouched), part))
            frames += len(chunk)
            faces_found += len(faces)
            lonely += len(set(range(len(chunk))) - set(faces.frame.tolist()))
            for n, i in enumerate(faces.frame.tolist()):
                if n and faces.frame[n - 1] == i:
                    continue  # the first face of a frame stands for it
                made = geometry.eight_bits(geometry.sample(chunk.frames[i], faces.to512[n], 512))
                before, after = faces.aligned[n][MOUTH], made[MOUTH]
                pairs.append((before, after))
                if own:
                    psnrs.add(psnr(after, before))
                    ssims.add(ssim(after, before))
                if network:
                    crops.append(benchmark_crop(chunk.frames[i], faces.box[n]))
                if len(sheet) < 8 and len(pairs) % max(1, round(seconds * 25 / 8)) == 1:
                    sheet.append(np.vstack([faces.aligned[n], made])[:, 90:422])
    row: dict[str, Any] = {
        "frames": frames,
        "faces": faces_found,
        "no_face": lonely,
        "offset_ms": meter.offset_ms(),
        "outside": outside,
        "flicker": ratio(pairs, flicker),
        "sharpness": ratio(pairs, sharpness),
        "fps": round(frames / spent, 2),
        "wall_s": round(time.perf_counter() - began, 1),
        "peak_mb": peak_mb(),
    }
    if own:
        row |= {"mouth_psnr": psnrs.compute(), "mouth_ssim": ssims.compute()}
    if network and len(crops) > 2 * FPS:
        result = lip_sync_error(
            np.stack(crops),
            np.round(wav * 32767).astype(np.int16),
            model=pipe.runtime.model(network, "syncnet_v2"),
            centred=network in checkpoints.EMBEDDED,
        )
        row |= {"lse_d": result.lse_d, "lse_c": result.lse_c}
    if sheet:
        out.mkdir(parents=True, exist_ok=True)
        picture = np.hstack(sheet)
        picture = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        write_png(out / f"{path.stem}.png", picture)
    return {k: (round(v, 4) if isinstance(v, float) and math.isfinite(v) else v) for k, v in row.items()}


def source_frames(path: Path) -> Iterator[Any]:
    """The clip's own frames; a picture again and again."""
    with open_video(path) as reader:
        frame: Any = None
        for _, frame, _ in reader:
            yield frame
        while reader.info.still:
            yield frame


def reach(mask: Any, to512: Any, shape: tuple[int, int]) -> Any:
    """(H, W) bool: the pixels of the frame that a mask (512, 512) may touch."""
    back = geometry.invert(to512[None])[0]
    scale = float(np.hypot(*back[:, 0]))
    grown = cv2.dilate((mask > 0).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(1 / scale)))
    return cv2.warpAffine(grown * 255, back, shape[::-1], flags=cv2.INTER_LINEAR) > 0


def peak_mb() -> int:
    """Peak resident memory of this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def ratio(pairs: list[tuple[Any, Any]], figure: Any) -> float | None:
    """The result's figure over the source's; None when there is too little."""
    if len(pairs) < 3:
        return None
    before, after = figure([p[0] for p in pairs]), figure([p[1] for p in pairs])
    return float(after / before) if before else None


def write(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """results.csv, results.json, results.md."""
    used = [c for c in COLUMNS if any(row.get(c) is not None for row in rows)]
    with (args.out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, used, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    report = {"machine": machine.facts(), "seconds": args.seconds, "speech": str(args.speech or "own"), "rows": rows}
    (args.out / "results.json").write_text(json.dumps(report, indent=1))
    lines = ["| " + " | ".join(used) + " |", "|" + "---|" * len(used)]
    lines += ["| " + " | ".join(show(row.get(c)) for c in used) + " |" for row in rows]
    (args.out / "results.md").write_text("\n".join([*lines, "", machine.sentence(), ""]))
    print(args.out / "results.md")


def show(value: Any) -> str:
    """A cell of the table."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
