"""Who speaks: in each shot, the face whose mouth fits the footage's own sound, measured by a sync network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import OptionError
from ..metrics.lipsync import FPS
from ..metrics.mouthfit import REACH, Fit, MouthFit
from ..runtime import Runtime
from ..types import Array, VideoInfo
from ..video import VideoReader
from .shots import Shot, shots
from .sound import own_sound
from .spoken import Heard, Spoken
from .table import Survey

LONGEST = 20 * FPS  # most pictures of a mouth that are compared in a shot; more does not improve the result
NEAR = 3  # frames from 0 that are looked at where the footage's offset is not known: most footage is in sync
AWAY = 2.0  # standard deviations by which a fit at another offset than the footage's must be better to count as much
CLEAR = 6.5  # standard deviations from which a mouth's own best shift tells something about the whole footage's offset
# The confidence that the better of two faces speaks, by the difference x of their scores: 1 / (1 + exp(-SLOPE x)).
# Measured on pairs of people whom the network never saw: in 1 s, 83 % are right at x = 1.5, 94 % at 2.5; in 2 s, 93 %
# and 100 %; in 3 s, 96 % and 100 %.
SLOPE = 1.3
UNSURE = 0.8  # confidence below which a run warns


def check_sound(info: VideoInfo) -> None:
    """Raise OptionError if footage has no sound to find its speaker by: to be called before hours of work."""
    if not info.has_audio:
        raise OptionError(
            f"{info.path or 'this footage'} has no sound to find the speaker by (track.faces = speaker); choose with "
            "left-to-right, at=X,Y, a reference picture or a shot plan"
        )


def heard(
    reader: VideoReader,
    survey: Survey,
    runtime: Runtime,
    on_progress: Callable[[int, int | None], None] | None = None,
    *,
    all_shots: bool = False,
) -> Survey:
    """The survey with who speaks in each shot, by the footage's own sound. all_shots: measure those with one face, too.

    Raises OptionError when the footage has no sound, the survey left faces out, or no sync network is installed.
    """
    check_sound(reader.info)
    made = str(survey.made.get("track.faces", "all"))
    if made != "all":
        raise OptionError(
            f"who speaks cannot be found in a survey that followed track.faces={made}; survey again with "
            "--set track.faces=all"
        )
    fits = MouthFit(runtime, own_sound(reader.info))
    if fits.name is None:
        raise OptionError("no sync network is installed, so who speaks cannot be found")
    reader.restart()
    try:
        spoken = listen(
            reader, survey, fits, only=lambda shot: all_shots or len(shot.tracks) > 1, on_progress=on_progress
        )
    finally:
        reader.restart()
    return replace(survey, speakers=spoken)


def listen(
    frames: Iterable[Any],
    survey: Survey,
    fits: MouthFit,
    *,
    only: Callable[[Shot], bool] = lambda shot: True,
    on_progress: Callable[[int, int | None], None] | None = None,
    found: Sequence[Shot] | None = None,
) -> tuple[Spoken, ...]:
    """Who speaks in each shot of surveyed footage. ``survey`` has to hold all faces (``track.faces = all``).

    frames: (time, image, alpha) of the footage from its first frame on. only: which shots are measured; in others the
    face seen longest is named, with a confidence of 0 if there are several. found: other stretches than shots, in order
    of their beginning; where they overlap, frames count for the earlier one.
    """
    found = shots(survey) if found is None else found
    fitted: list[dict[int, Fit | None]] = []
    pictures = _numbered(frames, survey, on_progress)
    for shot in found:
        fitted.append(_fits(pictures, shot, survey, fits, only(shot)))
    common = usual([fit for one in fitted for fit in one.values() if fit is not None])
    return tuple(decide(survey, shot, one, common) for shot, one in zip(found, fitted, strict=True))


def _numbered(
    frames: Iterable[Any], survey: Survey, on_progress: Callable[[int, int | None], None] | None
) -> Iterator[tuple[int, Array]]:
    for number, (_, image, _) in enumerate(frames):
        if number >= len(survey):
            return
        yield number, image
        if on_progress is not None and (number % 25 == 24 or number + 1 == len(survey)):
            on_progress(number + 1, len(survey))


def _fits(
    pictures: Iterator[tuple[int, Array]], shot: Shot, survey: Survey, fits: MouthFit, wanted: bool
) -> dict[int, Fit | None]:
    """How well each mouth of a shot fits; consumes the shot's pictures."""
    began: dict[int, float] = {}
    crops: dict[int, list[Array]] = {track: [] for track in shot.tracks}
    for number, image in pictures:
        for track, box in _boxes(survey, number) if wanted and number >= shot.first else ():
            mine, now = crops[track], float(survey.times[number])
            due = now - began.setdefault(track, now)
            if len(mine) < LONGEST and due >= (2 * len(mine) - 1) / (2 * FPS):
                crop = fits.crop(image, box)
                while len(mine) <= due * FPS + 0.5 and len(mine) < LONGEST:
                    mine.append(crop)
        if number >= shot.last:
            break
    return {t: fits.fit(np.stack(c), began[t]) if c else None for t, c in crops.items()}


def _boxes(survey: Survey, number: int) -> Iterator[tuple[int, Array]]:
    for left in (False, True):
        faces, rows = survey.left if left else survey.faces, survey.rows(number, left)
        if faces.track is not None and faces.box is not None:
            yield from zip(faces.track[rows].tolist(), faces.box[rows], strict=True)


def usual(fits: Sequence[Fit]) -> int | None:
    """The shift, in frames, that the footage's mouths agree on; None when none is clear."""
    clear = [f for f in fits if f.lead >= CLEAR]
    if not clear:
        return None
    total = np.sum([np.nan_to_num(f.score, nan=0.0).clip(0) for f in clear], 0)
    return int(np.argmax(np.convolve(total, (0.5, 1, 0.5), "same"))) - REACH


def decide(survey: Survey, shot: Shot, fitted: dict[int, Fit | None], common: int | None) -> Spoken:
    """Who speaks in a shot, by how well each mouth fits at the footage's offset, or, if clearly better, at another."""
    heard = []
    for track in shot.tracks:
        one = fitted.get(track)
        if one is None:
            heard.append(Heard(track, None, None))
            continue
        near = one.around(0, NEAR) if common is None else one.around(common)
        score = one.lead - AWAY if math.isnan(near) else max(near, one.lead - AWAY)
        heard.append(Heard(track, round(score, 3), round(one.offset_ms, 1), round(one.lead, 3)))
    known = [h for h in heard if h.score is not None]
    if len(shot.tracks) == 1:
        return Spoken(shot.first, shot.last, shot.tracks[0], 1.0, tuple(heard))
    if not known:
        return Spoken(shot.first, shot.last, _longest(survey, shot), 0.0, tuple(heard))
    ranked = sorted(known, key=lambda h: -float(h.score or 0.0))
    # A face that could not be measured counts as one that does not fit at all.
    scores = [float(h.score or 0.0) for h in ranked] + [0.0] * (len(heard) - len(known))
    odds = np.exp(SLOPE * (np.array(scores) - scores[0]))
    return Spoken(shot.first, shot.last, ranked[0].track, round(float(1 / odds.sum()), 3), tuple(heard))


def _longest(survey: Survey, shot: Shot) -> int:
    """The face that is seen in most frames of a shot."""
    assert survey.faces.track is not None and survey.left.track is not None
    counts = {t: int((survey.faces.track == t).sum() + (survey.left.track == t).sum()) for t in shot.tracks}
    return max(shot.tracks, key=lambda t: counts[t])


def seconds(survey: Survey, spoken: Spoken) -> tuple[float, float]:
    """When a shot begins and ends, in seconds; it ends where the next frame begins."""
    times = survey.times
    step = float(np.median(np.diff(times))) if len(times) > 1 else float(Fraction(1, FPS))
    end = times[spoken.last + 1] if spoken.last + 1 < len(times) else times[spoken.last] + step
    return float(times[spoken.first]), float(end)
