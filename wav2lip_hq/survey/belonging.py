"""Whether a survey belongs to footage, and the part of it that fits."""

from __future__ import annotations

from ..errors import InputError, OptionError
from ..types import VideoInfo
from .files import footage_hash, load
from .table import Survey


def belongs(survey: Survey, path: str, name: str) -> None:
    """Raise InputError if the survey is of other footage than ``path``."""
    if survey.footage and path and (found := footage_hash(path)) and found != survey.footage:
        raise InputError(f"the survey {name} is of other footage than {path}, or that has changed since; make it again")


def between(info: VideoInfo) -> list[float]:
    """In point and length of footage in seconds, as a survey keeps them."""
    return [float(info.begins), float(info.duration or 0)]


def fitting(survey: Survey, info: VideoInfo, name: str) -> Survey:
    """The survey in the footage's own time: as it is, or the part of one of the whole file that lies between in and out
    point. Raises InputError where it was made of another piece, OptionError for stretched footage."""
    if info.slowed != 1:
        raise OptionError(f"the survey {name} is of the footage as it is, not stretched; leave it out")
    made, wanted = survey.made.get("between"), between(info) if info.cut else None
    if made == wanted:
        return survey
    if made is None:
        return survey.within(info.begins, None if info.duration is None else info.begins + info.duration)
    raise InputError(
        f"the survey {name} is of {made[1]:.2f} s from {made[0]:.2f} s on; survey the whole, or this piece"
    )


def given_survey(name: str, info: VideoInfo) -> Survey:
    """A saved survey, for footage that it has to be of. Raises InputError, OptionError; see ``fitting``."""
    survey = load(name)
    belongs(survey, info.path, name)
    return fitting(survey, info, name)
