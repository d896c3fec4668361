"""Surveys on disk: one zip of plain arrays and a JSON header. Nothing in it is executed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, OutputError
from ..mesh import POINTS
from ..places import beside, check_target
from ..types import Array, Faces, Manner
from .shown import Shown, SurveyedTrack
from .spoken import Heard, Spoken
from .table import Survey

FORMAT, VERSION = "wav2lip_hq survey", 1
LARGEST = 4 << 30  # bytes unpacked: a day of footage
# Against zip bombs: a survey unpacks to at most SMALL bytes plus PACKED times the size of its file.
SMALL, PACKED = 64 << 20, 50
_FIGURES = ("closed", "wide", "spread")


def footage_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of footage's content: of a file, or of the names and contents of a folder's files. "" for what is
    neither (a pattern, a pipe)."""
    place = Path(path)
    if os.path.isdir(place):
        inside = hashlib.sha256()
        for item in sorted(p for p in place.iterdir() if p.is_file()):
            inside.update(f"{item.name}\0{footage_hash(item)}\n".encode())
        return inside.hexdigest()
    if not os.path.isfile(place):
        return ""
    facts = os.stat(place)
    return _file_hash(place.absolute(), facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=256)
def _file_hash(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file; an hour of footage is read once, however often it is asked for."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(survey: Survey, path: str | os.PathLike[str]) -> Path:
    """Write a survey under its name once it is complete. Raises OutputError."""
    target = Path(path)
    arrays: dict[str, Array] = {"times": survey.times}
    if survey.coded is not None:  # neighboring rows differ little, so their differences pack well
        arrays["coded"] = np.diff(survey.coded, axis=0, prepend=np.zeros((1, POINTS, 2), np.int16))
    for group in ("faces", "left"):
        for name, value in vars(getattr(survey, group)).items():
            if value is not None:
                arrays[f"{group}.{name}"] = value
    tracks = []
    for number, track in survey.tracks.items():
        fact: dict[str, Any] = {name: getattr(track, name) for name in _FIGURES}
        fact["number"] = number
        if track.neutral is not None:
            arrays[f"track.{number}.neutral"] = track.neutral
        if track.manner is not None:
            arrays[f"track.{number}.manner"] = track.manner.weights
            fact |= {"lead": track.manner.lead, "network": track.manner.network}
        arrays |= _pictures(f"track.{number}.mouths", track.mouths)
        arrays |= _pictures(f"track.{number}.references", track.references)
        arrays |= _blobs(f"track.{number}.views", track.views)
        tracks.append(fact)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "size": survey.size,
        "whole": survey.whole,
        "footage": survey.footage,
        "made": survey.made,
        "tracks": tracks,
        "speakers": None if survey.speakers is None else [dataclasses.asdict(one) for one in survey.speakers],
    }
    arrays["header"] = np.frombuffer(json.dumps(header, default=str).encode(), np.uint8)
    check_target(target)
    temporary = beside(target)
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"the survey cannot be written to {target} ({error.strerror or error})") from error
    finally:  # of whatever ended it, SIGTERM included
        temporary.unlink(missing_ok=True)
    return target


def _pictures(name: str, shown: Sequence[Shown]) -> dict[str, Array]:
    if not shown:
        return {}
    blobs = [s.packed().picture for s in shown]
    return _blobs(name, [b for b in blobs if isinstance(b, bytes)]) | {
        f"{name}.mesh": np.stack([s.mesh for s in shown]),
        f"{name}.pose": np.stack([s.pose for s in shown]),
        f"{name}.number": np.array([s.number for s in shown], np.int64),
        f"{name}.light": np.array([s.light for s in shown], np.float64),
        f"{name}.opening": np.array([s.opening for s in shown], np.float64),
    }


def _blobs(name: str, blobs: Sequence[bytes]) -> dict[str, Array]:
    return {
        f"{name}.jpeg": np.frombuffer(b"".join(blobs), np.uint8),
        f"{name}.lengths": np.array([len(b) for b in blobs], np.int64),
    }


def load(path: str | os.PathLike[str]) -> Survey:
    """Read a survey. Raises InputError: no such file, no survey, damaged, or of a newer version."""
    source = Path(path)
    if not os.path.isfile(source):
        raise InputError(f"there is no survey {source}; make one with 'wav2lip-hq survey FACE --out {source}'")
    try:
        with zipfile.ZipFile(source) as zipped:
            unpacked = sum(item.file_size for item in zipped.infolist())
            if unpacked > min(LARGEST, SMALL + PACKED * os.path.getsize(source)):
                raise InputError(f"{source} would unpack to {unpacked >> 20} MiB; that is not a survey")
        with np.load(source, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(bytes(arrays["header"]))
        if header["format"] != FORMAT:
            raise InputError(f"{source} is not a survey")
        if header["version"] > VERSION:
            raise InputError(f"{source} was made by a newer wav2lip_hq (survey version {header['version']})")
        return _built(header, arrays)
    except InputError:
        raise
    except Exception as error:  # a damaged archive raises nearly anything
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{source} is not a survey, or it is damaged ({why}); make it again") from error


def _built(header: dict[str, Any], arrays: dict[str, Array]) -> Survey:
    groups = {}
    for group in ("faces", "left"):
        groups[group] = Faces(
            **{name.partition(".")[2]: value for name, value in arrays.items() if name.startswith(f"{group}.")}
        )
        lengths = {len(value) for value in vars(groups[group]).values() if value is not None}
        if len(lengths) != 1:
            raise ValueError(f"columns of {sorted(lengths)} rows")
    coded = arrays.get("coded")
    if coded is not None:
        if coded.shape != (len(groups["faces"]), POINTS, 2):
            raise ValueError(f"meshes of shape {coded.shape}")
        coded = np.cumsum(coded, axis=0, dtype=np.int16)
    tracks = {}
    for fact in header["tracks"]:
        name = f"track.{int(fact['number'])}"
        figures: dict[str, Any] = {figure: float(fact[figure]) for figure in _FIGURES}
        tracks[int(fact["number"])] = SurveyedTrack(
            **figures,
            neutral=arrays.get(f"{name}.neutral"),
            mouths=_shown(f"{name}.mouths", arrays),
            references=_shown(f"{name}.references", arrays),
            views=tuple(_split(f"{name}.views", arrays)),
            manner=_manner(fact, arrays.get(f"{name}.manner")),
        )
    width, height = header["size"]
    return Survey(
        times=arrays["times"],
        size=(int(width), int(height)),
        faces=groups["faces"],
        left=groups["left"],
        coded=coded,
        tracks=tracks,
        whole=bool(header["whole"]),
        footage=str(header["footage"]),
        made=dict(header["made"]),
        speakers=_speakers(header.get("speakers")),
    )


def _manner(fact: dict[str, Any], weights: Array | None) -> Manner | None:
    if weights is None:
        return None
    lead = float(fact["lead"])
    if weights.ndim != 1 or not np.isfinite(weights).all() or not 0 <= lead <= 1:
        raise ValueError(f"a manner of {weights.shape} numbers with a lead of {lead} s")
    return Manner(np.asarray(weights, np.float64), lead, str(fact["network"]))


def _speakers(rows: Any) -> tuple[Spoken, ...] | None:
    if rows is None:
        return None
    return tuple(Spoken(**{**row, "heard": tuple(Heard(**h) for h in row["heard"])}) for row in rows)


def _split(name: str, arrays: dict[str, Array]) -> list[bytes]:
    if f"{name}.jpeg" not in arrays:
        return []
    data, ends = bytes(arrays[f"{name}.jpeg"]), np.cumsum(arrays[f"{name}.lengths"]).tolist()
    return [data[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _shown(name: str, arrays: dict[str, Array]) -> tuple[Shown, ...]:
    columns = [arrays.get(f"{name}.{c}", np.zeros(0)) for c in ("number", "mesh", "pose", "light", "opening")]
    return tuple(
        Shown(int(number), picture, points, pose, float(light), float(opening))
        for picture, number, points, pose, light, opening in zip(_split(name, arrays), *columns, strict=True)
    )


def load_person(path: str) -> SurveyedTrack:
    """The person in a saved survey. Raises InputError that names it."""
    try:
        return load(path).person
    except InputError as error:
        raise InputError(f"person {path}: {error}") from error
