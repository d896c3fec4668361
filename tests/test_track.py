"""Track: association, cuts, gaps, smoothing without lag; the same for any chunk size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import pytest
from tracked import RUNTIME, chunks, face, follow, ids, scenes, stack

from wav2lip_hq.engine import run_stages
from wav2lip_hq.errors import OptionError
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages._tracker import frames_of, smooth
from wav2lip_hq.stages.detect import Detect
from wav2lip_hq.stages.track import Track
from wav2lip_hq.types import Array, Chunk, Reason


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
    # Up to the last frame, though nothing was detected in it; and up to a cut.
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
    # Nor through frames without detection, when the next detection finds nothing.
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


def test_a_flash_is_not_a_cut_and_is_painted_only_where_the_face_is_seen() -> None:
    frames = scenes(30)
    frames[12:14] = 255
    rows = [stack(face(100, 60)) for _ in range(30)]
    assert ids(follow(Track(), rows, frames=frames)) == [[0]] * 30
    rows[12] = rows[13] = stack()  # washed out
    expected = [[0]] * 12 + [[]] * 2 + [[0]] * 16
    assert ids(follow(Track(), rows, frames=frames)) == expected


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


@pytest.mark.parametrize(
    "wrong",
    [{"faces": "biggest"}, {"faces": -1}, {"faces": True}, {"faces": "left-to-right:x"}, {"faces": "all:1"},
     {"faces": "reference"}, {"smooth_ms": -1}, {"max_gap": 1e9}, {"min_face": -1}],
)  # fmt: skip
def test_options_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="track"):
        Track(**wrong)  # type: ignore[arg-type]
