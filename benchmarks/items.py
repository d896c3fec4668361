"""Test items: pairs of footage and speech, by protocol, and the papers' list files.

- reconstruction: a clip says its own words; the result can be compared with the clip.
- pairs: fixed lists of footage and other people's speech, the speech shorter than the footage (Wav2Lip 2020, 4.2).
- dubbed, random, tts: real-world sets as in ReSyncED (Wav2Lip 2020, 4.4). dubbed: a clip whose own sound is not in
  sync with it. random: a clip and unrelated speech. tts: a clip and synthetic speech, NAME.wav beside NAME.mp4.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wav2lip_hq.errors import InputError, Wav2LipHQError
from wav2lip_hq.video import open_video
from wav2lip_hq.voice import load_speech

MOVIES = (".mp4", ".mov", ".mkv", ".mpg", ".avi", ".webm", ".png", ".jpg", ".jpeg")
SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".aac")


@dataclass(frozen=True)
class Item:
    """A pair of footage and speech. name: unique within a set, and safe as a file name. own: the speech is the clip's
    own and in sync, so the result should look like the clip."""

    name: str
    video: Path
    audio: Path
    own: bool = False


def collect(protocol: str, data: Sequence[Path], speech: Path | None = None, pairs: Path | None = None) -> list[Item]:
    """The items of a protocol.

    data: clips, or folders of them; with ``pairs``, the folder its names are relative to. speech: for all clips in
    place of their own. Raises InputError when there are no items, or a named file is missing.
    """
    if protocol == "pairs" and pairs is None:
        raise InputError("the protocol 'pairs' needs --pairs LIST; make one with `python -m benchmarks pairs`")
    clips = movies(data)
    if pairs is not None:
        found = read_pairs(pairs, data[0], "video audio" if protocol in ("random", "tts") else "audio video")
    elif speech is not None:
        found = [(clip, speech) for clip in clips]
    elif protocol == "tts":
        found = [(clip, sound) for clip in clips if (sound := beside(clip)) is not None]
        if not found:
            raise InputError(f"no clip of {data[0]} has its speech beside it (NAME.wav beside NAME.mp4)")
    elif protocol == "random":
        found = make_pairs(clips, len(clips))
    else:
        found = [(clip, clip) for clip in clips]
    own = protocol == "reconstruction" and speech is None
    return named(found, own)


def named(found: Iterable[tuple[Path, Path]], own: bool = False) -> list[Item]:
    """Items with short names that do not collide: the clip's, with the speech's or its folder's where needed."""
    found = list(found)
    out: list[Item] = []
    taken: set[str] = set()
    for video, audio in found:
        short = (
            video.stem if video.stem == audio.stem or len({a for _, a in found}) == 1 else f"{video.stem}~{audio.stem}"
        )
        name, n = short, 2
        if name in taken and video.parent.name:
            name = f"{video.parent.name}-{short}"
        while name in taken:
            name, n = f"{short}-{n}", n + 1
        taken.add(name)
        out.append(Item(name, video, audio, own))
    return out


def movies(data: Sequence[Path]) -> list[Path]:
    """Clips and pictures of files and folders, sorted. Raises InputError when there are none."""
    out: list[Path] = []
    for place in data:
        if not place.exists():
            raise InputError(f"{place} does not exist")
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        out += [p for p in files if p.suffix.lower() in MOVIES]
    if not out:
        raise InputError(f"no clips in {', '.join(map(str, data))}; looked for {' '.join(MOVIES)}")
    return out


def beside(clip: Path) -> Path | None:
    """The sound file of the same name in the same folder."""
    return next((clip.with_suffix(s) for s in SOUNDS if clip.with_suffix(s).exists()), None)


# ---- list files


def read_pairs(path: Path, root: Path, order: str = "audio video") -> list[tuple[Path, Path]]:
    """(video, audio) of a list: two names a line, relative to ``root``.

    Wav2Lip's lists for LRS2, LRS3 and LRW have "audio video" without endings (".mp4" is meant), those of ReSyncED
    "video audio" with endings. A line "# video audio" or "# audio video" in the file decides. Raises InputError naming
    the line that cannot be used.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the list {path} cannot be read: {error}") from error
    out = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            said = line.lstrip("# ").strip().lower()
            order = said if said in ("audio video", "video audio") else order
            continue
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise InputError(f"{path}, line {number}: expected two names ({order}), not '{line.strip()}'")
        video, audio = words if order == "video audio" else words[::-1]
        out.append((_file(root, video, path, number), _file(root, audio, path, number)))
    if not out:
        raise InputError(f"the list {path} is empty")
    return out


def _file(root: Path, name: str, path: Path, number: int) -> Path:
    for file in (root / name, root / f"{name}.mp4"):
        if file.is_file():
            return file
    raise InputError(f"{path}, line {number}: there is no {root / name} (nor with .mp4)")


def write_pairs(path: Path, pairs: Iterable[tuple[Path, Path]], root: Path) -> None:
    """The list of (video, audio) in Wav2Lip's order, "audio video", relative to ``root``; ".mp4" is left out."""

    def name(file: Path) -> str:
        try:
            short = file.relative_to(root)
        except ValueError:
            raise InputError(f"{file} does not lie in {root}, which the list is relative to") from None
        text = str(short.with_suffix("") if short.suffix == ".mp4" else short)
        if len(text.split()) != 1:
            raise InputError(f"'{text}' has a space in its name, which the list format cannot express")
        return text

    text = "".join(f"{name(audio)} {name(video)}\n" for video, audio in pairs)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# audio video\n{text}", encoding="utf-8")


def make_pairs(clips: Sequence[Path], count: int, seed: int = 0) -> list[tuple[Path, Path]]:
    """(video, audio): ``count`` random pairs of different clips, the speech shorter than the footage; the same for the
    same seed. Raises InputError when no two clips go together."""
    lengths: dict[Path, tuple[float, float]] = {}
    for clip in clips:
        try:
            with open_video(clip) as reader:
                length = float("inf") if reader.info.still else float(reader.info.duration or 0)
            lengths[clip] = (length, float(load_speech(clip).seconds) if length != float("inf") else float("inf"))
        except Wav2LipHQError:  # a clip without sound is still footage
            lengths[clip] = (lengths.get(clip, (0.0, 0.0))[0], float("inf"))
    possible = [
        (v, a)
        for v in clips
        for a in clips
        if v != a and lengths[a][1] != float("inf") and lengths[a][1] <= lengths[v][0]
    ]
    if not possible:
        raise InputError("no clip's speech is shorter than another clip; give more clips, or longer ones")
    rng = random.Random(seed)
    rng.shuffle(possible)
    # Use each video once before any twice.
    rounds: dict[Path, int] = {}
    ranked = []
    for video, audio in possible:
        rounds[video] = rounds.get(video, 0) + 1
        ranked.append((rounds[video], video, audio))
    ranked.sort(key=lambda entry: entry[0])
    return [(video, audio) for _, video, audio in ranked[:count]]


def person_of(clip: Path) -> str:
    """Who is in a clip, by the names of the collections at hand: p012 in their names, or GRID's folders."""
    if "grid" in clip.parent.name or "grid" in clip.parent.parent.name:
        return clip.parent.name.replace("grid_s1_extra", "s1")
    return next((p for p in clip.stem.split("_") if p[:1] == "p" and p[1:].isdigit()), clip.stem)
