"""Articulate: speech -> target landmarks. A drawn face and a random network, no files."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from wav2lip_hq import articulation, audio, checkpoints, mesh, models
from wav2lip_hq.engine import check_wiring, run_stages
from wav2lip_hq.errors import OptionError
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import STAGES
from wav2lip_hq.stages.articulate import Articulate
from wav2lip_hq.types import Chunk, Faces, Mouths, TrackFacts


def ring(count, x, y, rx, ry):
    """A closed ring from the left corner over the top to the right corner and back below."""
    angle = np.pi - np.arange(count) * 2 * np.pi / count
    return np.stack([x + rx * np.cos(angle), y - ry * np.sin(angle)], -1)


def body(gap=0.02):
    """(POINTS, 3) a drawn face, its lips ``gap`` apart, the eyes' corners one apart."""
    out = np.zeros((mesh.POINTS, 3))
    out[mesh.INNER_LIPS, :2] = ring(20, 0, 0.88, 0.22, gap / 2)
    out[mesh.OUTER_LIPS, :2] = ring(20, 0, 0.88, 0.28, 0.1 + gap / 2)
    t = np.linspace(np.pi, 0, 21)
    out[mesh.JAW, :2] = np.stack([0.75 * np.cos(t), 1.4 * np.sin(t)], -1)
    t = np.linspace(np.pi * 0.95, np.pi * 0.05, 15)
    out[mesh.FOREHEAD, :2] = np.stack([0.7 * np.cos(t), -0.7 * np.sin(t)], -1)
    out[mesh.LEFT_EYE, :2], out[mesh.RIGHT_EYE, :2] = ring(16, -0.33, 0, 0.17, 0.06), ring(16, 0.33, 0, 0.17, 0.06)
    out[mesh.BROWS, 0], out[mesh.BROWS, 1] = np.linspace(-0.5, 0.5, 10), -0.2
    out[mesh.NOSE, 1] = np.linspace(0, 0.55, 14)
    out[mesh.at(129, 98, 97, 326, 327, 358), 0] = [-0.17, -0.1, -0.04, 0.04, 0.1, 0.17]
    out[mesh.at(129, 98, 97, 326, 327, 358), 1] = 0.5
    count = mesh.SKIN.stop - mesh.SKIN.start
    out[mesh.SKIN, :2] = ring(count, 0, 0.95, 0.42, 0.3)
    out[:, 2] = 0.9 * out[:, 0] ** 2
    out[mesh.NOSE, 2] -= np.concatenate([np.linspace(0.1, 0.5, 6), np.full(8, 0.3)])
    return out


def turned(points, yaw=0.0, pitch=0.0, roll=0.0, scale=100.0, shift=(300.0, 200.0)):
    """(POINTS, 2) a body seen by a camera, angles in degrees."""
    a, b, c = np.radians([yaw, pitch, roll])
    y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return scale * (points @ (z @ x @ y).T)[:, :2] + shift


def network(seed=0):
    """A random network that opens and widens the mouth of the drawn face."""
    torch.manual_seed(seed)
    net = models.build("articulation", width=16, coefficients=articulation.COEFFICIENTS)
    basis = np.zeros((articulation.COEFFICIENTS, mesh.POINTS, 3))
    basis[0, articulation.LOWER, 1], basis[0, mesh.JAW, 1] = 1.0, 0.5
    basis[0, mesh.OUTER_LIPS, 1] = np.clip(body()[mesh.OUTER_LIPS, 1] - 0.88, 0, 0.1) * 10
    basis[1, mesh.LIPS, 0] = body()[mesh.LIPS, 0] / 0.44
    with torch.no_grad():
        net.neutral.copy_(torch.from_numpy(body()))
        net.basis.copy_(torch.from_numpy(basis))
        net.last.weight.mul_(3)
        net.last.bias[0] = 2.0
    return net


@pytest.fixture()
def runtime():
    made = Runtime(device="cpu", precision="fp32")
    made.add_model("tiny", network(), "articulation", width=16)
    return made


def facts(neutral, spread=0.04):
    """Of a person whose widest mouth is open by four spreads."""
    wide = turned(body(0.02 + 4 * spread)).astype(np.float32)[None]
    return TrackFacts(0.02, 0.15, spread, neutral.astype(np.float32), mouths(wide), None)


def mouths(meshes):
    count = len(meshes)
    return Mouths(np.arange(count), np.zeros((count, 192, 240, 3), np.uint8), meshes, None, None)


def chunk(meshes, frame=None, tracks=None, speech=None, track=None, seed=0):
    """A chunk with random speech; face n is in frame n unless said otherwise."""
    frame = np.arange(len(meshes)) if frame is None else np.asarray(frame)
    count = int(frame.max()) + 1 if len(frame) else 1
    rng = np.random.default_rng(seed)
    sound = np.cumsum(rng.normal(0, 0.3, (80, count * 4 + 80)), 1).clip(-3.5, 3).astype(np.float32)
    return Chunk(
        0,
        np.zeros((count, 4, 4, 3), np.uint8),
        tuple(Fraction(i, 25) for i in range(count)),
        phrase=np.stack([sound[:, 3 * i : 3 * i + 80] for i in range(count)]),
        speech=np.ones(count, np.float32) if speech is None else np.asarray(speech, np.float32),
        faces=Faces(
            frame,
            track=np.zeros(len(frame), np.int64) if track is None else np.asarray(track),
            mesh=np.asarray(meshes, np.float32).reshape(-1, mesh.POINTS, 2),
        ),
        tracks=tracks,
    )


STAGE = Articulate(model="tiny")
KEPT = articulation.MOVING == 0


def targets(stage, given, runtime):
    return stage.process(given, runtime).faces.target


def test_adds_a_target_that_moves_nothing_but_the_lower_face(runtime):
    given = chunk([turned(body(0.2), yaw=5 * i) for i in range(4)], tracks={0: facts(turned(body()))})
    check_wiring([replace_reads(STAGE)])
    out = targets(STAGE, given, runtime)
    assert out.shape == given.faces.mesh.shape and out.dtype == np.float32 and np.isfinite(out).all()
    assert np.array_equal(out[:, KEPT], given.faces.mesh[:, KEPT])
    assert KEPT[mesh.LEFT_EYE].all() and KEPT[mesh.NOSE].all() and KEPT[mesh.at(234, 454)].all()
    assert np.abs(out - given.faces.mesh)[:, mesh.LIPS].max() > 1
    assert STAGES["articulate"] is Articulate


def replace_reads(stage):
    """The stage as the first of a pipeline: only the reader's own fields are read."""

    class First(type(stage)):
        reads = tuple(n for n in stage.reads if not n.startswith("faces."))

    return First(model=stage.model)


def test_no_face_is_no_work(runtime):
    given = chunk(np.zeros((0, mesh.POINTS, 2)))
    assert targets(STAGE, given, runtime).shape == (0, mesh.POINTS, 2)


def test_silence_closes_the_mouth_and_speech_opens_it(runtime):
    neutral = turned(body(0.02))
    speech = [0, 0, 0.5, 1, 1, 1]
    given = chunk([turned(body(0.3))] * 6, tracks={0: facts(neutral)}, speech=speech)
    gap = mesh.opening(targets(STAGE, given, runtime))
    assert np.allclose(gap[:2], 0, atol=1e-3)  # lips on lips, though the footage's closed mouth is a little open
    assert (gap[3:] > 0.02).all()
    kept_open = mesh.opening(targets(replace(STAGE, silence=False), given, runtime))
    assert (kept_open[:2] > 0.02).all()


def test_lips_at_rest_are_pressed_together_more_in_a_turned_head(runtime):
    """Landmarks of turned heads are off by more, and a gap would be left."""
    given = chunk([turned(body(0.3))] * 3, tracks={0: facts(turned(body(0.02)))}, speech=[0, 0, 0])
    pose = np.array([[0, 0, 0], [25, 0, 0], [-45, 0, 0]], np.float32)
    out = targets(STAGE, given.with_faces(pose=pose), runtime)
    below = out[:, mesh.at(17)[0], 1]  # under the lower lip
    assert below[0] > below[1] > below[2]
    assert np.allclose(out[0], targets(STAGE, given, runtime)[0]), "without a pose it is a face that looks ahead"


def test_expression_scales_the_movement(runtime):
    neutral = turned(body())
    given = chunk([turned(body(0.3))] * 8, tracks={0: facts(neutral)})
    gap = {e: mesh.opening(targets(replace(STAGE, expression=e), given, runtime)) for e in (0.0, 0.5, 1.0, 2.0)}
    assert np.abs(gap[0.0]).max() < 1e-3
    own = mesh.opening(neutral[None])[0]  # what moves beyond it is the person's range
    assert np.allclose(2 * (gap[0.5] - own), gap[1.0] - own, atol=4e-3)
    assert np.allclose(2 * (gap[1.0] - own), gap[2.0] - own, atol=8e-3)
    for wrong in (-0.1, 2.1):
        with pytest.raises(OptionError, match="between 0 and 2"):
            Articulate(expression=wrong)


def test_a_smile_raises_the_corners_and_none_changes_nothing(runtime):
    given = chunk([turned(body())] * 3)
    plain, none, smiling, sad = (
        targets(Articulate("tiny", **more), given, runtime)
        for more in ({}, {"smile": 0.0}, {"smile": 1.0}, {"smile": -0.5})
    )
    assert (plain == none).all()
    corners, middle = mesh.at(78, 308), mesh.at(13)
    rise = (plain - smiling)[:, :, 1]
    assert (rise[:, corners] > 4).all() and (rise[:, corners].min(1) > rise[:, middle].max(1) + 3).all()  # px of 100
    assert mesh.width(smiling).min() > mesh.width(plain).min() + 0.03
    assert ((plain - sad)[:, corners, 1] < -2).all()
    assert np.allclose(smiling[:, mesh.LEFT_EYE], plain[:, mesh.LEFT_EYE])
    with pytest.raises(OptionError, match="smile"):
        Articulate("tiny", smile=1.5)


def test_a_person_with_a_wide_range_keeps_it(runtime):
    given = chunk([turned(body(0.1))] * 8, tracks={0: facts(turned(body()), 0.03)})
    small = mesh.opening(targets(STAGE, given, runtime)).std()
    large = mesh.opening(targets(STAGE, replace(given, tracks={0: facts(turned(body()), 0.06)}), runtime)).std()
    assert large == pytest.approx(2 * small, rel=0.05)


def test_the_footages_own_mouth_has_no_influence(runtime):
    tracks = {0: facts(turned(body()))}
    closed = targets(STAGE, chunk([turned(body(0.0))] * 5, tracks=tracks), runtime)
    open_ = targets(STAGE, chunk([turned(body(0.4))] * 5, tracks=tracks), runtime)
    assert np.abs(closed - open_)[:, mesh.LIPS].max() < 1e-3


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_chunk_size_does_not_change_a_bit(runtime, size):
    rng = np.random.default_rng(1)
    faces = [turned(body(0.1), *rng.normal(0, 10, 3)) + rng.normal(0, 0.3, (mesh.POINTS, 2)) for _ in range(13)]
    whole = chunk(faces, tracks={0: facts(turned(body()))}, speech=rng.random(13))
    out = targets(STAGE, whole, runtime)
    for at in range(0, 13, size):
        count = min(size, 13 - at)
        part = replace(
            whole,
            frames=whole.frames[at : at + count],
            pts=whole.pts[at : at + count],
            phrase=whole.phrase[at : at + count],
            speech=whole.speech[at : at + count],
            faces=Faces(np.arange(count), np.zeros(count, int), mesh=whole.faces.mesh[at : at + count]),
        )
        assert np.array_equal(targets(STAGE, part, runtime), out[at : at + count])


def test_a_closed_target_is_the_persons_own_closed_mouth_wherever_the_head_is(runtime):
    own = body(0.0)
    own[mesh.LIPS, 0] *= 1.2  # not the mean person's mouth
    tracks = {0: facts(turned(own, scale=180, shift=(256, 250)))}
    poses = [dict(roll=20, scale=60, shift=(900, 100)), dict(roll=-50), dict(scale=240), dict(yaw=0)]
    wide = own.copy()
    wide[mesh.LIPS] = body(0.35)[mesh.LIPS]
    given = chunk([turned(wide, **p) for p in poses], tracks=tracks, speech=np.zeros(4))
    for out, pose in zip(targets(STAGE, given, runtime), poses, strict=True):
        error = np.linalg.norm(out - turned(own, **pose), axis=-1) / pose.get("scale", 100)
        assert error[mesh.LIPS].max() < 0.012


@pytest.mark.parametrize("yaw", [-60, -35, 20, 50])
def test_turned_heads_keep_plausible_targets(runtime, yaw):
    """Compared with the same head turned in space: the mouth has the position and the width it must have there."""
    tracks = {0: facts(turned(body(0.0)))}
    pose = dict(yaw=yaw, pitch=8, roll=5)
    given = chunk([turned(body(0.3), **pose)], tracks=tracks, speech=[0])
    error = np.linalg.norm(targets(STAGE, given, runtime)[0] - turned(body(0.0), **pose), axis=-1) / 100
    assert error[mesh.LIPS].max() < 0.02 and error.max() < 0.15
    speaking = targets(STAGE, chunk([turned(body(0.3), **pose)], tracks=tracks), runtime)[0]
    spans = [np.ptp(p[mesh.LIPS, 0]) for p in (speaking, turned(body(0.1), **pose))]
    assert spans[0] == pytest.approx(spans[1], rel=0.35)


@pytest.mark.parametrize(("yaw", "follows"), [(-45, True), (45, True), (10, False)])
def test_the_mouth_of_a_turned_head_is_placed_where_it_is_seen(runtime, yaw, follows):
    """Lips that stand out further than the mean person's lie elsewhere in the picture when the head is turned."""
    seen = turned(body(0.1), yaw=yaw)
    ends = seen[mesh.LIPS, 0].min(), seen[mesh.LIPS, 0].max()
    seen[mesh.LIPS, 0] = 1.2 * (seen[mesh.LIPS, 0] - ends[0]) + ends[0] - 4
    given = chunk([seen], tracks={0: facts(turned(body(0.0)))}, speech=[0])
    lips = targets(STAGE, given, runtime)[0][mesh.LIPS, 0]
    wanted = seen[mesh.LIPS, 0] if follows else np.array(ends)
    assert lips.min() == pytest.approx(wanted.min(), abs=1.5) and lips.max() == pytest.approx(wanted.max(), abs=1.5)


@pytest.mark.parametrize(("yaw", "follows"), [(-45, True), (10, False)])
def test_the_mouth_of_a_turned_head_is_as_high_as_its_corners(runtime, yaw, follows):
    """And not as high as its lips, which say how far it is open."""
    tracks = {0: facts(turned(body(0.0)))}
    closed, opened = (turned(body(o), yaw=yaw) for o in (0.0, 0.3))
    for shape in (closed, opened):
        shape[mesh.LIPS, 1] += 6
    at = turned(body(0.0), yaw=yaw)[mesh.LIPS, 1] + (6 if follows else 0)
    for seen in (closed, opened):
        lips = targets(STAGE, chunk([seen], tracks=tracks, speech=[0]), runtime)[0][mesh.LIPS, 1]
        assert np.abs(lips - at).max() < 1.5


def test_turned_heads_open_their_mouths_less_far(runtime):
    given = chunk([turned(body(0.02))] * 3, tracks={0: facts(turned(body(0.02)), spread=0.2)}, frame=[0, 0, 0])
    stage = replace(STAGE, expression=2.0)
    pose = np.array([[0, 0, 0], [28, 0, 0], [-45, 0, 0]], np.float32)
    gap = mesh.opening(targets(stage, given.with_faces(pose=pose), runtime))
    assert gap[0] > gap[1] > gap[2] > 0.08 and gap[2] < 0.15
    small = mesh.opening(targets(replace(STAGE, expression=0.2), given.with_faces(pose=pose), runtime))
    assert np.ptp(small) < 0.2 * small.mean(), "small openings stay what they are"


def test_no_mouth_opens_much_further_than_its_own_person_does():
    """Clear voices make the network predict openings of six spreads, which no mouth has."""
    runtime = Runtime(device="cpu", precision="fp32")
    for bias in (1.0, 3.0, 20.0):
        net = network()
        with torch.no_grad():
            net.last.weight.zero_()
            net.last.bias[0] = bias
        runtime.add_model(f"opens{bias:.0f}", net, "articulation", width=16)

    def gap(bias, spread, expression=1.0):
        given = chunk([turned(body(0.0))], tracks={0: facts(turned(body(0.0)), spread)})
        return mesh.opening(targets(Articulate(model=f"opens{bias}", expression=expression), given, runtime))[0]

    small, some, most = (gap(bias, 0.03) for bias in (1, 3, 20))
    assert some > 2 * small and most < 1.6 * some
    assert 3 * 0.03 < most < 4 * 0.03
    assert gap(20, 0.045) == pytest.approx(1.5 * most, rel=0.1), "people who open it further do"
    assert gap(20, 0.03, 1.3) == pytest.approx(1.3 * most, rel=0.1), "so does a mouth that is to exaggerate"
    assert gap(20, 0.03, 2.0) < 1.3 * 0.14, "but not beyond what the footage has to show between lips"
    assert gap(20, 0.03, 0.0) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("yaw", [-45, 45])
def test_the_far_corner_of_a_turned_mouth_stays_where_it_is_across(runtime, yaw):
    """What is beyond it is not the face's."""
    wide = body(0.02)
    wide[mesh.LIPS, 0] *= 1.5  # a broad smile; the closed mouth is narrower
    given = chunk([turned(wide)], tracks={0: facts(turned(body(0.02)))}, speech=[0])
    seen = given.faces.mesh[0]
    far, near = (291, 61) if yaw > 0 else (61, 291)
    moved = targets(STAGE, given.with_faces(pose=np.array([[yaw, 0, 0]], np.float32)), runtime)[0] - seen
    assert abs(moved[mesh.at(far)[0], 0]) < 0.5 and abs(moved[mesh.at(near)[0], 0]) > 5
    ahead = targets(STAGE, given.with_faces(pose=np.zeros((1, 3), np.float32)), runtime)[0] - seen
    assert np.abs(ahead[mesh.at(far, near), 0]).min() > 5


def test_a_chin_moves_as_the_mouth_does_from_where_it_is_seen(runtime):
    """A jaw that the fitted head has elsewhere is not drawn there."""
    longer = body(0.02)
    longer[mesh.JAW, 1] *= 1.1
    given = chunk([turned(longer)], tracks={0: facts(turned(body(0.02)))}, speech=[0])
    moved = targets(STAGE, given, runtime)[0] - given.faces.mesh[0]
    chin = mesh.at(152)[0]
    assert abs(moved[chin, 1]) < 2, "closed lips are pressed a little: no more to do, though her jaw is 14 px longer"
    jaw = body(0.3)
    jaw[mesh.JAW, 1] += 0.14  # half of what the lips are apart, as the network has it
    given = chunk([turned(jaw)], tracks={0: facts(turned(body(0.02)))}, speech=[0])
    moved = targets(STAGE, given, runtime)[0] - given.faces.mesh[0]
    assert -18 < moved[chin, 1] < -10


def test_neighboring_predictions_are_averaged():
    """What differs from one frame to the next by chance makes lips tremble."""
    net = network().eval()
    mel = torch.from_numpy(np.random.default_rng(1).uniform(-4, 4, (1, 80, 4 * 40 + 80)).astype(np.float32))
    with torch.no_grad():
        alone = net.calibrated(net.sequence(mel)[0].T)[::2, 0].numpy()
        made = net(torch.cat([mel[..., 4 * n : 4 * n + 80] for n in range(41)]))[:, 0].numpy()
    trembling = [np.abs(np.diff(x, 2)).mean() for x in (alone[: len(made)], made)]
    assert trembling[1] < 0.8 * trembling[0]


def test_lips_never_cross():
    neutral, down = body(0.01), np.zeros((mesh.POINTS, 3))
    down[articulation.LOWER, 1] = -0.2
    made = articulation.articulate(neutral, down)
    gap = made[articulation.LOWER, 1] - made[articulation.UPPER, 1]
    assert (gap > -1e-9).all() and gap.max() < 0.011


def test_two_faces_with_the_same_speech_move_alike(runtime):
    other = body(0.03)
    other[mesh.LIPS, 0] *= 0.8
    poses = [turned(body(0.2), roll=3), turned(other, yaw=15, scale=50, shift=(80, 90))]
    given = chunk(
        np.stack([p for _ in range(12) for p in poses]),
        frame=np.repeat(np.arange(12), 2),
        track=np.tile([0, 1], 12),
        tracks={0: facts(turned(body())), 1: facts(turned(other), 0.06)},
    )
    gap = mesh.opening(targets(STAGE, given, runtime)).reshape(12, 2)
    assert np.corrcoef(gap.T)[0, 1] > 0.98


def test_an_unknown_face_gets_the_mean_persons_mouth(runtime):
    given = chunk([turned(body(0.3), roll=10)] * 3, speech=[0, 1, 1])
    out = targets(STAGE, given, runtime)
    assert mesh.opening(out)[0] == pytest.approx(0, abs=0.005) and (mesh.opening(out)[1:] > 0.04).all()
    still = chunk([turned(body(0.3), roll=10)] * 3, tracks={0: facts(turned(body()), 0.0)}, speech=[0, 1, 1])
    assert mesh.opening(targets(STAGE, still, runtime))[1] == pytest.approx(mesh.opening(out)[1], abs=0.02)


def test_a_photographed_smile_can_close(runtime):
    given = chunk([turned(body(0.2))] * 2, tracks={0: facts(turned(body(0.2)), 0.0)}, speech=[0, 0])
    assert mesh.opening(targets(STAGE, given, runtime)).max() < 0.06


def test_runs_in_a_pipeline_and_frees_what_it_read(runtime):
    given = chunk([turned(body(0.3))] * 3, tracks={0: facts(turned(body()))})
    (out,) = run_stages([replace_reads(STAGE)], [given], runtime, keep=["faces.target"])
    assert out.faces.target is not None and out.phrase is None


def test_a_saved_network_comes_back_with_its_face_and_calibration(tmp_path):
    net = network()
    net.curve.copy_(torch.linspace(0, 3, net.curve.shape[1]).repeat(2, 1) ** 1.5)
    checkpoints.save(tmp_path / "a.safetensors", net, "articulation", {"width": 16, "coefficients": 16}, {}, half=True)
    back = checkpoints.load(tmp_path / "a.safetensors", "articulation").module
    phrase = torch.randn(2, 80, 80)
    assert torch.allclose(back(phrase), net(phrase), atol=0.05)
    assert torch.allclose(back.neutral, net.neutral, atol=1e-3)


def test_a_frame_gives_the_same_alone_and_in_a_sequence():
    net, mel = network(), torch.randn(1, 80, 140)
    whole = net.sequence(mel)[0]
    for j in (0, 7, 30):
        assert torch.allclose(net.sequence(mel[..., 2 * j : 2 * j + 80])[0, :, 0], whole[:, j], atol=1e-4)


@pytest.mark.slow
def test_a_held_out_speaker_is_followed(shared):
    from wav2lip_hq import video
    from wav2lip_hq.metrics.facemesh import measure_mesh
    from wav2lip_hq.stages import Detect, Track

    scores = []
    runtime = Runtime(device="cpu", precision="fp32")
    for path in sorted(shared("data/talking/grid/s4").glob("*.mpg"))[::4]:
        with video.open_video(path) as reader:
            frames = np.stack([frame for _, frame, _ in reader])
        times = tuple(Fraction(i, 25) for i in range(len(frames)))
        stages = [Detect(), Track()]
        (found,) = run_stages(stages, [Chunk(0, frames, times)], runtime, keep=["faces.landmarks"])
        points, _ = measure_mesh(
            frames, found.faces.landmarks, runtime, index=found.faces.frame,
            model=shared("data/weights/mediapipe_facemesh468.pth"),
        )  # fmt: skip
        seen = points[:, list(mesh.INDICES), :2]
        gap = mesh.opening(seen)
        known = TrackFacts(0.0, 0.0, float(gap.std()), seen[gap <= np.quantile(gap, 0.1)].mean(0), mouths(seen), None)
        wav = audio.load_audio(path)
        given = Chunk(
            0, frames, times,
            phrase=audio.phrases(audio.mel_spectrogram(wav), times),
            speech=audio.speech_activity(wav, times),
            faces=Faces(found.faces.frame, np.zeros(len(seen), int), mesh=seen),
            tracks={0: known},
        )  # fmt: skip
        made = mesh.opening(targets(Articulate(), given, runtime))
        scores.append(np.corrcoef(made, gap)[0, 1])
        quiet = mesh.opening(targets(Articulate(), replace(given, speech=np.zeros(len(times), np.float32)), runtime))
        assert (quiet < np.quantile(gap, 0.05) + 0.01).mean() > 0.95
    assert np.mean(scores) > 0.5
