"""Getting checkpoints: resumable, mirrored, verified downloads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import CheckpointError, OptionError, OutputError
from .catalog import EMBEDDED, Entry, Notes, Registry, Variant, cache_dir, locate, registry
from .files import sha256
from .loading import check_hash, missing
from .transfer import TIMEOUT, Dead, Progress, download, truncate
from .verifying import check_arch, first_use

Accept = bool | Callable[[Entry], bool]


def license_text(entry: Entry) -> str:
    """What a user has to know before accepting, as a few lines."""
    use = {
        "yes": "allowed",
        "no": "NOT allowed",
    }.get(entry.commercial, "unclear: ask the authors before using it commercially")
    return (
        f"{entry.title} ({entry.name})\n"
        f"  license: {entry.license}\n  stated by: {entry.license_origin}\n  commercial use: {use}"
    )


def fetch(
    name: str,
    *,
    accept: Accept = False,
    progress: Progress | None = None,
    directory: Path | None = None,
    force: bool = False,
    catalog: Registry | None = None,
    timeout: float = TIMEOUT,
    pause: float = 1.0,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Download a checkpoint into the cache (or ``directory``) unless it is installed already; returns its path.

    Embedded weights are part of the installation and are never downloaded.

    accept: True, or a function shown the entry that returns whether the user accepts its license; asked once for each
    license. A broken download of a file with a known hash is kept as FILE.part and continued by the next call.
    ``pause`` seconds (doubling) pass between attempts at one mirror. ``say`` gets one-line remarks. Raises OptionError
    (unknown name, license not accepted), CheckpointError (no mirror gave the right file), OutputError (cannot write,
    disk full).
    """
    catalog = catalog or registry()
    say = say or (lambda text: None)
    if name in EMBEDDED and catalog.get(name) is None:  # part of the installation: there is nothing to download
        if (present := locate(name)) is None:
            raise missing(name)
        return present
    entry = catalog.require(name)
    folder = directory or cache_dir()
    present = folder / entry.file if directory else locate(entry.name) or folder / entry.file
    if present.is_file() and not force:
        digest = sha256(present)
        try:
            check_hash(entry, present, digest)
            return present
        except CheckpointError as error:
            say(str(error))
    if not entry.fetchable:
        note = f" {entry.note}" if entry.note else ""
        raise CheckpointError(
            f"no download address is known for '{entry.name}'.{note} If you have the file:\n"
            f"    wav2lip-hq checkpoints import {entry.file} --name {entry.name}"
        )
    agree(entry, accept)

    target = folder / entry.file
    problems: list[str] = []
    for variant in entry.variants:
        for url in variant.urls:
            address = _address(url, catalog)
            try:
                with _part(folder, entry, variant) as part:
                    digest = download(address, part, variant, timeout, pause, progress, say)
                    _check_content(entry, variant, part, digest)
                    if not variant.sha256:
                        try:
                            first_use(entry, digest, say)
                        except CheckpointError:
                            truncate(part)  # complete, and not what it should be
                            raise
                    os.replace(part, target)
                    return target
            except Dead as error:
                problems.append(f"{address}: {error}")
                say(problems[-1])
    raise CheckpointError(
        f"'{entry.name}' could not be downloaded:\n  "
        + "\n  ".join(problems)
        + f"\nIf you get the file another way: wav2lip-hq checkpoints import {entry.file} --name {entry.name}"
    )


def agree(entry: Entry, accept: Accept) -> None:
    """Make sure the license is accepted, now or earlier; raises OptionError if it is not."""
    notes = Notes()
    if notes.accepted(entry):
        return
    if not (accept(entry) if callable(accept) else accept):
        raise OptionError(
            f"the license was not accepted, nothing was downloaded:\n{license_text(entry)}\n"
            f"To accept it: wav2lip-hq checkpoints fetch {entry.name} --accept"
        )
    notes.accept(entry)


def _check_content(entry: Entry, variant: Variant, part: Path, digest: str) -> None:
    """Refuse a file without a full published hash that is not the right kind of network."""
    if len(variant.sha256) == 64:
        return
    try:
        check_arch(entry, part)
    except CheckpointError as error:
        part.unlink(missing_ok=True)
        raise Dead(f"gave something else ({error})") from error


@contextmanager
def _part(folder: Path, entry: Entry, variant: Variant) -> Iterator[Path]:
    """FILE.part, held by one process at a time; a part of another version of the file is thrown away."""
    part = folder / f"{entry.file}.part"
    origin = folder / f"{entry.file}.part.json"
    identity = {"sha256": variant.sha256, "urls": [] if len(variant.sha256) == 64 else list(variant.urls)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            before = json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else None
        except (ValueError, RecursionError):
            before = None
        if before != identity:
            part.unlink(missing_ok=True)
        origin.write_text(json.dumps(identity), encoding="utf-8")
        stream = open(part, "ab")  # noqa: SIM115 - held open for its lock
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write to {folder}: {error}") from error
    try:
        _lock(stream, part)
        yield part
        origin.unlink(missing_ok=True)
    finally:
        stream.close()
        if part.is_file() and part.stat().st_size == 0:
            part.unlink(missing_ok=True)
            origin.unlink(missing_ok=True)


def _lock(stream: Any, part: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: two downloads of one file at once end in a wrong hash, not in a wrong file
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CheckpointError(f"{part}: another download of this file is running") from error


def _address(url: str, catalog: Registry) -> str:
    if url.startswith("gdrive:"):
        return catalog.drive.replace("{id}", quote(url.removeprefix("gdrive:"), safe=""))
    return url
