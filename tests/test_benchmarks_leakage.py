"""``python -m benchmarks quality --protocol leakage``: finished videos beside the footage; a double of the mesh."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_mesh import drawn_mesh
from media import write_video
from talker import talker

import wav2lip_hq
from benchmarks import agreement, mouths, offsets, trials
from benchmarks.__main__ import main
from wav2lip_hq import HQPipeline, audio, checkpoints
from wav2lip_hq.errors import CheckpointError, InputError
from wav2lip_hq.metrics import leakage, mouth
from wav2lip_hq.metrics.offset import CERTAIN
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.video import open_video

FACE = Path(wav2lip_hq.__file__).parent / "_data" / "demo" / "face.mpg"  # a person who speaks


def double(frames, five):
    """Instead of the mesh: how high the dark inside of the drawn mouth is."""
    meshes = []
    for frame, points in zip(frames, five, strict=True):
        x, y = points[3:].mean(0).round().astype(int)
        dark = (frame[y - 20 : y + 20, x - 6 : x + 7].max(-1) < 75).mean(1) > 0.5
        meshes.append(drawn_mesh(np.array([dark.sum() / 60]), (float(x), float(y) - 12), 0.7)[0])
    return np.stack(meshes), np.ones(len(frames))


@pytest.fixture
def mesh(monkeypatch):
    """The double in the network's place."""
    monkeypatch.setattr(mouths, "installed", lambda: None)
    monkeypatch.setattr(mouths, "mesh_network", lambda: double)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Two people talking; in ``frozen`` they stand still whatever is said, in ``swapped`` both move like anna."""
    folder = tmp_path_factory.mktemp("footage")
    for name, seed in (("anna", 1), ("bert", 2)):
        (folder / "clips").mkdir(exist_ok=True)
        talker(folder / "clips" / f"{name}.mp4", seed, 1.4)
    talker(folder / "words.mp4", 3, 1.4)
    films = {n: frames_of(folder / "clips" / f"{n}.mp4") for n in ("anna", "bert")}
    for kind in ("frozen", "swapped"):
        (folder / kind).mkdir()
        for name, frames in films.items():
            made = np.repeat(frames[:1], len(frames), 0) if kind == "frozen" else films["anna"]
            write_video(folder / kind / f"{name}~words.mp4", made)
    return folder


def frames_of(path: Path) -> np.ndarray:
    with open_video(path) as reader:
        return np.stack([frame for _, frame, _ in reader])


def run(folder: Path, out: Path, *more: str) -> dict:
    words = ["--protocol", "leakage", "--data", str(folder / "clips"), "--speech", str(folder / "words.wav")]
    assert main(["quality", *words, "--out", str(out), *more]) == 0
    return json.loads((out / "results.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} escaped"))


def of(document: dict, method: str, kind: str = "mismatched") -> list[dict]:
    return [r for r in document["rows"] if r["method"] == method and r["kind"] == kind]


def test_copies_leak_frozen_mouths_do_not_and_equal_mouths_agree(footage, mesh, tmp_path, monkeypatch, capsys):
    given = [f"{kind}={footage / kind}" for kind in ("frozen", "swapped")]
    document = run(footage, tmp_path, "--setups", "matched", "mismatched", "silent", "--predictions", *given)
    assert all(r["leak"] == 1 for r in of(document, "copy")) and all(r["leak"] > 0.9 for r in of(document, "codec"))
    assert all(r["leak"] == 1 for r in of(document, "source", "matched"))
    assert all(r["leak"] == 0 and r["still"] for r in of(document, "frozen"))
    pairs = {p["method"]: p["agreement"] for p in document["pairs"]}
    assert pairs["frozen"] == 0 and pairs["swapped"] > 0.95 and abs(pairs["copy"]) < 0.6
    # Both of ``swapped`` move like anna: her "leak" is not copied, since a result made from another face has it, too.
    anna = next(r for r in of(document, "swapped") if r["clip"] == "anna")
    assert anna["leak"] > 0.95 and anna["by_chance"] > 0.95 and abs(anna["beyond"]) < 0.05
    assert not any("beyond" in r for r in of(document, "copy"))
    # Other set-ups were not made: they are reported by name, and the rest is measured.
    (missing, _) = of(document, "frozen", "silent")
    assert "anna~silent" in missing["error"]
    page = (tmp_path / "results.md").read_text()
    assert "frozen anna words" in page and "nan" not in page.lower()
    assert (tmp_path / "results.csv").read_text().count("\n") == len(document["rows"]) + 1
    # A second run reads what the first found.
    monkeypatch.setattr(mouths, "follow", lambda *_: pytest.fail("measured again"))
    capsys.readouterr()
    again = run(footage, tmp_path, "--setups", "mismatched", "--predictions", *given)
    assert again["pairs"] == document["pairs"]


def test_a_hand_over_the_mouth(footage, mesh, tmp_path):
    out = tmp_path / "out"
    document = run(footage, out, "--setups", "covered", "--clips", "1", "--predictions", str(footage / "frozen"))
    copies = of(document, "copy", "covered")
    assert [(r["setup"], r["covered"], r["ring"]) for r in copies] == [("hand", 0, 100), ("microphone", 0, 100)]
    assert all(0 < r["ring"] < 100 for r in of(document, "codec", "covered"))
    hidden = frames_of(out / "covered" / "anna~hand.mkv")
    assert np.abs(hidden.astype(int) - frames_of(footage / "clips" / "anna.mp4")[: len(hidden)]).max() > 60


def test_without_the_mesh_it_says_what_to_import(footage, own_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkpoints, "locate", lambda name: None)
    words = ["--protocol", "leakage", "--data", str(footage / "clips"), "--speech", str(footage / "words.wav")]
    assert main(["quality", *words, "--out", str(tmp_path)]) == CheckpointError.exit_code
    assert "checkpoints import FILE --name facemesh468" in capsys.readouterr().err


def test_the_largest_face_is_measured(mesh, footage, tmp_path):
    """Anna at half her size beside bert: bert is measured."""
    anna, bert = (frames_of(footage / "clips" / f"{n}.mp4")[:12] for n in ("anna", "bert"))
    both = np.concatenate([anna[:, ::2, ::2]] * 2, 1)
    write_video(tmp_path / "both.mp4", np.concatenate([both, bert], 2))
    sight = mouths.look(tmp_path / "both.mp4")
    assert len(sight) == 12 and (sight.five[:, :, 0] > both.shape[2]).all()
    alone = mouths.mouth_track(footage / "clips" / "bert.mp4", 12 / 25)
    together = mouths.mouth_track(tmp_path / "both.mp4", sight=sight)
    np.testing.assert_allclose(together.opening, alone.opening, atol=0.06)


def test_a_shorter_video_has_unseen_frames(mesh, footage, tmp_path):
    whole = frames_of(footage / "clips" / "anna.mp4")
    write_video(tmp_path / "short.mp4", whole[:20])
    sight = mouths.look(footage / "clips" / "anna.mp4")
    found = mouths.mouth_track(tmp_path / "short.mp4", sight=sight)
    assert found.seen.sum() == 20 and len(found) == len(whole)


def test_the_projects_own_list_is_complete(tmp_path):
    """Twenty clips and more, seven of them quick; what it names is looked for."""
    import yaml

    listed = yaml.safe_load(trials.LISTS.read_text())
    assert len(listed["clips"]) >= 20 and sum(bool(c.get("quick")) for c in listed["clips"]) == 7
    with pytest.raises(InputError, match="not there"):
        trials.collect([tmp_path], listed="quick")
    (tmp_path / "bad.yaml").write_text("clips: 3")
    with pytest.raises(InputError, match="not a list of trials"):
        trials.collect([tmp_path], listed=str(tmp_path / "bad.yaml"))
    with pytest.raises(InputError, match="--speech"):
        trials.collect([tmp_path])


def test_agreement_needs_one_frame_rate():
    openings = np.sin(np.arange(60) / 3)
    at25, at30 = np.arange(60) / 25, np.arange(60) / 30
    assert agreement.agreement((at25, openings), (at30, openings)) is None
    late = agreement.agreement((at25, openings), (at25[3:], openings[3:]))
    assert late == {"agreement": 1.0, "agreement_lag": 1.0, "lag": 0, "frames": 57}


def test_the_published_mesh_on_real_footage(shared, own_folder, tmp_path):
    """A copy leaks all; half the size and another codec change little; a frozen mouth says nothing."""
    checkpoints.import_file(shared("data/weights/mediapipe_facemesh468.pth"), "facemesh468")
    clip = shared("data/talking/grid/s4/bbal6a.mpg")
    mouths.mesh_network.cache_clear()
    try:
        sight = mouths.look(clip, 1.6)
        real = mouths.mouth_track(clip, 1.6, sight)
        frames = frames_of(clip)[: len(real)]
        write_video(tmp_path / "small.mp4", frames[:, ::2, ::2])
        write_video(tmp_path / "frozen.mp4", np.repeat(frames[:1], len(frames), 0))
        small, frozen = (mouths.mouth_track(tmp_path / f"{n}.mp4", sight=sight) for n in ("small", "frozen"))
    finally:
        mouths.mesh_network.cache_clear()
    assert real.seen.all() and 0 <= np.min(real.opening) < 0.05 < np.max(real.opening) < 0.5
    assert leakage.correlation(small.opening, real.opening) > 0.8
    assert leakage.amplitude(frozen.opening, real.opening) < 0.2
    assert mouth.closed_level(real.opening) < 0.08


# ---- the offset of what a clip is made to say


def heard(late: int) -> list[float | None]:
    """How well the demo's face fits its own sound, that is heard ``late`` frames later."""
    wav = audio.load_audio(FACE)
    moved = np.concatenate([np.zeros(late * 640, np.float32), wav])[: len(wav)]
    listener = offsets.Listener(Runtime(), moved)
    found = HQPipeline("fast").survey(FACE)
    with open_video(FACE) as reader:
        for n, (pts, frame, _) in enumerate(reader):
            listener.add(pts, frame, found.faces.box[found.rows(n, False)][0])
    curve = listener.curve()
    assert curve is not None
    return curve


@pytest.mark.parametrize("late", [0, 5])
def test_the_offset_of_a_clip_is_found_by_all_it_says_together(late):
    curve = heard(late)
    fit = offsets.together([curve, [None] * 3 + curve[3:]])
    assert fit.shift == -late and fit.lead > CERTAIN, "the sound is late, so the picture is early"
    rows = [
        {"method": "default", "kind": "mismatched", "clip": name, "fit": curve} for name in ("anna", "anna", "bert")
    ]
    rows += [{"method": "copy", "kind": "mismatched", "clip": "anna", "fit": None}]
    synced = "2" if late == 0 else "0"
    assert offsets.table(rows)[1:] == [["default", "mismatched", synced, synced, "2", "2"]]


def test_a_mouth_seen_too_shortly_tells_nothing():
    listener = offsets.Listener(Runtime(), audio.load_audio(FACE))
    assert listener.curve() is None
    assert offsets.table([{"method": "default", "kind": "matched", "clip": "anna"}])[1:] == []
