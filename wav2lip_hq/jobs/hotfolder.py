"""Hot folders: clips with speech of the same name become jobs."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ..errors import InputError
from ..places import MOVIES
from .jobfile import Job, read_jobs, watched

SOUNDS = {".wav", ".mp3", ".m4a", ".flac", ".aac", ".ogg", ".opus"}


def look(folder: Path, jobfile: Path, seen: dict[Path, tuple[int, float]]) -> list[Job]:
    """Add jobs for new pairs of clip and speech (``a.mp4`` and ``a.wav``) whose files have stopped growing."""
    jobs = read_jobs(jobfile)
    have = {Path(j.face) for j in jobs}
    if not folder.is_dir():
        raise InputError(f"the folder to watch, {folder}, does not exist")
    for clip in sorted(p for p in folder.iterdir() if p.suffix.lower() in MOVIES):
        clip = clip.resolve()
        sound = next((s for e in sorted(SOUNDS) if (s := clip.with_suffix(e)).is_file()), None)
        if clip in have or sound is None:
            continue
        state = (clip.stat().st_size + sound.stat().st_size, max(clip.stat().st_mtime, sound.stat().st_mtime))
        if seen.get(clip) == state and time.time() - state[1] > 1:
            append(jobfile, clip, sound)
        seen[clip] = state
    return read_jobs(jobfile)


def append(jobfile: Path, clip: Path, sound: Path) -> None:
    """One more job beside the job file; its other fields, the output's name too, are the file's ``defaults``."""
    with watched(jobfile).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"face": str(clip), "audio": str(sound)}) + "\n")
