"""The verdict on a file: from its manifest, its mark, and its picture and sound."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import audio
from ..errors import InputError
from ..runtime import Runtime
from ..types import Array
from ..watermark import Reading, SoundReading, heard, readings
from .judge import OPEN, SYNTHETIC, Judgment, installed
from .look import FaceSeen, look, sound


@dataclass(frozen=True)
class FaceFound:
    """One face between two cuts. first, last: seconds."""

    track: int
    first: float
    last: float
    mark: Reading
    judgment: Judgment
    times: Array
    picture: Array | None


@dataclass(frozen=True)
class Findings:
    """manifest: what the file's signed manifest says, in words; claimed: whether that manifest holds and states that
    wav2lip_hq made the lip movement; voice: whether the sound carries the mark of speech that this tool synthesized,
    None for files without sound."""

    path: Path
    manifest: str
    claimed: bool
    faces: tuple[FaceFound, ...]
    voice: SoundReading | None = None

    @property
    def marked(self) -> bool:
        """Whether a face carries the mark of this tool."""
        return any(face.mark.marked for face in self.faces)

    @property
    def verdict(self) -> str:
        """Mark and manifest decide; without them, the picture of the face that is seen longest."""
        if self.marked or self.claimed:
            return SYNTHETIC
        return self.faces[0].judgment.verdict if self.faces else OPEN

    def plain(self) -> dict[str, Any]:
        """As values for JSON."""
        rates = installed().facts
        return {
            "file": str(self.path),
            "verdict": self.verdict,
            "marked": self.marked,
            "manifest": self.manifest,
            "claimed": self.claimed,
            "voice": None if self.voice is None else {"marked": self.voice.marked, **asdict(self.voice)},
            "error_rates": rates.get("errors", {}),
            "faces": [_plain(face) for face in self.faces],
        }


def detect(
    path: str | os.PathLike[str],
    runtime: Runtime | None = None,
    *,
    seconds: float | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Findings:
    """Say whether a video is lip-synced, and how that is known.

    Args:
        path: A video file.
        runtime: To share networks with others.
        seconds: Look no further.
        on_progress: Called with (frames done, frames in all or None).

    Raises:
        InputError: No such file, no video in it, or no face.
        CheckpointError: A network of this installation is missing.
    """
    faces = look(path, runtime or Runtime(), seconds=seconds, on_progress=on_progress)
    judge = installed()
    marks = readings([face.marks for face in faces])
    found = tuple(_found(face, judge.judge(face), mark) for face, mark in zip(faces, marks, strict=True))
    wav = sound(os.fspath(path))
    voice = None if wav is None else heard(wav if seconds is None else wav[: round(seconds * audio.RATE)])
    return Findings(Path(os.fspath(path)), *manifest(Path(os.fspath(path))), found, voice)


def manifest(path: Path) -> tuple[str, bool]:
    """(what the file's signed manifest says, in words; whether it holds and states a lip-sync of ours)."""
    from .. import provenance

    try:
        found = provenance.read(path)
    except InputError as error:  # say, the library for manifests is not installed
        return str(error), False
    holds = found.state in ("trusted", "valid", "untrusted")
    return f"{found.state}: {found.meaning}", holds and bool(found.synthesis)


def _found(face: FaceSeen, judgment: Judgment, mark: Reading) -> FaceFound:
    return FaceFound(face.track, float(face.times[0]), float(face.times[-1]), mark, judgment, face.times, face.picture)


def _plain(face: FaceFound) -> dict[str, Any]:
    score = face.judgment.score
    return {
        "face": face.track,
        "from": round(face.first, 3),
        "to": round(face.last, 3),
        "mark": {
            "marked": face.mark.marked,
            "score": round(face.mark.score, 2),
            "chance": face.mark.chance,
            "id": f"{face.mark.number:08x}" if face.mark.marked else None,
            "sure": [round(float(x), 2) for x in face.mark.sure],
        },
        "verdict": face.judgment.verdict,
        "why": face.judgment.why,
        "log_odds": round(score, 3) if score == score else None,
        "looks_lip_synced": [[round(first, 3), round(last, 3)] for first, last in face.judgment.stretches],
        "frames": [
            [round(float(t), 3), round(float(s), 2) if s == s else None]
            for t, s in zip(face.times, face.judgment.framewise, strict=True)
        ],
    }
