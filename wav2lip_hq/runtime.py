"""Device, precision and batch size, which no other file of inference deals with.

No other file calls ``.to()``, ``.cuda()``, ``.half()`` or autocast.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checkpoints
from .errors import CheckpointError, OptionError, OutOfMemory, ran_out
from .models import ARCHS, Arch
from .types import Array

# torch takes seconds of CPU time to import, so it is imported where something is computed, not to refuse an option.
if TYPE_CHECKING:
    import torch
    from torch import nn

LARGEST_BATCH = 4096
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # as torch calls them
logger = logging.getLogger("wav2lip_hq")
logger.addHandler(logging.NullHandler())  # warnings are in reports; add a handler to have them elsewhere


def keep_pages() -> None:
    """Have glibc keep freed memory instead of returning pages to the system between layers.

    Large networks on a CPU otherwise spend much time on page faults (measured at 512 px: 1.3 to 1.9 times faster). Has
    no effect without glibc, or after the first large allocations.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass


class Model:
    """A loaded network as a callable on tensors: casts inputs to its own precision and returns float32.

    Attributes: ``module``, ``arch`` (its facts), ``options`` (width, ...), ``card`` (the checkpoint's own metadata),
    ``name``, ``sha256``, ``license``.
    """

    def __init__(
        self,
        module: nn.Module,
        arch: Arch,
        *,
        name: str,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        options: dict[str, Any] | None = None,
        card: dict[str, Any] | None = None,
        sha256: str = "",
        license: str = "",
    ) -> None:
        import torch

        self.device = device or torch.device("cpu")
        self.dtype = dtype or torch.float32
        self.arch, self.name, self.sha256, self.license = arch, name, sha256, license
        self.options, self.card = dict(options or {}), dict(card or {})
        module = module.eval().requires_grad_(False)
        self.module = module.to(device=self.device, dtype=self.dtype)
        for weight in (*self.module.parameters(), *self.module.buffers()):
            if weight.ndim == 4:  # module.to(memory_format=...) fails on 5-D kernels (GFPGAN, SyncNet)
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    @property
    def scale(self) -> int:
        """Output size over input size (restorers)."""
        return int(self.options.get("scale", self.arch.scale) or 1)

    def _cast(self, value: Any) -> Any:
        import torch

        if isinstance(value, torch.Tensor) and value.is_floating_point():
            if value.ndim == 4:
                return value.to(self.device, self.dtype, memory_format=torch.channels_last)
            return value.to(self.device, self.dtype)
        return value

    def __call__(self, *args: Any, method: str | None = None, **kwargs: Any) -> Any:
        """Call the module (or one of its methods) on tensors."""
        call = self.module if method is None else getattr(self.module, method)
        out = call(*(self._cast(a) for a in args), **{k: self._cast(v) for k, v in kwargs.items()})
        return _float(out)


def _float(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, (tuple, list)):
        return type(value)(_float(v) for v in value)
    return value


def pick_device(name: str) -> torch.device:
    """The best available device for "auto", else the device ``name``. Raises OptionError if it cannot be used."""
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:
        found = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        raise OptionError(f"device '{name}' is not usable here; found: {', '.join(found)}") from error
    return device


def _cpu_has_bf16() -> bool:
    import torch

    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())


class Runtime:
    """Loads models once and runs functions over batches on one device.

    device: "auto", "cpu", "cuda", "cuda:1", ... ; precision: "auto", "fp32", "bf16", "fp16";
    batch_size: faces per micro-batch, None = chosen by device. Raises OptionError for unknown values.
    """

    def __init__(self, device: str = "auto", precision: str = "auto", batch_size: int | None = None) -> None:
        if precision != "auto" and precision not in PRECISIONS:
            raise OptionError(f"unknown precision '{precision}'; choose auto, {', '.join(PRECISIONS)}")
        if batch_size is not None and (type(batch_size) is not int or not 1 <= batch_size <= LARGEST_BATCH):
            raise OptionError(f"batch size is a whole number from 1 to {LARGEST_BATCH}, not {batch_size!r:.100}")
        if not isinstance(device, str):
            raise OptionError(f"a device is a name like cpu or cuda:1, not {device!r:.100}")
        keep_pages()
        self._device = None if device in ("auto", "cpu") else pick_device(device)  # these two always exist
        self._wanted = device
        self.precision = precision
        self._batch_size = batch_size
        self.warnings: list[str] = []
        self._models: dict[str, Model] = {}
        self._others: dict[str, Any] = {}
        self._limits: dict[object, int] = {}  # by function: the batch size that fits after running out of memory
        self._lock = threading.Lock()

    def for_run(self) -> Runtime:
        """A runtime with warnings of its own that shares device, networks and memory limits, for one run."""
        own = copy.copy(self)
        own.warnings = []
        return own

    @property
    def device(self) -> torch.device:
        """Where networks run."""
        if self._device is None:
            self._device = pick_device(self._wanted)
        return self._device

    @property
    def batch_size(self) -> int:
        """Faces per micro-batch."""
        return self._batch_size or (32 if self.device.type == "cuda" else 8)

    @batch_size.setter
    def batch_size(self, value: int | None) -> None:
        self._batch_size = value

    def warn(self, text: str) -> None:
        """Add a warning for the run's report, once, and log it."""
        with self._lock:
            if text in self.warnings:
                return
            self.warnings.append(text)
        logger.warning(text)

    def dtype(self, arch: Arch) -> torch.dtype:
        """The precision in which a network of this architecture runs on this device."""
        import torch

        if self.precision != "auto":
            wanted: torch.dtype = getattr(torch, PRECISIONS[self.precision])
            if wanted is torch.float16 and not arch.half_safe:
                return torch.bfloat16 if arch.bf16_safe else torch.float32
            if wanted is torch.bfloat16 and not arch.bf16_safe:
                return torch.float32
            return wanted
        if self.device.type == "cuda":
            if arch.half_safe:
                return torch.float16
            return torch.bfloat16 if arch.bf16_safe and torch.cuda.is_bf16_supported() else torch.float32
        return torch.bfloat16 if arch.bf16_safe and _cpu_has_bf16() else torch.float32

    def model(self, name: str | os.PathLike[str], expect: str | tuple[str, ...] | None = None) -> Model:
        """The network of a checkpoint, by registry name or path; loaded once. Raises CheckpointError."""
        key = str(name)
        wanted = (expect,) if isinstance(expect, str) else expect
        with self._lock:
            known = self._models.get(key)
            if known is not None and wanted and known.arch.name not in wanted and known.arch.name in ARCHS:
                titles = " or ".join(ARCHS[w].title for w in wanted if w in ARCHS)
                raise CheckpointError(f"{name}: this is a {known.arch.title}, expected a {titles}")
            if key not in self._models:
                found = checkpoints.load(Path(name) if isinstance(name, os.PathLike) else name, expect)
                self._models[key] = Model(
                    found.module,
                    found.arch,
                    name=found.name,
                    dtype=self.dtype(found.arch),
                    device=self.device,
                    options=found.options,
                    card=getattr(found, "card", None),
                    sha256=found.sha256,
                    license=found.license,
                )
            return self._models[key]

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """The result of ``make``, which is called only for the first request of ``key``."""
        with self._lock:
            if key not in self._others:
                self._others[key] = make()
            return self._others[key]

    def add_model(self, name: str, module: nn.Module, arch: str, **options: Any) -> Model:
        """Use an in-memory module under a name (custom networks, tests). ``arch`` is a key of ARCHS."""
        facts = ARCHS[arch]
        model = Model(module, facts, name=name, dtype=self.dtype(facts), device=self.device, options=options)
        self._models[name] = model
        return model

    def map(self, fn: Callable[..., Any], *arrays: Array, batch: int | None = None) -> Any:
        """Apply ``fn`` to micro-batches of arrays with equal first dimension N > 0 and join the results.

        ``fn`` gets tensors of the arrays' own dtypes on the device, in inference mode, and returns a tensor or a
        tuple of tensors with the same first dimension. All micro-batches have the same size, the last one padded with
        copies: kernels differ in the last bit between batch sizes, and a face must look the same whatever faces are
        computed with it. Returns numpy arrays. Running out of memory halves the batch size, permanently; raises
        OutOfMemory when a single item does not fit.
        """
        import torch

        total = len(arrays[0])
        key = getattr(fn, "__qualname__", fn)
        size = min(batch or self.batch_size, self._limits.get(key, 1 << 30))
        parts: list[tuple[Array, ...]] = []
        single = True
        at = 0
        while at < total:
            try:
                with torch.inference_mode():
                    tensors = [torch.from_numpy(_filled(a[at : at + size], size)) for a in arrays]
                    out = fn(*(t.to(self.device, non_blocking=True) for t in tensors))
                    single = isinstance(out, torch.Tensor)
                    parts.append(tuple(o[: total - at].cpu().numpy() for o in ((out,) if single else out)))
            except RuntimeError as error:
                if not _is_oom(error):
                    raise
                gc.collect()
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                if size == 1:
                    other = "" if self.device.type == "cpu" else ", or run with --device cpu"
                    raise OutOfMemory(
                        f"not enough memory on {self.device} for even one face at a time; free some, or use a smaller "
                        f"preset{other}"
                    ) from error
                size = self._limits[key] = max(1, size // 2)
                continue
            at += size
        joined = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
        return joined[0] if single else joined

    def close(self) -> None:
        """Forget the loaded models."""
        self._models.clear()
        self._others.clear()


def _filled(part: Array, size: int) -> Array:
    """``part`` (n, ...) padded with copies of its last item to ``size`` items."""
    if len(part) < size:
        part = np.concatenate([part, np.repeat(part[-1:], size - len(part), 0)])
    return np.ascontiguousarray(part)


def _is_oom(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or ran_out(error)
