"""The shot plan: a YAML file that says which face speaks in each shot, written from a survey, edited, used again.

A face is known in it by where it is seen at one moment, so a plan also fits a survey made with other options.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .. import documents
from ..errors import InputError, OptionError
from ..places import check_target, write_text
from ..types import Reason
from .shots import frames_of, shots
from .speakers import seconds
from .spoken import Spoken
from .table import Survey

SLACK = 0.0005  # seconds: times are written in milliseconds
HEAD = """# Who speaks in each shot of {footage}: change `speaks` to another face's number, a list of numbers, or none.
# A shot can be divided: copy its line and give both their own `from` and `to` (seconds). Then
#   wav2lip-hq run {footage} SPEECH OUTPUT --plan {name}
"""


def _listed(value: Any) -> Any:
    """``speaks`` as a list, however it was written."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none", "nobody", "no")):
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


class Place(BaseModel):
    """Where a face is seen at one moment: seconds of the footage, and the middle of its box."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seen: float = Field(ge=0, allow_inf_nan=False)
    at: tuple[float, float]


class PlannedShot(BaseModel):
    """From when to when (seconds) which faces are dubbed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: float = Field(alias="from", ge=0, allow_inf_nan=False)
    end: float = Field(alias="to", gt=0, allow_inf_nan=False)
    faces: tuple[int, ...] = ()
    speaks: Annotated[tuple[int, ...], BeforeValidator(_listed)]
    confidence: float | None = None


class Plan(BaseModel):
    """A whole plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    footage: str = ""
    sha256: str = ""
    faces: dict[int, Place]
    shots: tuple[PlannedShot, ...]


def planned(survey: Survey, footage: str) -> Plan:
    """The plan that a survey of all faces suggests: the face that speaks where that was measured, else the face seen
    longest."""
    there, spoken = shots(survey), survey.speakers
    if spoken is None:
        spoken = tuple(
            Spoken(s.first, s.last, _longest(survey, s.tracks), 0.0 if len(s.tracks) > 1 else 1.0) for s in there
        )
    return Plan(
        footage=os.path.basename(footage),
        sha256=survey.footage,
        faces={n: Place.model_validate(_seen(survey, n)) for shot in there for n in shot.tracks},
        shots=tuple(
            PlannedShot.model_validate(
                {
                    "from": round(seconds(survey, one)[0], 3),
                    "to": round(seconds(survey, one)[1], 3),
                    "faces": shot.tracks,
                    "speaks": one.track,
                    "confidence": one.confidence,
                }
            )
            for shot, one in zip(there, spoken, strict=True)
        ),
    )


def _longest(survey: Survey, tracks: Sequence[int]) -> int:
    return max(tracks, key=lambda t: len(frames_of(survey, t)))


def _seen(survey: Survey, track: int) -> dict[str, Any]:
    """A moment in the middle of a face's track."""
    frames = frames_of(survey, track)
    frame = int(frames[len(frames) // 2])
    for faces in (survey.faces, survey.left):
        assert faces.track is not None and faces.box is not None
        found = np.flatnonzero((faces.track == track) & (faces.frame == frame))
        if len(found):
            x1, y1, x2, y2 = (float(v) for v in faces.box[found[0]])
            return {"seen": round(float(survey.times[frame]), 3), "at": (round((x1 + x2) / 2), round((y1 + y2) / 2))}
    raise AssertionError


def text(plan: Plan, name: str) -> str:
    """The plan as YAML, a line a shot. name: of its file, for the hint at its head."""
    lines = [HEAD.format(footage=plan.footage or "FACE", name=name).rstrip()]
    lines += [f"footage: {_quoted(plan.footage)}", f"sha256: {_quoted(plan.sha256)}", "faces:  # where each is seen"]
    for number, place in sorted(plan.faces.items()):
        lines.append(f"  {number}: {{seen: {place.seen:g}, at: [{place.at[0]:g}, {place.at[1]:g}]}}")
    lines.append("shots:")
    for shot in plan.shots:
        speaks = "none" if not shot.speaks else str(shot.speaks[0]) if len(shot.speaks) == 1 else str(list(shot.speaks))
        sure = "" if shot.confidence is None else f", confidence: {shot.confidence:g}"
        lines.append(
            f"- {{from: {shot.start:.3f}, to: {shot.end:.3f}, faces: {list(shot.faces)}, speaks: {speaks}{sure}}}"
        )
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    import json

    return json.dumps(value)


def write(plan: Plan, path: Path) -> None:
    """Write a plan, whole or not at all. Raises OutputError."""
    check_target(path)
    write_text(path, text(plan, path.name))


def read(path: str | os.PathLike[str]) -> Plan:
    """Read a plan. Raises InputError (no such file, not YAML) and OptionError (a plan that contradicts itself)."""
    name = os.fspath(path)
    try:
        found = documents.read(name)
    except OSError as error:
        raise InputError(f"the shot plan {name} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{name} is not a shot plan: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{name} is not a shot plan; make one with 'wav2lip-hq survey FACE --plan {name}'")
    try:
        plan = Plan.model_validate(found)
    except ValidationError as error:
        raise OptionError(f"{name}: {_said(error)}") from error
    _checked(plan, name)
    return plan


def _said(error: ValidationError) -> str:
    """The first of pydantic's errors in plain words."""
    first = error.errors()[0]
    where = [f"shot {p + 1}" if isinstance(p, int) and n and first["loc"][n - 1] == "shots" else str(p)
             for n, p in enumerate(first["loc"])]  # fmt: skip
    place = " ".join(p for p in where if p != "shots")
    what = {"missing": "is missing", "extra_forbidden": "is not known here"}.get(first["type"], first["msg"])
    return f"{place}: {what}" if first["type"] not in ("missing", "extra_forbidden") else f"'{place}' {what}"


def _checked(plan: Plan, name: str) -> None:
    before: PlannedShot | None = None
    for number, shot in enumerate(plan.shots, 1):
        if shot.end <= shot.start:
            raise OptionError(f"{name}: shot {number} ends at {shot.end:g} s, before it begins")
        for face in shot.speaks:
            if face not in plan.faces:
                there = ", ".join(str(n) for n in sorted(plan.faces)) or "none"
                raise OptionError(f"{name}: shot {number}: there is no face {face}; there is {there}")
        if before is not None and shot.start < before.end - SLACK:
            raise OptionError(f"{name}: shot {number} begins at {shot.start:g} s, before the one above it has ended")
        before = shot


def apply(plan: Plan, survey: Survey, name: str = "the shot plan") -> Survey:
    """The survey with only the faces that speak by the plan; nobody does outside its shots.

    Raises OptionError: a survey in which other faces were left out, or that has no face where the plan knows one.
    """
    made = str(survey.made.get("track.faces", "all"))
    if made != "all":
        raise OptionError(
            f"{name} needs a survey of all faces, and this one followed track.faces={made}; survey again with "
            "--set track.faces=all"
        )
    faces = survey.faces
    assert faces.track is not None
    wanted = {n for shot in plan.shots for n in shot.speaks}
    tracks = {n: _track(survey, n, plan.faces[n], name) for n in sorted(wanted)}
    times = survey.times[faces.frame]
    gone = np.ones(len(faces), bool)
    for shot in plan.shots:
        inside = (times >= shot.start - SLACK) & (times < shot.end - SLACK)
        gone &= ~(inside & np.isin(faces.track, [tracks[n] for n in shot.speaks]))
    return survey.leave(gone, Reason.NOT_CHOSEN)


def _track(survey: Survey, number: int, place: Place, name: str) -> int:
    """The survey's track of a face in the plan: the one that is where the plan says."""
    frame = int(np.searchsorted(survey.times, place.seen - SLACK))
    for faces in (survey.faces, survey.left):
        assert faces.track is not None and faces.box is not None
        for n in np.flatnonzero(faces.frame == frame):
            x1, y1, x2, y2 = faces.box[n]
            if x1 <= place.at[0] <= x2 and y1 <= place.at[1] <= y2:
                return int(faces.track[n])
    raise OptionError(
        f"{name}: face {number} is not at {place.at[0]:g}, {place.at[1]:g} at {place.seen:g} s; the plan is of other "
        "footage, or this survey did not find that face: make the plan again"
    )
