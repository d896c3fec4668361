"""What an avatar keeps: copies of the face, the note of consent and weights, and surveys."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import checkpoints, video
from ..errors import CheckpointError, InputError, NoFaceError
from ..places import MOVIES, PICTURES, write_text
from ..provenance.consent import Consent

if TYPE_CHECKING:
    from ..pipeline import HQPipeline
    from ..survey import Survey


def looked_at(face: Path) -> dict[str, Any]:
    """Facts of a face that is to be added. Raises InputError."""
    if face.is_dir() or "%" in face.name or face.suffix.lower() not in MOVIES | PICTURES:
        raise InputError(f"{face}: an avatar is a video file or a photograph ({', '.join(sorted(MOVIES | PICTURES))})")
    with video.open_video(str(face)) as reader:
        next(iter(reader))  # a frame that can be decoded
        info = reader.info
    return {
        "kind": "photograph" if info.still else "video",
        "size": [info.width, info.height],
        "seconds": 0.0 if info.still else round(float(info.duration or 0), 3),
    }


def learned_weights(given: str) -> dict[str, Path]:
    """Personalized weights by task. Raises CheckpointError."""
    if not given:
        return {}
    if os.path.isfile(given):
        return {"generator": Path(given)}
    found = {"generator": checkpoints.locate(given), "restorer": None}
    if found["generator"] is None:
        raise CheckpointError(f"there are no weights '{given}'; `wav2lip-hq personalize` makes some")
    if f"{given}-restorer" in checkpoints.own_checkpoints():
        found["restorer"] = checkpoints.locate(f"{given}-restorer")
    return {task: path for task, path in found.items() if path is not None}


def copied(source: Path, target: Path) -> str:
    """Copy a file; its SHA-256. Raises InputError (unreadable)."""
    digest = hashlib.sha256()
    try:
        read = source.open("rb")
    except OSError as error:
        raise InputError(f"{source} cannot be read ({error.strerror})") from error
    with read, target.open("wb") as write:
        while block := read.read(1 << 20):
            digest.update(block)
            write.write(block)
    return digest.hexdigest()


def copied_as(source: Path, target: Path) -> str:
    """Copy a file; its name there."""
    copied(source, target)
    return target.name


def keep_note(note: Consent, given: Path | None, place: Path) -> str:
    """The note of consent as a file of the entry; its name."""
    if given is None:
        write_text(place / "consent.txt", note.text + "\n")
        return "consent.txt"
    ending = given.suffix.lower() if re.fullmatch(r"\.[a-z0-9]{1,8}", given.suffix.lower()) else ".bin"
    return copied_as(given, place / f"consent{ending}")


def surveyed(
    place: Path,
    face: Path,
    pipeline: HQPipeline,
    on_progress: Callable[[int, int | None], None] | None,
    name: str,
) -> Survey | None:
    """The survey of a face, kept in ``place`` or made now; None for stages without one. Raises NoFaceError that calls
    the face ``name``."""
    from .. import survey as surveys
    from ..survey.collector import split_stages
    from ..survey.shared import described, networks, speakers_followed

    stages = speakers_followed(split_stages(pipeline.stages)[0])
    if not stages:
        return None
    weights = networks(stages, pipeline.stages, pipeline.runtime)
    facts = json.dumps([1, described(stages), weights], sort_keys=True, default=str)
    path = place / f"survey-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.npz"
    if path.is_file():
        try:
            return surveys.load(path)
        except InputError:  # damaged: made again
            path.unlink(missing_ok=True)
    made = pipeline.survey(face, on_progress=on_progress)
    if not made.numbers:
        raise NoFaceError(
            f"no face was found in {name}; is there one at least 20 pixels wide, upright, not in profile?"
        )
    surveys.save(made, path)
    return made
