"""How a person speaks, learned from footage of it with its own sound: the survey's openings against the speech network.

Ridge regression of what the network's prediction misses, on the prediction itself, so that a minute is enough. It is
kept only if it predicts those parts of the footage better that it was not learned from: footage whose sound is not
the person's teaches nothing; sound that is a little late is moved first. What was tried: docs/training.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..engine import Stage
from ..errors import InputError
from ..metrics.leakage import correlation
from ..metrics.lipsync import FPS
from ..runtime import Runtime
from ..stages.articulate import Articulate, spoken
from ..types import Array, Manner, VideoInfo
from .hearing import Hearing
from .persons import persons, summed_up
from .sound import own_sound
from .table import Survey

ENOUGH = 15.0  # seconds of speech
LEADS = (0.0, 0.12, 0.24, 0.36, 0.48, 0.6)  # seconds before speech
WORTH = 0.06  # correlation that a second of lead must gain
HELD = 0.5  # correlation with the person's own opening from which the sound is taken to be the person's own
RIDGE = 30.0
MIX = 0.75  # how much of what was learned is used: the rest is as in everybody
# Frames with an opening, in the person's spreads, below the first count so many times more: without that, lips did not
# meet in half of the p, b and m, since a mean of what mouths do is never quite closed.
SHUT, MORE = 0.3, 3.0
PARTS = 4  # of the footage, each of which is predicted from the others
GAIN = 0.03  # share of the squared error that must go


def with_manners(survey: Survey, stages: Sequence[Stage], info: VideoInfo, runtime: Runtime) -> Survey:
    """The survey with how each person speaks, where the footage is long enough and tells. stages: those that render."""
    stage = next((s for s in stages if isinstance(s, Articulate)), None)
    if stage is None or not info.has_audio or info.still or info.slowed != 1 or len(survey) < ENOUGH * info.fps:
        return survey
    try:
        sound = own_sound(info)
    except InputError:  # a sound track of no length, say
        return survey
    hearing = Hearing(sound, runtime, stage.model)
    tracks = dict(survey.tracks)
    for numbers in persons(survey):
        track = summed_up(survey, numbers)
        frames, openings = (np.concatenate(each) for each in zip(*map(survey.opening, numbers), strict=True))
        if len(frames) < ENOUGH * info.fps or track.spread <= 0:
            continue
        order = np.argsort(frames)
        # Sound that is a little late would teach a mouth that is.
        shown = survey.times[frames[order]]
        times = (shown - hearing.fit(shown, openings[order]).shift / FPS).tolist()
        speech, ahead = hearing.activity.at(times), hearing.activity.ahead(times)
        if (speech > 0.5).sum() < ENOUGH * info.fps:
            continue
        own = (openings[order].astype(np.float64) - track.closed) / track.spread
        manner = learned(hearing.coefficients(times), speech, ahead, own, hearing.network)
        tracks |= {number: replace(tracks[number], manner=manner) for number in numbers}
    return replace(survey, tracks=tracks)


def learned(predicted: Array, speech: Array, ahead: Array, own: Array, network: str) -> Manner | None:
    """A person's manner by (T, K) predictions, (T,) speech and seconds to the next one, and (T,) real openings; None if
    it does not predict left-out parts better than the network does."""
    gates = {lead: spoken(speech, ahead, lead) for lead in LEADS}
    alike = {lead: correlation(predicted[:, 0] * gate, own) or 0.0 for lead, gate in gates.items()}
    lead = max(LEADS, key=lambda x: alike[x] - WORTH * x)
    gate = gates[lead]
    if alike[lead] < HELD:
        return None
    part = np.arange(len(own)) * PARTS // len(own)
    told = np.zeros(len(own))
    for n in range(PARTS):
        out = part == n
        weights = _fit(predicted[~out], gate[~out], own[~out])
        told[out] = Manner(weights, lead, network).applied(predicted[out])[:, 0]
    before = ((predicted[:, 0] * gates[0] - own) ** 2).mean()
    if ((told * gate - own) ** 2).mean() > (1 - GAIN) * before:
        return None
    return Manner(_fit(predicted, gate, own), lead, network)


def _fit(predicted: Array, gate: Array, own: Array) -> Array:
    """(K + 1,) weights of ``Manner``. Frames count as much as they are shown, and closed ones more."""
    weight = gate * (1 + MORE * (own < SHUT))
    inputs = Manner.inputs(predicted)
    seen, miss = inputs * weight[:, None], (own - predicted[:, 0]) * weight
    penalty = np.append(RIDGE * np.maximum(inputs[:, :-1].var(0), 1e-6), 1e-3)
    return np.asarray(MIX * np.linalg.solve(seen.T @ seen + np.diag(penalty), seen.T @ miss))
