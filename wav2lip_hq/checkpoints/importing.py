"""Importing checkpoint files the user already has: known ones under their registry names, others under new names."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from ..errors import CheckpointError, OptionError, UnknownNetwork
from ..models import ARCHS
from ..options import suggestion
from .catalog import EMBEDDED, EXTENSIONS, Entry, Registry, Variant, cache_dir, registry
from .files import atomic, load_state, save, sha256
from .loading import describe
from .verifying import check_arch, first_use


def import_file(
    source: str | os.PathLike[str],
    name: str | None = None,
    *,
    catalog: Registry | None = None,
    directory: Path | None = None,
    say: Callable[[str], None] | None = None,
    arch: str | None = None,
) -> tuple[Entry, Path]:
    """Copy a checkpoint the user already has into the cache, after checking that it is what it claims to be.

    name: registry name; None recognizes it by its SHA-256, else by its file name. The file must match a published hash
    where every version of it has one; otherwise its hash is recorded and held to from then on. Any other name makes it
    a checkpoint of the user's own, stored as safetensors and usable wherever a checkpoint is named. arch: key of
    models.ARCHS that it has to be. Returns (entry, path). Raises CheckpointError and OptionError.
    """
    catalog = catalog or registry()
    say = say or (lambda text: None)
    source = Path(os.path.expanduser(source))
    if not os.path.isfile(source):
        raise CheckpointError(f"{source}: no such file")
    if arch is not None and arch not in ARCHS:
        raise OptionError(f"unknown architecture '{arch}'{suggestion(arch, ARCHS)}")
    digest = sha256(source)
    known = catalog.by_hash(digest)
    if name is not None and catalog.get(name) is None:
        if known:
            raise CheckpointError(f"{source}: this is '{known[0].name}' ({known[0].title}); import it without --name")
        return _import_own(source, name, digest, arch, catalog, directory or cache_dir(), say)
    if name is None:
        entry = known[0] if known else next((e for e in catalog if source.name in e.files), None)
        if entry is None:
            raise OptionError(
                f"{source}: neither its SHA-256 ({digest}) nor its name is in the registry; say which checkpoint it is "
                "with --name"
            )
    else:
        entry = catalog.require(name)
    if known and known[0].name != entry.name:
        raise CheckpointError(f"{source}: this is '{known[0].name}' ({known[0].title}), not '{entry.name}'")
    matched = any(v.matches(digest) for v in entry.variants)
    if not matched and all(v.sha256 for v in entry.variants):
        expected = " or ".join(v.sha256 for v in entry.variants)
        raise CheckpointError(
            f"{source}: not the published '{entry.name}', or damaged (SHA-256 {digest}, expected {expected}). To use "
            "weights of your own, give their path in place of a name"
        )
    check_arch(entry, source, arch)
    target = (directory or cache_dir()) / entry.file
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)
        if sha256(temporary) != digest:
            raise CheckpointError(f"{source}: changed while it was being copied")
    if not matched:
        first_use(entry, digest, say, replace=True)
    return entry, target


def _import_own(
    source: Path,
    name: str,
    digest: str,
    arch: str | None,
    catalog: Registry,
    folder: Path,
    say: Callable[[str], None],
) -> tuple[Entry, Path]:
    """Install weights under a name that the registry does not have."""
    near = difflib.get_close_matches(name, (*(e.name for e in catalog), *EMBEDDED), n=1, cutoff=0.85)
    if near:
        raise OptionError(
            f"no checkpoint is called '{name}'; did you mean {near[0]}? A name of your own has to be less like it"
        )
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,100}", name) or name.endswith(EXTENSIONS):
        raise OptionError(f"'{name}' cannot be a checkpoint's name: use letters, digits, '-', '_', no ending")
    target = folder / f"{name}.safetensors"
    taken = next((folder / f"{name}{end}" for end in EXTENSIONS if (folder / f"{name}{end}").exists()), None)
    if taken:
        raise CheckpointError(f"the name '{name}' is taken by {taken}; choose another, or delete that file")
    state, metadata = load_state(source, upcast=False)
    try:
        found, options, card = describe(source, state, metadata, arch)
        kind, title = found.name, found.title
    except UnknownNetwork:
        if arch is not None:
            raise
        kind, title, options, card = "", "network this project does not know", {}, {}
        say("Not a network this project knows: only restore.model can use it, through the package spandrel.")
    card = {**card, "imported": {"file": source.name, "sha256": digest}}
    save(target, state, kind, options, card)
    license = str(card.get("license", card.get("licence", "unknown")))
    entry = Entry(name, title, target.name, kind or None, license, "its own card", "unclear", (Variant((), None, ""),))
    say(f"a {title}: use it as --set STAGE.model={name}")
    return entry, target
