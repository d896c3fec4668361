"""Tiny files that ask for gigabytes or minutes are refused at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import bombs
import pytest
import torch

from wav2lip_hq import checkpoints


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bombs_are_refused_at_once_and_cost_nothing(tmp_path: Path) -> None:
    """In under a second of CPU time and 200 MiB each, measured in a process of their own."""
    files = []
    for make in bombs.BOMBS:
        files.append(tmp_path / f"{make.__name__}.pth")
        make(files[-1])
    command = [sys.executable, "-W", "ignore", bombs.__file__, *map(str, files)]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=here)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(files), done.stderr
    assert [r for r in rows if not r["outcome"].startswith("refused: ")] == []
    assert [r for r in rows if r["seconds"] > 1 or r["mib"] > 200] == []


def test_honest_files_share_and_repeat(tmp_path: Path) -> None:
    """Tied weights, expanded rows and other keys than text are no bombs."""
    base = torch.rand(64, 64)
    state = {"a": base, "tied": base, "row": base[:1].expand(64, 64), "turned": base.t(), "part": base[3:9, ::2]}
    whole = {"state_dict": state, "optimizer": {"state": {n: {"step": n} for n in range(5000)}}, (1, 2): 3.0}
    for zipped in (True, False):
        path = tmp_path / "x.pth"
        torch.save(whole, path, _use_new_zipfile_serialization=zipped)
        found, _ = checkpoints.load_state(path)
        assert found.keys() == state.keys() and all(torch.equal(found[k], v) for k, v in state.items())
