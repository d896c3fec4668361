"""Prepared clips of talking people: face crops at 25 fps with their speech, in memory, and training samples of them.

A prepared clip is one ``.npz`` file (written by ``prepare``): ``clip`` (wide face crops and 16 kHz speech as one
encoded stream) or, uncompressed, ``crops`` (T, S, S, 3) uint8 RGB and ``wav`` int16; ``box`` (T, 4) and ``to_wide``
(T, 2, 3) in the pixels of the source, ``identity``, ``path``. The wide crop (``prepare.wide_box``) contains both the
generator's box and the wider crop of the sync benchmark.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .. import audio, geometry
from ..errors import InputError
from ..metrics.lipsync import benchmark_box
from ..types import Array
from .clipfile import crops_and_sound

FPS = 25  # frames a second of prepared clips
SAMPLES = audio.RATE // FPS  # of the speech, in a frame
WINDOW = 5  # frames the expert sees


@dataclass(frozen=True)
class Clip:
    """One prepared clip. crops (T, S, S, 3) uint8 RGB; box (T, 4) of the padded face, in crop pixels."""

    name: str
    identity: str
    crops: Array
    box: Array
    face: Array  # (T, 4), the same without padding
    mel: Array  # (80, M) float32, aligned so that frame f starts at column 3.2 f
    wav: Array  # int16 16 kHz, aligned likewise

    def __len__(self) -> int:
        return len(self.crops)

    def mel_at(self, frame: float) -> Array:
        """(80, 16) mel window that starts at ``frame``; silence beyond the ends."""
        start = int(audio.MEL_RATE * frame / FPS)
        columns = np.arange(start, start + audio.WINDOW)
        out = self.mel[:, np.clip(columns, 0, self.mel.shape[1] - 1)]
        out[:, (columns < 0) | (columns >= self.mel.shape[1])] = audio.SILENCE
        return out


def load_clip(path: Path, shift: float = 0.0) -> Clip:
    """Read a prepared clip. shift: frames by which its audio is late, which is corrected.

    Raises InputError when the file is not a prepared clip.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            crops, wav = crops_and_sound(data)
            box, to_wide = data["box"], data["to_wide"]
            identity = str(data["identity"])
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a prepared clip ({error}); run `wav2lip-hq train prepare` again") from error

    def local(boxes: Array) -> Array:
        corners = np.asarray(boxes).reshape(-1, 2, 2)
        moved = np.einsum("tij,tkj->tki", to_wide[:, :, :2], corners) + to_wide[:, None, :, 2]
        return np.asarray(moved.reshape(-1, 4))

    samples = round(shift * SAMPLES)
    wav = np.concatenate([np.zeros(max(-samples, 0), np.int16), wav[max(samples, 0) :]])
    need = len(crops) * SAMPLES
    wav = np.pad(wav[:need], (0, max(0, need - len(wav))))
    mel = audio.mel_spectrogram(wav.astype(np.float32) / 32768.0)
    return Clip(path.stem, identity, crops, local(geometry.pad_box(box, geometry.GENERATOR_PADS)), local(box), mel, wav)


def load_clips(
    folder: Path,
    *,
    identities: list[str] | None = None,
    without: list[str] | None = None,
    shifts: dict[str, float] | None = None,
) -> list[Clip]:
    """All prepared clips of a folder: only ``identities``, or all but ``without``. Raises InputError if none is left.

    ``shifts``: clip name or identity -> frames its audio is late. What ``resync`` found (``shifts.json``) holds for the
    clips that ``shifts`` does not name.
    """
    clips = []
    found = Path(folder) / "shifts.json"
    measured: dict[str, float | None] = json.loads(found.read_text(encoding="utf-8")) if found.exists() else {}
    for path in sorted(Path(folder).glob("*.npz")):
        identity = path.stem.split("__")[0]
        if identities is not None and identity not in identities:
            continue
        if without is not None and (identity in without or path.stem in without):
            continue
        shift = {identity: measured.get(path.stem, 0.0), **(shifts or {})}
        by = shift.get(path.stem, shift[identity])
        if by is None:
            continue
        clip = load_clip(path, by)
        if len(clip) > 2 * WINDOW:
            clips.append(clip)
    if not clips:
        raise InputError(f"no prepared clips for this split in {folder}; run `wav2lip-hq train prepare` first")
    return clips


def held_identities(folder: Path | str, given: Sequence[str] | None = None) -> list[str]:
    """Validation identities: those ``given`` by a recipe, else the ones ``prepare`` wrote down beside the clips."""
    if given is not None:
        return list(given)
    path = Path(folder) / "split.json"
    if not path.exists():
        raise InputError(
            f"{path} is missing: set validation=PERSON,... (people to measure on), or prepare the data again"
        )
    return [str(i) for i in json.loads(path.read_text())["validation"]]


class Sampler:
    """Draws clips: an identity with probability proportional to the square root of its number of frames."""

    def __init__(self, clips: list[Clip]) -> None:
        self.clips = clips
        frames: dict[str, int] = {}
        for clip in clips:
            frames[clip.identity] = frames.get(clip.identity, 0) + len(clip)
        weight = np.array([len(c) / frames[c.identity] * frames[c.identity] ** 0.5 for c in clips])
        self.p = weight / weight.sum()

    def clip(self, rng: np.random.Generator) -> Clip:
        """One clip."""
        return self.clips[int(rng.choice(len(self.clips), p=self.p))]


@dataclass(frozen=True)
class Look:
    """Augmentation of a sample's pictures, the same for all of its frames."""

    flip: bool = False
    zoom: float = 1.0
    dx: float = 0.0
    dy: float = 0.0
    angle: float = 0.0
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bias: float = 0.0
    gamma: float = 1.0
    # (4, 4, 2) displacements, in crop widths, of a grid over the crop: changes the face's proportions
    bend: Array | None = None

    @staticmethod
    def draw(rng: np.random.Generator, strength: float = 1.0, bend: float = 0.0) -> Look:
        """A random look; strength 0 = none. bend: standard deviation of the grid's displacements in crop widths."""
        if strength <= 0:
            return Look()
        s = strength
        light = rng.normal(1, 0.1 * s)
        r, g, b = (light + rng.normal(0, 0.05 * s, 3)).tolist()
        return Look(
            flip=bool(rng.random() < 0.5),
            zoom=float(np.exp(rng.normal(0, 0.05 * s))),
            dx=float(rng.normal(0, 0.025 * s)),
            dy=float(rng.normal(0, 0.025 * s)),
            angle=float(rng.normal(0, 3 * s)),
            gain=(r, g, b),
            bias=float(rng.normal(0, 0.03 * s)),
            gamma=float(np.exp(rng.normal(0, 0.12 * s))),
            bend=rng.normal(0, bend, (4, 4, 2)) if bend else None,
        )

    def table(self) -> Array:
        """(256, 3) uint8 lookup of the tone change."""
        x = (np.arange(256) / 255.0) ** self.gamma
        tones = (x[:, None] * np.array(self.gain) + self.bias) * 255 + 0.5
        return np.asarray(np.clip(tones, 0, 255).astype(np.uint8))


def face_crops(clip: Clip, frames: list[int] | Array, look: Look, size: int = 96) -> Array:
    """(n, size, size, 3) uint8 BGR padded-box crops of a clip, as the generator sees them."""
    return _crops(clip, frames, clip.box[frames], look, size)


def benchmark_crops(clip: Clip, frames: list[int] | Array, look: Look, size: int = 224) -> Array:
    """(n, size, size, 3) uint8 BGR wider crops, as the sync benchmark cuts them (``metrics.lipsync.benchmark_box``)."""
    return _crops(clip, frames, benchmark_box(clip.face[frames]), look, size)


def _crops(clip: Clip, frames: list[int] | Array, boxes: Array, look: Look, size: int) -> Array:
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    x = (boxes[:, 0] + boxes[:, 2]) / 2 + look.dx * width
    y = (boxes[:, 1] + boxes[:, 3]) / 2 + look.dy * height
    half_w, half_h = width * look.zoom / 2, height * look.zoom / 2
    matrices = geometry.box_to_crop(np.stack([x - half_w, y - half_h, x + half_w, y + half_h], -1), size)
    if look.angle:
        c, s = np.cos(np.radians(look.angle)), np.sin(np.radians(look.angle))
        m = (size - 1) / 2
        turn = np.array([[c, -s, m - c * m + s * m], [s, c, m - s * m - c * m]])
        matrices = geometry.compose(np.broadcast_to(turn, matrices.shape), matrices)
    out = np.empty((len(boxes), size, size, 3), np.uint8)
    if look.bend is not None:
        y, x = np.mgrid[:size, :size].astype(np.float64)
        bent = np.dstack([x, y]) + size * cv2.resize(look.bend, (size, size), interpolation=cv2.INTER_CUBIC)
        back = geometry.invert(matrices)
    for n, f in enumerate(frames):
        if look.bend is not None:
            at = (bent @ back[n, :, :2].T + back[n, :, 2]).astype(np.float32)
            out[n] = cv2.remap(clip.crops[f], at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            continue
        out[n] = cv2.warpAffine(
            clip.crops[f], matrices[n], (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    if look.flip:
        out = out[:, :, ::-1]
    if look.gain != (1.0, 1.0, 1.0) or look.bias or look.gamma != 1.0:
        table = look.table()
        out = np.stack([table[:, c][out[..., c]] for c in range(3)], -1)
    return np.ascontiguousarray(out[..., ::-1])


def vary_speech(mel: Array, rng: np.random.Generator, strength: float = 1.0) -> Array:
    """Augmented mel, (..., 80, 16) in [-4, 4]: gain, spectral tilt, noise, at times a masked band."""
    if strength <= 0:
        return mel
    tilt = np.linspace(-1, 1, 80)[:, None] * rng.normal(0, 0.15 * strength)
    out = mel + rng.normal(0, 0.3 * strength) + tilt
    if rng.random() < 0.3 * strength:
        first, width = rng.integers(0, 72), rng.integers(2, 9)
        out[..., first : first + width, :] = -4.0 + rng.random() * 2
    out = out + rng.normal(0, 0.1 * strength, out.shape)
    return np.clip(out, -4, 4).astype(np.float32)
