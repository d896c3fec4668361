"""Is it exact? Patches, mattes and offsets laid over the footage again, for every depth; and faces of 1,000 px in 4K.

Results, patches, mattes and offsets are written by one run each and compared as files."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from wav2lip_hq import HQPipeline, video
from wav2lip_hq.types import Array
from wav2lip_hq.video import look, pictures

from . import machine

FRAMES = 12
WIDE, HIGH = 3840, 2160
FACE = 1000  # px, the width of the faces in 4K


@dataclass(frozen=True)
class Kind:
    """One kind of footage. steps: its codes, 0 for floats; patch: what a patch of it is written as."""

    name: str
    dtype: Any
    steps: int
    ending: str
    patch: dict[str, str]
    depth: int | None = None
    reading: dict[str, Any] = field(default_factory=dict)


LOG, LINEAR = {"colorspace": "arri_logc3_ei800"}, {"colorspace": "ACEScg"}
KINDS = (
    Kind("FFV1 in Matroska, 8 bits", np.uint8, 255, ".mkv", {"codec": "png"}),
    Kind("FFV1 in Matroska, 8 bits", np.uint8, 255, ".mkv", {"codec": "ffv1"}),
    Kind("PNG, 8 bits", np.uint8, 255, ".png", {"codec": "png"}),
    Kind("PNG, 16 bits", np.uint16, 65535, ".png", {"codec": "png"}),
    Kind("PNG, 16 bits", np.uint16, 65535, ".png", {"codec": "ffv1"}),
    Kind("DPX, 10 bits, LogC3", np.uint16, 1023, ".dpx", {"codec": "dpx"}, 10, LOG),
    Kind("DPX, 12 bits, LogC3", np.uint16, 4095, ".dpx", {"codec": "dpx"}, 12, LOG),
    Kind("DPX, 16 bits, LogC3", np.uint16, 65535, ".dpx", {"codec": "dpx"}, 16, LOG),
    Kind("EXR, half floats, ACEScg", np.float16, 0, ".exr", {"codec": "exr"}, None, LINEAR),
    Kind("EXR, single floats, ACEScg", np.float32, 0, ".exr", {"codec": "exr"}, None, LINEAR),
)


def main(args: argparse.Namespace) -> int:
    """Make and compare; results.md and .json in ``--out``."""
    args.out.mkdir(parents=True, exist_ok=True)
    pipe = HQPipeline(args.preset)
    frames = _frames(args.face)
    rows = []
    for kind in KINDS:
        rows.append(exact(pipe, kind, frames, args.speech, args.out / "work"))
        print(json.dumps(rows[-1]), flush=True)
    lines = [
        f"Preset `{args.preset}`, {len(frames)} frames of {frames.shape[2]}x{frames.shape[1]}.",
        "",
        "| footage | patch as | values changed | of these outside the matte | patch over footage other than the result "
        "| footage + offset other than the result |",
        "|---|---|---|---|---|---|",
    ]
    names = ("footage", "patch", "changed", "outside", "patched", "offset")
    lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows]
    large = [enlarged(pipe, photo, args.speech) for photo in args.photos]
    if large:
        heads = (
            "photograph",
            "face, px wide",
            "values outside the matte that differ",
            "sharpness inside, result / source",
        )
        lines += ["", f"Photographs in a frame of {WIDE}x{HIGH}.", ""]
        lines += ["| " + " | ".join([*heads, "resampled through 512 px / source"]) + " |", "|---|---|---|---|---|"]
        for row in large:
            print(json.dumps(row), flush=True)
            lines.append(
                f"| {row['photo']} | {row['face']} | {row['outside']} | {row['sharp'][0]:.2f} to {row['sharp'][1]:.2f} "
                f"| {row['resampled'][0]:.2f} to {row['resampled'][1]:.2f} |"
            )
    text = "\n".join([*lines, "", machine.sentence(), ""])
    (args.out / "results.md").write_text(text)
    (args.out / "results.json").write_text(
        json.dumps({"machine": machine.facts(), "rows": rows, "large": large}, indent=1)
    )
    print(text)
    return 0


# ---- patch, matte, offset


def exact(pipe: HQPipeline, kind: Kind, frames: Array, speech: Path, work: Path) -> dict[str, Any]:
    """One row of the table."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    face = _written(kind, frames, work)
    film = kind.ending in (".exr", ".dpx")
    options = {"fps": None if kind.ending == ".mkv" else 25, "watermark": True, **kind.reading}
    made = {}
    for what, codec in (
        ("result", kind.patch["codec"]),
        ("patch", kind.patch["codec"]),
        ("matte", "png"),
        ("offset", "exr"),
    ):
        folder = codec != "ffv1"
        target = work / (what if folder else f"{what}.mkv")
        chosen = {} if film and what != "matte" or what == "offset" else {"codec": codec}
        pipe.run(
            face,
            speech,
            target,
            deliver=what,
            extend="stop",
            without_provenance=True,
            own_words="redo",
            **options,
            **chosen,
        )
        made[what] = target
    source = list(_pixels(face, kind))
    result = list(_pixels(made["result"], kind))
    matte = [m[0] for m in _pixels(made["matte"], None)]
    counts = dict.fromkeys(("changed", "outside", "patched", "offset"), 0)
    space = look.find_look(kind.reading.get("colorspace", "srgb_rec709_scene"))
    patches, offsets = _pixels(made["patch"], None), _pixels(made["offset"], None)
    for (s, _), (r, _), m, (rgb, alpha), (difference, _) in zip(source, result, matte, patches, offsets, strict=True):
        changed = (s != r).any(-1)
        counts["changed"] += int(changed.sum())
        counts["outside"] += int((changed & ((m if m.ndim == 2 else m[..., 0]) == 0)).sum())
        assert alpha is not None
        over = _codes(_over(rgb, alpha, s), kind)
        counts["patched"] += int((over != _codes(look.as_float(r), kind)).any(-1).sum())
        back = _codes(space.unlinear(space.linear(s) + difference), kind)
        counts["offset"] += int(
            (np.where(changed[..., None], back, 0) != np.where(changed[..., None], _codes(look.as_float(r), kind), 0))
            .any(-1)
            .sum()
        )
    as_ = {"png": "PNG", "ffv1": "FFV1", "dpx": "DPX", "exr": "EXR"}[kind.patch["codec"]]
    return {"footage": kind.name, "patch": as_, "frames": len(result), **counts}


def _over(rgb: Array, alpha: Array, source: Array) -> Array:
    """A compositor of single precision: straight color in integers, premultiplied in floats."""
    a, s = look.as_float(alpha)[..., None], look.as_float(source)
    color = look.as_float(rgb)
    return np.asarray(color + (1 - a) * s if rgb.dtype.kind == "f" else a * color + (1 - a) * s)


def _codes(values: Array, kind: Kind) -> Array:
    """What a file of this kind would hold."""
    return np.round(values * kind.steps) if kind.steps else values.astype(kind.dtype)


def _frames(clip: Path) -> Array:
    with video.open_video(clip) as reader:
        return np.stack([frame for (_, frame, _), _ in zip(reader, range(FRAMES), strict=False)])


def _written(kind: Kind, frames: Array, work: Path) -> Path:
    """The clip as this kind of footage, with noise below 8 bits so that no rounding goes unseen."""
    rng = np.random.default_rng(1)
    wanted = frames / 255 * 0.9 + 0.05 + rng.uniform(-0.004, 0.004, frames.shape)
    face = work / f"face{kind.ending}" if kind.ending == ".mkv" else work / "face"
    if kind.ending == ".mkv":
        with av.open(str(face), "w") as out:
            stream = out.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "bgr0"
            for n, image in enumerate(np.round(wanted * 255).astype(np.uint8)):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = n, Fraction(1, 25)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return face
    face.mkdir()
    for n, image in enumerate(wanted):
        path = face / f"shot.{1001 + n}{kind.ending}"
        if kind.dtype in (np.float16, np.float32):
            pictures.save_picture(path, (image**2.2).astype(kind.dtype))
        else:
            whole = np.round(np.round(image * kind.steps) / kind.steps * np.iinfo(kind.dtype).max).astype(kind.dtype)
            if kind.ending == ".png":
                cv2.imwrite(str(path), whole[..., ::-1])
            else:
                pictures.save_picture(path, whole, depth=kind.depth)
    return face


def _pixels(path: Path, kind: Kind | None) -> Iterator[tuple[Array, Array | None]]:
    """(pixels, alpha) of each frame, as they are stored."""
    if path.is_dir():
        for picture in sorted(p for p in path.iterdir() if p.suffix in (".exr", ".dpx", ".png")):
            if picture.suffix == ".png":
                image = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
                yield (
                    (image, None)
                    if image.ndim == 2
                    else (image[..., 2::-1], image[..., 3] if image.shape[2] == 4 else None)
                )
            else:
                yield pictures.load_picture(picture)
        return
    with video.open_video(path) as reader:
        for _, rgb, alpha in reader:
            yield rgb, alpha


# ---- 4K


def enlarged(pipe: HQPipeline, photo: Path, speech: Path) -> dict[str, Any]:
    """A photograph in a frame of 4K, its face FACE px wide, moved by a pixel a frame."""
    image = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
    found = pipe.survey(np.stack([image] * 2))
    box = found.faces.box[0]
    scale = FACE / float(box[2] - box[0])
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LANCZOS4)
    middle = (box[:2] + box[2:]) / 2 * scale
    frames = []
    for n in range(4):
        shift = np.float32([[1, 0, WIDE / 2 - middle[0] + n], [0, 1, HIGH / 2 - middle[1]]]).round()
        frames.append(
            cv2.warpAffine(large, shift, (WIDE, HIGH), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        )
    source = np.stack(frames)
    outside, sharp, resampled = 0, [], []
    options = {"extend": "stop", "trim": True, "deliver": "matte", "watermark": False}
    with pipe.open(source, str(speech), keep=("faces.to512",), **options) as chunks:
        for chunk in chunks:
            assert chunk.faces is not None and chunk.faces.to512 is not None and chunk.matte is not None
            for i, result in enumerate(chunk.frames):
                before, there = source[chunk.start + i], chunk.matte[i] > 0
                outside += int((result != before)[~there].any(-1).sum())
                through = _through(before, chunk.faces.to512[i])
                inside = cv2.erode((chunk.matte[i] == 65535).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
                base = _detail(before, inside)
                sharp.append(_detail(result, inside) / base)
                resampled.append(_detail(through, inside) / base)
    return {
        "photo": photo.stem,
        "face": round(float(box[2] - box[0]) * scale),
        "outside": outside,
        "sharp": (min(sharp), max(sharp)),
        "resampled": (min(resampled), max(resampled)),
    }


def _detail(image: Array, inside: Array) -> float:
    """Mean strength of the Laplacian."""
    edges = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), cv2.CV_32F)
    return float(np.abs(edges[inside]).mean())


def _through(image: Array, to512: Array) -> Array:
    """The picture with its face taken through 512 px and back, as tools do that paste their network's face."""
    size: Sequence[int] = image.shape[1::-1]
    small = cv2.warpAffine(image, to512, (512, 512), flags=cv2.INTER_AREA)
    way = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(small, to512, (size[0], size[1]), flags=way))
