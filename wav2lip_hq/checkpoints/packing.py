"""Weights quantized to 8 bits: half the size of float16 on disk, float32 again once loaded.

A matrix or kernel "x.weight" is stored as int8 (-127 to 127) beside "x.weight.scale", float16: one step a channel. The
scale keeps the tensor's axes, all of length 1 but one, so it says itself which channels share a step: those of the axis
that comes out nearer (after LLM.int8, Dettmers et al. 2022: symmetric, by the largest value). Networks still compute in
floating point.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

SCALE = ".scale"
# Elements; smaller tensors are not quantized. That leaves out the first and last layers, which work on pixels: the
# embedded generator is 0.15 MB larger for it, and the error of its pictures 23 dB lower.
LEAST = 1 << 15
_STEPS = 127


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with its large float tensors of two or more axes as int8 and scale. Values must be finite; those whose
    step float16 cannot hold stay as they are."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        both = _nearest(value) if value.is_floating_point() and value.ndim > 1 and value.numel() >= LEAST else None
        if both is None:
            out[name] = value
        else:
            out[name], out[name + SCALE] = both
    return out


def unpack(path: object, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with int8 tensors that have a scale beside them as float32; all others untouched, whatever their name.

    path: of the file, for messages. Raises CheckpointError for a scale that does not fit its tensor.
    """
    import torch

    out = dict(state)
    for name, value in state.items():
        scale = state.get(name + SCALE)
        if scale is None or value.dtype is not torch.int8:
            continue
        if not scale.is_floating_point() or not _fits(value, scale):
            raise CheckpointError(
                f"{path}: damaged, '{name}{SCALE}' ({_said(scale)}) is not a scale of '{name}' ({_said(value)})"
            )
        if not bool((torch.isfinite(scale) & (scale > 0)).all()):
            raise CheckpointError(f"{path}: damaged, '{name}{SCALE}' holds steps that are not positive numbers")
        out[name] = value.float() * out.pop(name + SCALE).float()
    return out


def _nearest(value: Tensor) -> tuple[Tensor, Tensor] | None:
    """int8 and scale by the axis, of the first two, that loses less; None where float16 holds no such steps."""
    import torch

    best: tuple[float, Tensor, Tensor] | None = None
    exact = value.float()
    for axis in (0, 1):
        step = exact.abs().amax([d for d in range(exact.ndim) if d != axis], keepdim=True) / _STEPS
        scale = torch.where(step > 0, step, torch.ones_like(step)).half()
        if not bool((torch.isfinite(scale) & (scale > 0)).all()):
            continue
        whole = (exact / scale.float()).round().clamp(-_STEPS, _STEPS)
        lost = float(((whole * scale.float() - exact) ** 2).sum())
        if best is None or lost < best[0]:
            best = lost, whole.to(torch.int8), scale
    return None if best is None else best[1:]


def _fits(value: Tensor, scale: Tensor) -> bool:
    if scale.ndim != value.ndim:
        return False
    long = [(s, v) for s, v in zip(scale.shape, value.shape, strict=True) if s != 1]
    return len(long) <= 1 and all(s == v for s, v in long)


def _said(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
