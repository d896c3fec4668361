"""Training of detector, parser and restorer: labels, geometry, losses, data layouts, and that a few steps learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from wav2lip_hq import checkpoints, models
from wav2lip_hq.boxes import iou
from wav2lip_hq.errors import InputError, OptionError
from wav2lip_hq.models.anchors import anchors as make_anchors
from wav2lip_hq.models.anchors import decode, encode
from wav2lip_hq.training import degrade, detector, facepack, labels, parser, restorer, scenes
from wav2lip_hq.training.loop import Trainer
from wav2lip_hq.training.matching import match
from wav2lip_hq.training.recipe import Recipe
from wav2lip_hq.training.scenes import Faces, Painter
from wav2lip_hq.training.tasks import load_recipe
from wav2lip_hq.training.turning import turned

Array = NDArray[Any]
CPU = torch.device("cpu")


def face_picture(seed: int, side: int = 128) -> tuple[Array, Array, Array, Array]:
    """A drawn face: image, its (1, 4) box, (1, 5, 2) landmarks, and its label map (bisenet order)."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), rng.integers(0, 90, 3), np.uint8)
    mask = np.zeros((side, side), np.uint8)
    cx, cy, r = side * rng.uniform(0.45, 0.55), side * rng.uniform(0.45, 0.55), side * 0.3
    skin = tuple(int(v) for v in rng.integers(150, 256, 3))
    cv2.ellipse(image, (int(cx), int(cy)), (int(0.8 * r), int(r)), 0, 0, 360, skin, -1)
    cv2.ellipse(mask, (int(cx), int(cy)), (int(0.8 * r), int(r)), 0, 0, 360, 1, -1)
    marks = np.array([[-0.4, -0.3], [0.4, -0.3], [0, 0.1], [-0.3, 0.5], [0.3, 0.5]]) * r + (cx, cy)
    for n in (0, 1):
        cv2.circle(image, (int(marks[n, 0]), int(marks[n, 1])), max(2, side // 40), (20, 20, 60), -1)
        cv2.circle(mask, (int(marks[n, 0]), int(marks[n, 1])), max(2, side // 40), 4 + n, -1)
    a, b = ((int(x), int(y)) for x, y in marks[3:])
    cv2.line(image, a, b, (200, 30, 60), max(2, side // 24))
    cv2.line(mask, a, b, 13, max(2, side // 24))
    box = np.array([[cx - 0.8 * r, cy - r, cx + 0.8 * r, cy + r]])
    return image, box, marks[None], mask


# ---- classes of parsing


def test_orders_of_classes_map_onto_each_other() -> None:
    ids = np.arange(19, dtype=np.uint8)
    assert np.array_equal(labels.TO_OFFICIAL[labels.FROM_OFFICIAL[ids]], ids)
    assert np.array_equal(labels.FROM_OFFICIAL[labels.TO_OFFICIAL[ids]], ids)
    # The numbers both READMEs give: official -> 79999_iter.
    known = {0: 0, 1: 1, 2: 10, 3: 6, 4: 4, 5: 5, 6: 2, 7: 3, 10: 11, 11: 12, 12: 13, 13: 17, 14: 18, 17: 14, 18: 16}
    assert {k: int(labels.FROM_OFFICIAL[k]) for k in known} == known
    assert set(labels.FROM_OFFICIAL[19:]) == {labels.IGNORE}


def test_mirror_exchanges_left_and_right() -> None:
    row = np.array([[2, 4, 7, 13, 1, 3]], np.uint8)
    assert labels.mirror(row).tolist() == [[2, 1, 13, 8, 5, 3]]  # lower lip and skin have no side
    assert np.array_equal(labels.mirror(labels.mirror(row)), row)


def test_merge_paints_in_the_official_order() -> None:
    full, half = np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8)
    half[:2] = 255
    out = labels.merge({"hair": half, "skin": full, "l_lip": full[:]})
    assert out[0, 0] == labels.CLASSES.index("hair") and out[3, 3] == labels.CLASSES.index("l_lip")


def test_pairs_are_read_from_both_layouts_and_bad_ones_named(tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for name in ("images", "masks"):
        (flat / name).mkdir(parents=True)
    for n in range(3):
        image, _, _, mask = face_picture(n)
        cv2.imwrite(str(flat / "images" / f"{n}.png"), image[..., ::-1])
        cv2.imwrite(str(flat / "masks" / f"{n}.png"), labels.TO_OFFICIAL[mask])
    cv2.imwrite(str(flat / "images" / "wrong.png"), image)
    cv2.imwrite(str(flat / "masks" / "wrong.png"), mask[:50])
    cv2.imwrite(str(flat / "masks" / "alone.png"), mask)
    (flat / "images" / "broken.png").write_bytes(b"nothing")
    cv2.imwrite(str(flat / "masks" / "broken.png"), mask)
    said: list[str] = []
    pairs = labels.load_pairs(flat, on_log=said.append)
    assert [p[0] for p in pairs] == ["0", "1", "2"]
    assert np.array_equal(pairs[0][2], face_picture(0)[3]), "official ids came back as 79999_iter's"
    assert len(said) == 3 and any("wrong.png" in s for s in said) and any("alone" in s for s in said)

    raw = tmp_path / "raw"
    (raw / "CelebA-HQ-img").mkdir(parents=True)
    (raw / "CelebAMask-HQ-mask-anno" / "0").mkdir(parents=True)
    image, _, _, mask = face_picture(5)
    cv2.imwrite(str(raw / "CelebA-HQ-img" / "7.png"), image[..., ::-1])
    for part in ("skin", "l_eye", "r_eye", "l_lip"):
        inside = mask > 0 if part == "skin" else mask == labels.CLASSES.index(part)
        cv2.imwrite(str(raw / "CelebAMask-HQ-mask-anno" / "0" / f"00007_{part}.png"), inside.astype(np.uint8) * 255)
    assert np.array_equal(labels.load_pairs(raw)[0][2], mask)
    with pytest.raises(InputError, match="neither"):
        labels.load_pairs(tmp_path)


def test_shared_masks_are_faces(shared: Callable[[str], Path], tmp_path: Path) -> None:
    """Real masks: the nose lies under the eyes and over the lips, the left eye left of the right one's place."""
    source = shared("data/parsing/images").parent
    names = sorted(p.stem for p in (source / "masks").iterdir())[:4]
    for folder, suffix in (("images", ".jpg"), ("masks", ".png")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}{suffix}").symlink_to(source / folder / f"{name}{suffix}")
    for _, _, mask in labels.load_pairs(tmp_path):
        where = {c: np.argwhere(mask == i).mean(0) for i, c in enumerate(labels.CLASSES) if (mask == i).any()}
        eyes = [where[e] for e in ("l_eye", "r_eye") if e in where]
        assert all(e[0] < where["nose"][0] for e in eyes) and where["nose"][0] < where["l_lip"][0]


# ---- boxes and scenes


def test_a_turned_face_takes_its_landmarks_along() -> None:
    """Dots painted at the landmarks are found where the turned labels say; beyond the head nothing moves."""
    box = np.array([60, 50, 140, 150], np.float32)
    points = np.array([[82, 85], [118, 85], [100, 107], [86, 128], [114, 128]], np.float32)
    image = np.zeros((200, 200, 3), np.uint8)
    image[:, 5], image[3] = 90, 90
    for n, (x, y) in enumerate(points.astype(int)):
        image[y - 1 : y + 1, x - 1 : x + 1] = 40 * n + 80
    for degrees in (-30, 20):
        out, moved = turned(image, box, points, np.radians(degrees))
        assert (moved[2, 0] - points[2, 0]) * degrees > 0, "the nose points where the head turns"
        assert abs(moved[2, 0] - moved[:2, 0].mean()) > 4, "and stands out from between the eyes"
        for n, (x, y) in enumerate(moved):
            near = out[int(y) - 4 : int(y) + 4, int(x) - 4 : int(x) + 4, 0].astype(float) ** 2
            rows, columns = np.indices(near.shape) + 0.5
            found = (near * columns).sum() / near.sum() + int(x) - 4, (near * rows).sum() / near.sum() + int(y) - 4
            np.testing.assert_allclose(found, (x, y), atol=0.75, err_msg=f"landmark {n} at {degrees} degrees")
        np.testing.assert_array_equal(out[:, 5], image[:, 5])


def test_encoding_is_undone_by_decoding() -> None:
    rng = np.random.default_rng(0)
    anchors = make_anchors(64, 64)
    corner = rng.uniform(0, 40, (len(anchors), 2))
    box = np.concatenate([corner, corner + rng.uniform(5, 60, corner.shape)], 1)
    points = rng.uniform(0, 64, (len(anchors), 5, 2))
    back, marks = decode(*encode(box, points, anchors), anchors)
    np.testing.assert_allclose(back, box, atol=1e-3)
    np.testing.assert_allclose(marks, points, atol=1e-3)


def test_matching_gives_every_sure_face_an_anchor_and_leaves_unsure_ones_out() -> None:
    anchors = make_anchors(256, 256)
    box = np.array([[10, 10, 23, 22], [60, 60, 200, 220], [200, 20, 240, 60]], np.float32)
    label, offset, _ = match(box, np.zeros((3, 5, 2)), np.array([True, True, False]), anchors)
    decoded, _ = decode(offset, np.zeros((len(anchors), 10)), anchors)
    hit = decoded[label == 1]
    assert (iou(box[:2], hit).max(1) > 0.99).all(), "both sure faces are learned"
    assert iou(box[2:], hit).max() < 0.5, "the unsure one is not"
    assert (label == -1).any()
    assert not match(np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0, bool), anchors)[0].any()


def test_labels_follow_the_picture_through_a_mirror_and_a_turn() -> None:
    faces = Faces(
        np.array([[10, 20, 30, 60]], np.float32),
        np.array([[[14, 30], [26, 30], [20, 40], [15, 50], [25, 50]]], np.float32),
        np.ones(1, bool),
    )
    flipped = scenes.move(faces, np.array([[-1.0, 0, 100], [0, 1, 0]]))
    np.testing.assert_allclose(flipped.boxes, [[70, 20, 90, 60]])
    assert flipped.points[0, 0, 0] < flipped.points[0, 1, 0], "the left eye is still the left one in the picture"
    turned = scenes.move(faces, np.array([[0.0, -1, 100], [1, 0, 0]]))
    np.testing.assert_allclose(turned.boxes, [[40, 10, 80, 30]])


def make_pack(path: Path, count: int = 10) -> None:
    class Known:
        def __call__(self, image: Array) -> tuple[Array, Array, Array]:
            seed = next(n for n in range(count) if np.abs(face_picture(n)[0].astype(int) - image).mean() < 1)
            _, box, marks, _ = face_picture(seed)
            return box, marks, np.ones(1, bool)

    folder = path.parent / "drawn"
    folder.mkdir()
    for n in range(count):
        cv2.imwrite(str(folder / f"{n}.png"), face_picture(n)[0][..., ::-1])
    (folder / "broken.jpg").write_bytes(b"no picture")
    facepack.build(path, [folder], [], Known(), on_log=lambda s: None)  # type: ignore[arg-type]


def test_a_pack_is_read_back_and_scenes_are_right(tmp_path: Path) -> None:
    make_pack(tmp_path / "faces.npz")
    pictures = facepack.load(tmp_path / "faces.npz")
    assert len(pictures) == 10 and pictures[3].name == "drawn/3"
    np.testing.assert_allclose(pictures[3].boxes, face_picture(3)[1], atol=1e-3)
    painter = Painter(pictures)
    bright = 0
    for seed in range(30):
        image, faces = painter.scene(np.random.default_rng(seed), 128)
        again, _ = painter.scene(np.random.default_rng(seed), 128)
        assert image.shape == (128, 128, 3) and np.array_equal(image, again)
        for box, marks in zip(faces.boxes[faces.sure], faces.points[faces.sure], strict=True):
            assert (marks > box[:2] - 1).all() and (marks < box[2:] + 1).all(), "landmarks lie in their box"
            bright += 1
    assert bright > 15


def test_a_damaged_pack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "faces.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"faces\.npz"):
        facepack.load(tmp_path / "faces.npz")


# ---- losses and degradations


def test_multibox_loss_is_least_for_the_right_answer() -> None:
    anchors = make_anchors(64, 64)
    box = np.array([[10, 10, 44, 46]], np.float32)
    points = np.array([[[18, 20], [36, 20], [27, 28], [20, 38], [34, 38]]], np.float32)
    label, offset, mark = (torch.from_numpy(a[None]) for a in match(box, points, np.ones(1, bool), anchors))
    logits = torch.stack([-8.0 * (label == 1) + 4, 8.0 * (label == 1) - 4], -1)
    right = detector.multibox_loss((offset, logits, mark), label, offset, mark)
    assert float(right["loss"]) < 0.05
    wrong = detector.multibox_loss((offset + 1, -logits, mark + 1), label, offset, mark)
    assert float(wrong["loss"]) > 10 and float(wrong["mark"]) > float(right["mark"])


def test_ohem_uses_hard_pixels_only() -> None:
    target = torch.zeros(1, 8, 8, dtype=torch.long)
    logits = torch.zeros(1, 2, 8, 8)
    logits[:, 0] = 10.0
    logits[:, 0, 0, :4], logits[:, 1, 0, :4] = 0.0, 3.0  # four wrong ones of 64
    hard = parser.ohem(logits, target)
    assert float(hard) == pytest.approx(float(np.log1p(np.exp(3.0))), rel=1e-3), "their mean, not that of all"
    target[:] = labels.IGNORE
    assert float(parser.ohem(logits, target)) == 0


@pytest.mark.parametrize("kind", degrade.KINDS)
def test_degraded_pictures_are_small_and_repeatable(kind: str) -> None:
    image = face_picture(1, 128)[0]
    small = degrade.degrade(image, np.random.default_rng(3), kind)
    assert small.shape == (32, 32, 3) and small.dtype == np.uint8
    assert np.array_equal(small, degrade.degrade(image, np.random.default_rng(3), kind))
    plain = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - plain).mean() < 12, "the same picture, in the same place and color"


def test_scores_of_a_confusion() -> None:
    counts = np.zeros((19, 19), np.int64)
    counts[0, 0], counts[1, 1], counts[1, 0] = 50, 30, 10
    counts[11, 12] = 10  # mouth taken for upper lip: wrong class, right region
    out = parser.scores(counts)
    assert out["skin"] == pytest.approx(0.75) and out["mouth"] == 0 and out["lips_and_mouth"] == 1


# ---- a few steps of each


def options_of(task: str, folder: Path) -> dict[str, Any]:
    if task == "detector":
        make_pack(folder / "faces.npz")
        return {"pack": str(folder / "faces.npz"), "validation_last": {"drawn": 2}, "sides": [128], "smallest": 24}
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for n in range(6):
        image, _, _, mask = face_picture(n, 400 if task == "restorer" else 128)
        cv2.imwrite(str(folder / "images" / f"{n}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / "masks" / f"{n}.png"), mask)
    if task == "parser":
        return {"data": str(folder), "order": "bisenet", "width": 0.125, "size": 64, "validation_last": 2}
    return {
        "data": [str(folder / "images")],
        "validation_last": {"images": 4},
        "arch_options": {"num_feat": 8, "num_conv": 2},
        "patch": 24,
        "gan": 0.01,
        "discriminator_width": 4,
    }


@pytest.mark.parametrize(
    ("task", "kind", "figure"),
    [
        ("detector", detector.DetectorTask, "found"),
        ("parser", parser.ParserTask, "miou"),
        ("restorer", restorer.RestorerTask, "gain"),
    ],
)
def test_a_few_steps_learn_and_the_export_loads(task: str, kind: Any, figure: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    steps = 24
    options = options_of(task, tmp_path)
    recipe = Recipe(task, steps, 4, lr=2e-3, clip=5.0, validate_every=steps // 2, precision="32-true", options=options)
    run = tmp_path / "run"
    figures = Trainer(kind(recipe), run).run(on_log=lambda s: None)
    assert np.isfinite(list(figures.values())).all() and figure in figures
    header, *rows = (run / "log.csv").read_text().splitlines()
    column = header.split(",").index("train_l1" if task == "restorer" else "train_loss")
    first, last = (float(row.split(",")[column]) for row in rows)
    assert last < first
    loaded = checkpoints.load(run / "last.safetensors")
    assert type(loaded.module) is type(models.build(loaded.arch.name, **loaded.options))
    assert list((run / "samples").iterdir())


def test_the_restorer_is_compared_with_classical_upscaling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = restorer.RestorerTask(Recipe("restorer", 1, 1, options={**options_of("restorer", tmp_path), "gan": 0}))
    monkeypatch.setattr("wav2lip_hq.checkpoints.locate", lambda name: None)
    with torch.no_grad(), pytest.warns(UserWarning, match="without LPIPS.*fetch lpips_alex") as said:
        plain = task.validate(CPU)
    assert len(said) == 1 and not [k for k in plain if "lpips" in k]

    def half(image: Array, reference: Array) -> float:
        assert image.shape == reference.shape
        return 0.5

    monkeypatch.setattr(restorer, "Lpips", lambda device: half)
    del task.lpips
    with torch.no_grad():
        figures = task.validate(CPU)
    assert {k: v for k, v in figures.items() if "lpips" not in k} == plain
    for kind in ("clean", "mild", "generator"):
        assert figures[f"{kind}_gain"] <= figures[f"{kind}_psnr"] < 100
        for name in ("ssim", "lpips"):
            found = [figures[f"{kind}_{name}{other}"] for other in ("", "_bicubic", "_lanczos")]
            assert found == [0.5] * 3 if name == "lpips" else max(found) <= 1 and min(found[1:]) > 0.3
    assert figures["gain"] == pytest.approx(np.mean([figures[f"{k}_gain"] for k in ("clean", "mild", "generator")]))


def test_recipes_name_real_options(tmp_path: Path) -> None:
    for task in ("detector", "parser", "restorer"):
        assert load_recipe(task).task == task
    options = options_of("restorer", tmp_path)
    with pytest.raises(OptionError, match="mix"):
        restorer.RestorerTask(Recipe("restorer", 1, 1, options={**options, "mix": {"dirty": 1}}))
    with pytest.raises(OptionError, match="VGG"):
        restorer.RestorerTask(Recipe("restorer", 1, 1, options={**options, "perceptual": 0.1}))
