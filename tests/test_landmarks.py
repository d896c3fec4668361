"""Dense landmarks: layout, crops, the stage's contracts, the teacher, and the embedded network's accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch

from wav2lip_hq import checkpoints, geometry, mesh, models
from wav2lip_hq.engine import Stage, run_stages
from wav2lip_hq.errors import CheckpointError, InputError
from wav2lip_hq.metrics.facemesh import measure_mesh, next_crops
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages.landmarks import BATCH, FIVE, Landmarks, find_mesh
from wav2lip_hq.training.headpose import RIGID, head_pose
from wav2lip_hq.types import Chunk, Faces

TEACHER = "data/weights/mediapipe_facemesh468.pth"


@pytest.fixture(scope="module")
def tiny() -> Runtime:
    """A runtime with a small landmark network of random weights."""
    torch.manual_seed(0)
    runtime = Runtime("cpu", "fp32")
    runtime.add_model("tiny", models.build("landmarks", width=16), "landmarks", width=16)
    return runtime


def faces(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise frames (count, 120, 160, 3) and five landmarks of a face in each, (count, 5, 2)."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 255, (count, 120, 160, 3), dtype=np.uint8)
    five = FIVE * 0.6 + rng.uniform(10, 40, (count, 1, 2)) + rng.normal(0, 1, (count, 5, 2))
    return frames, five.astype(np.float32)


@dataclass(frozen=True)
class Given(Stage):
    """Stands in for detect and track: the chunk brings its faces along."""

    name: ClassVar[str] = "given"
    adds: ClassVar[tuple[str, ...]] = ("faces.frame", "faces.landmarks")

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        return chunk


def chunk(frames: np.ndarray, five: np.ndarray, start: int = 0) -> Chunk:
    times = tuple(Fraction(start + i, 25) for i in range(len(frames)))
    return Chunk(start, frames, times, faces=Faces(np.arange(len(frames)), landmarks=five))


def test_every_point_has_its_twin_on_the_other_side() -> None:
    twins = np.array(mesh.MIRROR)
    assert sorted(twins) == list(range(mesh.POINTS)) and (twins[twins] == np.arange(mesh.POINTS)).all()
    for left, right in ((78, 308), (61, 291), (33, 263), (82, 312), (87, 317), (234, 454), (70, 300), (13, 13)):
        assert mesh.MIRROR[mesh.at(left)[0]] == mesh.at(right)[0]


def test_upright_crops_hold_the_face_whatever_its_tilt_and_side() -> None:
    angle = np.radians(40)
    turn = 2.5 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    frontal = FIVE @ turn.T + (300, 200)
    middle, sideways = FIVE.mean(0), FIVE.copy()
    sideways[:, 0] = middle[0] + 0.3 * (FIVE[:, 0] - middle[0])  # eyes and corners of the mouth close together
    maps = geometry.fit_upright(np.stack([frontal, sideways]), FIVE)
    assert np.allclose(geometry.apply(maps, np.stack([frontal, sideways]))[0], FIVE, atol=1e-6)
    # The narrow face keeps its height: it is not enlarged until its eyes are as far apart as a frontal one's.
    assert np.hypot(*maps[1, :, 0]) == pytest.approx(1, abs=1e-6)
    assert np.allclose(geometry.apply(geometry.invert(maps), geometry.apply(maps, frontal[None].repeat(2, 0))), frontal)


def test_the_stage_adds_mesh_pose_and_visibility_whatever_the_chunks(tiny: Runtime) -> None:
    frames, five = faces(BATCH + 3)
    stage = Landmarks(model="tiny")
    whole = next(run_stages([Given(), stage], [chunk(frames, five)], tiny, keep=stage.adds)).faces
    parts = [chunk(frames[k : k + 4], five[k : k + 4], k) for k in range(0, len(frames), 4)]
    cut = [c.faces for c in run_stages([Given(), stage], parts, tiny, keep=stage.adds)]
    assert whole is not None and whole.mesh is not None and whole.pose is not None and whole.visible is not None
    assert whole.mesh.shape == (len(frames), mesh.POINTS, 2) and whole.mesh.dtype == np.float32
    assert whole.pose.shape == (len(frames), 3) and whole.visible.shape == (len(frames),)
    assert ((whole.visible >= 0) & (whole.visible <= 1)).all()
    for name in ("mesh", "pose", "visible"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(f, name) for f in cut])), name


def test_points_follow_a_face_that_is_moved_and_tilted(tiny: Runtime) -> None:
    frame, five = faces(1)
    frame = cv2.GaussianBlur(frame[0], (0, 0), 3)[None]
    turned = np.ascontiguousarray(np.rot90(frame[0]))[None]  # (x, y) -> (y, W - 1 - x)
    five_turned = np.stack([five[..., 1], frame.shape[2] - 1 - five[..., 0]], -1)
    points, pose, _ = find_mesh(frame, np.zeros(1, int), five, tiny, "tiny")
    again, pose_again, _ = find_mesh(turned, np.zeros(1, int), five_turned, tiny, "tiny")
    back = np.stack([frame.shape[2] - 1 - again[..., 1], again[..., 0]], -1)
    assert np.abs(back - points).max() < 0.5
    assert pose_again[0, :2] == pytest.approx(pose[0, :2], abs=0.5)
    assert (pose_again[0, 2] - pose[0, 2] + 90 + 180) % 360 - 180 == pytest.approx(0, abs=0.5)


def test_no_face_gives_empty_arrays_and_a_wrong_network_is_refused(tiny: Runtime) -> None:
    frames, five = faces(1)
    points, pose, visible = find_mesh(frames, np.zeros(0, int), five[:0], tiny, "tiny")
    assert points.shape == (0, mesh.POINTS, 2) and pose.shape == (0, 3) and visible.shape == (0,)
    with pytest.raises(CheckpointError):
        find_mesh(frames, np.zeros(1, int), five, Runtime("cpu"), "no-such-network")


def test_the_network_is_recognized_and_small(tmp_path) -> None:
    module = models.build("landmarks")
    path = tmp_path / "network.safetensors"
    checkpoints.save(path, module, "landmarks", {"width": module.width}, {}, half=True)
    assert path.stat().st_size < 1.5e6
    found = checkpoints.load(path, "landmarks")
    assert found.options == {"width": module.width}
    assert models.identify(models.build("facemesh468").state_dict()) == ("facemesh468", {})


def test_lips_stay_where_they_are_regressed_without_evidence() -> None:
    module = models.build("landmarks", width=16)
    deep = torch.zeros(1, 768)
    points, lips, _, _ = module.heads(deep, torch.zeros(1, 40, 28, 40))
    inside = points[0, mesh.LIPS].clamp(80, 100)
    flat = module._place(inside[None], torch.zeros(1, 40, 28, 40))
    assert torch.allclose(flat[0], inside, atol=0.3)
    spike = torch.zeros(1, 40, 28, 40)
    spike[:, :, 10, 12] = 50.0  # the cell's center: 64 + 10 * 2 + 0.5 down, 24 + 12 * 2 + 0.5 to the right
    placed = module._place(torch.tensor([[52.0, 80.0]]).expand(40, 2)[None], spike)
    assert torch.allclose(placed[0], torch.tensor([48.5, 84.5]).expand(40, 2), atol=0.1)
    assert lips.shape == (1, 40, 2)


def test_pose_is_that_of_a_head_turned_on_purpose() -> None:
    rng = np.random.default_rng(0)
    head = np.zeros((mesh.POINTS, 3))
    head[RIGID] = rng.normal(0, 1, (len(RIGID), 3)) * (1, 1.3, 0.6)

    def turn(axis: int, degrees: float) -> np.ndarray:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        out = np.eye(3)
        out[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
        return out

    # The nose points at the camera, -z. To the image's right is -20 about y (down), up is -10 about x (right).
    seen = head @ (turn(2, 15) @ turn(1, -20) @ turn(0, -10)).T * 3 + (5, 6, 7)
    nose = turn(2, 0) @ turn(1, -20) @ turn(0, -10) @ np.array([0, 0, -1.0])
    assert nose[0] > 0 and nose[1] < 0
    assert head_pose(seen[None], head[RIGID])[0] == pytest.approx([20, 10, 15], abs=1e-3)


def test_training_learns_where_the_points_are_and_exports_a_network_that_loads(tmp_path) -> None:
    pytest.importorskip("lightning_fabric")
    from wav2lip_hq.training import meshpack
    from wav2lip_hq.training.embed import measure
    from wav2lip_hq.training.tasks import load_recipe, train

    rng = np.random.default_rng(1)
    count, middle = 48, (meshpack.SIZE - 1) / 2
    five = (FIVE - 63.5) * meshpack.SIZE / (128 * meshpack.ROOM) + middle + rng.normal(0, 1, (count, 5, 2))
    points = np.concatenate([rng.uniform(40, 180, (1, mesh.POINTS, 2)).repeat(count, 0), np.ones((count, 175, 1))], 2)
    points[:, mesh.LIPS, :2] = five[:, 3:].mean(1)[:, None] + rng.normal(0, 6, (1, 40, 2))
    pack = tmp_path / "pack"
    pack.mkdir()
    np.save(pack / "crops.npy", rng.integers(0, 255, (count, meshpack.SIZE, meshpack.SIZE, 3), dtype=np.uint8))
    names = np.array([f"photo-{n}" if n % 2 else f"p{n % 6}" for n in range(count)])
    labels = {"mesh": points.astype(np.float32), "five": five.astype(np.float32), "identity": names, "clip": names}
    np.savez(pack / "labels.npz", **labels, held=np.arange(count) < 12)
    settings = {"pack": str(pack), "width": 16, "batch_size": 8, "steps": 3, "precision": "32-true", "workers": 1}
    recipe = load_recipe("landmarks", {**settings, "validate_every": 3, "ema": 0.0})
    figures = train(recipe, tmp_path / "run", on_log=lambda text: None)
    assert {"lips", "opening", "score", "pose_degrees", "told_apart"} <= set(figures)
    assert figures["lips"] < 0.3  # it begins with the mean shape
    found = checkpoints.load(tmp_path / "run" / "last.safetensors", "landmarks")
    assert found.options == {"width": 16} and found.card["figures"]["score"] == pytest.approx(figures["score"])
    # What `train embed --mean` writes into the card is measured on the weights it embeds.
    again = tmp_path / "again.yaml"
    again.write_text(f"task: landmarks\nsteps: 3\nbatch_size: 8\noptions: {{pack: {pack}, width: 16}}\n")
    assert measure(again, found.module)["score"] == pytest.approx(figures["score"], rel=0.02)


def test_measuring_needs_five_points() -> None:
    with pytest.raises(InputError, match="five landmarks"):
        measure_mesh(np.zeros((1, 9, 9, 3), np.uint8), np.zeros((1, 4, 2)), Runtime("cpu"))


def photograph(shared) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a face and five landmarks of it, by the detector."""
    from wav2lip_hq.stages.detect import detect_faces

    folder = shared("data/photos/celebahq512_noGT")
    image = cv2.imread(str(sorted(folder.iterdir())[3]))[..., ::-1]
    return np.ascontiguousarray(image), detect_faces(image, Runtime("cpu"), "embedded-detector")[:1, 5:].reshape(
        1, 5, 2
    )


def test_the_published_mesh_finds_a_face_and_reports_where_there_is_none(shared) -> None:
    weights, (image, five) = shared(TEACHER), photograph(shared)
    runtime = Runtime("cpu", "fp32")
    points, sure = measure_mesh([image], five, runtime, model=weights)
    assert points.shape == (1, 468, 3) and sure[0] > 0.9
    eyes = points[0, [[33, 133], [362, 263]], :2].mean(1)
    apart = np.linalg.norm(five[0, 0] - five[0, 1])
    assert np.linalg.norm(eyes - five[0, :2], axis=1).max() < 0.15 * apart
    assert np.linalg.norm(points[0, [61, 291], :2] - five[0, 3:], axis=1).max() < 0.25 * apart
    assert points[0, 1, 2] < points[0, 234, 2]  # the nose is nearer than the ear
    # Its own crop of what it found holds the face with the margin MediaPipe gives it.
    inside = geometry.apply(next_crops(points), points[..., :2])[0]
    assert np.ptp(inside, 0).max() == pytest.approx(192 / 1.5, rel=1e-3)
    _, nobody = measure_mesh([np.zeros_like(image)], five, runtime, model=weights)
    assert nobody[0] < 0.5


def test_the_embedded_network_agrees_with_the_published_one(shared) -> None:
    weights = shared(TEACHER)
    if checkpoints.locate("embedded-landmarks") is None:
        pytest.skip("the embedded landmark network is not in this checkout")
    image, five = photograph(shared)
    runtime = Runtime("cpu")
    truth = measure_mesh([image], five, runtime, model=weights)[0][:, list(mesh.INDICES), :2]
    points, pose, visible = find_mesh(image[None], np.zeros(1, int), five, runtime)
    off = np.linalg.norm(points - truth, axis=-1)[0] / mesh.eye_distance(truth)
    assert off[mesh.LIPS].mean() < 0.04 and off.mean() < 0.05
    assert abs(mesh.opening(points) - mesh.opening(truth))[0] < 0.03
    assert np.abs(pose[0, :2]).max() < 30 and visible[0] > 0.6
    covered = image.copy()
    x, y = five[0, 3:].mean(0).astype(int)
    half = int(np.linalg.norm(five[0, 0] - five[0, 1]) * 0.7)
    covered[max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 90
    assert find_mesh(covered[None], np.zeros(1, int), five, runtime)[2][0] < 0.4
