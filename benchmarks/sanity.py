"""Checks of the metrics: footage is degraded in known ways and measured like any result.

A copy must have perfect scores; a blurred mouth must lose SSIM and sharpness; a frozen mouth must lose LSE-C; sound
shifted by N frames must shift the offset by N frames. The table states for each whether it holds.
"""

from __future__ import annotations

import argparse
import json
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wav2lip_hq import HQPipeline, geometry
from wav2lip_hq.errors import InputError
from wav2lip_hq.types import Array
from wav2lip_hq.video import VideoWriter, open_video
from wav2lip_hq.voice import load_speech

from . import machine, observe
from .items import Item
from .quality import Method, Task, judge_clip
from .tables import markdown, show

FRAME_MS = 40.0
Change = Callable[[Array, Array, Array], Array]  # frame, matrix of its face to 512 px, first aligned face -> frame


def main(args: argparse.Namespace) -> int:
    """Write results.md and .json. Returns 1 when a check failed."""
    if not args.data.is_file():
        raise InputError(f"{args.data} is not a clip")
    report = prove(args.data, args.out, args.late, args.seconds)
    lines = markdown([["footage", "what must hold", "measured", "holds"], *report])
    text = "\n".join([f"`{args.data.name}`, {args.seconds:g} s.", "", *lines, "", machine.sentence(), ""])
    (args.out / "results.md").write_text(text, encoding="utf-8")
    (args.out / "results.json").write_text(json.dumps({"machine": machine.facts(), "rows": report}, indent=1))
    print(text)
    return 0 if all(row[-1] == "yes" for row in report) else 1


def prove(clip: Path, out: Path, late: int, seconds: float) -> list[list[str]]:
    """Rows of (footage, what must hold, measured, yes or no)."""
    out.mkdir(parents=True, exist_ok=True)
    wav = load_speech(clip).wav[: round(seconds * observe.RATE)]
    for name, change in (("blurred", blur), ("frozen", freeze)):
        spoil(clip, wav, out / name / f"{clip.stem}.mkv", change)
    moved = out / "late" / f"{clip.stem}.wav"
    moved.parent.mkdir(exist_ok=True)
    _write(moved, np.concatenate([np.zeros(late * observe.RATE // 25, np.float32), wav]))

    def judged(name: str, folder: Path | None, audio: Path) -> dict[str, Any]:
        own = Item(clip.stem, clip, audio, own=audio == clip)
        row = judge_clip(Task(Method(name, folder), own, 0, seconds, "none", None, out))
        if row.get("error"):
            raise InputError(f"{name}: {row['error']}")
        return row

    copy = judged("source", None, clip)
    blurred = judged("blurred", out / "blurred", clip)
    frozen = judged("frozen", out / "frozen", clip)
    shifted = judged("source-late", clip.parent, moved)
    offsets = [r["offset_ms"] for r in (copy, shifted)]
    # Late sound is the same as an early picture.
    move = None if None in offsets else (offsets[0] - offsets[1]) / FRAME_MS
    same = ("mouth_ssim", "face_ssim", "frame_ssim", "flicker", "sharpness")
    return [
        _row("copy", "SSIM, flicker, sharpness 1", copy, same, all(abs(copy[k] - 1) < 0.02 for k in same)),
        _row("copy", "LMD 0", copy, ("lmd",), copy["lmd"] < 0.005),
        _row("blurred", "SSIM falls", blurred, ("mouth_ssim",), blurred["mouth_ssim"] < copy["mouth_ssim"] - 0.02),
        _row("blurred", "sharpness falls", blurred, ("sharpness",), blurred["sharpness"] < 0.8 * copy["sharpness"]),
        _row(
            "frozen", f"LSE-C falls from {show(copy['lse_c'])}", frozen, ("lse_c",), frozen["lse_c"] < copy["lse_c"] / 2
        ),
        _row("frozen", "flicker falls", frozen, ("flicker",), frozen["flicker"] < copy["flicker"]),
        [
            f"sound {late} frames late",
            f"the offset moves by {late} frames",
            "not measured" if move is None else f"{show(offsets[0])} to {show(offsets[1])} ms: {move:g} frames",
            "yes" if move is not None and abs(move - late) <= 1 else "no",
        ],
    ]


def _row(name: str, claim: str, row: dict[str, Any], keys: tuple[str, ...], holds: bool) -> list[str]:
    return [name, claim, ", ".join(f"{k} {show(row[k])}" for k in keys), "yes" if holds else "no"]


# ---- degradations


def spoil(clip: Path, wav: Array, target: Path, change: Change) -> None:
    """Write the clip with every face changed, losslessly encoded."""
    target.parent.mkdir(exist_ok=True)
    with open_video(clip) as reader:
        info = reader.info
    with VideoWriter(target, info, codec="ffv1") as writer:
        for frame, pts in _changed(clip, wav, change):
            writer.write(frame, pts)


def _changed(clip: Path, wav: Array, change: Change) -> Iterator[tuple[Array, Any]]:
    first: Array | None = None
    pipe = observe.looking(HQPipeline())
    with pipe.open(clip, (wav, observe.RATE), trim=True, extend="stop", keep=observe.KEEP, own_words="redo") as chunks:
        for chunk in chunks:
            faces = chunk.faces
            assert faces is not None and faces.to512 is not None and faces.aligned is not None
            for i, pts in enumerate(chunk.pts):
                frame = chunk.frames[i]
                for n in np.flatnonzero(faces.frame == i).tolist():
                    first = faces.aligned[n] if first is None else first
                    frame = change(frame, faces.to512[n], first)
                yield frame, pts


def blur(frame: Array, to512: Array, first: Array) -> Array:
    """The mouth out of focus."""
    soft = cv2.GaussianBlur(frame, (0, 0), 6 / max(1e-3, float(np.hypot(*to512[:, 0]))))
    return _mix(frame, soft, _mouth(to512, frame.shape[:2]))


def freeze(frame: Array, to512: Array, first: Array) -> Array:
    """The mouth of the first frame, carried along with the face."""
    back = geometry.invert(to512[None])[0]
    still = cv2.warpAffine(first, back, frame.shape[1::-1], flags=cv2.INTER_LINEAR)
    return _mix(frame, still, _mouth(to512, frame.shape[:2]))


def _mouth(to512: Array, shape: tuple[int, int]) -> Array:
    """(H, W, 1) float32: a soft ellipse on the mouth and chin."""
    oval = np.zeros((512, 512), np.float32)
    cv2.ellipse(oval, (256, 385), (125, 105), 0, 0, 360, 1.0, -1)
    oval = cv2.GaussianBlur(oval, (0, 0), 8)
    back = geometry.invert(to512[None])[0]
    return np.asarray(cv2.warpAffine(oval, back, shape[::-1], flags=cv2.INTER_LINEAR)[..., None])


def _mix(frame: Array, other: Array, weight: Array) -> Array:
    return np.asarray(np.round(frame * (1 - weight) + other * weight).astype(frame.dtype))


def _write(path: Path, wav: Array) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(observe.RATE)
        file.writeframes((np.clip(wav, -1, 1) * 32767).astype("<i2").tobytes())
