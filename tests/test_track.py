"""Track: association, cuts, gaps, smoothing without lag, choice of faces; the same for any chunk size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage import data as images

from wav2lip_hq.engine import run_stages
from wav2lip_hq.errors import InputError, OptionError
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages._cuts import LOOKAHEAD, CutFinder, thumbnail
from wav2lip_hq.stages._ranking import HOLD, Ranking
from wav2lip_hq.stages._tracker import frames_of, smooth
from wav2lip_hq.stages.appearance import appearance, similarity
from wav2lip_hq.stages.detect import Detect
from wav2lip_hq.stages.track import Track
from wav2lip_hq.types import Array, Chunk, Faces, Reason

RUNTIME = Runtime("cpu", "fp32")
WEIGHTS = "data/weights/retinaface_mobilenet0.25_biubug6.pth"
MARKS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def face(x: float, y: float, side: float = 80.0, score: float = 0.99) -> Array:
    """(15,) detection of a face whose box begins at (x, y)."""
    box = np.array([x, y, x + side, y + 1.25 * side])
    marks = box[:2] + MARKS * (box[2:] - box[:2])
    return np.concatenate([box, [score], marks.ravel()]).astype(np.float32)


def stack(*faces: Array) -> Array:
    return np.stack(faces) if faces else np.zeros((0, 15), np.float32)


Rows = Sequence[Array | None]


def scenes(count: int, cuts: Sequence[int] = ()) -> Array:
    """(T, 36, 64, 3) frames: a noisy picture, another one from each cut on."""
    rng = np.random.default_rng(7)
    out = np.empty((count, 36, 64, 3), np.uint8)
    picture = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    for i in range(count):
        if i in cuts:
            picture = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        large = cv2.resize(picture, (64, 36), interpolation=cv2.INTER_NEAREST).astype(int)
        out[i] = np.clip(large + rng.integers(-3, 4, large.shape), 0, 255)
    return out


def chunks(rows: Rows, size: int = 1000, *, cuts: Sequence[int] = (), times: Sequence[Fraction] | None = None,
           frames: Array | None = None) -> Iterator[Chunk]:  # fmt: skip
    frames = scenes(len(rows), cuts) if frames is None else frames
    pts = tuple(times or [Fraction(i, 25) for i in range(len(rows))])
    for s in range(0, len(rows), size):
        e = min(s + size, len(rows))
        yield Chunk(s, frames[s:e], pts[s:e], boxes=tuple(rows[s:e]))


def follow(track: Track, rows: Rows, size: int = 1000, **options: object) -> list[dict[int, tuple[Array, Array]]]:
    """A frame: {track: (box, landmarks)}."""
    out: list[dict[int, tuple[Array, Array]]] = []
    for chunk in track.run(chunks(rows, size, **options), RUNTIME):  # type: ignore[arg-type]
        faces = chunk.faces
        assert isinstance(faces, Faces) and faces.track is not None
        assert faces.box is not None and faces.landmarks is not None
        assert faces.frame.dtype == faces.track.dtype == np.int64
        assert faces.box.dtype == faces.landmarks.dtype == np.float32
        assert (np.diff(faces.frame) >= 0).all()
        for i in range(len(chunk)):
            at = faces.frame == i
            out.append(
                {int(t): (b, m) for t, b, m in zip(faces.track[at], faces.box[at], faces.landmarks[at], strict=True)}
            )
    assert len(out) == len(rows)
    return out


def ids(result: list[dict[int, tuple[Array, Array]]]) -> list[list[int]]:
    return [sorted(f) for f in result]


def check_motion(result: list[dict[int, tuple[Array, Array]]], truth: Sequence[Array], atol: float = 1e-3) -> None:
    for i, (found, row) in enumerate(zip(result, truth, strict=True)):
        assert list(found) == [0], f"frame {i}"
        np.testing.assert_allclose(found[0][0], row[:4], atol=atol, err_msg=f"box of frame {i}")
        np.testing.assert_allclose(found[0][1].ravel(), row[5:], atol=atol, err_msg=f"landmarks of frame {i}")


# -- smoothing ------------------------------------------------------------------------------------------------------


def moving(count: int, times: Sequence[Fraction] | None = None) -> list[Array]:
    """Uniform motion and growth, 3 px a frame: 75 px a second."""
    at = [float(t) * 25 for t in times] if times else list(range(count))
    return [face(20 + 3 * t, 30 + 1.5 * t, 80 + 0.5 * t) for t in at]


def test_uniform_motion_neither_leads_nor_lags() -> None:
    truth = moving(40)
    check_motion(follow(Track(), [stack(r) for r in truth]), truth)


def test_uniform_motion_with_uneven_timestamps() -> None:
    rng = np.random.default_rng(0)
    times = [Fraction(int(t), 1000) for t in np.cumsum(rng.integers(10, 90, 40))]
    truth = moving(40, times)
    check_motion(follow(Track(), [stack(r) for r in truth], times=times), truth)


@pytest.mark.parametrize("every", [2, 5, 12])
def test_uniform_motion_through_frames_without_detection(every: int) -> None:
    truth = moving(41)
    rows = [stack(r) if i % every == 0 else None for i, r in enumerate(truth)]
    check_motion(follow(Track(), rows), truth, atol=2e-3)
    # Up to the last frame, though nobody looked at it; and up to a cut.
    check_motion(follow(Track(), rows[:40]), truth[:40], atol=2e-3)


def test_time_reversed_footage_gives_the_reversed_result() -> None:
    rng = np.random.default_rng(1)
    rows = [stack(face(100 + 20 * np.sin(i / 4) + rng.normal(), 60 + rng.normal())) for i in range(30)]
    there = follow(Track(), rows)
    back = follow(Track(), rows[::-1])[::-1]
    for a, b in zip(there, back, strict=True):
        np.testing.assert_allclose(a[0][0], b[0][0], atol=1e-3)
        np.testing.assert_allclose(a[0][1], b[0][1], atol=1e-3)


def test_a_nod_is_followed_without_delay() -> None:
    still = [face(100, 60 + 6 * np.sin(2 * np.pi * i / 25)) for i in range(75)]  # once a second
    result = follow(Track(), [stack(r) for r in still])
    got = np.array([f[0][1][2, 1] for f in result])[12:-12]
    true = np.array([r[10] for r in still])[12:-12]
    shifts = {s: float(np.corrcoef(got[3:-3], np.roll(true, s)[3:-3])[0, 1]) for s in (-2, -1, 0, 1, 2)}
    assert max(shifts, key=lambda s: shifts[s]) == 0
    assert np.ptp(got) > 0.85 * np.ptp(true), "landmarks are smoothed too much"


def test_jitter_shrinks_and_no_smoothing_means_none() -> None:
    rng = np.random.default_rng(2)
    rows = [stack(face(100 + rng.normal(), 60 + rng.normal())) for _ in range(60)]
    raw = np.array([r[0, :4] for r in rows])
    calm = np.array([f[0][0] for f in follow(Track(), rows)])
    assert np.diff(calm, axis=0).std() < 0.15 * np.diff(raw, axis=0).std()
    same = follow(Track(smooth_ms=0, landmarks_ms=0), rows)
    np.testing.assert_array_equal(np.array([f[0][0] for f in same]), raw)


def test_smooth_is_a_weighted_line_fit() -> None:
    rng = np.random.default_rng(4)
    t = np.sort(rng.uniform(-0.2, 0.15, 9))
    v = rng.normal(size=(9, 2))
    w = np.exp(-0.5 * (t / 0.1) ** 2)
    expected = [np.polynomial.polynomial.polyfit(t, v[:, k], 1, w=np.sqrt(w))[0] for k in range(2)]
    np.testing.assert_allclose(smooth(t, v, 0.1, v[0]), expected, atol=1e-9)
    np.testing.assert_array_equal(smooth(np.array([0.0]), v[:1], 0.1, v[0]), v[0])


# -- association, gaps, cuts ----------------------------------------------------------------------------------------


def crowd(count: int = 60) -> list[Array | None]:
    """Two faces with jitter that pass each other, one lost for a moment, false alarms, frames without detection."""
    rng = np.random.default_rng(5)
    rows: list[Array | None] = []
    for i in range(count):
        found = [face(40 + 4 * i + rng.normal(), 40 + rng.normal(), 90)]
        if i not in (20, 21, 22):
            found.append(face(300 - 4 * i + rng.normal(), 200 + rng.normal(), 84))
        if i in (9, 33):
            found.append(face(500, 300, 40, 0.7))
        rng.shuffle(found)
        rows.append(None if i in (13, 14, 50) else stack(*found))
    return rows


@pytest.mark.parametrize("choice", ["all", "largest", 1, "left-to-right:1"])
def test_chunk_size_changes_nothing(choice: str | int) -> None:
    rows = crowd()
    times = [Fraction(i * 1001, 30000) for i in range(len(rows))]
    frames = scenes(len(rows), cuts=(27, 29, 45))
    frames[38:40] = 255
    whole = follow(Track(faces=choice), rows, times=times, frames=frames)
    assert sum(map(len, whole)) > 40
    for size in (1, 3, 7):
        parts = follow(Track(faces=choice), rows, size, times=times, frames=frames)
        assert ids(whole) == ids(parts)
        for a, b in zip(whole, parts, strict=True):
            for n in a:
                np.testing.assert_array_equal(a[n][0], b[n][0])
                np.testing.assert_array_equal(a[n][1], b[n][1])


def test_two_faces_keep_their_numbers_and_false_alarms_are_dropped() -> None:
    result = follow(Track(faces="all"), crowd())
    assert ids(result) == [[0, 1]] * 60
    first = [f[0][0][1] for f in result]
    assert max(first) < 100 or min(first) > 150  # the tracks never trade places


def test_short_gaps_are_filled_and_long_ones_end_the_track() -> None:
    truth = moving(40)
    rows = [stack() if 10 <= i < 14 else stack(r) for i, r in enumerate(truth)]  # 5 frames, 200 ms, apart
    check_motion(follow(Track(), rows), truth)
    rows = [stack() if 10 <= i < 15 else stack(r) for i, r in enumerate(truth)]
    assert ids(follow(Track(), rows)) == [[0]] * 10 + [[]] * 5 + [[1]] * 25
    assert ids(follow(Track(max_gap=300), rows)) == [[0]] * 40
    assert ids(follow(Track(max_gap=0), [stack(truth[0]), stack(), stack(truth[2])])) == [[0], [], [1]]


def test_a_face_that_left_is_not_extrapolated() -> None:
    rows = [stack(r) for r in moving(20)] + [stack()] * 20
    assert ids(follow(Track(), rows)) == [[0]] * 20 + [[]] * 20
    # Nor through frames nobody looked at, when the next look finds nothing.
    holes: list[Array | None] = [
        stack(face(50, 50)),
        None,
        None,
        None,
        stack(face(50, 50)),
        None,
        None,
        None,
        stack(),
        None,
    ]
    assert ids(follow(Track(), holes)) == [[0]] * 5 + [[]] * 5


def test_a_cut_ends_tracks_even_in_the_same_place() -> None:
    rows = [stack(face(100, 60)) for _ in range(20)] + [stack(face(110, 60)) for _ in range(20)]
    result = follow(Track(), rows, cuts=(20,))
    assert ids(result) == [[0]] * 20 + [[1]] * 20
    # Nothing is smoothed across it.
    np.testing.assert_allclose(result[19][0][0][0], 100, atol=1e-4)
    np.testing.assert_allclose(result[20][1][0][0], 110, atol=1e-4)
    assert ids(follow(Track(), rows)) == [[0]] * 40  # the same without the cut


def test_frames_without_detection_up_to_a_cut_belong_to_the_old_shot() -> None:
    rows = [stack(face(100, 60)) if i % 4 == 0 or i == 10 else None for i in range(20)]
    assert ids(follow(Track(), rows, cuts=(10,))) == [[0]] * 10 + [[1]] * 10


def test_a_flash_is_no_cut_and_is_only_painted_where_the_face_is_seen() -> None:
    frames = scenes(30)
    frames[12:14] = 255
    rows = [stack(face(100, 60)) for _ in range(30)]
    assert ids(follow(Track(), rows, frames=frames)) == [[0]] * 30
    rows[12] = rows[13] = stack()  # washed out
    expected = [[0]] * 12 + [[]] * 2 + [[0]] * 16
    assert ids(follow(Track(), rows, frames=frames)) == expected


def labels(frames: Array) -> list[str]:
    finder, out = CutFinder(), []
    for n, frame in enumerate(frames):
        out += finder.push(thumbnail(frame))
        assert len(out) == max(0, n + 1 - LOOKAHEAD)
    return out + finder.finish()


def test_cut_labels() -> None:
    assert [i for i, x in enumerate(labels(scenes(30, (9, 11, 29)))) if x != "same"] == [9, 11, 29]
    frames = scenes(20)
    frames[5:8] = 0
    assert [i for i, x in enumerate(labels(frames)) if x == "interruption"] == [5, 6, 7]
    assert "cut" not in labels(frames)
    frames[5:10] = 0  # too long for an interruption: another shot, and back
    assert [i for i, x in enumerate(labels(frames)) if x == "cut"] == [5, 10]
    assert labels(frames[:1]) == ["same"]


def test_a_fast_pan_is_no_cut() -> None:
    wide = cv2.resize(np.random.default_rng(3).integers(0, 256, (6, 60, 3), dtype=np.uint8), (960, 36))
    pan = np.stack([wide[:, 12 * i : 12 * i + 160] for i in range(30)])
    assert set(labels(pan)) == {"same"}
    assert labels(pan.astype(np.uint16) * 257) == labels(pan)


def test_single_frames_and_empty_footage() -> None:
    assert ids(follow(Track(), [stack(face(10, 10))])) == [[0]]
    assert ids(follow(Track(), [stack(face(10, 10)), stack(face(11, 10))])) == [[0], [0]]
    assert ids(follow(Track(), [stack()] * 5)) == [[]] * 5
    assert list(Track().run(iter(()), RUNTIME)) == []
    (chunk,) = Track().run(chunks([stack()]), RUNTIME)
    assert chunk.faces is not None and chunk.faces.box is not None and chunk.faces.landmarks is not None
    assert chunk.faces.box.shape == (0, 4) and chunk.faces.landmarks.shape == (0, 5, 2)


def test_small_faces_are_left_out() -> None:
    rows = [stack(face(10, 10, 30), face(200, 10, 60))] * 5
    assert ids(follow(Track(faces="all"), rows)) == [[0, 1]] * 5
    large = follow(Track(faces="all", min_face=40), rows)
    assert ids(large) == [[1]] * 5
    (left,) = [c.left for c in Track(faces="all", min_face=40).run(chunks(rows), RUNTIME)]
    assert left is not None and left.reason is not None and set(left.reason.tolist()) == {Reason.TOO_SMALL}


def test_waits_for_no_more_than_it_declares() -> None:
    rows = [stack(face(100, 60)) if i % 40 < 20 else stack() for i in range(200)]
    for track, fps in ((Track(), 25), (Track(), 60), (Track(), 240), (Track(smooth_ms=0, landmarks_ms=0), 60)):
        pulled = 0

        def source(fps: int = fps) -> Iterator[Chunk]:
            nonlocal pulled
            for chunk in chunks(rows, 1, times=[Fraction(i, fps) for i in range(len(rows))]):
                pulled += 1
                yield chunk

        worst = 0
        for done, _ in enumerate(track.run(source(), RUNTIME)):
            worst = max(worst, pulled - done - 1)
        assert worst <= track.lookahead, fps
    assert frames_of(200) == 12


def test_wires_into_the_engine() -> None:
    out = list(
        run_stages([_Given(), Track()], chunks([stack(face(100, 60))] * 9, 4), RUNTIME, keep=["faces.landmarks"])
    )
    assert [len(c) for c in out] == [4, 4, 1]
    assert all(c.boxes is None and c.faces is not None and len(c.faces) == len(c) for c in out)


class _Given(Detect):
    """Detections are in the chunks already."""

    def run(self, chunks: Iterator[Chunk], runtime: Runtime) -> Iterator[Chunk]:  # type: ignore[override]
        yield from chunks


# -- choice ---------------------------------------------------------------------------------------------------------


def chosen(track: Track, rows: Rows, **options: object) -> list[float | None]:
    """Left edge of the chosen face in each frame."""
    out: list[float | None] = []
    for found in follow(track, rows, **options):  # type: ignore[arg-type]
        assert len(found) <= 1
        out.append(round(float(next(iter(found.values()))[0][0])) if found else None)
    return out


def test_largest_and_ranks() -> None:
    rows = [stack(face(10, 10, 50), face(300, 10, 100), face(150, 10, 70))] * 8
    assert chosen(Track(), rows) == [300] * 8
    assert chosen(Track(faces=1), rows) == chosen(Track(faces="1"), rows) == [150] * 8
    assert chosen(Track(faces=5), rows) == [None] * 8
    assert chosen(Track(faces="left-to-right"), rows) == [10] * 8
    assert chosen(Track(faces="left-to-right:2"), rows) == [300] * 8
    assert ids(follow(Track(faces="all"), rows)) == [[0, 1, 2]] * 8


def test_a_large_false_alarm_does_not_take_the_faces_place() -> None:
    """A sleeve found at 0.83 and seven times the face's area, as in scikit-image's astronaut at 480 px."""
    rows = [stack(face(300, 20, 60, 0.99), face(10, 100, 160, 0.83))] * 20
    assert chosen(Track(), rows) == [300] * 20


@pytest.mark.parametrize("size", [480, 640])
def test_the_astronauts_face_is_the_one_chosen(size: int) -> None:
    picture = np.repeat(images.astronaut()[None], 6, 0)
    chunk = Chunk(start=0, frames=picture, pts=tuple(Fraction(n, 25) for n in range(6)))
    (out,) = run_stages([Detect(size=size), Track()], iter([chunk]), RUNTIME)
    assert out.faces is not None and len(out.faces) == 6
    np.testing.assert_allclose(out.faces.box, np.tile([177, 54, 271, 173], (6, 1)), atol=8)


def test_the_largest_does_not_flicker_between_equals_but_does_change() -> None:
    rng = np.random.default_rng(6)
    rows = [stack(face(10, 10, 80 + rng.normal()), face(300, 10, 80 + rng.normal())) for _ in range(40)]
    widest = [int((r[1, 2] - r[1, 0]) > (r[0, 2] - r[0, 0])) for r in rows]
    assert len(set(widest)) == 2  # frame by frame they do take turns
    assert len({x is not None and x > 200 for x in chosen(Track(), rows)}) == 1
    rows = [stack(face(10, 10, 80), face(300, 10, 60 + 2 * i)) for i in range(40)]
    side = [x is not None and x > 200 for x in chosen(Track(), rows)]
    assert not side[10] and side[30] and sum(a != b for a, b in zip(side, side[1:], strict=False)) == 1


def test_nobody_replaces_the_chosen_face_while_it_is_away_for_a_moment() -> None:
    both, one = stack(face(10, 10, 100), face(300, 10, 60)), stack(face(300, 10, 60))
    assert chosen(Track(), [both] * 10 + [one] * 12 + [both] * 10) == [10] * 10 + [None] * 12 + [10] * 10
    away = chosen(Track(), [both] * 10 + [one] * 60)
    gone = 10 + round(HOLD * 25)
    assert away[10] is None and away[gone - 2] is None and set(away[gone:]) == {300}
    # In a new shot the choice is made afresh.
    assert chosen(Track(), [both] * 10 + [one] * 10, cuts=(10,)) == [10] * 10 + [300] * 10


def test_a_larger_newcomer_has_to_stay_to_be_chosen() -> None:
    face_, hands = face(10, 10, 100), face(200, 10, 200)
    alarm = [stack(face_)] * 20 + [stack(face_, hands)] * 8 + [stack(face_)] * 20
    assert chosen(Track(), alarm) == [10] * 48
    arrival = chosen(Track(), [stack(face_)] * 20 + [stack(face_, hands)] * 30)
    assert arrival == [10] * 33 + [200] * 17  # after 0.5 s, 12.5 frames
    # At the beginning of a shot nobody has the older right.
    assert chosen(Track(), [stack(face_)] * 4 + [stack(face_, hands)] * 20)[4:] == [200] * 20


def test_brief_false_alarms_are_dropped_but_lone_brief_faces_are_not() -> None:
    long, brief = face(10, 10), face(300, 10)
    rows = [stack(long, brief) if 10 <= i < 15 else stack(long) for i in range(30)]
    assert ids(follow(Track(faces="all"), rows)) == [[0]] * 30
    rows = [stack(long, brief) if 10 <= i < 16 else stack(long) for i in range(30)]
    assert ids(follow(Track(faces="all"), rows)) == [[0, 1] if 10 <= i < 16 else [0] for i in range(30)]
    assert ids(follow(Track(faces="all", smooth_ms=0, landmarks_ms=0), rows))[12] == [0, 1]
    rows = [stack(brief) if 10 <= i < 12 else stack() for i in range(30)]
    assert [i for i, found in enumerate(ids(follow(Track(), rows))) if found] == [10, 11]


def test_ranking_places() -> None:
    ranking = Ranking(1.25)
    a, b = np.array([0, 0, 10, 10.0]), np.array([50, 0, 60, 10.0])
    assert ranking.update(0.0, [1, 2], np.stack([a, b]), [100.0, 110.0]) == [2, 1]
    assert ranking.update(0.1, [1, 2], np.stack([a, b]), [130.0, 110.0]) == [2, 1]
    assert ranking.update(0.2, [1, 2], np.stack([a, b]), [140.0, 110.0]) == [1, 2]
    assert ranking.update(0.5, [2], b[None], [110.0]) == [1, 2]
    assert ranking.update(0.6, [2, 3], np.stack([b, a + 1]), [110.0, 90.0]) == [3, 2]  # inherits the place
    assert ranking.update(2.0, [2], b[None], [110.0]) == [2]


@pytest.mark.parametrize(
    "wrong",
    [{"faces": "biggest"}, {"faces": -1}, {"faces": True}, {"faces": "left-to-right:x"}, {"faces": "all:1"},
     {"faces": "reference"}, {"smooth_ms": -1}, {"max_gap": 1e9}, {"min_face": -1}],
)  # fmt: skip
def test_options_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="track"):
        Track(**wrong)  # type: ignore[arg-type]


def test_reference_needs_a_readable_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nobody\.png"):
        list(Track(faces="reference", reference=str(tmp_path / "nobody.png")).run(chunks([stack()]), RUNTIME))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="not an image"):
        list(Track(faces="reference", reference=str(tmp_path / "text.png")).run(chunks([stack()]), RUNTIME))
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        list(Track(faces="reference", reference=str(tmp_path / "empty.png")).run(chunks([stack()]), RUNTIME))
    assert Track(faces="reference", reference="a.png", detector="d").models == ("d",)
    assert Track().models == ()


def test_appearance_ignores_light_and_sees_people(shared: Callable[[str], Path]) -> None:
    pictures = sorted(shared("data/parsing/images").iterdir())[:6]
    read = [np.asarray(cv2.imread(str(p)))[60:460, 56:456, ::-1] for p in pictures]
    rgb = [cv2.resize(p, (112, 112), interpolation=cv2.INTER_AREA) for p in read]
    dim = [np.clip(p * 0.8 + 10, 0, 255).astype(np.uint8) for p in rgb]
    a, b = appearance(np.stack(rgb)), appearance(np.stack(dim))
    table = np.array([[similarity(x, y) for y in b] for x in a])
    assert (table.argmax(1) == np.arange(len(table))).all()


def clip(path: Path, first: int, count: int) -> list[Array]:
    with av.open(str(path)) as file:
        frames = [
            f.to_ndarray(format="rgb24") for _, f in zip(range(first + count), file.decode(video=0), strict=False)
        ]
    return [cv2.resize(f, (256, 256), interpolation=cv2.INTER_AREA) for f in frames[first:]]


def test_reference_picks_the_person(shared: Callable[[str], Path], tmp_path: Path) -> None:
    weights = str(shared(WEIGHTS))
    people = [shared(f"data/talking/{n}.mp4") for n in ("sadtalker_AOC", "aniportrait_may", "edtalk_tedlieu_60s")]
    views = [clip(p, 0, 12) for p in people]
    frames = np.stack([np.concatenate(side, 1) for side in zip(*views, strict=True)])
    pts = tuple(Fraction(i, 25) for i in range(len(frames)))
    (looked,) = Detect(weights, every=4).run(iter([Chunk(0, frames, pts)]), RUNTIME)
    for n, person in enumerate(people):
        later = clip(person, 60, 1)[0]
        path = tmp_path / f"person {n}.png"
        cv2.imwrite(str(path), cv2.resize(later, None, fx=1.5, fy=1.5)[..., ::-1])
        track = Track(faces="reference", reference=str(path), detector=weights)
        (chunk,) = track.run(iter([looked]), RUNTIME)
        assert chunk.faces is not None and chunk.faces.box is not None
        assert chunk.faces.frame.tolist() == list(range(12))
        center = (chunk.faces.box[:, 0] + chunk.faces.box[:, 2]) / 2
        assert (center // 256 == n).all(), person.name


def test_an_embedding_can_be_plugged_in(shared: Callable[[str], Path], tmp_path: Path) -> None:
    weights = str(shared(WEIGHTS))
    seen: list[tuple[int, ...]] = []

    def brightness(faces: Array) -> Array:
        seen.append(faces.shape)
        mean = faces.reshape(len(faces), -1).mean(1)
        return np.stack([np.cos(mean / 100), np.sin(mean / 100)], 1)

    picture = np.asarray(images.astronaut())
    for name, wanted in (("dark", picture // 3), ("light", picture)):
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), wanted[..., ::-1])
        frame = np.concatenate([picture, picture // 3], 1)
        (looked,) = Detect(weights).run(iter([Chunk(0, frame[None], (Fraction(0),))]), RUNTIME)
        track = Track(faces="reference", reference=str(path), detector=weights, embedding=brightness)
        (chunk,) = track.run(iter([looked]), RUNTIME)
        assert chunk.faces is not None and chunk.faces.box is not None and len(chunk.faces) == 1
        assert (chunk.faces.box[0, 0] > 512) == (name == "dark")
    assert set(seen) == {(1, 112, 112, 3)}
