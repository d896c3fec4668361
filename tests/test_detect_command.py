"""``wav2lip-hq detect``: what it says of real footage, and of files that it cannot judge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from media import write_video, write_wav

import wav2lip_hq
from wav2lip_hq import cli
from wav2lip_hq.forensics import following, judge, motion, page
from wav2lip_hq.forensics.agreement import Agreement
from wav2lip_hq.forensics.look import MEASURES, FaceSeen
from wav2lip_hq.forensics.traces import NAMES as TRACES
from wav2lip_hq.forensics.windows import Windowed
from wav2lip_hq.watermark import Marks

DEMO = Path(wav2lip_hq.__file__).parent / "_data" / "demo"


def test_detect_judges_each_face_and_frame_and_writes_a_page(tmp_path, capsys):
    page = tmp_path / "page.html"
    assert cli.main(["detect", str(DEMO / "face.mpg"), "--seconds", "1.2", "--json", "--report", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    (face,) = found["faces"]
    assert found["verdict"] == face["verdict"] in ("real", "lip-synced", "cannot tell")
    assert found["marked"] is False and face["mark"]["chance"] > 0.01
    assert all(0 <= first < last <= 1.2 for first, last in face["looks_lip_synced"])
    assert len(face["frames"]) == 30 and all(np.isfinite(odds) for _, odds in face["frames"])
    assert found["error_rates"].keys() == judge.installed().facts["errors"].keys()
    text = page.read_text()
    assert text.count("<rect") == 30 and "data:image/jpeg" in text and judge.installed().facts["stated"] in text
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.parametrize("kind", ["no file", "sound alone", "no face", "picture"])
def test_what_cannot_be_judged_is_one_line(kind, tmp_path, capsys):
    path = tmp_path / "thing.mp4"
    if kind == "sound alone":
        path = write_wav(tmp_path / "thing.wav")
    elif kind == "no face":
        write_video(path, np.full((6, 96, 128, 3), 90, np.uint8))
    elif kind == "picture":
        import cv2

        path = tmp_path / "thing.png"
        cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    page = tmp_path / "page.html"
    assert cli.main(["detect", str(path), "--report", str(page)]) == 3
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and "thing" in shown.err and not page.exists()
    assert {"no face": "no face", "picture": "still image"}.get(kind, "") in shown.err


def seen(count: int, sharp: float, size: float = 120.0, follow: float = np.nan) -> FaceSeen:
    """A face: what is measured of its picture is ``sharp`` in each frame, of its mouth's movement ``follow``."""
    values = np.full((count, len(TRACES)), sharp, np.float32)
    none = np.full(3, np.nan, np.float32)
    times, boxes = np.arange(count) / 25, np.zeros((count, 4))
    agreement = Agreement(none, np.full(count, np.nan, np.float32))
    each = np.full((count, len(following.NAMES)), follow, np.float32)
    heard = Windowed(each[0], each)
    moved = Windowed(*(np.nan_to_num(part[..., : len(motion.NAMES)]) for part in (each[0], each)))
    return FaceSeen(0, times, values, agreement, heard, moved, np.zeros(count), size, Marks(), boxes)


def test_a_judge_is_learned_kept_and_says_when_it_cannot_tell(tmp_path):
    rng = np.random.default_rng(0)
    kinds = np.array(["", "moved", "generated"])[np.arange(90) % 3]
    measured = rng.normal(0, 1, (90, len(MEASURES)))
    measured[kinds == "generated", : len(TRACES)] += 2
    heard, moves = ([MEASURES.index(name) for name in names] for names in (following.NAMES, motion.NAMES))
    measured[np.ix_(kinds == "moved", heard + moves)] += 3
    measured[np.ix_(kinds == "generated", heard)] = np.nan  # no sound
    made = judge.fitted(measured, kinds)
    assert ((made.odds(measured) > 0) == (kinds != "")).mean() > 0.9
    judge.write(made, tmp_path / "judge.json")
    kept = judge.read(tmp_path / "judge.json")
    assert np.allclose(kept.odds(measured), made.odds(measured), atol=0.05)
    wide = judge.Judge(kept.kinds, 1.5, -1.0, {})
    assert wide.judge(seen(40, 2.5)).verdict == judge.SYNTHETIC
    assert wide.judge(seen(40, -0.5, follow=4)).verdict == judge.SYNTHETIC, "either kind suffices"
    assert wide.judge(seen(40, -0.5, follow=-1)).verdict == judge.REAL
    assert wide.judge(seen(40, 1.1, follow=1)).verdict == judge.OPEN
    assert "frames only" in wide.judge(seen(5, 2.5)).why
    assert "too small" in wide.judge(seen(40, 2.5, size=20)).why
    still = seen(40, 2.5)
    still.motion.values[:] = np.nan
    assert "hardly moves" in wide.judge(still).why


def test_following_and_motion_are_measured_around_each_frame():
    rng = np.random.default_rng(3)
    times, said = np.arange(200) / 25, np.convolve(rng.normal(size=203), np.ones(3) / 3, "same")[:200]
    opening = np.concatenate([rng.normal(size=100), np.roll(said, 2)[100:]]) * 0.03 + 0.05
    opening[150:160] = np.nan  # a hand in front of it
    found = following.compared(said, times, opening)
    close = found.framewise[:, following.NAMES.index("follow")]
    assert close[130:].min() > 0.97 and close[:70].max() < 0.7, (
        "whoever follows does so two frames late, in the second half"
    )
    assert 0.3 < found.values[0] < 0.9

    width = 0.4 + 0.02 * np.sin(times * 9)
    smooth = motion.motion(times, opening, width)
    half = motion.motion(times, 0.05 + (opening - 0.05) / 2, width + rng.normal(0, 0.02, 200))
    assert half.values[0] < smooth.values[0] - 0.5, "half as wide open"
    assert half.values[1] > smooth.values[1] + 1, "an unsteady width"
    opening[:90] = 0.01
    rests = motion.motion(times, opening, width)
    assert np.isnan(rests.framewise[:40]).all() and np.isfinite(rests.framewise[-40:]).all()
    assert np.isnan(motion.motion(times, opening * 0, width).values).all()


def test_a_part_that_looks_lip_synced_keeps_the_whole_from_being_called_real(tmp_path):
    face = seen(200, 0.0, follow=0.0)
    face.following.framewise[120:] = 6.0
    kind = judge.Kind((MEASURES.index("misses"),), np.zeros(1), np.ones(1), np.ones(1), -2.0)
    strict = judge.Judge({"moved": kind}, 1.0, -1.0, {})
    found = strict.judge(face)
    assert found.verdict == judge.OPEN and "lip-synced from 4.8 to 8.0 s" in found.why
    assert found.stretches == ((4.8, pytest.approx(7.96)),)
    assert page._ticks(0.0, 7.96) == [0, 2, 4, 6] and page._ticks(61.3, 64.0) == [61.5, 62, 62.5, 63, 63.5]
    colors = [page._color(odds, strict) for odds in (-9, -1, 0, 1, 9)]
    assert colors == [page.SCALE[0], page.SCALE[0], page.SCALE[1], page.SCALE[2], page.SCALE[2]]
