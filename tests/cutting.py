"""Edits to import, made with OpenTimelineIO itself, and their footage."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
from media import clip, write_wav

from wav2lip_hq.timecode import timecode_frames
from wav2lip_hq.video import Sound, VideoWriter, open_video

Time, Range = otio.opentime.RationalTime, otio.opentime.TimeRange


def reel(path: Path, frames: int, fps: Fraction, timecode: str, sound: Path | None = None) -> Path:
    """Footage of a drawn face with a timecode."""
    with open_video(clip(frames), fps=fps, timecode=timecode) as reader:
        track = None if sound is None else Sound(path=str(sound))
        with VideoWriter(path, reader.info, sound=track, preset="ultrafast") as writer:
            for time, frame, _ in reader:
                writer.write(frame, time)
    return path


def span(start: int, length: int, fps: Fraction) -> Range:
    return Range(Time(start, float(fps)), Time(length, float(fps)))


def edit(
    folder: Path, fps: Fraction, first: str, count: int = 12, reels: int = 3, seconds: float = 4.0
) -> otio.schema.Timeline:
    """A cut of ``count`` shots of 12 to 17 frames from ``reels`` reels, a dissolve after the third, a gap after the
    fifth; a dub of its own for each shot on an audio track."""
    zero = timecode_frames(first, fps)
    timeline = otio.schema.Timeline("cut", global_start_time=Time(zero, float(fps)))
    picture = otio.schema.Track("V1", kind="Video")
    dub = otio.schema.Track("DUB", kind="Audio")
    timeline.tracks[:] = [picture, dub]
    for n in range(reels):
        reel(folder / f"A{n:03}.mov", round(seconds * fps), fps, first)
    (folder / "dub").mkdir()
    for n in range(count):
        length = 12 + n % 6
        path = folder / f"A{n % reels:03}.mov"
        media = otio.schema.ExternalReference(path.as_uri(), span(zero, round(seconds * fps), fps))
        media.name = path.stem
        shot = otio.schema.Clip(f"sc{n + 1:02}", media, span(zero + 10 + 3 * n, length, fps))
        shot.metadata["cmx_3600"] = {"reel": path.stem}
        if n == 3:
            picture.append(otio.schema.Transition("mix", "SMPTE_Dissolve", Time(3, float(fps)), Time(3, float(fps))))
        picture.append(shot)
        line = write_wav(folder / "dub" / f"line{n + 1:02}.wav", float((length + 6) / fps))
        said = otio.schema.ExternalReference(line.as_uri(), span(0, length + 6, fps))
        dub.append(otio.schema.Clip(line.stem, said, span(2, length, fps)))
        if n == 4:
            for track in (picture, dub):
                track.append(otio.schema.Gap(source_range=span(0, 20, fps)))
    return timeline
