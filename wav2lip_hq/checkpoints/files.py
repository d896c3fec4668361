"""Checkpoint files: reading every layout in which such models are published, writing safetensors atomically."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, OutputError

if TYPE_CHECKING:
    from torch import Tensor, nn

# Names under which training code has put the weights, best first: averaged weights before the raw ones.
WRAPPERS = ("params_ema", "g_ema", "params", "state_dict", "model_state_dict", "net_state_dict", "model", "net")
PREFIXES = ("module.", "_orig_mod.")  # DataParallel, torch.compile
LARGEST = 1 << 14  # upper limit of the numbers that describe a network: channels, pixels, blocks
_HALF_LIMIT = 65504.0


def sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stated_arch(path: str | os.PathLike[str]) -> str:
    """The architecture that a safetensors file of this project says it holds, read from its header; "" if it does not
    say. Loads no tensors."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(9)
            if not _looks_like_safetensors(head + b" "):
                return ""
            header = json.loads(head[8:] + stream.read(int.from_bytes(head[:8], "little") - 1))
        return str(header.get("__metadata__", {}).get("arch", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def load_state(path: str | os.PathLike[str], *, upcast: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A checkpoint's tensors under plain keys, and its metadata.

    Reads safetensors, PyTorch zip and pre-zip files and TorchScript archives; none of them can run code. Unwraps
    ``state_dict`` / ``params_ema`` / ... , drops optimizer state and the like, strips ``module.``. Weights ``save``d in
    8 bits come back as float32. ``upcast`` turns 16-bit floats into float32. Metadata: what a safetensors
    header holds, plus "container". Raises CheckpointError: no such file, damaged, no weights inside, or refused as
    unsafe.
    """
    path = Path(path)
    head = _head(path)
    import torch

    from . import tensors

    if _looks_like_safetensors(head):
        found, metadata = _load_safetensors(path)
        if metadata.get("bits") == "8":  # written by ``save``; tensors named "scale" in other files mean something else
            from .packing import unpack

            found = unpack(path, found)
    else:
        _reject_strangers(path, head)
        value, container = tensors.read_torch(path)
        found = tensors.resolve(path, container, _unwrap(path, value))
        metadata = {"container": container}
    state = _strip(found)
    if not state:
        raise CheckpointError(f"{path}: there are no weights in it")
    _reject_absurd(path, state)
    if upcast:
        half = (torch.float16, torch.bfloat16)
        state = {k: v.float() if v.dtype in half else v for k, v in state.items()}
    return {k: v.contiguous() for k, v in state.items()}, metadata


def save(
    path: str | os.PathLike[str],
    module_or_state: nn.Module | Mapping[str, Tensor],
    arch: str,
    options: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
    packed: bool = False,
) -> Path:
    """Write weights as safetensors with what is needed to build the network again. Complete or not at all.

    options: the builder's; card: anything JSON can hold (recipe, metrics, license). half: store matrices and kernels
    as float16; vectors (norm statistics, biases) and anything float16 cannot hold stay as they are. packed: store
    large matrices and kernels in 8 bits (see ``packing``). Raises OutputError.
    """
    path = Path(path)
    state = module_or_state if isinstance(module_or_state, Mapping) else module_or_state.state_dict()
    ready = {k: _storable(v, half and not packed) for k, v in state.items()}
    metadata = {
        "arch": arch,
        "options": json.dumps(dict(options or {}), default=_plain),
        "card": json.dumps(dict(card or {}), default=_plain),
    }
    if packed:
        from .packing import pack

        ready = {k: _storable(v, half) for k, v in pack(ready).items()}
        metadata["bits"] = "8"
    from safetensors.torch import save as to_bytes

    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(ready, metadata))
    return path


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that replaces it if the block succeeds and vanishes if it does not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's files are private
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _storable(value: Tensor, half: bool) -> Tensor:
    import torch

    value = value.detach().cpu().contiguous().clone()  # safetensors refuses shared memory
    if half and value.dtype is torch.float32 and value.ndim >= 2 and value.numel():
        if float(value.abs().max()) < _HALF_LIMIT:
            return value.half()
    return value


def _plain(value: Any) -> Any:
    """JSON for numpy and torch scalars, paths and the like."""
    return value.item() if hasattr(value, "item") else str(value)


def _head(path: Path) -> bytes:
    if os.path.isdir(path):
        raise CheckpointError(f"{path} is a folder, not a checkpoint file")
    try:
        with open(path, "rb") as stream:
            head = stream.read(512)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not head:
        raise CheckpointError(f"{path}: the file is empty; fetch or copy it again")
    return head


def _looks_like_safetensors(head: bytes) -> bool:
    return len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27


def _reject_strangers(path: Path, head: bytes) -> None:
    """Raise CheckpointError for the files that people commonly have in place of a checkpoint."""
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise CheckpointError(f"{path}: this is a web page, not a checkpoint; the download link did not give the file")
    if text.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: this is a Git LFS pointer, not the checkpoint; run 'git lfs pull' there")
    if head[4:8] == b"ftyp" or head.startswith((b"RIFF", b"\x89PNG", b"\xff\xd8\xff")):
        raise CheckpointError(f"{path}: this is a picture, sound or video, not a checkpoint")
    if not head.startswith((b"PK", b"\x80")):
        raise CheckpointError(f"{path}: not a checkpoint (neither PyTorch nor safetensors), or damaged at its start")


def _reject_absurd(path: Path, state: Mapping[str, Tensor]) -> None:
    """Names and shapes determine how large a network is built; refuse those that no real network has."""
    for name, value in state.items():
        if any(int(digits[:9]) > LARGEST for digits in re.findall(r"\d+", name, re.ASCII)) or len(name) > 1000:
            raise CheckpointError(f"{path}: refused, no network has a tensor called '{name[:100]}'")
        if not value.numel() and max(value.shape) > LARGEST:
            raise CheckpointError(f"{path}: refused, its tensor '{name[:100]}' has a size but no numbers")


def _load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as archive:
            metadata = dict(archive.metadata() or {})
            state = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged safetensors file ({error})") from error
    return state, metadata | {"container": "safetensors"}


def _unwrap(path: Path, value: Any) -> dict[str, Any]:
    """The dictionary of tensors inside a training checkpoint."""
    for _ in range(4):  # nesting seen in the wild is at most two deep
        if not isinstance(value, dict):
            break
        inner = next((value[n] for n in WRAPPERS if isinstance(value.get(n), dict) and value[n]), None)
        if inner is None:
            return {k: v for k, v in value.items() if isinstance(k, str)}
        value = inner
    raise CheckpointError(f"{path}: there is no state dict in it")


def _strip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES * 4:  # wrapped twice is the most that was seen
        if state and all(key.startswith(prefix) for key in state):
            state = {key[len(prefix) :]: value for key, value in state.items()}
    return state
