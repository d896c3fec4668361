"""An edit as a job file: one job a shot that speaks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from ... import audio, video
from ...errors import InputError, OptionError, Wav2LipHQError
from ...options import counted
from ...places import MOVIES, check_target, write_text
from ...timecode import standard_rate, timecode_frames, timecode_text
from ...types import VideoInfo
from . import files, shots
from .files import Cut
from .shots import Heard, Shot

MANY = 200_000  # files that are looked through for reels
SOUNDS = (".wav", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".bwf", ".caf", ".ogg", ".opus")


@dataclass(frozen=True)
class Wanted:
    """How an edit is to become jobs. media: folders to look for reels in; speech: a file as long as the timeline, or a
    name with {name}, {reel} or {index} for each shot; "" = the timeline's own audio tracks, or the one called
    ``dub_track``; handles: frames more at either end; output: the results' names; rate: what an EDL counts;
    track: the picture's; defaults: fields of every job."""

    media: tuple[Path, ...] = ()
    speech: str = ""
    dub_track: str = ""
    handles: int = 12
    output: str = "out/{index:03}_{name}.mov"
    rate: Fraction | None = None
    track: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)


@dataclass
class Imported:
    """The result of an import. problems: shots that cannot be dubbed, and why; notes: what else was left as it is."""

    path: Path
    shots: int = 0
    jobs: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """As text for a terminal."""
        lines = [f"problem: {p}" for p in self.problems] + [f"note: {n}" for n in self.notes]
        made = f"{counted(self.shots, 'shot')}, {counted(self.jobs, 'job')} in {self.path}"
        return "\n".join([*lines, f"{made}, {counted(len(self.problems), 'problem')}"])


class Media:
    """Files under some folders, by name."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(folders)
        self._named: dict[str, list[Path]] = {}
        seen = 0
        for folder in self.folders:
            if not folder.is_dir():
                raise InputError(f"there is no folder {folder} to look for footage in")
            for place, _, names in sorted(os.walk(folder)):
                for name in sorted(names):
                    seen += 1
                    if seen > MANY:
                        raise InputError(f"{folder} holds more than {MANY} files; name a folder with the footage alone")
                    path = Path(place) / name
                    if path.suffix.lower() in (*MOVIES, *SOUNDS):
                        for key in (name.lower(), path.stem.lower()):
                            self._named.setdefault(key, []).append(path)

    def find(self, item: Shot | Heard, base: Path, endings: Collection[str]) -> Path:
        """The file that a clip is of. Raises InputError: none, or several of one name."""
        there = shots.local(item.media, base)
        if there is not None:
            return there
        for name in (Path(item.media).name, item.name, item.reel):
            found = list(dict.fromkeys(p for p in self._named.get(name.lower(), []) if p.suffix.lower() in endings))
            if len(found) > 1:
                raise InputError(f"several files could be {name}: {found[0]}, {found[1]}")
            if found:
                return found[0]
        name = item.reel or Path(item.media).name or item.name
        if not self.folders:
            raise InputError(f"{name} is not where the edit says; give the folder that it is in (--media FOLDER)")
        raise InputError(f"{name} is not in {' or '.join(map(str, self.folders))}")


def import_timeline(path: Path, target: Path, wanted: Wanted) -> Imported:
    """Write the job file ``target`` from the edit ``path``. Shots that cannot be dubbed are listed in it as comments,
    and the others are jobs. Raises InputError (no edit, nothing in it that speaks), OptionError, OutputError."""
    check_target(target)
    if target.exists():
        raise OptionError(f"{target} exists; remove it, or give another name (--out)")
    media = Media(wanted.media)
    cut = _read(path, wanted, media)
    track = shots.picture(cut, wanted.track)
    every = shots.shots(cut, track)
    speech = _Speech(cut, every, wanted, media)
    done = Imported(target, shots=len(every), problems=list(cut.problems))
    rows: list[dict[str, Any]] = []
    for shot in every:
        called = f"shot {shot.number} ({shot.name})"
        try:
            if shot.refused:
                raise InputError(shot.refused)
            lines = speech.under(shot)
            if not lines:
                done.notes.append(f"{called}: nothing is said in it, it stays as it is")
                continue
            rows.append(_row(shot, lines, cut, wanted, media, target))
        except Wav2LipHQError as error:
            done.problems.append(f"{called}: {error}")
    if not rows and not done.problems:
        raise InputError(f"{path}: no speech lies under any shot; give it with --speech")
    done.jobs = len(rows)
    write_text(target, _document(cut, track, rows, wanted, done, target))
    return done


def _read(path: Path, wanted: Wanted, media: Media) -> Cut:
    """The edit; an EDL without a rate counts what its footage counts."""
    if path.suffix.lower() != ".edl" or wanted.rate is not None:
        return files.read(path, wanted.rate)
    trial = _trial(path)
    rates: dict[Fraction, Path] = {}
    for shot in shots.shots(trial, shots.picture(trial, wanted.track)):
        try:
            found = media.find(shot, path.parent, MOVIES)
            with video.open_video(found) as reader:
                rates.setdefault(standard_rate(reader.info.fps), found)
        except Wav2LipHQError:
            continue
    if len(rates) != 1:
        why = "none of its footage is found" if not rates else "its footage has several rates"
        raise OptionError(
            f"{path}: an EDL does not say how many frames a second it counts, and {why}; give --rate, say 25"
        )
    return files.read(path, next(iter(rates)))


def _trial(path: Path) -> Cut:
    """An EDL for its reels alone, read at whichever rate has all its timecodes."""
    for rate in (Fraction(60), Fraction(30000, 1001)):
        try:
            cut = files.read(path, rate, loose=True)
        except Wav2LipHQError:
            continue
        if not cut.problems:
            return cut
    return files.read(path, Fraction(60000, 1001), loose=True)


def _row(
    shot: Shot, lines: list[dict[str, Any]], cut: Cut, wanted: Wanted, media: Media, target: Path
) -> dict[str, Any]:
    """A shot as a job. Raises InputError."""
    found = media.find(shot, cut.path.parent, MOVIES)
    with video.open_video(found) as reader:
        info = reader.info
    fps = standard_rate(info.fps)
    if fps != cut.rate:
        raise InputError(
            f"{found.name} has {float(fps):.5g} frames a second, the timeline counts {float(cut.rate):.5g}; conform "
            "one to the other first"
        )
    if info.timecode and cut.path.suffix.lower() == ".edl" and (";" in info.timecode) != cut.drop:
        ways = ("drop-frame", "non-drop-frame") if cut.drop else ("non-drop-frame", "drop-frame")
        raise InputError(f"the edit counts {ways[0]} (FCM), {found.name} {ways[1]}")
    cut = replace(cut, drop=cut.drop or ";" in info.timecode)  # as the footage counts
    first = _first(shot, info, found, cut)
    last = first + (info.frames or 0)
    if shot.start - shot.head < first or shot.start + shot.length + shot.tail > last:
        asked = " to ".join(_code(at, cut) for at in (shot.start - shot.head, shot.start + shot.length + shot.tail))
        raise InputError(f"the edit shows {asked}, {found.name} holds {_code(first, cut)} to {_code(last, cut)}")
    start = max(first, shot.start - max(wanted.handles, shot.head))
    end = min(last, shot.start + shot.length + max(wanted.handles, shot.tail))
    row: dict[str, Any] = {"shot": shot.number, "face": _written(found, target)}
    if not info.timecode or timecode_frames(info.timecode, fps) != first:
        row["timecode"] = _code(first, cut)
    names = {"index": shot.number, "name": _plain_name(shot.name), "reel": _plain_name(shot.reel or found.stem)}
    row |= {"start": _code(start, cut), "end": _code(end, cut), "output": _filled(wanted.output, names)}
    for line in lines:
        line["audio"] = _written(Path(line["audio"]), target)
    row["segments"] = lines
    return row


def _first(shot: Shot, info: VideoInfo, found: Path, cut: Cut) -> int:
    """The footage's first frame as the edit counts. Raises InputError."""
    if info.timecode:
        return timecode_frames(info.timecode, standard_rate(info.fps))
    if shot.begins is not None:
        return shot.begins
    if shot.start < (info.frames or 0):
        return 0
    raise InputError(f"{found.name} has no timecode, and the edit shows {_code(shot.start, cut)} of it; give it one")


class _Speech:
    """The speech under each shot."""

    def __init__(self, cut: Cut, every: list[Shot], wanted: Wanted, media: Media) -> None:
        self.cut, self.wanted, self.media = cut, wanted, media
        self.stem: Path | None = None
        self.wave: Any = None
        self.clips: list[Heard] = []
        if wanted.speech and "{" not in wanted.speech:
            self.stem = Path(wanted.speech)
            self.wave = audio.load_audio(self.stem)
        elif not wanted.speech:
            own = {s.media or s.reel for s in every}
            names = {h.track for h in shots.heard(cut)}
            if wanted.dub_track and wanted.dub_track not in names:
                raise OptionError(
                    f"{cut.path} has no audio track '{wanted.dub_track}'; there is {', '.join(sorted(names))}"
                )
            self.clips = [
                h
                for h in shots.heard(cut)
                if (h.track == wanted.dub_track if wanted.dub_track else (h.media or h.reel) not in own)
            ]

    def under(self, shot: Shot) -> list[dict[str, Any]]:
        """Segments of a shot's job: in, out, audio and the speech's in point. Raises InputError."""
        if self.stem is not None:
            return self._of_stem(shot, self.stem)
        if self.wanted.speech:
            names = {"index": shot.number, "name": _plain_name(shot.name), "reel": _plain_name(shot.reel)}
            path = Path(_filled(self.wanted.speech, names))
            if not path.is_file():
                raise InputError(f"its speech {path} does not exist")
            return [self._line(shot, shot.record, shot.record + shot.length, path, Fraction(0))]
        lines, over = [], -1
        a, b = shot.record - shot.head, shot.record + shot.length + shot.tail
        for clip in sorted(self.clips, key=lambda h: h.record):
            own = min(shot.record + shot.length, clip.record + clip.length) - max(shot.record, clip.record)
            if own / self.cut.rate < audio.SHORTEST:
                continue  # what is heard in a transition alone belongs to the shot beside it
            first, last = max(a, clip.record), min(b, clip.record + clip.length)
            if first < over:
                raise InputError("two sounds overlap under it; say which track is the dub (--dub-track)")
            over = last
            path = self.media.find(clip, self.cut.path.parent, (*SOUNDS, *MOVIES))
            start = clip.start + (first - clip.record) / self.cut.rate
            lines.append(self._line(shot, first, last, path, start))
        return lines

    def _of_stem(self, shot: Shot, stem: Path) -> list[dict[str, Any]]:
        first, last = max(0, shot.record - shot.head), shot.record + shot.length + shot.tail
        a, b = (round(at / self.cut.rate * audio.RATE) for at in (first, last))
        if audio.is_silent(self.wave[a:b]) or len(self.wave[a:b]) < audio.SHORTEST * audio.RATE:
            return []
        return [self._line(shot, first, last, stem, first / self.cut.rate)]

    def _line(self, shot: Shot, first: int, last: int, path: Path, start: Fraction) -> dict[str, Any]:
        shift = shot.start - shot.record
        line = {"in": _code(first + shift, self.cut), "out": _code(last + shift, self.cut), "audio": str(path)}
        return line | ({"speech_start": round(float(start), 9)} if start else {})


def _code(frames: int, cut: Cut) -> str:
    return timecode_text(frames, cut.rate, cut.drop)


def _written(path: Path, target: Path) -> str:
    """A path as the job file names it: relative where it lies below."""
    full, base = path.resolve(), target.resolve().parent
    return str(full.relative_to(base)) if full.is_relative_to(base) else str(full)


def _plain_name(text: str) -> str:
    """Part of a file's name: without its ending, and only what every system takes."""
    return re.sub(r"[^\w.-]+", "_", re.sub(r"\.\w{2,4}$", "", text)).strip("._") or "shot"


def _filled(text: str, names: dict[str, Any]) -> str:
    from ..jobfile import filled

    return filled(text, names)


def _document(cut: Cut, track: Any, rows: list[dict[str, Any]], wanted: Wanted, done: Imported, target: Path) -> str:
    made = {
        "timeline": {
            "file": _written(cut.path, target),
            "sha256": hashlib.sha256(cut.path.read_bytes()).hexdigest(),
            "rate": str(cut.rate),
            "track": wanted.track,
        },
        "defaults": wanted.defaults,
        "jobs": rows,
    }
    if not wanted.defaults:
        del made["defaults"]
    said = [f"# {cut.path.name}, {counted(done.shots, 'shot')}. What is not a job:"]
    said += [f"#   {' '.join(text.split())}" for text in (*done.problems, *done.notes)]
    head = said if len(said) > 1 else said[:1]
    return "\n".join([*head, yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=120)])
