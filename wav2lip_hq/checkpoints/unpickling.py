"""Unpickles what a PyTorch file says about its tensors, without running anything and without allocating for it.

A pickle is a program: unpickling it the usual way runs whatever its author put in. Here every name it gives is one of
our own stand-ins or an error, so nothing is imported and no attribute of a real class is touched on behalf of a file.
Nor can a small file ask for much: Python's own unpickler (the one written in Python, which allocates nothing ahead)
gets the instructions PyTorch writes and no others, over at most LONGEST bytes and STEPS steps; what calls, copies or
repeats is replaced by what cannot do so without end.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

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
LONGEST = 16 << 20  # bytes of descriptions; the largest seen, a training checkpoint's, is under 1 MiB
STEPS = 1_000_000  # reads by the unpickler, about 45 a tensor
AXES = 64  # as many as PyTorch's own tensors may have

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


class Storage(NamedTuple):  # a tuple, so that not even a pickle's BUILD instruction can alter it afterwards
    """Where a tensor's numbers are."""

    key: str
    dtype: torch.dtype
    offset: int = 0  # in elements, for the views of the old format


class Lazy(NamedTuple):
    """A tensor that has not been read yet, so that optimizer state costs nothing."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Inert:
    """Takes the place of an object this reader does not build."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: Any = None

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass


class _Function:
    """A stand-in for one of the functions and classes that a file may name."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class Bytes(io.BytesIO):
    """The bytes of a file's pickles, of which at most STEPS reads are allowed."""

    left = STEPS

    def read(self, size: int | None = -1) -> bytes:
        self._count(1)
        return super().read(size)

    def readline(self, size: int | None = -1) -> bytes:
        self._count(4)  # names, which are looked up: they take longer
        return super().readline(size)

    def _count(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise pickle.UnpicklingError("it describes far more than a checkpoint holds")


def _integers(value: Any) -> tuple[int, ...]:
    if (
        not isinstance(value, (tuple, list))
        or len(value) > AXES
        or not all(type(n) is int and 0 <= n < 1 << 63 for n in value)
    ):
        raise pickle.UnpicklingError("a tensor has a shape that is not made of whole numbers")
    return tuple(value)


def _lazy(storage: Any, dtype: Any, offset: Any, size: Any, stride: Any) -> Lazy:
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
        raise pickle.UnpicklingError("a tensor without a storage or type")
    return Lazy(storage, dtype, _integers((offset,))[0], _integers(size), _integers(stride))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Lazy:
    return _lazy(storage, getattr(storage, "dtype", None), offset, size, stride)


def _tensor_v3(storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any) -> Lazy:
    return _lazy(storage, dtype, offset, size, stride)


def _same(value: Any, *rest: Any) -> Any:
    return value


_STAND_INS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): _Function(_tensor_v3),
    ("torch._utils", "_rebuild_parameter"): _Function(_same),
    ("torch._utils", "_rebuild_parameter_with_state"): _Function(_same),
    **{
        ("torch.jit._pickle", name): _Function(_same)
        for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
    },
    **{(module, name): dtype for module in ("torch", "torch.storage") for name, dtype in _DTYPES.items()},
    **{("torch", name): dtype for name, dtype in _ELEMENT_TYPES.items()},
}


class _Instructions(dict[int, Callable[[Any], None]]):
    """The opcodes the unpickler accepts."""

    def __missing__(self, code: int) -> Any:
        raise pickle.UnpicklingError(f"it holds the instruction {code}, which PyTorch never writes")


_PLAIN_CODES = (
    "PROTO STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINSTRING "
    "SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINUNICODE SHORT_BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_LIST APPEND APPENDS EMPTY_DICT BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL BINPERSID"
).split()


class Reader(pickle._Unpickler):
    """Unpickles containers and tensor descriptions; every global is one of our own stand-ins or an error.

    Of dictionaries only what is filed under text is kept: state dicts have no other keys, and other keys can be chosen
    so that they collide. ``kinds``: element types by storage.
    """

    # Internals of the unpickler that its type stubs leave out.
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    dispatch = _Instructions({c: pickle._Unpickler.dispatch[c] for c in (getattr(pickle, n)[0] for n in _PLAIN_CODES)})

    def __init__(self, stream: Bytes, path: Path, script: bool = False) -> None:
        super().__init__(stream, encoding="latin1")
        self._path, self._script = path, script
        self._copied = 0
        self.kinds: dict[str, torch.dtype] = {}

    def find_class(self, module: str, name: str) -> Any:
        known = _STAND_INS.get((module, name))
        if known is not None:
            return known
        if (module, name) == ("collections", "OrderedDict"):
            return _Function(self._mapping)
        if (module, name) in _INERT or (self._script and module.startswith("__torch__")):
            return _Function(self._inert)
        raise CheckpointError(_refusal(self._path, module, name))

    def persistent_load(self, pid: Any) -> Storage:
        if (
            not isinstance(pid, tuple)
            or not 5 <= len(pid) <= 6
            or pid[0] != "storage"
            or not isinstance(pid[1], torch.dtype)
            or not isinstance(pid[2], str)
        ):
            raise pickle.UnpicklingError("a storage is described in a way PyTorch never does")
        view = pid[5] if len(pid) > 5 else None  # (key, offset, size) in files of very old versions
        offset = _integers(view[1:2])[0] if isinstance(view, tuple) else 0
        self.kinds[pid[2]] = pid[1]
        return Storage(pid[2], pid[1], offset)

    @staticmethod
    def _inert(*_: Any) -> Inert:
        return Inert()

    def _mapping(self, items: Any = ()) -> dict[str, Any]:
        """An OrderedDict; in Python 2 they were written as lists of pairs."""
        if not isinstance(items, (list, tuple)):
            raise pickle.UnpicklingError("a dictionary made of something else than pairs")
        self._copied += len(items)
        if self._copied > STEPS:
            raise pickle.UnpicklingError("it describes far more than a checkpoint holds")
        return {key: value for key, value in items if isinstance(key, str)}

    def _put(self, flat: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is dict:
            target.update((k, v) for k, v in zip(flat[::2], flat[1::2], strict=True) if isinstance(k, str))
        elif not isinstance(target, Inert):
            raise pickle.UnpicklingError("a dictionary's entry without a dictionary")

    # Overrides of the opcodes that would call, copy or change what a file names.

    def _call(self) -> None:
        arguments = self.stack.pop()
        function = self.stack.pop()
        if not isinstance(function, _Function) or not isinstance(arguments, tuple) or len(arguments) > AXES:
            raise pickle.UnpicklingError("it calls something that is not a function")
        self.append(function.call(*arguments))

    def _build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif type(target) is not dict:  # state dicts carry version notes as an attribute, which is not used
            raise pickle.UnpicklingError("it changes what it may only name")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def _set_items(self) -> None:
        self._put(self.pop_mark())

    def _frame(self) -> None:
        self.read(8)  # a frame is a hint for reading ahead

    dispatch |= {
        pickle.REDUCE[0]: _call,
        pickle.NEWOBJ[0]: _call,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.FRAME[0]: _frame,
    }


def _refusal(path: Path, module: str, name: str) -> str:
    own = module.split(".")[0] not in ("os", "posix", "nt", "builtins", "__builtin__", "subprocess", "sys", "runpy")
    what = f"{module}.{name}"[:100]
    if own and name[:1].isupper():
        return (
            f"{path}: refused, because it stores whole program objects ({what}), not just weights. Ask its "
            "author for a state dict (torch.save(model.state_dict(), ...)) or a .safetensors file. Nothing in it "
            "was run"
        )
    return (
        f"{path}: refused, because opening it would run '{what}'. Weights never need that: the file may be "
        "malicious. Nothing in it was run"
    )
