"""Blend with landmarks: the source's own face warped to the target mesh, with its own mouths between the lips."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_faces import Labeled, labels
from media import tiny_runtime
from meshed_faces import LIPS, TO512, Given, cut, face_mesh, facts, on_canvas, picture, talk, through

from wav2lip_hq import geometry, mesh
from wav2lip_hq.engine import run_stages
from wav2lip_hq.stages import Blend, Parse
from wav2lip_hq.stages._chin import followed
from wav2lip_hq.stages._choice import Library, Wanted, shapes
from wav2lip_hq.stages._lent import lit
from wav2lip_hq.stages._outline import lower_face
from wav2lip_hq.stages._overshoot import trusted
from wav2lip_hq.stages._warp import flaps
from wav2lip_hq.types import Mouths, Reason

PARSE = Parse(model="")
KNOWN = [face_mesh(o) for o in (0, 0, 4, 8, 12, 18, 24, 30, 36, 30, 24, 18, 12, 8, 4, 0)]


@pytest.fixture(scope="module")
def known():
    return facts(KNOWN)


def mouth(frames):
    """The middle of the aligned mouths, (T, 60, 60, 3) int."""
    return on_canvas(frames)[:, 350:410, 226:286].astype(int)


def like(frames, mesh):
    """Mean difference to how the face of that mesh is drawn, around the mouth."""
    return np.abs(mouth(frames) - mouth(picture(mesh)[None])).mean()


def test_an_open_mouth_closes(known):
    opened, closed = face_mesh(36), face_mesh(0)
    for library in (known, None):
        made = through(talk([opened] * 3, [closed] * 3, library), PARSE, Blend())
        brightness = mouth(made)[:, 10:50].mean(3)
        assert brightness.max() < 215, "no teeth are left"
        assert (brightness < 75).mean() < 0.02, "nor the dark behind them"
        assert like(made, closed) < 0.4 * like(made, opened)


def test_teeth_that_landmarks_miss_leave_no_bright_line_between_closed_lips():
    """The landmarks say 8 px where the picture shows 24: a line of teeth would be left."""
    frames = np.stack([picture(face_mesh(24))])
    made = mouth(through(talk([face_mesh(8)], [face_mesh(0)], frames=frames), PARSE, Blend()))[0]
    lips = mouth(np.stack([picture(face_mesh(0))]))[0]
    assert made[10:50, 10:50].mean(2).max() < lips[10:50, 10:50].mean(2).max() + 12


def test_a_lower_lip_that_landmarks_miss_leaves_no_second_one_below_closed_lips(known):
    """In a mouth that is wide open the lip is thicker than the landmarks say: its rest would be left below."""
    drawn = face_mesh(36)
    lower = drawn[mesh.OUTER_LIPS][11:]
    lower[:, 1] += 14 * np.sin(np.arange(1, 10) * np.pi / 10)
    drawn[mesh.OUTER_LIPS][11:] = lower
    made, closed = (
        on_canvas(frames)[0, 398:418, 236:276].astype(int)
        for frames in (
            through(talk([face_mesh(36)], [face_mesh(0)], known, frames=picture(drawn)[None]), PARSE, Blend()),
            picture(face_mesh(0))[None],
        )
    )
    assert np.abs(made.mean((0, 1)) - closed.mean((0, 1))).max() < 12 and made[..., 1].min() > 100, "skin, no lip"


def test_lips_that_close_have_a_line_between_them():
    made = mouth(through(talk([face_mesh(16)], [face_mesh(0)]), PARSE, Blend()))[0]
    rows = made[12:36, 20:40].mean((1, 2))
    assert rows.min() < 0.85 * np.median(rows)
    assert 10 <= rows.argmin() + 12 - 10 <= 16, "where they meet"


def test_whites_of_a_lent_mouth_are_not_blown_out():
    shades = np.array([[[40] * 3, [130] * 3, [235] * 3]], np.uint8)
    brighter, darker = (lit(shades, np.full(shades.shape, gain, np.float32))[0, :, 0] for gain in (1.4, 0.7))
    assert brighter[0] > 53 and brighter[1] > 160, "shadows and skin get the light"
    assert 235 < brighter[2] < 255, "teeth keep their drawing"
    np.testing.assert_allclose(darker, [28, 91, 164.5])


def test_lips_from_elsewhere_take_the_tint_of_those_they_replace(known):
    """In the light of other frames her lips are mauve."""
    pictures = known.mouths.picture.astype(np.float32)
    lips = np.abs(pictures - LIPS).max(3, keepdims=True) < 45
    mauve = np.clip(np.where(lips, pictures * (0.9, 1.05, 1.25), pictures), 0, 255).astype(np.uint8)
    tinted = replace(known, mouths=replace(known.mouths, picture=mauve))
    opened = face_mesh(18)
    frames = [through(talk([face_mesh(12)], [opened], k), PARSE, Blend()) for k in (known, tinted)]
    below = round(float(opened[mesh.INNER_LIPS][:, 1].max())) + 4
    own, made = (on_canvas(f)[0, below : below + 8, 236:276].reshape(-1, 3).mean(0) for f in frames)
    assert own[0] > 1.8 * own[2], "red lips"
    assert made[2] / made[0] < 1.2 * own[2] / own[0], "though a quarter more blue and a tenth less red were lent"


def test_a_closed_mouth_opens_and_shows_the_persons_own_teeth(known):
    opened, closed = face_mesh(30), face_mesh(0)
    made = through(talk([closed] * 3, [opened] * 3, known), PARSE, Blend())
    assert like(made, opened) < 0.4 * like(made, closed)
    # Gaps between teeth: contrast from column to column, as the drawn face has it.
    rows = slice(14, 24)
    real, shown = (np.abs(np.diff(mouth(x)[:, rows].mean(3), axis=2)).mean() for x in (picture(opened)[None], made))
    assert shown > 0.5 * real


@pytest.mark.parametrize("lent", [16, 24])
def test_a_mouth_that_opens_wider_than_any_lent_one_shows_none_of_its_lips(lent):
    """Teeth keep their size, the dark below them grows, and no second lower lip crosses it."""
    opened, closed = face_mesh(40), face_mesh(0)
    made = through(talk([closed], [opened], facts([face_mesh(lent), closed])), PARSE, Blend())
    column = on_canvas(made)[0, :, 250:262].mean((1, 2))
    top, bottom = opened[mesh.INNER_LIPS][:, 1].min(), opened[mesh.INNER_LIPS][:, 1].max()
    teeth = np.flatnonzero(column[round(top) : round(bottom)] > 130)
    assert 8 <= np.ptp(teeth) <= 22, "14 px are drawn"
    assert column[round(top) + 26 : round(bottom) - 3].max() < 75, "the dark of the mouth; lips have 103"


def test_a_face_never_seen_open_gets_a_dark_mouth():
    opened, closed = face_mesh(36), face_mesh(0)
    made = through(talk([closed] * 3, [opened] * 3, facts([closed] * 4)), PARSE, Blend())
    inside = mouth(made)[:, 20:40, 10:50]
    red, green, blue = np.moveaxis(inside, 3, 0)
    assert inside.mean() < 110 and inside.min() >= 0
    assert (blue <= green + 12).all() and (red >= green).all(), "no violet, no green"
    assert np.abs(np.diff(made.astype(int), axis=0)).max() < 60, "and it holds still"


def test_lips_and_chin_move_with_the_mouth(known):
    """The lower border of the lower lip and the chin are where the target has them."""
    opened, closed = face_mesh(18), face_mesh(0)
    made = through(talk([closed], [opened], known), PARSE, Blend())
    column = cv2.GaussianBlur(on_canvas(made)[0], (0, 0), 2)[:, 256].astype(int)
    chin = 300 + 185 + 0.65 * 18
    assert abs(440 + np.abs(np.diff(column[440:505, 0])).argmax() - chin) < 4


@pytest.mark.parametrize("deep", [False, True])
def test_nothing_changes_where_nothing_moves(deep):
    frames = np.stack([picture(face_mesh(0))])
    frames = frames.astype(np.uint16) * 257 + 3 if deep else frames
    chunk = talk([face_mesh(0)], [face_mesh(0)], frames=frames)
    np.testing.assert_array_equal(through(chunk, PARSE, Blend()), frames)


@pytest.mark.parametrize("parse", [(), (PARSE,)])
@pytest.mark.parametrize("deep", [False, True])
def test_pixels_outside_the_lower_face_keep_their_values(deep, parse, known):
    frames = np.stack([picture(face_mesh(6))] * 2)
    frames = frames.astype(np.uint16) * 257 + 3 if deep else frames
    chunk = talk([face_mesh(6)] * 2, [face_mesh(30)] * 2, known, frames=frames)
    made = through(chunk, *parse, Blend())
    shape = lower_face(face_mesh(6), face_mesh(30))
    inside = cv2.warpAffine(cv2.dilate(shape, np.ones((5, 5))), geometry.invert(TO512), frames.shape[2:0:-1]) > 0
    np.testing.assert_array_equal(made[:, ~inside], frames[:, ~inside])
    assert (made[:, inside] != frames[:, inside]).mean() > 0.2
    if deep:
        eight = through(
            talk([face_mesh(6)] * 2, [face_mesh(30)] * 2, known, frames=(frames // 257).astype(np.uint8)),
            *parse,
            Blend(),
        )
        assert np.abs(made / 257 - eight)[:, inside].mean() < 1
        assert len(np.unique(made[:, inside] % 257)) > 100, "sixteen bits, not eight"


def turned(mesh, share=0.45):
    """A head turned far to one side: everything closer together, the mouth near the face's border."""
    out = mesh.copy()
    out[:, 0] = 300 + share * (mesh[:, 0] - 256) - 0.0006 * (mesh[:, 0] - 256) ** 2
    return out


def test_a_turned_face_has_no_second_mouth(known):
    before, after = turned(face_mesh(0)), turned(face_mesh(24))
    frames = np.stack([picture(before)])
    made = through(talk([before], [after], known, frames=frames), PARSE, Blend())
    changed = on_canvas(np.abs(made.astype(int) - frames).astype(np.uint8))[0].max(2) > 40
    face = cv2.dilate(lower_face(before, after), np.ones((5, 5)))
    assert not changed[face == 0].any()
    # Dark of an open mouth: in one place only, between the target's lips.
    dark = (on_canvas(made)[0].astype(int).sum(2) < 160).astype(np.uint8)
    cheek = dark.copy()
    left, right = after[:40, 0].min() - 8, after[:40, 0].max() + 8
    cheek[:, int(left) : int(right)] = 0
    assert dark[:, int(left) : int(right)].any() and not (cheek & face).any()


@pytest.mark.parametrize(("is_open", "opens"), [(20, 2), (6, 26)])
def test_lips_of_a_turned_head_do_not_crumple(is_open, opens):
    """Its far cheek and jaw lie behind the mouth, and move otherwise than the lips do."""
    before, after = face_mesh(is_open), face_mesh(opens)
    far = [*range(mesh.JAW.start + 13, mesh.JAW.stop), *mesh.at(287, 273, 410, 322, 391, 427)]
    for shape, place in ((before, 270), (after, 262)):
        shape[far, 0] = place + np.arange(len(far)) * 1.5
    area = slice(320, 448), slice(160, 352)
    for field, ring in zip(flaps(before, after, area), (slice(0, 11), slice(10, 20)), strict=True):
        source = cv2.resize(field, (192, 128)) + np.indices((128, 192)).transpose(1, 2, 0)[..., ::-1]
        x, y = np.round(after[mesh.OUTER_LIPS][ring] - (160, 320)).astype(int).T
        inside = slice(y.min() + 3, y.max() - 2), slice(x.min() + 3, x.max() - 2)
        across, down = np.diff(source[..., 0], axis=1)[inside], np.diff(source[..., 1], axis=0)[inside]
        assert across.min() > 0.2 and across.max() < 3 and down.min() > -0.02 and down.max() < 5


@pytest.mark.parametrize(
    ("yaw", "ends", "left"), [(-40, 130, True), (-40, 60, False), (-15, 130, False), (40, 130, False)]
)
def test_a_face_whose_landmarks_lie_beside_the_lips_that_are_seen_is_left_as_it_is(known, yaw, ends, left):
    """Landmarks of profiles are those of heads turned less. ``ends``: where the parser sees the lips end."""
    closed, opened = face_mesh(6), face_mesh(24)
    start = int(closed[mesh.OUTER_LIPS, 0].min())
    seen = labels((1, (0, 320, start + ends - 60, 430)))
    runtime = tiny_runtime()
    runtime.batch_size = 64
    runtime.add_model("labeled", Labeled(seen, seen), "bisenet_79999_iter")
    chunk = talk([closed] * 3, [opened] * 3, known, strength=np.ones(3, np.float32))
    chunk.faces.pose[:, 0] = yaw
    (made,) = run_stages([Given(), Parse("labeled"), Blend()], [chunk], runtime)
    changes = (made.frames != chunk.frames).any((1, 2, 3))
    assert changes.tolist() == [not left] * 3
    assert made.left is not None and made.left.reason.tolist() == [Reason.BESIDE] * 3 * left


def test_landmarks_that_lie_beside_the_lips_for_a_moment_fade_the_face_and_bring_it_back():
    shares = [trusted([x] * 5, -40, 0.38) for x in (0.1, 0.28, 0.33, 0.38, 0.6)]
    assert shares[:2] == [1, 1] and 0.3 < shares[2] < 0.7 and shares[3:] == pytest.approx([0, 0])
    assert trusted([float("nan")] * 5, -40, 0.38) == 1, "of lips that a beard hides nothing is known"
    assert trusted([0.1, 0.1, 0.9, 0.1, float("nan")], -40, 0.38) > 0.7, "one wrong frame does not decide"


def test_strength_fades_to_the_untouched_frame(known):
    before, after = face_mesh(4), face_mesh(30)
    frames = np.stack([picture(before)] * 3)
    strength = np.array([0, 0.5, 1], np.float32)
    made = through(talk([before] * 3, [after] * 3, known, frames=frames, strength=strength), PARSE, Blend())
    change = np.abs(made.astype(int) - frames).sum((1, 2, 3))
    assert change[0] == 0 < change[1] < change[2]


def test_a_face_without_a_target_is_left_alone(known):
    chunk = talk([face_mesh(4)] * 2, [face_mesh(30)] * 2, known)
    chunk.faces.target[1] = np.nan
    made = through(chunk, PARSE, Blend())
    assert (made[0] != chunk.frames[0]).any()
    np.testing.assert_array_equal(made[1], chunk.frames[1])


def test_a_region_that_has_no_effect_is_reported():
    for region, warnings in (("lower-face", 0), ("mouth", 1)):
        runtime = tiny_runtime()
        through(talk([face_mesh(0)] * 2, [face_mesh(30)] * 2), Parse("", region=region), runtime=runtime)
        assert len(runtime.warnings) == warnings


def changed(seen, before, after, known):
    """(512, 512) largest change of a face that is moved, whose parser sees ``seen``."""
    runtime = tiny_runtime()
    runtime.batch_size = 64
    runtime.add_model("labeled", Labeled(seen, seen), "bisenet_79999_iter")
    chunk = talk([before] * 2, [after] * 2, known)
    made = through(chunk, Parse("labeled"), Blend(), runtime=runtime)
    return on_canvas(np.abs(made.astype(int) - chunk.frames).astype(np.uint8)).max((0, 3))


def test_occluders_stay(known):
    """A hand (background and cloth inside the face) over the mouth's left half."""
    seen = labels((16, (150, 330, 240, 420)))
    change = changed(seen, face_mesh(0), face_mesh(30), known)
    assert change[340:410, 170:230].max() == 0 and change[340:420, 256:330].max() > 40


def test_a_microphone_before_the_chin_keeps_its_shape(known):
    """A rising chin does not take along what is in front of it, which a parser calls cloth."""
    before, after = face_mesh(30), face_mesh(0)
    chin = before[mesh.at(152)[0]].astype(int)
    top = chin[1] - 25
    seen = labels((16, (chin[0] - 30, top, chin[0] + 30, 512)))
    change = changed(seen, before, after, known)
    assert change[top:, chin[0] - 28 : chin[0] + 29].max() == 0
    assert change[: top - 60].max() > 40, "the mouth still closes"


def test_shadows_called_cloth_do_not_hold_the_chin_but_clothes_stay(known):
    before, after = face_mesh(20), face_mesh(0)
    x, y = before[mesh.at(152)[0]].astype(int)
    shadow, coat = (16, (x - 40, y - 6, x + 20, 512)), (16, (100, y - 6, 420, 512))
    free, shaded, dressed = (changed(labels(*c), before, after, known) for c in ((), (shadow,), (coat,)))
    np.testing.assert_array_equal(free, shaded)
    assert free[y - 4 :, x - 30 : x + 30].max() > 40 and dressed[y - 4 :, x - 30 : x + 30].max() == 0


def test_a_chin_moves_as_far_as_it_has_room():
    """Else it would be torn: beside something in front of the neck, and at the end of the canvas, nothing moves."""
    before, after = face_mesh(24), face_mesh(0)
    chin = mesh.JAW.start + 10
    side, other = chin - 3, chin + 3
    wanted, free = np.abs(after - before).max(1), np.full((512, 512), 255, np.uint8)
    assert followed(before, after, free) is after
    free[int(before[side, 1]) - 5 :, int(before[side, 0]) - 15 : int(before[side, 0]) + 15] = 0
    made = followed(before, after, free)
    moved = np.abs(made - before).max(1)
    assert moved[side] < 0.1 * wanted[side] and moved[other] == wanted[other] > 10
    assert moved[side] < moved[chin - 2] < moved[chin - 1] + 1e-6, "with no step between"
    np.testing.assert_array_equal(made[mesh.LIPS], after[mesh.LIPS])
    free[int(before[mesh.JAW, 1].max()) :] = 0
    assert np.abs(followed(before, after, free) - before).max(1)[chin] < 5


def test_what_is_beside_a_turned_face_is_not_pulled_along(known):
    """Landmarks that lie beyond the silhouette of a turned head bring no background into the face."""
    before, after = face_mesh(4), face_mesh(20, 0.7)
    edge = int(before[mesh.at(61)[0], 0]) + 12  # the corner of the mouth lies on what is behind the face
    seen = labels((0, (0, 0, edge, int(before[mesh.OUTER_LIPS, 1].max()))))
    change = changed(seen, before, after, known)
    x, y = after[mesh.at(61)[0]].astype(int)  # where the corner goes, inside the face
    assert x > edge + 5 and change[y - 4 : y + 5, : x + 5].max() == 0
    assert change[y - 10 : y + 30, 256:330].max() > 40, "the rest of the mouth moves"


@pytest.mark.parametrize(("yaw", "comes"), [(-36, True), (-43, False)])
def test_what_is_behind_a_head_turned_further_does_not_come_with_its_lips(yaw, comes):
    """The picture lent is of -36 degrees: in another direction the corner of the mouth lies elsewhere."""
    closed, opened = face_mesh(0), face_mesh(14)
    shown = facts([opened])
    pictures = shown.mouths.picture.copy()
    pictures[:, :, : int(opened[mesh.OUTER_LIPS, 0].min()) - 144 + 4] = (0, 0, 60)  # beyond the corner: dark blue
    pose = np.array([[-36.0, 0, 0]], np.float32)
    lent = replace(shown, mouths=replace(shown.mouths, picture=pictures, pose=pose))
    chunk = talk([closed], [opened], lent)
    faces = replace(chunk.faces, pose=np.array([[yaw, 0, 0]], np.float32))
    made = on_canvas(through(replace(chunk, faces=faces), PARSE, Blend()))[0].astype(int)
    around = made[int(opened[mesh.OUTER_LIPS, 1].min()) - 6 : int(opened[mesh.OUTER_LIPS, 1].max()) + 10]
    corner = around[:, int(opened[mesh.OUTER_LIPS, 0].min()) - 14 : int(opened[mesh.OUTER_LIPS, 0].min()) + 4]
    assert (corner[..., 2] > corner[..., 0]).any() == comes, "lips are red, what is behind the head is blue"


# ---- no state: the same bits whatever the chunks and wherever a span begins


def swaying(count):
    """Meshes and targets of someone who talks while moving and is to say something else."""
    has = [face_mesh(15 + 14 * np.sin(n / 2)) for n in range(count)]
    wanted = [face_mesh(15 + 15 * np.sin(n / 3 + 2), 1 - 0.1 * np.sin(n / 5)) for n in range(count)]
    return has, wanted


def test_chunks_and_spans_do_not_change_a_bit(known):
    chunk = talk(*swaying(24), known)
    stages = (PARSE, Blend())
    whole = through(chunk, *stages)
    for size in (1, 7):
        np.testing.assert_array_equal(through(chunk, *stages, size=size), whole)
    before, after = sum(s.context for s in stages), sum(s.lookahead for s in stages)
    for start, end, size in ((10, 14, 0), (13, 18, 3), (20, 24, 3)):
        first, last = max(0, start - before), min(24, end + after)
        part = through(cut(chunk, first, last), *stages, size=size)
        np.testing.assert_array_equal(part[start - first : end - first], whole[start:end])


def test_generated_faces_depend_on_no_more_than_their_context(known):
    """The same for the path without landmarks: colors and detail are steadied over a fixed window."""
    rng = np.random.default_rng(0)
    has, wanted = swaying(30)
    chunk = talk(has, wanted)
    made = on_canvas(np.stack([picture(m, 9) for m in wanted])).astype(int)
    made = np.clip(made + rng.normal(0, 8, made.shape) + rng.normal(0, 8, (30, 1, 1, 3)), 0, 255).astype(np.uint8)
    chunk = chunk.with_faces(
        mesh=None, target=None, synced=made, synced96=made[:, ::4, ::4], to96=chunk.faces.to512 / 4
    )
    runtime = tiny_runtime()
    whole = through(chunk, Blend(), runtime=runtime)
    assert (whole != chunk.frames).any((1, 2, 3)).all()
    np.testing.assert_array_equal(through(chunk, Blend(), size=4), whole)
    for start, end in ((12, 16), (20, 30)):
        first, last = start - Blend().context, min(30, end + Blend().lookahead)
        part = through(cut(chunk, first, last), Blend())
        np.testing.assert_array_equal(part[start - first : end - first], whole[start:end])


# ---- the choice of mouths


def wanted(mesh):
    return Wanted(shapes(mesh[None])[0], float(np.ptp(mesh[:20, 1]) / 182), np.zeros(3), 150.0)


def test_the_mouth_shown_is_as_open_as_the_one_wanted(known):
    library = Library(known.mouths)
    for opening in (0, 8, 18, 30, 36):
        costs = [library.costs(wanted(face_mesh(opening)))] * 5
        assert abs(np.ptp(KNOWN[library.chosen(costs, 2)][:20, 1]) - opening) <= 4


def test_a_tongue_between_the_lips_is_not_lent_to_a_closed_mouth():
    """Landmarks call that mouth closed, and it is the first of those that fit."""
    clean = facts([face_mesh(0)] * 8 + [face_mesh(30)])
    licking = clean.mouths.picture.copy()
    cv2.ellipse(licking[0], (112, 103), (34, 9), 0, 0, 360, (235, 125, 135), -1)
    library = replace(clean, mouths=replace(clean.mouths, picture=licking))
    shown, usual = (through(talk([face_mesh(30)], [face_mesh(0)], k), PARSE, Blend()) for k in (library, clean))
    assert np.abs(mouth(shown) - mouth(usual)).max() < 3
    alone = replace(library, mouths=Mouths(*(v[[0, 8]] for v in vars(library.mouths).values())))
    seen = through(talk([face_mesh(30)], [face_mesh(0)], alone), PARSE, Blend())
    assert np.abs(mouth(seen) - mouth(usual)).max() > 30, "where nothing else is known, it is shown"


def test_mouths_follow_the_footage_rather_than_jump(known):
    """Each opening occurs twice in the footage, as the mouth opens and as it closes: one of the two is stayed with."""
    library = Library(known.mouths)
    falling = [36, 30, 24, 18, 12, 8, 4]
    costs = [library.costs(wanted(face_mesh(o))) for o in falling]
    path = [library.chosen(costs, n) for n in range(len(falling))]
    assert max(np.abs(np.diff(path))) <= 2


def test_a_mouth_in_another_light_or_pose_is_avoided(known):
    library = Library(known.mouths)
    library.mouths.light[:8] *= 0.5
    library.mouths.pose[9:, 0] = 30
    one = Wanted(shapes(face_mesh(30)[None])[0], 30 / 182, np.zeros(3), float(known.mouths.light[8]))
    assert library.chosen([library.costs(one)] * 3, 1) == 8
