"""Signing a finished file before it gets its name."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import mimetypes
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..places import beside
from .claim import SOURCE, SPEECH, Claim, Input
from .identity import Identity
from .library import EMBEDS, OTHERS, c2pa, context, reason

SPARE = 1 << 20  # bytes of room for a manifest
_UNKNOWN = "application/octet-stream"


# In a folder whose pictures can hold no manifest: their hashes, as ``sha256sum --check`` reads them.
LIST = "pictures.sha256"


def sidecar_of(path: Path) -> Path:
    """The manifest's path for a file whose container cannot hold one: the name that other readers look for, too."""
    return path.with_suffix(".c2pa")


def listing(pictures: Iterable[Path]) -> str:
    """A line for each file: its SHA-256 and name."""
    lines = []
    for picture in pictures:
        with picture.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {picture.name}\n")
    return "".join(lines)


@dataclass
class Seal:
    """Signs one result. ``claim`` may be replaced by a fuller one until the file is complete.

    where: "embedded" or the sidecar's path, once signed; warnings: problems that did not prevent signing."""

    identity: Identity
    claim: Claim
    output: Path
    where: str = ""
    warnings: list[str] = field(default_factory=list)
    _ingredients: list[bytes] | None = None
    _silent: bool = False  # the timestamp server does not answer

    def finish(self, temporary: Path) -> None:
        """Sign ``temporary``, a file or a folder of pictures that will be called ``output``. Raises OutputError."""
        if temporary.is_dir():
            self._folder(temporary)
            return
        suffix = self.output.suffix.lower()
        if suffix in EMBEDS:
            try:
                self._embed(temporary, suffix)
                self.where = "embedded"
                return
            except c2pa().C2paError as error:
                self._roomy(temporary)
                self.warnings.append(f"the manifest stands beside the file: {suffix} refuses it ({reason(error)})")
        self._beside(temporary, EMBEDS.get(suffix) or OTHERS.get(suffix) or _UNKNOWN, sidecar_of(self.output))
        self.where = str(sidecar_of(self.output))

    def _folder(self, folder: Path) -> None:
        """Sign each PNG picture; of others, which hold no manifest, a list of their hashes."""
        pictures = sorted(p for p in folder.iterdir() if p.is_file())
        if all(p.suffix == ".png" for p in pictures):
            for picture in pictures:
                self._embed(picture, ".png")
            self.where = "embedded"
            return
        listed = folder / LIST
        try:
            listed.write_text(listing(pictures), encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error
        self._beside(listed, _UNKNOWN, sidecar_of(listed))
        self.where = str(self.output / sidecar_of(listed).name)

    def _embed(self, path: Path, suffix: str) -> None:
        """Put a manifest into a file. Raises the library's error, and OutputError."""
        self._roomy(path)
        signed = beside(path)
        try:
            self._sign(path, signed, EMBEDS[suffix])
            with signed.open("rb+") as file:
                os.fsync(file.fileno())
            shutil.copymode(path, signed)
            os.replace(signed, path)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise self._failed(error) from error
        finally:
            signed.unlink(missing_ok=True)

    def _beside(self, path: Path, kind: str, target: Path) -> None:
        """Write a manifest into a file of its own, ``target``."""
        temporary = beside(target)
        try:
            manifest = self._sign(path, None, kind)
            temporary.write_bytes(manifest)
            os.replace(temporary, target)
        except (OSError, c2pa().C2paError) as error:
            raise self._failed(error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _sign(self, path: Path, signed: Path | None, kind: str) -> bytes:
        """The manifest of a file; with ``signed`` it is written there, inside a copy of the file.

        If the timestamp server does not answer, the result is signed without a time: hours of work are not lost."""
        library = c2pa()
        stamped = bool(self.identity.timestamp) and not self._silent
        try:
            return self._signed(path, signed, kind, stamped)
        except library.C2paError as error:
            if not stamped:
                raise
            manifest = self._signed(path, signed, kind, False)  # raises again if the server was not the reason
            self._silent = True
            self.warnings.append(
                f"signed without a time: the timestamp server {self.identity.timestamp} failed ({reason(error)})"
            )
            return manifest

    def _signed(self, path: Path, signed: Path | None, kind: str, stamped: bool) -> bytes:
        signer, builder = self.identity.signer(stamped), self._builder()
        if signed is None:
            builder.set_no_embed()
        with path.open("rb") as file, (signed or Path(os.devnull)).open("w+b") as room:
            return bytes(builder.sign(signer, kind, file, room))

    # ---- what goes in

    def _builder(self) -> Any:
        """The manifest with its ingredients, which are looked at once however many pictures are signed."""
        if self._ingredients is None:
            self._ingredients = self._looked_at()
        builder = self._new_builder()
        for archive in self._ingredients:
            builder.add_ingredient_from_archive(io.BytesIO(archive))
        return builder

    def _new_builder(self) -> Any:
        return c2pa().Builder(json.dumps(self.claim.definition()), context(self.identity.chain.root))

    def _looked_at(self) -> list[bytes]:
        """Each ingredient with what was found in its file, as the library keeps it."""
        given = [(f"{SPEECH}{n}", "inputTo", one) for n, one in enumerate(self.claim.speech)]
        if self.claim.source.path is not None:
            given.insert(0, (SOURCE, "parentOf", self.claim.source))
        builder, archives = self._new_builder(), []
        for called, relation, one in given:
            self._add(builder, one, relation, called)
            archive = io.BytesIO()
            builder.write_ingredient_archive(called, archive)
            archives.append(archive.getvalue())
        return archives

    def _add(self, builder: Any, given: Input, relation: str, called: str) -> None:
        """An ingredient with its own manifest, if it has one that can be read. Folders of pictures and samples from
        memory have none."""
        about = {"title": given.name, "relationship": relation, "label": called}
        if given.path is not None and given.path.is_file():
            kind = mimetypes.guess_type(given.name)[0] or _UNKNOWN
            try:
                with given.path.open("rb") as file:
                    builder.add_ingredient(about, kind, file)
                return
            except c2pa().C2paError as error:
                self.warnings.append(f"{given.name} is named without a manifest of its own: {reason(error)}")
        builder.add_ingredient(about, _UNKNOWN, io.BytesIO(b"\0"))

    # ---- what can go wrong

    def _roomy(self, path: Path) -> None:
        """Raise OutputError if there is no room for a second copy, which the library would call something else."""
        if shutil.disk_usage(path.parent).free < path.stat().st_size + SPARE:
            full = OutputError(
                f"the disk of {self.output.parent} is full: signing needs room for {self.output.name} twice"
            )
            full.errno = errno.ENOSPC
            raise full

    def _failed(self, error: Exception) -> OutputError:
        failed = OutputError(
            f"{self.output} could not be signed ({reason(error)}); --without-provenance leaves the manifest out"
        )
        if isinstance(error, OSError):
            failed.errno = error.errno
        return failed
