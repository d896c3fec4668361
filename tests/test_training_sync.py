"""Late clips found and corrected, LipGAN's discriminator, the ablation, generator variants, one person."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

pytest.importorskip("lightning_fabric", reason="training needs the 'train' extra")

from test_training_talking import talker  # noqa: E402

from wav2lip_hq import checkpoints, models  # noqa: E402
from wav2lip_hq.training import resync, talking  # noqa: E402
from wav2lip_hq.training.ablation import ablation, table  # noqa: E402
from wav2lip_hq.training.evaluate import evaluate_generator  # noqa: E402
from wav2lip_hq.training.expert import ExpertTask  # noqa: E402
from wav2lip_hq.training.loop import Trainer  # noqa: E402
from wav2lip_hq.training.recipe import Recipe  # noqa: E402
from wav2lip_hq.training.tasks import build_task, load_recipe  # noqa: E402

TINY = {"width": 0.125, "validation": ["id0"], "augment": 0.2}
CLIPS, WINDOWS = {"validation_clips": 2}, {"validation_windows": 2}  # the expert's and the generator's


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("talkers")
    for k in range(5):
        talker(folder, f"id{k}", k)
    return folder


def test_the_peak_is_found_and_noise_has_none():
    rng = np.random.default_rng(0)
    faces = rng.normal(0, 1, (60, 32))
    sounds = np.roll(faces, 4, axis=0) + rng.normal(0, 1, (60, 32))
    by, lead = resync.peak(faces @ sounds.T)
    assert by == 4 and lead > resync.LEAD
    assert resync.peak(rng.normal(0, 1, (60, 60)))[1] < 4


def test_late_clips_are_corrected_and_unexplained_ones_left_out(data, tmp_path):
    recipe = Recipe(
        task="expert",
        steps=90,
        batch_size=48,
        lr=2e-3,
        validate_every=90,
        options={"data": str(data), "windows": 12, **TINY, **CLIPS},
    )
    Trainer(ExpertTask(recipe), tmp_path / "run").run(on_log=lambda text: None)
    talker(tmp_path, "late", 11, seconds=6.0, late=6)
    talker(tmp_path, "fine", 12, seconds=6.0)
    found = resync.resync(tmp_path, str(tmp_path / "run" / "best.safetensors"))
    assert abs(found.shifted["late__11"] - 6) <= 1 and "fine__12" not in found.shifted
    assert "late__11" in found.text()

    moved = next(c for c in talking.load_clips(tmp_path) if c.identity == "late")
    straight = talking.load_clip(talker(tmp_path / "run", "x", 11, seconds=6.0))
    middle = slice(40, 400)
    assert np.corrcoef(moved.mel[:, middle].mean(0), straight.mel[:, middle].mean(0))[0, 1] > 0.9
    by_hand = next(c for c in talking.load_clips(tmp_path, shifts={"late": 0}) if c.identity == "late")
    assert not np.array_equal(by_hand.wav, moved.wav), "the recipe's word counts more"

    notes = json.loads((tmp_path / resync.FILE).read_text())
    (tmp_path / resync.FILE).write_text(json.dumps({**notes, "late__11": None}))
    assert {c.identity for c in talking.load_clips(tmp_path)} == {"fine"}


def test_lipgan_trains_both_networks_and_exports_both(data, tmp_path):
    recipe = load_recipe(
        "lipgan",
        {"data": str(data), "steps": 30, "batch_size": 12, "lr": 2e-3, "warmup": 0, "ema": 0.0, **TINY, **WINDOWS},
    )
    task = build_task(recipe)
    first = {k: v.clone() for k, v in task.modules["critic"].state_dict().items()}
    for module in task.modules.values():
        module.eval()
    with torch.no_grad():
        before = task.validate(torch.device("cpu"))
    after = Trainer(task, tmp_path).run(on_log=lambda text: None)
    assert after["val_l1"] < 0.9 * before["val_l1"]
    critic = checkpoints.load(str(tmp_path / "critic-last.safetensors"), "lipsync_expert")
    assert critic.options == {"width": 0.125, "frames": 1}
    assert any(not torch.equal(v.float(), first[k].float()) for k, v in critic.module.state_dict().items())


def test_table_3_is_one_command(data, tmp_path):
    settings = {"data": str(data), "steps": 3, "batch_size": 12, "windows": 6, **TINY, **CLIPS, **WINDOWS}
    rows = ablation(tmp_path, settings)
    assert [(r.frames, r.along) for r in rows] == [(1, 0), (1, 1), (3, 0), (3, 1), (5, 0), (5, 1), (1, 1)]
    assert all(0 <= r.accuracy <= 1 for r in rows)
    assert "91.6 %" in table(rows) and (tmp_path / "ablation.md").read_text().startswith("| network")
    again = ablation(tmp_path, settings)
    assert again == rows, "finished runs are not trained again"


@pytest.mark.parametrize("variant", ["gated", "attention"])
def test_generator_variants_load_by_themselves(variant, tmp_path):
    made = models.build("wav2lip", width=0.125, **{variant: True})
    found = models.identify(made.state_dict())
    assert found[0] == "wav2lip" and found[1][variant] is True and len(found[1]) == 3
    checkpoints.save(tmp_path / "x.safetensors", made, arch="wav2lip", options=found[1], card={})
    again = checkpoints.load(str(tmp_path / "x.safetensors"), "wav2lip").module
    mel, face = torch.randn(2, 1, 80, 16), torch.rand(2, 6, 96, 96)
    assert torch.allclose(again(mel, face), made(mel, face), atol=2e-2)


def test_adding_attention_changes_nothing_at_first():
    plain, attentive = models.build("wav2lip", width=0.125), models.build("wav2lip", width=0.125, attention=True)
    attentive.load_state_dict(plain.state_dict(), strict=False)
    mel, face = torch.randn(2, 1, 80, 16), torch.rand(2, 6, 96, 96)
    assert torch.allclose(attentive(mel, face), plain(mel, face), atol=1e-6)
    torch.nn.init.normal_(attentive.speech_attention.attention.out_proj.weight)
    assert not torch.allclose(attentive(mel, face), plain(mel, face), atol=1e-4)


def test_generators_are_judged_by_what_they_show(data):
    """A generator that copies the reference is as sharp and lively as the footage; blur and standstill are told."""
    clips = talking.load_clips(data, identities=["id0", "id1"])
    judge = checkpoints.load("embedded-syncnet", "syncnet_v2").module

    def copies(mels, faces):
        return faces[:, 3:]

    def blurs(mels, faces):
        return torch.nn.functional.avg_pool2d(faces[:, 3:], 7, 1, 3)

    def stands_still(mels, faces):
        return faces[:1, 3:].expand(len(faces), -1, -1, -1)

    like, soft, still = (evaluate_generator(net, judge, clips) for net in (copies, blurs, stands_still))
    assert like["own_sharpness"] == pytest.approx(1, abs=0.01) and like["own_movement"] == pytest.approx(1, abs=0.01)
    assert soft["other_sharpness"] < 0.7 and still["other_movement"] < 0.8 * like["other_movement"]
