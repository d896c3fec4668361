"""Checkpoints: the registry of known ones, verified fetch, safe loading, atomic saving.

Looked for in: the folders of $WAV2LIP_HQ_CHECKPOINTS, the user's cache, the project's ``checkpoints/`` folder, the
weights packed into the wheel. ``load`` takes a name or a path; only ``fetch`` uses the network.
"""

from __future__ import annotations

from .catalog import (
    EMBEDDED,
    Entry,
    Notes,
    Registry,
    Variant,
    cache_dir,
    fitting,
    locate,
    own_checkpoints,
    registry,
    where,
)
from .fetching import agree, fetch, license_text
from .files import load_state, save, sha256, stated_arch
from .importing import import_file
from .loading import LoadedModel, describe, load, missing
from .verifying import Check, verify

__all__ = [
    "EMBEDDED",
    "Check",
    "Entry",
    "LoadedModel",
    "Notes",
    "Registry",
    "Variant",
    "agree",
    "cache_dir",
    "describe",
    "fetch",
    "fitting",
    "import_file",
    "license_text",
    "load",
    "load_state",
    "locate",
    "missing",
    "own_checkpoints",
    "registry",
    "save",
    "sha256",
    "stated_arch",
    "verify",
    "where",
]
