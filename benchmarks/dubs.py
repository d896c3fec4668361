"""Real clips and what the presets make of them, encoded as files in the world are: what forensics learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wav2lip_hq import HQPipeline, audio, video
from wav2lip_hq.errors import Wav2LipHQError
from wav2lip_hq.types import Array

from . import items
from .attacks import Attack, Clip, encoded, same, scaled

PRESETS = ("default", "generated", "fast")
REAL, PLAIN = "real", "generated, unrestored"
KNOWN = Path(__file__).with_name("forensics.yaml")
# What befalls videos before they are judged: (a first encoding or none, codec, crf).
CHAINS: dict[str, tuple[Attack | None, str, int]] = {
    "crf 18": (None, "h264", 18),
    "crf 23": (None, "h264", 23),
    "crf 28": (None, "h264", 28),
    "HEVC 26": (None, "hevc", 26),
    "again": (Attack("H.264", "crf 26", same, crf=26), "h264", 23),
    "smaller": (Attack("scaled", "3/4, crf 23", scaled(0.75, False)), "h264", 23),
}


@dataclass(frozen=True)
class Dub:
    """A person and the one whose speech is put into the mouth. seconds: of the clip, at most."""

    person: str
    clip: Path
    speaker: Path
    seconds: float
    folder: Path


def dubs(clips: Sequence[Path], seconds: float, least: float, group: Any, folder: Path) -> list[Dub]:
    """Each person with the next one of the same group, in an order that does not depend on names.

    clips: candidates, of which the longest of a person counts; least: seconds that it must have; group: person ->
    anything. Who is alone in a group is left out.
    """
    chosen = _longest(clips, least)
    people = sorted(chosen, key=lambda p: hashlib.sha256(p.encode()).digest())
    out = []
    for person in people:
        others = [p for p in people if group(p) == group(person)]
        speaker = others[(others.index(person) + 1) % len(others)]
        if speaker != person:
            out.append(Dub(person, chosen[person], chosen[speaker], seconds, folder / person))
    return out


@cache
def known() -> dict[str, Any]:
    """What is known of clips: {unseen: people, left_out: {why: clips or people}}."""
    return dict(yaml.safe_load(KNOWN.read_text(encoding="utf-8")))


def _longest(clips: Sequence[Path], least: float) -> dict[str, Path]:
    """The longest clip of each person; of equal ones the first."""
    left_out = {name for names in known()["left_out"].values() for name in names}
    best: dict[str, tuple[float, Path]] = {}
    for clip in clips:
        person = items.person_of(clip)
        if person in left_out or clip.stem in left_out:
            continue
        with video.open_video(clip) as opened:
            long = 0.0 if opened.info.still else float((opened.info.frames or 0) / opened.info.fps)
        if long >= least and long > best.get(person, (0.0,))[0]:
            if len(audio.load_audio(clip)) >= 0.95 * least * audio.RATE:
                best[person] = long, clip
    return {person: clip for person, (_, clip) in best.items()}


@cache
def pipelines() -> dict[str, HQPipeline]:
    """Every preset that works offline, and the generator's own pictures."""
    base = HQPipeline("default")
    found = {name: HQPipeline(name, runtime=base.runtime) for name in PRESETS}
    return found | {PLAIN: found["generated"].without("restore").set("blend.texture=0")}


def make(dub: Dub) -> str:
    """Write FOLDER/METHOD (CHAIN).mp4 of one person, all without a mark; returns what is to be said of it."""
    if (dub.folder / "done").exists():
        return ""
    dub.folder.mkdir(parents=True, exist_ok=True)
    try:
        _versions(dub)
    except Wav2LipHQError as error:
        (dub.folder / "done").write_text(f"{dub.clip}\n{error}\n")
        return f"{dub.clip.name}: {error}"
    (dub.folder / "done").write_text(f"{dub.clip}\n{dub.speaker}\n")
    return f"{dub.clip.stem} says what {dub.speaker.stem} said"


def _versions(dub: Dub) -> None:
    with video.open_video(dub.clip) as opened:
        rate = opened.info.fps
        frames = np.stack([frame for time, frame, _ in opened if time < Fraction(dub.seconds)])
    own, said = (audio.load_audio(path)[: round(len(frames) / rate * audio.RATE)] for path in (dub.clip, dub.speaker))
    pipes = pipelines()
    survey = pipes["default"].survey(frames, fps=rate)
    made = {REAL: (frames, own)}
    for name, pipe in pipes.items():
        with pipe.open(frames, (said, audio.RATE), survey=survey, fps=rate, extend="stop", watermark=False) as chunks:
            made[name] = np.concatenate([chunk.frames for chunk in chunks]), said
    for name, (pictures, wav) in made.items():
        for chain in chains(f"{dub.clip.name}{name}", 2 if name == REAL else 1):
            _write(pictures, rate, wav, chain, dub.folder / f"{name} ({chain}).mp4")


def chains(name: str, count: int) -> list[str]:
    """One or two ways of encoding that follow from a name."""
    first, second = hashlib.sha256(name.encode()).digest()[:2]
    names = list(CHAINS)
    at = first % len(names)
    return [names[at], names[(at + 1 + second % (len(names) - 1)) % len(names)]][:count]


def _write(pictures: Array, rate: Fraction, wav: Array, chain: str, target: Path) -> None:
    attack, codec, crf = CHAINS[chain]
    if attack is not None:
        before = encoded(attack, Clip(pictures, rate, np.zeros(4)), target.with_suffix(".first.mp4"))
        with video.open_video(before) as opened:
            pictures = np.stack([frame for _, frame, _ in opened])
        before.unlink()
    sound = video.Sound(samples=wav.astype(np.float32), rate=audio.RATE)
    with video.open_video(pictures, fps=rate) as reader:
        with video.VideoWriter(target, reader.info, codec=codec, crf=crf, sound=sound, mark=False) as writer:
            for time, frame, _ in reader:
                writer.write(frame, time)
