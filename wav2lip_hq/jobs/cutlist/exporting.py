"""Results back into the edit that their jobs were made from, on a track of their own."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ... import documents, video
from ...errors import InputError, OptionError, Wav2LipHQError
from ...options import counted
from ...timecode import is_timecode, standard_rate, timecode_frames
from ..jobfile import Job, read_jobs
from ..standing import standing
from ..store import Store
from . import files, shots
from .files import Cut, library
from .shots import Shot

TRACK = "wav2lip-hq"


@dataclass
class Exported:
    """What was written. problems: shots without a result, and why."""

    path: Path
    results: int = 0
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """As text for a terminal."""
        lines = [f"note: {p}" for p in self.problems]
        return "\n".join([*lines, f"{counted(self.results, 'result')} in {self.path}"])


@dataclass(frozen=True)
class _Result:
    """A finished shot. All times in frames: start: its first frame that the edit shows, by its own timecode; first and
    length: of the whole file, handles included."""

    path: Path
    start: int
    first: int
    length: int


def export_timeline(jobfile: Path, target: Path) -> Exported:
    """Write the edit of a job file with its finished results as ``target``: OTIO and FCPXML get a new track above the
    picture; an EDL, which holds one picture track, gets the results in place of their shots. Raises InputError (a job
    file that was not made from an edit, or the edit has changed since), OptionError, OutputError."""
    files.check_ending(target)
    cut, name = _edit(jobfile)
    if target.exists() and target.samefile(cut.path):
        raise OptionError(f"{target} is the edit itself; give another name")
    track = shots.picture(cut, name)
    done = Exported(target)
    results = _results(jobfile, {s.number: s for s in shots.shots(cut, track)}, cut, done)
    done.results = len(results)
    if target.suffix.lower() == ".otio":
        made = cut.timeline
        made.tracks.insert(_above(made, track), _track(track, results, cut, cut.rate))
        if made.global_start_time is None:
            made.global_start_time = library().opentime.RationalTime(0, float(cut.rate))
    else:
        made = _plain(cut, track, results, target.suffix.lower() == ".edl")
    files.write(made, target, cut.rate, cut.drop)
    return done


def _edit(jobfile: Path) -> tuple[Cut, str]:
    """The edit that a job file was made from, as it was then, and the track."""
    if not jobfile.is_file():
        raise InputError(f"there is no job file {jobfile}")
    try:
        whole = documents.parse(jobfile.read_text(encoding="utf-8-sig"))
        facts = whole["timeline"]
        path = jobfile.resolve().parent / str(facts["file"])
        rate, track, digest = Fraction(str(facts["rate"])), str(facts.get("track") or ""), str(facts["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f"{jobfile} was not made from a timeline (wav2lip-hq batch import)") from error
    if not path.is_file():
        raise InputError(f"the timeline {path} that {jobfile} was made from is gone")
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise InputError(f"{path} has changed since {jobfile} was made from it; import it again")
    return files.read(path, rate), track


def _results(jobfile: Path, known: dict[int, Shot], cut: Cut, done: Exported) -> dict[int, _Result]:
    jobs = [job for job in read_jobs(jobfile) if job.shot is not None or job.fault]
    rows = {row.name: row for row in standing(Store(jobfile), jobs)}
    found: dict[int, _Result] = {}
    for job in jobs:
        if job.shot not in known:
            done.problems.append(f"{job.name}: {job.fault or f'there is no shot {job.shot} in the timeline'}")
            continue
        shot, row = known[job.shot], rows[job.name]
        called = f"shot {shot.number} ({shot.name})"
        if row.status != "done" or not job.output.exists():
            why = f"{row.status}{f', {row.message}' if row.status == 'failed' else ''}"
            done.problems.append(f"{called} has no result: {why if row.status != 'done' else 'the file is gone'}")
            continue
        try:
            found[shot.number] = _result(job, shot, cut.rate)
        except Wav2LipHQError as error:
            done.problems.append(f"{called}: {error}")
    return found


def _result(job: Job, shot: Shot, rate: Fraction) -> _Result:
    with video.open_video(job.output) as reader:
        info = reader.info
    start = job.run.start
    if not isinstance(start, str) or not is_timecode(start):
        raise InputError(f"the job's 'start' is not a timecode any more ({start})")
    handle = shot.start - timecode_frames(start, rate)
    first = timecode_frames(info.timecode, standard_rate(info.fps)) if info.timecode else 0
    length = info.frames or 0
    if handle < 0 or handle + shot.length > length:
        raise InputError(f"its result {job.output.name} does not hold all of it")
    return _Result(job.output.resolve(), first + handle, first, length)


def _above(timeline: Any, track: Any) -> int:
    """Where a track goes that covers all pictures."""
    otio = library()
    kinds = [t.kind for t in timeline.tracks]
    return max(n for n, kind in enumerate(kinds) if kind == otio.schema.TrackKind.Video) + 1


def _span(start: int, length: int, rate: Fraction) -> Any:
    time = library().opentime
    return time.TimeRange(time.RationalTime(start, float(rate)), time.RationalTime(length, float(rate)))


def _clip(original: Any, result: _Result, length: int, rate: Fraction) -> Any:
    otio = library()
    media = otio.schema.ExternalReference(result.path.as_uri(), _span(result.first, result.length, rate))
    media.name = result.path.stem
    clip = otio.schema.Clip(original.name, media, _span(result.start, length, rate))
    clip.metadata["wav2lip-hq"] = {"synthetic": "Lip movement in this clip was synthesized with wav2lip_hq."}
    return clip


def _track(track: Any, results: dict[int, _Result], cut: Cut, rate: Fraction, originals: bool = False) -> Any:
    """A copy of a track with the results in place of their shots, and gaps (or the originals) elsewhere."""
    otio = library()
    made = otio.schema.Track(name=track.name if originals else TRACK, kind=otio.schema.TrackKind.Video)
    number = 0
    for index, item in enumerate(track):
        if isinstance(item, otio.schema.Transition):
            both = {number, number + 1} <= set(results)
            if originals or both:
                made.append(_rated(copy.deepcopy(item), rate, cut.rate))
            continue
        length = shots.frames(track.range_of_child_at_index(index).duration, cut.rate)
        gap = isinstance(item, otio.schema.Gap)
        number += 0 if gap else 1
        if not gap and number in results:
            made.append(_clip(item, results[number], length, rate))
        elif not gap and originals:
            made.append(_rated(copy.deepcopy(item), rate, cut.rate))
        else:
            made.append(otio.schema.Gap(source_range=_span(0, length, rate)))
    return made


def _rated(item: Any, rate: Fraction, counts: Fraction) -> Any:
    """An item with its times as frames of ``counts``, written at ``rate``."""
    otio = library()
    time = otio.opentime

    def at(value: Any) -> Any:
        return time.RationalTime(shots.frames(value, counts), float(rate))

    def span(value: Any) -> Any:
        return None if value is None else time.TimeRange(at(value.start_time), at(value.duration))

    if isinstance(item, otio.schema.Transition):
        item.in_offset, item.out_offset = at(item.in_offset), at(item.out_offset)
        return item
    item.source_range = span(item.trimmed_range())
    if isinstance(item, otio.schema.Clip) and item.media_reference is not None:
        if item.media_reference.available_range is not None:
            item.media_reference.available_range = span(item.media_reference.available_range)
    return item


def _with_media(item: Any) -> Any:
    """A clip whose media has a name and a range, without which FCPXML cannot hold it."""
    otio = library()
    if isinstance(item, otio.schema.Clip):
        media = item.media_reference
        if not isinstance(media, otio.schema.ExternalReference):
            media = item.media_reference = otio.schema.ExternalReference(shots.reel(item) or item.name)
        if media.available_range is None:
            media.available_range = item.source_range
    return item


def _plain(cut: Cut, track: Any, results: dict[int, _Result], alone: bool) -> Any:
    """A timeline for adapters that hold less than OTIO does. alone: one picture track with the results in place of
    their shots, counted at the true rate; else whole frames a second, which ``fcpxml.written`` brings back."""
    otio = library()
    made = otio.schema.Timeline(cut.timeline.name or cut.path.stem)
    start = cut.timeline.global_start_time
    zero = 0 if start is None else shots.frames(start, cut.rate)
    rate = cut.rate if alone else Fraction(round(cut.rate))
    made.global_start_time = otio.opentime.RationalTime(zero, float(rate))
    if alone:
        made.tracks.append(_track(track, results, cut, rate, originals=True))
        return made
    for one in cut.timeline.tracks:
        same = otio.schema.Track(name=one.name, kind=one.kind)
        for item in one:
            same.append(_with_media(_rated(copy.deepcopy(item), rate, cut.rate)))
        made.tracks.append(same)
    made.tracks.insert(_above(made, track), _track(track, results, cut, rate))
    return made
