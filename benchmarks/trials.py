"""The trials of the leakage protocol: every clip with matched, mismatched and silent speech.

The set-ups are those of Yaman et al. 2025 (arXiv 2511.08613). A trial's name, CLIP~SETUP, is that of its finished
video: ``anna~matched.mp4`` says her own words, ``anna~silent.mp4`` nothing, ``anna~words.mp4`` those of words.wav;
``anna~hand.mp4`` her own with a drawn hand over her mouth (the set-up "covered").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wav2lip_hq.errors import InputError
from wav2lip_hq.metrics.occluder import KINDS
from wav2lip_hq.types import Array
from wav2lip_hq.voice import load_speech

from . import items
from .observe import RATE

SETUPS = ("matched", "mismatched", "silent", "covered")
LISTS = Path(__file__).with_name("leakage.yaml")


@dataclass(frozen=True)
class Trial:
    """One clip in one set-up. sound: the file with the speech, None = silence. person: clips of the same person are not
    compared for agreement."""

    clip: Path
    label: str  # the clip's name, unique
    person: str
    setup: str
    sound: Path | None
    occluder: str | None = None  # what covers the mouth in the set-up "covered"

    @property
    def told(self) -> str:
        """The set-up in a word: mismatched speech by its file's name, a covered mouth by what covers it."""
        return self.occluder or (self.sound.stem if self.setup == "mismatched" and self.sound else self.setup)

    @property
    def name(self) -> str:
        """CLIP~SETUP."""
        return f"{self.label}~{self.told}"

    def speech(self, seconds: float) -> Array:
        """(n,) float32 16 kHz: what is said, at most ``seconds``."""
        if self.sound is None:
            return np.zeros(round(seconds * RATE), np.float32)
        return load_speech(self.sound).wav[: round(seconds * RATE)]


def collect(
    data: Sequence[Path],
    speech: Path | None = None,
    listed: str | None = None,
    setups: Sequence[str] = SETUPS[:3],
    most: int | None = None,
) -> list[Trial]:
    """The trials of clips.

    listed: ``quick`` or ``full``, the project's own list relative to the folder data[0], or a file like it; without
    one, all clips of ``data`` say ``speech``. most: clips at most. Raises InputError when something is missing.
    """
    if listed is not None:
        clips, sounds = _read(listed, data[0])
    else:
        if speech is None and "mismatched" in setups:
            raise InputError("the protocol 'leakage' needs --speech WORDS.wav, or --trials quick | full | LIST.yaml")
        clips = [(clip, clip.stem) for clip in items.movies(data)]
        sounds = [] if speech is None else [speech]
    clips = clips[:most]
    labels = [item.name for item in items.named((clip, clip) for clip, _ in clips)]
    out = []
    for (clip, person), label in zip(clips, labels, strict=True):
        for setup in setups:
            if setup == "covered":
                out += [Trial(clip, label, person, setup, clip, kind) for kind in KINDS]
                continue
            for sound in {"mismatched": sounds, "silent": [None]}.get(setup, [clip]):
                if setup != "mismatched" or sound != clip:
                    out.append(Trial(clip, label, person, setup, sound))
    return out


def _read(listed: str, root: Path) -> tuple[list[tuple[Path, str]], list[Path]]:
    """Clips with their person, and speech, of a list."""
    path = LISTS if listed in ("quick", "full") else Path(listed)
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        chosen = {
            kind: [e for e in document[kind] if listed != "quick" or e.get("quick")] for kind in ("clips", "speech")
        }
        clips = [(root / e["clip"], str(e.get("person", Path(e["clip"]).stem))) for e in chosen["clips"]]
        sounds = [root / e["sound"] for e in chosen["speech"]]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a list of trials: 'clips' with 'clip' (and 'person', 'quick'), 'speech' with 'sound' "
            f"({type(error).__name__}: {error})"
        ) from error
    for file in [clip for clip, _ in clips] + sounds:
        if not file.is_file():
            raise InputError(f"{path} names {file}, which is not there; its paths are relative to --data")
    return clips, sounds
