"""Training of the articulation network: the space of mouths, varied sound, and a short run on drawn faces."""

import json

import numpy as np
import pytest
from test_articulate import body, turned

from wav2lip_hq import articulation, audio, checkpoints, mesh
from wav2lip_hq.training import articulation as task
from wav2lip_hq.training import meshes, mouthspace, soundvary
from wav2lip_hq.training.tasks import load_recipe, train


def speak(count, rng, spread=0.05, closed=0.01):
    """(T, POINTS, 3) a drawn face that opens its mouth now and then, and how far."""
    wave = np.convolve(rng.normal(0, 1, count + 16), np.hanning(9), "same")[8:-8]
    gap = closed + spread * np.maximum(wave / wave.std(), 0)
    faces = np.stack([body(g) for g in gap])
    faces[:, mesh.JAW, 1] += (gap[:, None] - closed) * articulation.MOVING[mesh.JAW] * 0.8
    faces[:, mesh.LIPS, 0] *= 1 + 0.05 * rng.normal(0, 1, (count, 1))
    return faces, gap


def test_coefficients_reconstruct_the_mouths():
    rng = np.random.default_rng(0)
    people = {}
    for n in range(3):
        faces, _ = speak(120, rng, spread=0.03 + 0.02 * n)
        people[str(n)] = (faces, mouthspace.measure(faces))
    template = mouthspace.face(np.concatenate([f for f, _ in people.values()]))
    eyes = template[mesh.at(33, 263)]
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(1, abs=0.02)
    space = mouthspace.learn(template, people, 6)
    pairs = mouthspace.mirror(template)
    assert (pairs[pairs] == np.arange(mesh.POINTS)).mean() > 0.9
    faces, person = people["2"]
    made = mouthspace.coefficients(faces, person, space, pairs)
    assert np.corrcoef(made[:, 0], articulation.opening(faces))[0, 1] > 0.99
    reach = articulation.reach(person.spread, space.spread, 6)
    back = person.neutral + np.einsum("nk,kpc->npc", made * reach, space.basis)
    assert np.abs(back - faces)[:, mesh.LIPS].max() < 0.02


def test_pose_and_size_are_removed():
    face = body(0.1)
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    seen = 130 * (face @ turn.T) + (400, 300, 20)
    assert np.allclose(articulation.upright(seen[None], face)[0], face, atol=1e-6)
    view = articulation.camera(turned(face, yaw=-40, pitch=10, roll=15), face)
    assert np.allclose(articulation.show(view, face), turned(face, yaw=-40, pitch=10, roll=15), atol=0.1)


def test_augmented_sound_is_still_a_mel_and_still_speech():
    rng = np.random.default_rng(0)
    mel = np.clip(np.cumsum(rng.normal(0, 0.5, (80, 200)), 1), -4, 4).astype(np.float32)
    for _ in range(20):
        out = soundvary.vary(mel, rng)
        assert out.shape == mel.shape and out.min() >= -4 and out.max() <= 4 and np.isfinite(out).all()
    assert np.array_equal(soundvary.vary(mel, rng, 0), mel)
    assert soundvary.warp(mel, 1.0, 1.25).shape == (80, 160)
    assert soundvary.add(np.full((1, 1), 1.0), np.full((1, 1), 1.0))[0, 0] == pytest.approx(
        1 + 3.01 / soundvary.DB, abs=0.01
    )
    hushed, truth = task.hush(mel, np.ones((30, 2)), np.random.default_rng(3))
    assert hushed.shape == mel.shape and truth.min() == 0


def test_the_lag_of_a_clip_is_found():
    real = np.convolve(np.random.default_rng(0).normal(0, 1, 120), np.hanning(7), "same")
    sure = np.ones(120, bool)
    for lag in (-3, 0, 4):
        assert task.best_lag(np.roll(real, -lag), real, sure) == lag


@pytest.fixture()
def footage(tmp_path):
    """Prepared clips that were labeled: loud where the mouth is open."""
    data, labels = tmp_path / "data", tmp_path / "labels"
    data.mkdir()
    labels.mkdir()
    names = [f"p{n}" for n in range(14)]
    for n, name in enumerate(names):
        rng = np.random.default_rng(n)
        faces, gap = speak(75, rng)
        time = np.arange(75 * 640 + 2 * meshes.AROUND) / 640 - meshes.AROUND / 640
        loud = np.interp(time, np.arange(75), gap, left=0, right=0)
        wav = (rng.normal(0, 1, len(time)) * loud * 60000).clip(-32000, 32000).astype(np.int16)
        np.savez(
            labels / f"{name}__c.00000.npz", mesh=(faces * 90).astype(np.float32), sure=np.ones(75, np.float32), wav=wav
        )
        np.savez(data / f"{name}__c.00000.npz", path="gone.mp4", first=0, landmarks=np.zeros((75, 5, 2)))
    (data / "split.json").write_text(json.dumps({"validation": names[:2]}))
    return data, labels, names


def test_a_short_run_learns_to_open_the_mouth(footage, tmp_path):
    data, labels, names = footage
    settings = {
        "data": str(data), "labels": str(labels), "validation": names[:2], "width": 24, "steps": 60, "batch_size": 6,
        "validate_every": 60, "tuning": 0.3, "warmup": 5, "lr": 3e-3, "precision": "32-true", "coefficients": 4,
    }  # fmt: skip
    figures = train(load_recipe("articulation", settings), tmp_path / "run")
    assert figures["correlation"] > 0.5 and figures["lag_within_1"] == 1
    made = checkpoints.load(tmp_path / "run/best.safetensors", "articulation")
    assert made.card["figures"]["correlation"] > 0.5
    assert (made.module.curve.diff(dim=1) >= 0).all()
    silent = np.full((80, 160), audio.SILENCE, np.float32)
    raw = task.predict(made.module, silent, 20, made.module.unit.device)
    assert np.abs(raw[:, 0]).max() < 1
