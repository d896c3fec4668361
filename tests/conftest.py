"""Fixtures every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # before torch is imported: workers share the cores
    os.environ.setdefault(
        "OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
    )

import torch
from torch import nn

from wav2lip_hq import models

SHARED = Path(os.environ.get("WAV2LIP_HQ_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """``shared("golden/mel.npz")`` -> its Path, or skips the test where that material is not at hand."""

    def find(relative: str) -> Path:
        path = SHARED / relative
        if not path.exists():
            pytest.skip(f"needs {relative} of the shared material, which is not at {SHARED}")
        return path

    return find


@pytest.fixture(scope="session", autouse=True)
def own_identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Results of tests are signed by an identity of their own, not by the user's."""
    folder = tmp_path_factory.mktemp("identity") / "identity"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAV2LIP_HQ_IDENTITY", str(folder))
        yield folder


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkpoint folder of the test's own."""
    folder = tmp_path / "checkpoint folder"
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture(scope="session")
def generator() -> nn.Module:
    """A small generator with random weights; leave them as they are."""
    torch.manual_seed(0)
    return models.build("wav2lip", width=0.25)
