"""Track: which of the faces found is the one that is dubbed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage import data as images
from tracked import RUNTIME, Rows, chunks, face, follow, ids, stack

from wav2lip_hq.engine import run_stages
from wav2lip_hq.errors import InputError
from wav2lip_hq.stages._ranking import HOLD, Ranking
from wav2lip_hq.stages.appearance import appearance, similarity
from wav2lip_hq.stages.detect import Detect
from wav2lip_hq.stages.track import Track
from wav2lip_hq.types import Array, Chunk

WEIGHTS = "data/weights/retinaface_mobilenet0.25_biubug6.pth"


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
