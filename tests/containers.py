"""How checkpoint files have been written, by us and by others: one writer a container."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def same(found: dict[str, Tensor], module: nn.Module) -> bool:
    expected = module.state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[k], v) for k, v in expected.items())


def write_bare(g: nn.Module, path: Path) -> None:
    torch.save(g.state_dict(), path)


def write_old_format(g: nn.Module, path: Path) -> None:
    torch.save(g.state_dict(), path, _use_new_zipfile_serialization=False)


def write_training(g: nn.Module, path: Path) -> None:
    """As Wav2Lip's training writes it: module. prefix, optimizer baggage, counters, arguments."""
    optimizer = torch.optim.Adam(g.parameters())
    for p in g.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    state = {f"module.{k}": v for k, v in g.state_dict().items()}
    torch.save(
        {
            "state_dict": state,
            "optimizer": optimizer.state_dict(),
            "global_step": 7,
            "args": argparse.Namespace(lr=1e-4),
            "loss": np.float64(0.25),
        },
        path,
    )


def write_averaged(g: nn.Module, path: Path) -> None:
    raw = {k: torch.zeros_like(v) for k, v in g.state_dict().items()}
    torch.save({"params": raw, "params_ema": g.state_dict()}, path)


def write_params(g: nn.Module, path: Path) -> None:
    torch.save({"params": g.state_dict(), "epoch": 3}, path, _use_new_zipfile_serialization=False)


def write_ema(g: nn.Module, path: Path) -> None:
    torch.save({"g_ema": g.state_dict(), "g": {k: v * 0 for k, v in g.state_dict().items()}}, path)


def write_script(g: nn.Module, path: Path) -> None:
    example = (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96))
    torch.jit.save(torch.jit.trace(g, example), str(path))


def write_safetensors(g: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({f"module._orig_mod.{k}": v for k, v in g.state_dict().items()}, str(path))


CONTAINERS = (
    write_bare,
    write_old_format,
    write_training,
    write_averaged,
    write_params,
    write_ema,
    write_script,
    write_safetensors,
)
