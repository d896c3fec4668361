"""Finds prepared clips whose own sound is off sync, and writes down their correction.

``resync`` measures every prepared clip with a lip-sync expert and writes ``shifts.json`` beside the clips: the frames
by which each clip's sound is late, or null for clips that are in sync at no shift (dubbed footage, voice-over), which
training then leaves out. `load_clips` reads the file; a recipe's own ``shifts`` and ``exclude`` take precedence. The
expert may have been trained on the same footage: most clips are in sync, and the few that are not do not change what it
learns (measured on copies shifted by 5 and 12 frames, see the tests)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import checkpoints
from ..errors import InputError
from ..metrics.lipsync import SHIFTS
from ..metrics.offset import peak
from . import talking
from .talking import Clip, Look

FILE = "shifts.json"
TRUSTED = 1  # frames: accuracy of the measurement; smaller shifts are not corrected
LEAD = 3.0  # standard deviations by which the best shift must exceed the others to be believed
LONG_ENOUGH = 8 * talking.FPS  # frames of a clip in which a mouth that fits the sound has a clear shift


@dataclass(frozen=True)
class Resynced:
    """What was found. shifted: clip -> frames its sound is late; unexplained: clips to leave out; unsure: too short or
    too quiet to tell, kept as they are."""

    folder: Path
    clips: int
    shifted: dict[str, int]
    unexplained: list[str]
    unsure: list[str]

    def text(self) -> str:
        """For a person."""
        lines = [
            f"{self.clips} clips measured, {self.clips - len(self.unexplained) - len(self.unsure)} with a clear result"
        ]
        for name, by in sorted(self.shifted.items()):
            lines.append(f"  {name}: sound {abs(by)} frames {'late' if by > 0 else 'early'}, corrected")
        lines += [f"  {name}: in sync at no shift, left out" for name in self.unexplained]
        if self.unsure:
            lines.append(f"  {len(self.unsure)} too short or quiet to tell, kept as they are")
        return "\n".join([*lines, f"written to {self.folder / FILE}"])


def lateness(clip: Clip, expert: Any) -> tuple[int, float]:
    """(frames by which the clip's sound is late, standard deviations by which that shift exceeds the others)."""
    starts = np.arange(0, len(clip) - talking.WINDOW + 1)
    sounds, faces = [], []
    with torch.inference_mode():
        for at in range(0, len(starts), 64):
            part = starts[at : at + 64].tolist()
            frames = talking.face_crops(clip, np.arange(part[0], part[-1] + talking.WINDOW), Look())[:, 48:]
            frames = frames.transpose(0, 3, 1, 2)
            face = np.stack([frames[s - part[0] : s - part[0] + talking.WINDOW].reshape(-1, 48, 96) for s in part])
            mel = np.stack([clip.mel_at(s)[None] for s in part])
            sound, seen = expert(torch.from_numpy(mel).float(), torch.from_numpy(face).float() / 255)
            sounds.append(sound.numpy())
            faces.append(seen.numpy())
    return peak(np.concatenate(faces) @ np.concatenate(sounds).T)


def resync(folder: Path | str, model: str = "embedded-expert") -> Resynced:
    """Measure all clips of a prepared folder and write ``shifts.json`` there.

    Raises InputError when the folder holds no prepared clips, CheckpointError when ``model`` is not a lip-sync expert.
    """
    folder = Path(folder)
    expert = checkpoints.load(model, "lipsync_expert").module
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"no prepared clips in {folder}; run `wav2lip-hq train prepare` first")
    shifted: dict[str, int] = {}
    unexplained: list[str] = []
    unsure: list[str] = []
    for path in paths:
        clip = talking.load_clip(path)
        by, lead = lateness(clip, expert) if len(clip) >= 2 * SHIFTS else (0, 0.0)
        if lead < LEAD:
            (unexplained if len(clip) >= LONG_ENOUGH and abs(by) > TRUSTED else unsure).append(clip.name)
        elif abs(by) > TRUSTED:
            shifted[clip.name] = by
    wanted: dict[str, int | None] = {**shifted, **dict.fromkeys(unexplained)}
    temporary = folder / f"{FILE}.part"
    temporary.write_text(json.dumps(wanted, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(temporary, folder / FILE)
    return Resynced(folder, len(paths), shifted, unexplained, unsure)
