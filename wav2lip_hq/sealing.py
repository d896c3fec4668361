"""The one place where results are signed: for ``HQPipeline.run`` and for batches alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from .label import label_text
from .provenance import Claim, Input, Moved, Seal, load_identity, read, read_consent
from .provenance.identity import exists
from .provenance.library import OTHERS, c2pa
from .provenance.seal import sidecar_of
from .run_options import RunOptions
from .session import Session
from .stages.watermark import Watermark
from .survey import footage_hash
from .types import Stretch

LEFT_OUT = "left out, as asked: the result says nowhere that it is synthetic (--without-provenance)"


def ready(options: RunOptions) -> None:
    """Check that results can be signed, without making an identity. Raises InputError, OutputError, OptionError."""
    read_consent(options.consent)
    label_text(options.label)
    if not options.without_provenance:
        c2pa()
        if exists():
            load_identity(make=False)


def prepared(session: Session, output: str | os.PathLike[str]) -> Seal | None:
    """What will sign the output; None if that is not wanted. Called before anything is rendered, so that what would
    keep it from being signed is known then. Raises InputError, OptionError, OutputError."""
    options = session.options
    consent = read_consent(options.consent)
    if options.without_provenance:
        return None
    c2pa()
    identity = load_identity()
    if identity.warning:
        session.runtime.warn(identity.warning)
    target = Path(os.fspath(output))
    claim = Claim(
        title=target.name,
        source=_input(session.reader.info.path, "frames from memory"),
        speech=tuple(_input(voice.name, "samples from memory") for voice in session.voices),
        stages=list(dict.fromkeys(stage.name for voice in session.voices for stage in voice.stages)),
        consent=consent,
        label=label_text(options.label),
    )
    return Seal(identity, claim, target)


def kept(source: Path, output: Path, later_ms: float) -> Seal | None:
    """What will sign a copy of ``source`` with its sound moved, so that its manifest is not lost: it becomes the copy's
    ingredient. None if it has none. Raises InputError, OutputError."""
    found = read(source)
    if not found.signer:
        return None
    seal = Seal(load_identity(), Moved(output.name, Input(source.name, source), (), later_ms=later_ms), output)
    if found.where != "embedded":
        stays = Path(found.where).name
        seal.warnings.append(f"{source.name} is named as its parent without the manifest, which stays in {stays}")
    return seal


def completed(
    seal: Seal | None,
    session: Session,
    frames: int,
    stretches: Iterable[Stretch],
    digest: Callable[[Path], str] = footage_hash,
) -> None:
    """Give the seal what is known only at the end: hashes of the inputs, the weights, which frames changed.

    digest: computes the SHA-256 of a file or folder, and may cache it."""
    if seal is None:
        return
    stages = [stage for voice in session.voices for stage in voice.stages]
    seal.claim = replace(
        seal.claim,
        source=_hashed(seal.claim.source, digest),
        speech=tuple(_hashed(one, digest) for one in seal.claim.speech),
        models={name: session.runtime.model(name).sha256 for stage in stages for name in stage.models},
        frames=frames,
        changed=_changed(stretches),
        marks=tuple(dict.fromkeys(f"{stage.number:08x}" for stage in stages if isinstance(stage, Watermark))),
    )


def finisher(seal: Seal | None, output: str | os.PathLike[str]) -> Callable[[Path], None]:
    """What is done with the finished file before it gets its name: it is signed; if that is not wanted, a manifest that
    belongs to the file it replaces is removed."""
    if seal is not None:
        return seal.finish
    target = Path(os.fspath(output))

    def unsigned(_: Path) -> None:
        if target.suffix.lower() in OTHERS and target.exists():
            sidecar_of(target).unlink(missing_ok=True)

    return unsigned


def said(seal: Seal | None) -> str:
    """For the report: who signed, and where the manifest is."""
    if seal is None:
        return LEFT_OUT
    where = "" if seal.where == "embedded" else f", manifest in {seal.where}"
    new = f"; this identity was made now, in {seal.identity.folder}" if seal.identity.made else ""
    return f"signed by {seal.identity.chain.name}{where}{new}"


def _changed(stretches: Iterable[Stretch]) -> Sequence[tuple[int, int, int]]:
    """(face, first, last) of what was synthesized; stretches that follow each other, of parts say, are one."""
    out: dict[int, list[tuple[int, int]]] = {}
    made = [s for s in stretches if s.reason is None and s.track is not None]
    for s in sorted(made, key=lambda s: s.first):
        rows = out.setdefault(s.track or 0, [])
        if rows and s.first <= rows[-1][1] + 1:
            rows[-1] = (rows[-1][0], max(rows[-1][1], s.last))
        else:
            rows.append((s.first, s.last))
    return sorted(((face, a, b) for face, rows in out.items() for a, b in rows), key=lambda row: (row[1], row[0]))


def _input(name: str, otherwise: str) -> Input:
    return Input(Path(name).name, Path(name)) if name else Input(otherwise)


def _hashed(given: Input, digest: Callable[[Path], str]) -> Input:
    return given if given.path is None else replace(given, sha256=digest(given.path))
