"""Reads the tensors out of PyTorch files without running anything in them.

A ``.pth`` file is a pickle, and a pickle is a program: unpickling it the usual way runs whatever its author put in. The
reader here understands the three containers PyTorch has used (zip archives, TorchScript archives, the old
non-zip format), knows the handful of functions that honest files call, does their work itself, and refuses every other
name before it can be looked up. A TorchScript archive's code is never compiled or run either: its parameters are read
from the archive directly. Nothing is imported and no attribute of a real class is touched on behalf of a file.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from ..errors import CheckpointError

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
_ELEMENT_TYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

# Harmless things that ride along in training checkpoints. They become inert: kept apart, never called.
_INERT = {
    ("argparse", "Namespace"),
    ("collections", "Counter"),
    ("collections", "defaultdict"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("_codecs", "encode"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib", "PureWindowsPath"),
    ("datetime", "datetime"),
    ("torch", "device"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
}


class _Storage(NamedTuple):  # a tuple, so that not even a pickle's BUILD instruction can alter it afterwards
    """Where a tensor's numbers are."""

    key: str
    dtype: torch.dtype
    offset: int = 0  # in elements, for the views of the old format


class _Lazy(NamedTuple):
    """A tensor that has not been read yet, so that optimizer state costs nothing."""

    storage: _Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Inert:
    """Takes the place of an object this reader does not build."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __hash__(self) -> int:  # may be used as a dictionary key
        return id(self)

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class _Mapping(dict[Any, Any]):
    """Takes the place of an OrderedDict; state dicts carry version notes as an attribute, which nobody needs."""

    def __setstate__(self, state: Any) -> None:
        pass


def _integers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or not all(type(n) is int and n >= 0 for n in value):
        raise pickle.UnpicklingError("a tensor has a shape that is not made of whole numbers")
    return tuple(value)


def _lazy(storage: _Storage, dtype: torch.dtype, offset: Any, size: Any, stride: Any) -> _Lazy:
    return _Lazy(storage, dtype, _integers((offset,))[0], _integers(size), _integers(stride))


class _Reader(pickle.Unpickler):
    """Unpickles containers and tensor descriptions; every global is one of our own stand-ins or an error."""

    def __init__(self, stream: BinaryIO, path: Path, script: bool = False) -> None:
        super().__init__(stream, encoding="latin1")
        self._path, self._script = path, script
        self._table = self._stand_ins()  # fresh for every file: one file cannot alter what the next one meets

    def _stand_ins(self) -> dict[tuple[str, str], Any]:
        def tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> _Lazy:
            if not isinstance(storage, _Storage):
                raise pickle.UnpicklingError("a tensor without a storage")
            return _lazy(storage, storage.dtype, offset, size, stride)

        def tensor_v3(storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any) -> _Lazy:
            if not isinstance(storage, _Storage) or not isinstance(dtype, torch.dtype):
                raise pickle.UnpicklingError("a tensor without a storage or type")
            return _lazy(storage, dtype, offset, size, stride)

        def parameter(data: Any, *rest: Any) -> Any:
            return data

        def mapping(items: Any = ()) -> dict[Any, Any]:
            return _Mapping(items)

        def same(value: Any, *rest: Any) -> Any:
            return value

        table: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): _constructor(mapping),
            ("torch._utils", "_rebuild_tensor_v2"): tensor,
            ("torch._utils", "_rebuild_tensor_v3"): tensor_v3,
            ("torch._utils", "_rebuild_parameter"): parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): parameter,
        }
        for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag"):
            table["torch.jit._pickle", name] = same
        for name, dtype in _DTYPES.items():
            table["torch", name] = table["torch.storage", name] = dtype
        return table

    def find_class(self, module: str, name: str) -> Any:
        known = self._table.get((module, name))
        if known is not None:
            return known
        if module == "torch" and name in _ELEMENT_TYPES:
            return _ELEMENT_TYPES[name]
        if (module, name) in _INERT or (self._script and module.startswith("__torch__")):
            return _constructor(lambda *a, **k: _Inert(name))
        raise CheckpointError(_refusal(self._path, module, name))

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], torch.dtype):
            raise pickle.UnpicklingError("a storage is described in a way PyTorch never does")
        view = pid[5] if len(pid) > 5 else None  # (key, offset, size) in files of very old versions
        return _Storage(str(pid[2]), pid[1], int(view[1]) if isinstance(view, tuple) else 0)


def _constructor(make: Callable[..., Any]) -> Any:
    """A throw-away class whose call and ``__new__`` both return ``make(...)``: pickles construct objects either way."""

    class StandIn:
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return make(*args, **kwargs)

    return StandIn


def _refusal(path: Path, module: str, name: str) -> str:
    own = module.split(".")[0] not in ("os", "posix", "nt", "builtins", "__builtin__", "subprocess", "sys", "runpy")
    if own and name[:1].isupper():
        return (
            f"{path}: refused, because it stores whole program objects ({module}.{name}), not just weights. Ask its "
            "author for a state dict (torch.save(model.state_dict(), ...)) or a .safetensors file. Nothing in it "
            "was run"
        )
    return (
        f"{path}: refused, because opening it would run '{module}.{name}'. Weights never need that: the file may be "
        "malicious. Nothing in it was run"
    )


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
    except RecursionError as error:
        raise CheckpointError(f"{path}: refused, it is nested too deeply to be a checkpoint") from error
    except MemoryError:
        raise
    except Exception as error:  # a broken pickle raises nearly anything
        raise CheckpointError(f"{path}: damaged or not a PyTorch file ({type(error).__name__}: {error})") from error


def _read_zip(path: Path) -> tuple[Any, str]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        records = [n for n in names if n.endswith("/data.pkl") and n.count("/") == 1]
        if len(records) != 1:
            raise CheckpointError(f"{path}: a zip archive, but not one that PyTorch wrote")
        root = records[0][: -len("data.pkl")]
        script = f"{root}constants.pkl" in names or any(n.startswith(f"{root}code/") for n in names)
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder").strip() != b"little":
            raise CheckpointError(f"{path}: written on a big-endian machine, which is not supported")
        value = _Reader(io.BytesIO(archive.read(records[0])), path, script).load()
    if script:
        value = _flatten(value)
    return value, "torchscript" if script else "zip"


def _flatten(module: Any) -> dict[str, Any]:
    """A TorchScript module's tensors under the names a state dict gives them."""
    found: dict[str, Any] = {}
    stack: list[tuple[str, Any]] = [("", module)]
    seen: set[int] = set()
    while stack:
        prefix, item = stack.pop()
        state = item.state if isinstance(item, _Inert) else item
        if isinstance(item, _Lazy):
            found[prefix[:-1]] = item
        elif isinstance(state, dict) and id(state) not in seen:
            seen.add(id(state))
            stack.extend((f"{prefix}{key}.", child) for key, child in reversed(list(state.items())))
    return found


def _read_legacy(path: Path) -> tuple[Any, str]:
    with open(path, "rb") as stream:
        if _plain(stream, path) != _LEGACY_MAGIC:
            raise CheckpointError(f"{path}: not a PyTorch file")
        if _plain(stream, path) != _LEGACY_PROTOCOL:
            raise CheckpointError(f"{path}: written by a version of PyTorch this reader does not know")
        system = _plain(stream, path)
        if isinstance(system, dict) and not system.get("little_endian", True):
            raise CheckpointError(f"{path}: written on a big-endian machine, which is not supported")
        return _Reader(stream, path).load(), "legacy"


def _plain(stream: BinaryIO, path: Path) -> Any:
    return _Reader(stream, path).load()


def resolve(path: Path, container: str, wanted: dict[str, Any]) -> dict[str, Tensor]:
    """Read the tensors described in ``wanted`` (from read_torch) into memory. Raises CheckpointError if damaged."""
    lazy = {k: v for k, v in wanted.items() if isinstance(v, _Lazy)}
    needed = {v.storage.key for v in lazy.values()}
    try:
        buffers = _zip_buffers(path, needed) if container != "legacy" else _legacy_buffers(path, needed)
        return {name: _build(item, buffers[item.storage.key]) for name, item in lazy.items()}
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:
        raise CheckpointError(f"{path}: damaged, its weights cannot be read ({error})") from error


def _zip_buffers(path: Path, needed: set[str]) -> dict[str, bytearray]:
    with zipfile.ZipFile(path) as archive:
        root = next(n for n in archive.namelist() if n.endswith("/data.pkl") and n.count("/") == 1)[: -len("data.pkl")]
        buffers = {}
        for key in needed:
            entry = archive.getinfo(f"{root}data/{key}")
            if entry.compress_type != zipfile.ZIP_STORED:  # PyTorch never compresses; a bomb would
                raise CheckpointError(f"{path}: refused, its weights are compressed in a way PyTorch never uses")
            if entry.file_size > path.stat().st_size:
                raise CheckpointError(f"{path}: damaged, a tensor is said to be larger than the file")
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
    left = path.stat().st_size
    with open(path, "rb") as stream:
        for _ in range(3):
            _plain(stream, path)
        kinds: dict[str, torch.dtype] = {}

        class Kinds(_Reader):
            """Element types come with the storages' descriptions, on a second pass over the object."""

            def persistent_load(self, pid: Any) -> _Storage:
                storage = super().persistent_load(pid)
                kinds[storage.key] = storage.dtype
                return storage

        Kinds(stream, path).load()
        buffers = {}
        for key in _plain(stream, path):
            count = int.from_bytes(stream.read(8), "little")
            size = count * kinds[str(key)].itemsize
            if size > left - stream.tell():
                raise CheckpointError(f"{path}: truncated, the end is missing")
            if str(key) in needed:
                buffers[str(key)] = bytearray(stream.read(size))
            else:
                stream.seek(size, io.SEEK_CUR)
        return buffers


def _build(item: _Lazy, buffer: bytearray) -> Tensor:
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
