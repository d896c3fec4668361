"""Own words: where footage says the given speech already, so that its mouths can stay as they are.

Whoever replaces one sentence of a take hands over the whole take's sound: everything beside that sentence is there
already, and no made mouth is as good as the real one. Being the same sound is not enough, since a dubbed film carries
its dub: the mouth must be in sync with it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from .. import audio
from ..errors import InputError
from ..metrics.lipsync import FPS
from ..metrics.mouthfit import WINDOWS, MouthFit
from ..runtime import Runtime
from ..types import Array
from ..video import VideoReader
from .hearing import Hearing
from .shots import Shot
from .sound import own_sound, same_sound
from .speakers import listen
from .spoken import Heard
from .table import Survey

BESIDE = 0.2  # seconds beside other words that are made anew, fading: mouths move ahead of sounds
MOMENT = 0.01  # seconds: the first frame after a span is not left out
SHORTEST = 0.5  # seconds: shorter stretches are not worth their transitions
# A mouth is in sync if the sync network's best shift is within so many ms of none and leads by so many standard
# deviations, and what the articulation network hears fits its openings there by so many. With 22 clips of 1 to 5 s: 21
# of them with their own sound, and 9 of 154 pairings with another's. Without landmarks, LEAD_ALONE: 18, and 9.
IN_SYNC, LEAD, FIT = 80.0, 2.5, 1.0
LEAD_ALONE = 3.0


@dataclass(frozen=True)
class OwnWords:
    """spans: (start, end) in seconds of the footage in which its sound is the speech; tracks: faces in sync with it."""

    spans: tuple[tuple[float, float], ...] = ()
    tracks: frozenset[int] = field(default=frozenset())

    def __bool__(self) -> bool:
        return bool(self.spans and self.tracks)

    def share(self, times: Sequence[Fraction], tracks: Array) -> Array:
        """(N,) float32 in [0, 1]: how much of each face, with the time of its frame in the footage, is to be made anew:
        nothing within a span, all of it BESIDE seconds and more away from one."""
        at = np.array([float(t) for t in times])
        share = np.ones(len(at), np.float32)
        for start, end in self.spans:
            away = np.where(at < start, start - at, at - end + MOMENT)
            share = np.minimum(share, np.where((at >= start) & (at < end), 0, np.clip(away / BESIDE, 0, 1)))
        return np.where(np.isin(tracks, list(self.tracks)), share, 1).astype(np.float32)

    def text(self) -> str:
        """The spans, for a person: "0.00 to 4.20 s"."""
        return ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in self.spans)


def own_words(reader: VideoReader, survey: Survey, speech: Array, begins: Fraction, runtime: Runtime) -> OwnWords:
    """Where surveyed footage says ``speech``, (n,) float32 16 kHz that begins at ``begins`` seconds of it.

    Where it does, the run's warnings say so. Footage without sound says nothing, and none does if no sync network is
    installed. ``reader`` is restarted.
    """
    info = reader.info
    if not info.has_audio or info.still or info.slowed != 1 or not len(survey.faces):
        return OwnWords()
    try:
        sound = own_sound(info)
    except InputError:  # a sound track of no length, say
        return OwnWords()
    placed = np.concatenate([np.zeros(round(begins * audio.RATE), np.float32), speech])
    shown = float(survey.times[-1] + 1 / info.fps)
    spans = _inner(same_sound(placed, sound), float(begins), min(len(placed) / audio.RATE, shown))
    fits = MouthFit(runtime, sound)
    if not spans or fits.name is None:
        return OwnWords()

    def concerned(shot: Shot) -> bool:
        first, last = float(survey.times[shot.first]), float(survey.times[shot.last])
        return any(start <= last and end > first for start, end in spans)

    reader.restart()
    try:
        found = listen(reader, survey, fits, only=concerned)
    finally:
        reader.restart()
    assert survey.faces.track is not None
    meant = set(survey.faces.track.tolist())
    heard = {h.track: h for shot in found for h in shot.heard if h.track in meant}
    hearing = None if survey.coded is None else Hearing(sound, runtime)
    synced = {track for track, h in heard.items() if _in_sync(h, _fit(survey, track, spans, hearing))}
    unknown = {track for track, h in heard.items() if h.offset_ms is None}
    if synced and synced | unknown == set(heard):  # shots too short to be measured are like the others
        synced = set(heard)
    seen = survey.times[survey.faces.frame[np.isin(survey.faces.track, list(synced))]]
    own = OwnWords(tuple(s for s in spans if ((seen >= s[0]) & (seen < s[1])).any()), frozenset(synced))
    if own:
        runtime.warn(
            f"the footage says this speech already, in sync with it, at {own.text()}: those frames stay as they are "
            "(own_words = redo makes them anew)"
        )
    return own


def _in_sync(heard: Heard, fit: float | None) -> bool:
    if heard.offset_ms is None or abs(heard.offset_ms) > IN_SYNC:
        return False
    return heard.lead >= LEAD_ALONE if fit is None else heard.lead >= LEAD and fit >= FIT


def _fit(survey: Survey, track: int, spans: list[tuple[float, float]], hearing: Hearing | None) -> float | None:
    """How well a face's openings fit the sound within IN_SYNC, where it says the speech; None without landmarks."""
    if hearing is None:
        return None
    frames, openings = survey.opening(track)
    times = survey.times[frames]
    inside = np.any([(times >= start) & (times < end) for start, end in spans], 0)
    if inside.sum() < WINDOWS:
        return None
    return hearing.fit(times[inside], openings[inside]).around(0, round(IN_SYNC / 1000 * FPS))


def _inner(spans: list[tuple[float, float]], begins: float, ends: float) -> list[tuple[float, float]]:
    """The spans, as far as they are long enough, without what lies close to other words: all but where the speech
    begins and ends."""
    out = []
    for start, end in spans:
        start = start if start <= begins else start + BESIDE
        end = ends if end >= ends - BESIDE else end - BESIDE  # sound may be a little shorter than its picture
        if end - start >= SHORTEST:
            out.append((start, end))
    return out
