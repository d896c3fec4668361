"""From a checkpoint's name or path to a network with its weights."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, OptionError, UnknownNetwork
from ..models import ARCHS, Arch, build, identify
from ..options import suggestion
from .catalog import EMBEDDED, EXTENSIONS, Entry, Notes, fitting, locate, registry
from .files import LARGEST, load_state, sha256

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode on the CPU in float32, and where it came from."""

    module: nn.Module
    arch: Arch
    name: str
    path: Path
    sha256: str
    options: dict[str, Any]
    license: str
    card: dict[str, Any] = field(default_factory=dict)  # the file's own metadata (recipe, metrics)


def load(name_or_path: str | os.PathLike[str], expect: str | tuple[str, ...] | None = None) -> LoadedModel:
    """Build the network a checkpoint is for and load it.

    name_or_path: a registry name ("wav2lip_gan"), an embedded one ("embedded-generator") or a file. expect: the
    architecture(s), as in models.ARCHS, that fit the slot. The file's SHA-256 is checked wherever one is known. Raises
    CheckpointError: not installed (with the command that fetches it), damaged, unsafe, or another kind of network.
    """
    entry, path = _find(name_or_path, expect)
    digest = sha256(path)
    if entry is not None:
        check_hash(entry, path, digest)
    state, metadata = load_state(path)
    arch, options, card = describe(path, state, metadata, expect)
    module = _built(arch, options, state, path)
    _fill(module, state, path, arch)
    name = entry.name if entry is not None else str(name_or_path)
    license = entry.license if entry is not None else str(card.get("license", card.get("licence", "")))
    return LoadedModel(module.eval(), arch, name, path, digest, options, license, card)


def missing(name: str, expect: str | tuple[str, ...] | None = None) -> CheckpointError:
    """The error for a checkpoint that is not installed, with the exact command that installs it. expect: the
    architecture(s) that fit; of an unknown name only checkpoints of these are suggested."""
    entry = registry().get(name)
    if entry is None:
        if name in EMBEDDED:
            return CheckpointError(f"the embedded weights '{name}' are missing from this installation; reinstall it")
        if expect:
            names = fitting((expect,) if isinstance(expect, str) else expect)
            return CheckpointError(
                f"no checkpoint is called '{name}'{suggestion(name, names)}; a path to a file works too"
            )
        try:
            registry().require(name)
        except OptionError as error:
            return CheckpointError(f"{error}; a path to a file works too")
        raise AssertionError("unreachable")
    if entry.fetchable:
        how = f"Get it with:\n    wav2lip-hq checkpoints fetch {entry.name}"
    else:
        how = (
            "No download address is known for it. If you have the file:\n"
            f"    wav2lip-hq checkpoints import {entry.file} --name {entry.name}"
        )
    return CheckpointError(f"the checkpoint '{entry.name}' ({entry.title}) is not installed. {how}")


def describe(
    path: Path, state: dict[str, Tensor], metadata: dict[str, str], expect: str | tuple[str, ...] | None = None
) -> tuple[Arch, dict[str, Any], dict[str, Any]]:
    """(architecture, builder options, card) of a loaded state dict; raises CheckpointError if it is not ``expect``."""
    card = _json(metadata.get("card"))
    try:
        found = identify(state)
    except (ValueError, ArithmeticError, IndexError) as error:  # numbers in names and shapes that no network has
        raise CheckpointError(f"{path}: damaged, its tensors make no network ({str(error)[:200]})") from error
    stated = metadata.get("arch", "")
    if stated in ARCHS and (found is None or found[0] == stated):
        found = (stated, {**(found[1] if found else {}), **_json(metadata.get("options"))})
    wanted = (expect,) if isinstance(expect, str) else expect
    titles = " or ".join(ARCHS[w].title if w in ARCHS else w for w in wanted) if wanted else ""
    if found is None:
        sample = ", ".join(list(state)[:3])
        raise UnknownNetwork(
            f"{path}: not a network this project knows (it holds {len(state)} tensors: {sample}, ...)"
            + (f", expected a {titles}" if titles else ""),
            path,
        )
    arch = ARCHS[found[0]]
    if wanted and arch.name not in wanted:
        raise CheckpointError(f"{path}: this is a {arch.title}, expected a {titles}")
    return arch, found[1], card


def check_hash(entry: Entry, path: Path, digest: str) -> None:
    """Raise CheckpointError if an installed file is known not to be the one published (or first installed) there."""
    if path.name == f"{entry.name}.safetensors" and entry.file != path.name:
        return  # the user's own conversion: no published hash can apply
    if any(v.matches(digest) for v in entry.variants):
        return
    trusted = Notes().trusted(entry.name)
    if trusted and trusted == digest:
        return
    # A variant without a hash could be any file; a mismatch proves something only where every variant has a hash.
    unknown = any(not v.sha256 for v in entry.variants)
    if unknown and not trusted:
        return
    expected = trusted or " or ".join(v.sha256 for v in entry.variants if v.sha256)
    raise CheckpointError(
        f"{path}: not the published '{entry.name}', or damaged (SHA-256 {digest}, expected {expected}). To install it "
        f"anew: wav2lip-hq checkpoints fetch {entry.name}. To use a file of your own, give its path, not this name"
    )


def _find(
    name_or_path: str | os.PathLike[str], expect: str | tuple[str, ...] | None = None
) -> tuple[Entry | None, Path]:
    if isinstance(name_or_path, str):
        name = name_or_path
        path = locate(name)
        if path is not None:
            return registry().get(name), path
        looks_like_path = "/" in name or os.sep in name or name.endswith(EXTENSIONS)
        if name in registry() or not (looks_like_path or os.path.isfile(name)):
            raise missing(name, expect)
    path = Path(os.path.expanduser(name_or_path))
    if not os.path.isfile(path):
        raise CheckpointError(f"{path}: no such checkpoint file")
    return None, path


def _built(arch: Arch, options: dict[str, Any], state: dict[str, Tensor], path: Path) -> nn.Module:
    """The network with random weights. A file may describe a network of any size, so it is first built without memory
    (on the "meta" device) and its number of weights compared with the file's."""
    import torch

    try:
        if any(isinstance(n, (int, float)) and abs(n) > LARGEST for n in options.values()):
            raise ValueError(f"a number beyond {LARGEST} in {str(options)[:200]}")
        if options:  # without them the size is the architecture's own
            with torch.device("meta"):
                _compare(build(arch.name, **options), state, path, arch)
        return build(arch.name, **options)
    except (OptionError, ValueError, TypeError, ArithmeticError, RuntimeError, KeyError, IndexError) as error:
        said = str(error)[:200]
        raise CheckpointError(f"{path}: its own description does not make a network ({said})") from error


def _fill(module: nn.Module, state: dict[str, Tensor], path: Path, arch: Arch) -> None:
    import torch

    _compare(module, state, path, arch)
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path}: damaged, '{key}' holds NaN or infinite values")
    expected = module.state_dict()
    cast = {key: value.to(expected[key].dtype) for key, value in state.items()}
    module.load_state_dict(cast, strict=False, assign=True)  # no second copy of large networks


def _compare(module: nn.Module, state: dict[str, Tensor], path: Path, arch: Arch) -> None:
    """Raise CheckpointError if the state's tensors are not the network's, by name and shape."""
    expected = module.state_dict()
    # Counters that inference never reads, absent from files older than PyTorch 0.4.1.
    lost = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in expected]
    wrong = [k for k in expected if k in state and state[k].shape != expected[k].shape]
    if lost or extra or wrong:
        parts = []
        for what, keys in (("missing", lost), ("unexpected", extra), ("of another shape", wrong)):
            if keys:
                parts.append(f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})")
        raise CheckpointError(f"{path}: looks like a {arch.title} but does not fit one: tensors {'; '.join(parts)}")


def _json(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
