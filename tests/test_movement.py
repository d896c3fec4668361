"""Heads of photographs move: smoothly, only near the head, and by the time alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from media import tiny_runtime
from meshed_faces import cut, face_mesh, talk
from skimage import data

from wav2lip_hq import HQPipeline, mesh, video
from wav2lip_hq.avatars import AvatarLibrary, make
from wav2lip_hq.avatars.choices import MakeOptions
from wav2lip_hq.stages import Movement
from wav2lip_hq.stages._sway import lids, sway
from wav2lip_hq.types import Chunk


def through(chunk: Chunk, stage: Movement) -> np.ndarray:
    return stage.process(chunk, tiny_runtime()).frames


def still(seconds: float, frames: int = 4) -> tuple[np.ndarray, object]:
    """A chunk of one drawn face, smaller than its picture, ``seconds`` into the video; and its mesh."""
    points = face_mesh() * 0.4 + (90, 110)
    rng = np.random.default_rng(0)
    picture = np.repeat(np.repeat(rng.integers(60, 190, (50, 50, 3)).astype(np.uint8), 8, 0), 8, 1)  # 400 px, blocks
    made = talk([points] * frames, [points] * frames, frames=np.stack([picture] * frames))
    faces = replace(made.faces, mesh=np.stack([points] * frames).astype(np.float32))
    return replace(made, faces=faces, pts=tuple(Fraction(n, 25) + Fraction(seconds) for n in range(frames))), points


def test_the_head_moves_and_what_is_far_from_it_does_not():
    chunk, points = still(4.0)
    made = through(chunk, Movement())
    change = np.abs(made.astype(int) - chunk.frames).max((0, 3))
    x, y = points[mesh.NOSE].mean(0).astype(int)
    assert change[y - 30 : y + 30, x - 30 : x + 30].max() > 40
    assert change[:, :15].max() == change[:, -15:].max() == change[-15:].max() == 0
    assert (through(chunk, Movement(amount=0)) == chunk.frames).all()


def test_a_turned_head_has_no_tears():
    chunk, _ = still(4.0)
    ramp = np.broadcast_to(np.linspace(20, 230, 400)[None, :, None], (400, 400, 3)).astype(np.uint8)
    for picture in (ramp, ramp.transpose(1, 0, 2)):
        shown = replace(chunk, frames=np.stack([picture] * 4))
        made = through(shown, Movement(amount=2)).astype(int)
        steps = max(np.abs(np.diff(made, axis=1)).max(), np.abs(np.diff(made, axis=2)).max())
        assert (made != shown.frames).any() and steps <= 3  # a ramp of half a step a pixel stays one


def test_any_part_has_the_pixels_of_the_whole():
    chunk, _ = still(4.0)
    whole = through(chunk, Movement(blink=True))
    assert (through(cut(chunk, 2, 4), Movement(blink=True)) == whole[2:]).all()


def test_the_path_begins_at_rest_is_smooth_and_small():
    at = np.arange(0, 60, 0.04)
    path = np.array([[s.yaw, s.pitch, s.roll] for s in map(sway, at)])
    assert np.abs(path[0]).max() == 0 and np.abs(np.diff(path, axis=0)).max() < 0.5  # 12 degrees a second: a nod
    spread = [path[n : n + 75].std(0) for n in range(0, 1400, 75)]
    assert (np.mean(spread, 0) > 0.2).all() and (np.mean(spread, 0) < 1.2).all()  # degrees in 3 s: as GRID's speakers
    shut = np.array([lids(s) for s in at])
    begins = np.flatnonzero((shut[1:] > 0) & (shut[:-1] == 0))
    assert 12 <= len(begins) <= 20 and shut.max() > 0.8 and (shut > 0).mean() < 0.12


def test_lids_close_over_the_eyes_alone():
    chunk, points = still(0.0)
    when = next(n / 25 for n in range(500) if lids(n / 25) > 0.9)
    chunk = replace(chunk, pts=tuple(Fraction(round(when * 25), 25) for _ in chunk.pts))
    change = np.abs(through(chunk, Movement(amount=0, blink=True)).astype(int) - chunk.frames).max((0, 3))
    ys, xs = np.nonzero(change)
    eyes = np.concatenate([points[mesh.LEFT_EYE], points[mesh.RIGHT_EYE]])
    assert len(ys) and xs.min() >= eyes[:, 0].min() - 4 and xs.max() <= eyes[:, 0].max() + 4
    assert ys.max() <= eyes[:, 1].max() + 4 and ys.min() >= eyes[:, 1].min() - 14


@pytest.mark.parametrize("amount", [0.0, 1.0])
def test_an_avatar_that_is_a_photograph_moves_unless_told_not_to(tmp_path, amount):
    photograph = tmp_path / "a.png"
    video.write_png(photograph, data.astronaut()[:300, 60:380])
    library = AvatarLibrary(tmp_path / "avatars")
    anna = library.add("anna", photograph, consent="NASA photograph, public domain")
    out = tmp_path / "out.mkv"
    chosen = MakeOptions(speaker="voice_doubles:Tone", movement=amount)
    from wav2lip_hq.run_options import RunOptions

    run = RunOptions(codec="ffv1", watermark=False, measure=False)
    make(anna, out, chosen, text="One two three four", library=library, run=run, pipeline=HQPipeline("fast"))
    with video.open_video(str(out)) as reader:
        shown = np.stack([image for _, image, _ in reader]).astype(int)
    brow = np.abs(shown[20:] - shown[0])[:, 60:90, 90:160].max()
    assert (brow > 8) == bool(amount)
    assert np.abs(shown - shown[0])[:, :, 300:].max() <= 2
