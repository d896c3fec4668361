"""Reads the tensors out of PyTorch files without running anything in them.

The three containers PyTorch has used are understood: zip archives, TorchScript archives and the old non-zip format. A
TorchScript archive's code is never compiled or run: its parameters are read from the archive directly. Before any
weights are read, the sizes of the tensors that are wanted are compared with the file's.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .unpickling import LONGEST, Bytes, Inert, Lazy, Reader

SHARED, SPARE = 4, 16 << 20  # views of one storage may add up to so many times the file, and so many bytes more
NAMES = 1000  # characters of a tensor's name
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


def read_torch(path: Path) -> tuple[Any, str]:
    """The object in a PyTorch file, with every tensor still a description, and the container's name.

    Returns (object, "zip" | "torchscript" | "legacy"). Resolve the parts that are wanted with ``resolve``. Raises
    CheckpointError: damaged, refused, or not a PyTorch file.
    """
    try:
        with open(path, "rb") as stream:
            zipped = stream.read(2) == b"PK"
        return _read_zip(path) if zipped else _read_legacy(path)
    except CheckpointError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # a broken pickle raises nearly anything
        raise CheckpointError(
            f"{path}: damaged or not a PyTorch file ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _read_zip(path: Path) -> tuple[Any, str]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        records = [n for n in names if n.endswith("/data.pkl") and n.count("/") == 1]
        if len(records) != 1:
            raise CheckpointError(f"{path}: a zip archive, but not one that PyTorch wrote")
        root = records[0][: -len("data.pkl")]
        script = f"{root}constants.pkl" in names or any(n.startswith(f"{root}code/") for n in names)
        if f"{root}byteorder" in names and _record(archive, f"{root}byteorder", path, 100).strip() != b"little":
            raise CheckpointError(f"{path}: written on a big-endian machine, which is not supported")
        value = Reader(Bytes(_record(archive, records[0], path, LONGEST)), path, script).load()
    if script:
        value = _flatten(value)
    return value, "torchscript" if script else "zip"


def _record(archive: zipfile.ZipFile, name: str, path: Path, longest: int) -> bytes:
    """One of the archive's small files. PyTorch compresses none of them; a bomb would."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(f"{path}: refused, its {name} is compressed in a way PyTorch never uses")
    if entry.file_size > min(longest, path.stat().st_size):
        raise CheckpointError(f"{path}: refused, its {name} is far larger than a checkpoint's")
    return archive.read(entry)


def _flatten(module: Any) -> dict[str, Any]:
    """A TorchScript module's tensors under the names a state dict gives them."""
    found: dict[str, Any] = {}
    stack: list[tuple[str, Any]] = [("", module)]
    seen: set[int] = set()
    while stack:
        prefix, item = stack.pop()
        state = item.state if isinstance(item, Inert) else item
        if isinstance(item, Lazy):
            found[prefix[:-1]] = item
        elif len(prefix) > NAMES:
            raise pickle.UnpicklingError("it is nested too deeply to be a checkpoint")
        elif isinstance(state, dict) and id(state) not in seen:
            seen.add(id(state))
            stack.extend((f"{prefix}{key}.", child) for key, child in reversed(list(state.items())))
    return found


def _read_legacy(path: Path) -> tuple[Any, str]:
    return _legacy(path)[0], "legacy"


def _legacy(path: Path) -> tuple[Any, Any, dict[str, torch.dtype], int]:
    """The object in a file of the old format, the keys of its storages in their order, their element types, and where
    they begin."""
    with open(path, "rb") as file:
        stream = Bytes(file.read(LONGEST))
    if Reader(stream, path).load() != _LEGACY_MAGIC:
        raise CheckpointError(f"{path}: not a PyTorch file")
    if Reader(stream, path).load() != _LEGACY_PROTOCOL:
        raise CheckpointError(f"{path}: written by a version of PyTorch this reader does not know")
    system = Reader(stream, path).load()
    if isinstance(system, dict) and not system.get("little_endian", True):
        raise CheckpointError(f"{path}: written on a big-endian machine, which is not supported")
    reader = Reader(stream, path)
    value = reader.load()
    return value, Reader(stream, path).load(), reader.kinds, stream.tell()


def resolve(path: Path, container: str, wanted: dict[str, Any]) -> dict[str, Tensor]:
    """Read the tensors described in ``wanted`` (from read_torch) into memory. Raises CheckpointError if damaged."""
    lazy = {k: v for k, v in wanted.items() if isinstance(v, Lazy)}
    needed = {v.storage.key for v in lazy.values()}
    asked, size = sum(math.prod(v.size) * v.dtype.itemsize for v in lazy.values()), path.stat().st_size
    if asked > SHARED * size + SPARE:  # views may overlap, and repeat one number without end
        raise CheckpointError(
            f"{path}: refused, it has {size} bytes, and its tensors would take {asked}; no checkpoint is written so"
        )
    try:
        buffers = _zip_buffers(path, needed) if container != "legacy" else _legacy_buffers(path, needed)
        return {name: _build(item, buffers[item.storage.key]) for name, item in lazy.items()}
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:
        raise CheckpointError(f"{path}: damaged, its weights cannot be read ({str(error)[:200]})") from error


def _zip_buffers(path: Path, needed: set[str]) -> dict[str, bytearray]:
    with zipfile.ZipFile(path) as archive:
        root = next(n for n in archive.namelist() if n.endswith("/data.pkl") and n.count("/") == 1)[: -len("data.pkl")]
        entries = {key: archive.getinfo(f"{root}data/{key}") for key in needed}
        if sum(entry.file_size for entry in entries.values()) > path.stat().st_size:
            raise CheckpointError(f"{path}: damaged, its tensors are said to be larger than the file")
        buffers = {}
        for key, entry in entries.items():
            if entry.compress_type != zipfile.ZIP_STORED:  # PyTorch never compresses; a bomb would
                raise CheckpointError(f"{path}: refused, its weights are compressed in a way PyTorch never uses")
            buffers[key] = bytearray(entry.file_size)
            with archive.open(entry) as stream:
                view = memoryview(buffers[key])
                done = 0
                while count := stream.readinto(view[done : done + (1 << 24)]):  # type: ignore[attr-defined]
                    done += count
            if done != entry.file_size:  # the end of the entry is also where its CRC is compared
                raise CheckpointError(f"{path}: truncated")
        return buffers


def _legacy_buffers(path: Path, needed: set[str]) -> dict[str, bytearray]:
    _, keys, kinds, start = _legacy(path)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CheckpointError(f"{path}: damaged, its list of storages is not a list")
    end = path.stat().st_size
    buffers = {}
    with open(path, "rb") as stream:
        stream.seek(start)
        for key in keys:
            size = int.from_bytes(stream.read(8), "little") * kinds[key].itemsize
            if size > end - stream.tell():
                raise CheckpointError(f"{path}: truncated, the end is missing")
            if key in needed:
                buffers[key] = bytearray(stream.read(size))
            else:
                stream.seek(size, io.SEEK_CUR)
    return buffers


def _build(item: Lazy, buffer: bytearray) -> Tensor:
    elements = len(buffer) // item.dtype.itemsize
    offset = item.offset + item.storage.offset
    empty = math.prod(item.size) == 0
    last = offset + sum((n - 1) * s for n, s in zip(item.size, item.stride, strict=True))
    if not empty and last >= elements:
        raise ValueError("a tensor reaches beyond its storage")
    if empty:
        return torch.empty(item.size, dtype=item.dtype)
    flat = torch.frombuffer(buffer, dtype=item.dtype, count=elements)
    return flat.as_strided(item.size, item.stride, offset)
