"""Whether installed checkpoints are what they should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError
from ..models import ARCHS
from .catalog import Entry, Notes, Registry, locate, registry
from .files import load_state, sha256
from .loading import check_hash, describe


@dataclass(frozen=True)
class Check:
    """What verify found. state: "ok" | "trusted" | "unverified" | "damaged" | "missing"."""

    name: str
    path: Path | None
    state: str
    sha256: str = ""
    detail: str = ""


def verify(name: str | None = None, *, catalog: Registry | None = None) -> list[Check]:
    """Compare installed files with the known hashes: one checkpoint (OptionError if unknown), or all of them."""
    catalog = catalog or registry()
    return [_verify(entry) for entry in ([catalog.require(name)] if name else catalog)]


def _verify(entry: Entry) -> Check:
    path = locate(entry.name)
    if path is None:
        return Check(entry.name, None, "missing")
    digest = sha256(path)
    for variant in entry.variants:
        if variant.matches(digest):
            return Check(entry.name, path, "ok", digest, f"hash from {variant.hash_origin or 'the registry'}")
    trusted = Notes().trusted(entry.name)
    if trusted == digest:
        return Check(entry.name, path, "trusted", digest, "as first installed; no published hash is known")
    try:
        check_hash(entry, path, digest)
    except CheckpointError as error:
        return Check(entry.name, path, "damaged", digest, str(error))
    return Check(entry.name, path, "unverified", digest, "no published hash is known for this file")


def first_use(entry: Entry, digest: str, say: Callable[[str], None], replace: bool = False) -> None:
    """Record the hash of a file without a published one, or compare it with the one recorded before."""
    notes = Notes()
    before = notes.trusted(entry.name)
    if before and before != digest and not replace:
        raise CheckpointError(
            f"'{entry.name}': the file differs from the one first installed here (SHA-256 {digest}, before {before}). "
            "If that is intended, import the file: wav2lip-hq checkpoints import"
        )
    notes.trust(entry.name, digest)
    say(
        f"No published SHA-256 is known for '{entry.name}'. Its hash {digest} is trusted because it came first; it was "
        "not compared with anything."
    )


def check_arch(entry: Entry, path: Path, arch: str | None = None) -> None:
    """Raise CheckpointError if a file is not the kind of network its entry (or ``arch``) says."""
    if entry.arch is not None and entry.arch in ARCHS:
        state, metadata = load_state(path)
        describe(path, state, metadata, arch or entry.arch)
