"""The speed benchmark: the peers' chain really dubs, every value of a sweep is in the table, errors are human."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import chain, plots, speed, sweep, timed, versus
from benchmarks.__main__ import main
from benchmarks.memory import clip
from benchmarks.networks import Cost, Watch, efficiency, matrix_rate
from wav2lip_hq import models
from wav2lip_hq.errors import CheckpointError, InputError, OptionError
from wav2lip_hq.runtime import Model

SMALL = {"num_feat": 8, "num_block": 1, "num_grow_ch": 4}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Threads that wait for each other on a machine shared with others make these tests many times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return clip(tmp_path_factory.mktemp("clip"), 0.2, 320, 240)


def mouth_changes(before: Path, after: Path) -> list[float]:
    """Mean difference of each frame over that of its corner."""
    pairs = zip(chain.read(before)[0], chain.read(after)[0], strict=True)
    return [
        float(cv2.absdiff(a, b)[100:115, 118:160].mean()) - float(cv2.absdiff(a, b)[:30, :30].mean()) for a, b in pairs
    ]


def test_the_chain_with_an_upscaler_dubs_every_frame(made, tmp_path):
    weights, out = tmp_path / "small.pth", tmp_path / "out.mp4"
    chain.random_weights("wav2lip-hq", weights, SMALL)
    assert chain.Chain("wav2lip-hq", weights, CPU, SMALL).run(*made, out) == 5
    assert min(mouth_changes(made[0], out)) > 3


def test_the_chain_with_gfpgan_dubs_every_frame(made, tmp_path, monkeypatch):
    import gfpgan.utils  # imports only after benchmarks.chain

    official = gfpgan.utils.GFPGANv1Clean
    monkeypatch.setattr(gfpgan.utils, "GFPGANv1Clean", lambda **o: official(**{**o, "narrow": 0.125}))
    weights, out = tmp_path / "small.pth", tmp_path / "out.mp4"
    chain.random_weights("gfpgan", weights, {"narrow": 0.125})
    whole = chain.Chain("gfpgan", weights, CPU, parsenet=False)
    assert whole.run(*made, out) == 5
    assert min(mouth_changes(made[0], out)) > 3
    monkeypatch.setattr(whole.gfpgan, "gfpgan", _fails)
    with pytest.raises(chain.StageError, match="restored nothing"):
        whole.run(*made, out)


def _fails(*_, **__):
    raise RuntimeError("as on a full GPU, which GFPGANer prints and hides")


def test_the_chain_needs_a_face(tmp_path):
    weights = tmp_path / "small.pth"
    chain.random_weights("wav2lip-hq", weights, SMALL)
    face, speech = clip(tmp_path, 0.2, 320, 240)
    sweep.crowd(face, 0.2, 0, 1)
    with pytest.raises(InputError, match="no face"):
        chain.Chain("wav2lip-hq", weights, CPU, SMALL).run(face, speech, tmp_path / "out.mp4")
    with pytest.raises(InputError, match="reads no frames"):
        chain.read(speech)
    with pytest.raises(OptionError, match="no chain for 'codeformer'"):
        chain.random_weights("codeformer", weights)


def test_both_sides_take_turns_on_the_same_clip(made, tmp_path):
    row = versus.compare("wav2lip-hq", *made, tmp_path, repeat=2, options=SMALL)
    assert row["frames"] == row["chain_frames"] == 5
    assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
    assert 0 < row["outside"] < 1
    assert "restorer of wav2lip-hq" in {r["network"] for r in row["networks"]}
    text = "\n".join(versus.tables([row]))
    assert "RANDOM weights" in text and f"| wav2lip-hq | 5 | {row['ours']['median']}" in text
    assert not list(tmp_path.iterdir())  # the weights are gone


def test_presets_and_a_sweep_end_to_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweep, "apart", lambda job: timed.measure(job, time.time()))  # one new process is enough here
    out = tmp_path / "out"
    few = ["--seconds", "0.4", "--repeat", "1", "--out", str(out)]
    asked = ["--presets", "fast", "--sweep", "faces", "--sweep-preset", "fast", "--faces", "2"]
    assert main(["speed", *few, *asked]) == 0
    result = json.loads((out / "results.json").read_text())
    (row,) = result["rows"]
    assert row["frames"] == 10 and 100 < row["peak_mb"] < 1500 and row["start_up_s"] > 0
    assert row["real_time"] == pytest.approx(25 / row["fps"], rel=0.02)
    assert 0 < row["outside"] < 1 and sum(row["ms"].values()) == pytest.approx(1000 / row["fps"], rel=0.02)
    (crowded,) = result["sweeps"]["faces"]
    assert crowded["value"] == "2" and crowded["faces"] == 20
    text = (out / "results.md").read_text()
    assert "| 2 | 10 |" in text and "real-time factor" in text and "| embedded-articulation |" in text
    assert (out / "presets.png").exists() and (out / "fast-faces.png").exists()


def test_a_value_that_cannot_run_keeps_its_row(tmp_path, monkeypatch):
    def broken(job):
        raise CheckpointError("not installed.\nGet it with ...")

    monkeypatch.setattr(sweep, "apart", broken)
    assert main(["speed", "--presets", "--sweep", "precision", "--seconds", "0.2", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "results.json").read_text())["sweeps"]["precision"]
    assert rows == [{"value": v, "error": "not installed."} for v in ("fp32", "bf16")]
    assert "| bf16 | not run: not installed. |" in (tmp_path / "results.md").read_text()


def test_errors_are_human(tmp_path, capsys, monkeypatch):
    for wrong, said in (
        (["--presets"], "nothing to measure"),
        (["--resolutions", "1080p"], "WIDTHxHEIGHT"),
        (["--batches", "0"], "--batches is at least 1"),
        (["--chain-seconds", "0.1"], "at least 0.2 s"),
        (["--face", str(tmp_path / "none.mp4")], "there is no"),
    ):
        assert main(["speed", "--out", str(tmp_path), *wrong]) == 2
        assert said in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OptionError, match="pip install matplotlib"):
        plots.check()


def test_an_error_in_the_child_process_is_raised_unchanged(made, tmp_path):
    face, speech = made
    with pytest.raises(OptionError, match="unknown preset 'fastest'"):
        timed.apart(timed.Job("fastest", str(face), str(speech), str(tmp_path / "out.mp4")))


def test_a_machine_under_load_is_reported(capsys):
    assert speed._busy({"load": 0.0}) == [] == speed._busy({"load": None})
    assert "busy" in speed._busy({"load": 500.0})[0]


def test_networks_are_timed_and_their_operations_counted():
    layer = torch.nn.Conv2d(3, 8, 3, padding=1)
    model = Model(layer, models.ARCHS["srvgg"], name="layer")
    with Watch(counting=True) as counted:
        model(torch.zeros(2, 3, 16, 16))
    with Watch() as watch:
        model(torch.zeros(4, 3, 16, 16))
    model(torch.zeros(4, 3, 16, 16))  # outside of any Watch
    assert counted.costs["layer"].flops == 2 * (2 * 8 * 16 * 16 * 3 * 9)
    assert watch.costs["layer"].items == 4 and watch.seconds == watch.costs["layer"].seconds > 0


def test_efficiency_is_relative_to_the_matrix_rate():
    counted = {"a": Cost("bf16", items=2, flops=4e9), "unseen": Cost("bf16", items=1, flops=1e9)}
    seen = {"a": Cost("bf16", items=10, seconds=1.0), "uncounted": Cost("bf16", items=1, seconds=1.0)}
    (row,) = efficiency(counted, seen, {"bf16": 1e11})
    assert (row["network"], row["gflop"], row["ms"], row["fraction"]) == ("a", 2.0, 100.0, 0.2)
    assert matrix_rate(CPU, "fp32", side=64, repeat=2) > 1e6


def test_a_crowd_has_its_faces_at_one_size(tmp_path):
    sweep.crowd(tmp_path / "crowd.mp4", 0.08, 2, 4)
    frames, rate = chain.read(tmp_path / "crowd.mp4")
    assert rate == 25 and len(frames) == 2
    spread = [float(np.std(frames[0][:320, x : x + 320])) for x in (0, 320, 640, 960)]
    assert min(spread[:2]) > 30 and max(spread[2:]) < 5
