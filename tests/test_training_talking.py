"""Prepared clips, and the sync tasks on synthetic talkers whose mouth opens with the loudness."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("lightning_fabric", reason="training needs the 'train' extra")

from wav2lip_hq.errors import InputError  # noqa: E402
from wav2lip_hq.training import footage, talking  # noqa: E402
from wav2lip_hq.training.critic import PatchCritic, feature_matching, hinge  # noqa: E402
from wav2lip_hq.training.expert import ExpertTask, spread  # noqa: E402
from wav2lip_hq.training.generator import GeneratorTask, masked  # noqa: E402
from wav2lip_hq.training.loop import Trainer  # noqa: E402
from wav2lip_hq.training.recipe import Recipe  # noqa: E402


def talker(folder: Path, name: str, seed: int, seconds: float = 3.0, late: int = 0) -> Path:
    """A drawn face of 112 px; its mouth opens with the sound, which is ``late`` frames behind."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * 25)
    knots = np.clip(rng.normal(0.3, 0.5, frames // 3 + 2), 0, 1)
    opening = np.interp(np.arange(frames), np.arange(len(knots)) * 3, knots)
    t = np.arange(int(seconds * 16000)) / 16000
    loud = np.interp(t * 25 - late, np.arange(frames) + 0.5, opening)
    tone = sum(np.sin(2 * np.pi * f * t) for f in (180, 700, 1900, 3100))
    wav = (loud * tone * 5000).astype(np.int16)
    skin = rng.integers(120, 220, 3).tolist()
    crops = np.empty((frames, 112, 112, 3), np.uint8)
    for f in range(frames):
        image = np.full((112, 112, 3), 40, np.uint8)
        cv2.ellipse(image, (56, 50), (30, 40), 0, 0, 360, skin, -1)
        for x in (44, 68):
            cv2.circle(image, (x, 40), 3, (20, 20, 20), -1)
        cv2.ellipse(image, (56, 72), (10, 1 + int(9 * opening[f])), 0, 0, 360, (90, 20, 30), -1)
        crops[f] = image
    box = np.tile(np.float32([26, 10, 86, 90]), (frames, 1))
    to_wide = np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (frames, 1, 1))
    path = folder / f"{name}__{seed}.npz"
    np.savez(path, crops=crops, box=box, to_wide=to_wide, wav=wav, identity=name, path=str(path))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("talkers")
    for k in range(6):
        talker(folder, f"id{k}", k)
    return folder


def test_clip_boxes_and_sound(data):
    clip = talking.load_clip(sorted(data.glob("*.npz"))[0])
    assert len(clip) == 75 and clip.identity == "id0"
    assert np.allclose(clip.box[0], [26, 10, 86, 94])  # five per cent below
    assert clip.mel_at(10).shape == (80, 16)
    assert np.array_equal(clip.mel_at(10), clip.mel[:, 32:48])
    assert (clip.mel_at(-6) == -4).all()
    assert (clip.mel_at(74)[:, -1] == -4).all()


def test_late_sound_is_moved_back(tmp_path):
    on_time = talking.load_clip(talker(tmp_path, "a", 1))
    late = talking.load_clip(talker(tmp_path, "b", 1, late=5), shift=5)
    middle = slice(20, 150)
    correlation = np.corrcoef(on_time.mel[:, middle].mean(0), late.mel[:, middle].mean(0))[0, 1]
    assert correlation > 0.99


def test_no_identity_in_two_splits(data):
    held = talking.load_clips(data, identities=["id0", "id1"])
    rest = talking.load_clips(data, without=["id0", "id1"])
    assert {c.identity for c in held} == {"id0", "id1"}
    assert not {c.identity for c in held} & {c.identity for c in rest}
    assert len(held) + len(rest) == 6


def test_split_is_required(data):
    with pytest.raises(InputError, match="validation"):
        talking.held_identities(data)


def test_broken_clip_is_named(tmp_path):
    path = tmp_path / "x__1.npz"
    path.write_bytes(b"not a clip")
    with pytest.raises(InputError, match="x__1.npz"):
        talking.load_clip(path)


def test_empty_split_is_refused(data):
    with pytest.raises(InputError, match="no prepared clips"):
        talking.load_clips(data, identities=["nobody"])


def test_looks_change_pictures_alike_within_a_sample(data):
    clip = talking.load_clips(data)[0]
    look = talking.Look.draw(np.random.default_rng(0))
    twice = talking.face_crops(clip, [5, 5], look)
    assert np.array_equal(twice[0], twice[1])
    assert not np.array_equal(twice[0], talking.face_crops(clip, [5], talking.Look())[0])


def test_spread_keeps_its_distance():
    rng = np.random.default_rng(0)
    for _ in range(50):
        starts = spread(rng, 70, 12, 2)
        assert np.diff(starts).min() >= 2 and starts.min() >= 0 and starts.max() <= 70
    assert len(spread(rng, 4, 12, 2)) == 5


def test_masked_hides_the_lower_half():
    face = torch.ones(2, 3, 96, 96)
    assert masked(face)[:, :, 48:].abs().max() == 0 and masked(face)[:, :, :48].min() == 1


def test_expert_learns_sync(data, tmp_path):
    """Beats the untrained network on talkers it has never seen."""
    recipe = Recipe(
        task="expert",
        steps=60,
        batch_size=48,
        lr=2e-3,
        validate_every=60,
        options={"data": str(data), "width": 0.125, "windows": 12, "validation": ["id0", "id1"], "augment": 0.2},
    )
    task = ExpertTask(recipe)
    task.modules["expert"].eval()
    with torch.no_grad():
        before = task.validate(torch.device("cpu"))
    figures = Trainer(task, tmp_path).run(on_log=lambda text: None)
    assert figures["val_loss"] < before["val_loss"] - 0.3
    assert figures["offset_within_1"] >= before["offset_within_1"]
    assert figures["pair_accuracy"] > 0.7
    assert (tmp_path / "best.safetensors").stat().st_size > 10_000


def test_generator_improves_on_unseen_talkers(data, tmp_path):
    recipe = Recipe(
        task="generator",
        steps=30,
        batch_size=10,
        lr=2e-3,
        validate_every=30,
        options={
            "data": str(data),
            "width": 0.125,
            "sync_weight": 0.0,
            "gan_weight": 0.0,
            "validation": ["id0"],
            "validation_windows": 4,
        },
    )
    task = GeneratorTask(recipe)
    task.modules["generator"].eval()
    with torch.no_grad():
        before = task.validate(torch.device("cpu"))
    figures = Trainer(task, tmp_path).run(on_log=lambda text: None)
    assert figures["val_l1"] < 0.6 * before["val_l1"]


def test_generator_follows_the_expert(data):
    """The sync term's gradient reaches the frames, and the expert itself stays as it is."""
    recipe = Recipe(
        task="generator",
        steps=1,
        batch_size=10,
        options={
            "data": str(data),
            "width": 0.125,
            "sync_weight": 0.0,
            "gan_weight": 0.0,
            "validation": ["id0"],
        },
    )
    task = GeneratorTask(recipe)
    from wav2lip_hq import models

    task.modules["expert"] = models.build("lipsync_expert", width=0.125).eval().requires_grad_(False)
    frames = torch.rand(10, 3, 96, 96, requires_grad=True)
    loss, _ = task.sync_loss(frames, torch.rand(2, 1, 80, 16))
    loss.backward()
    assert frames.grad is not None
    assert frames.grad[:, :, :48].abs().max() == 0 and frames.grad[:, :, 48:].abs().max() > 0


@pytest.mark.parametrize("critic", ["visual_quality_disc", "patch"])
def test_a_critic_trains_along_and_affects_the_generator(data, tmp_path, critic):
    options = {
        "data": str(data),
        "width": 0.125,
        "sync_weight": 0.0,
        "gan_weight": 0.5,
        "frames": 1,
        "discriminator": critic,
    }
    recipe = Recipe("generator", steps=2, batch_size=2, options={**options, "validation": ["id0"], "gan_step": 1})
    recipe.options["validation_windows"] = 1
    task = GeneratorTask(recipe)
    first = {k: v.clone() for k, v in task.modules["critic"].state_dict().items()}
    Trainer(task, tmp_path).run(on_log=lambda text: None)
    assert any(not torch.equal(v, first[k]) for k, v in task.modules["critic"].state_dict().items())
    with (tmp_path / "log.csv").open() as file:
        row = next(csv.DictReader(file))
    assert float(row["train_critic"]) > 0 and float(row["train_gen"]) != 0

    made, real = torch.rand(2, 3, 96, 96, requires_grad=True), torch.rand(2, 3, 96, 96)
    task.live = dict(task.modules)  # without the loop around them
    task.modules["critic"].zero_grad()
    task._adversarial_loss(made, real, 2).backward()
    assert made.grad is not None and made.grad[:, :, :48].abs().max() == 0 < made.grad[:, :, 60:].abs().max()
    assert all(p.grad is None or not p.grad.any() for p in task.modules["critic"].parameters())


def test_a_patch_critic_tells_soft_from_sharp():
    torch.manual_seed(0)
    critic = PatchCritic(width=8)
    optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3)
    for _ in range(60):
        sharp = torch.nn.functional.interpolate(torch.rand(4, 1, 16, 16), scale_factor=2)
        soft = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2)
        loss = hinge(critic(sharp)[0], critic(soft)[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1, "2 is what a critic scores who cannot tell"
    with torch.no_grad():
        seen, wanted = critic(soft)[1], critic(sharp)[1]
    assert float(feature_matching(seen, wanted)) > 0 == float(feature_matching(wanted, wanted))


@pytest.mark.parametrize(
    ("files", "identities"),
    [
        (["s1/bbaf2n.mpg", "s2/bbaf1n.mpg"], {"s1", "s2"}),
        (["main/553/00001.mp4", "main/777/00001.mp4"], {"553", "777"}),
        (["ABOUT/train/ABOUT_00001.mp4", "ABOUT/train/ABOUT_00002.mp4"], {"ABOUT_00001", "ABOUT_00002"}),
        (["anna.mp4", "ben.mov"], {"anna", "ben"}),
    ],
)
def test_layouts(tmp_path, files, identities):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = footage.find(tmp_path)
    assert {f.identity for f in found} == identities
    assert len({f.name for f in found}) == len(files)


def test_list_files(tmp_path):
    (tmp_path / "a b.mp4").write_bytes(b"x")
    listing = tmp_path / "list.txt"
    listing.write_text("# clips\na b.mp4\tanna\n")
    assert footage.find(listing)[0].identity == "anna"
    listing.write_text("gone.mp4 anna\n")
    with pytest.raises(InputError, match=r"gone\.mp4"):
        footage.find(listing)
