"""``wav2lip-hq detect``: what it says of real footage, and of files that it cannot judge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from media import write_video, write_wav

import wav2lip_hq
from wav2lip_hq import cli
from wav2lip_hq.forensics import following, judge
from wav2lip_hq.forensics.agreement import Agreement
from wav2lip_hq.forensics.look import MEASURES, FaceSeen
from wav2lip_hq.forensics.traces import NAMES as TRACES
from wav2lip_hq.watermark import Marks

DEMO = Path(wav2lip_hq.__file__).parent / "_data" / "demo"


def test_detect_judges_each_face_and_frame_and_writes_a_page(tmp_path, capsys):
    page = tmp_path / "page.html"
    assert cli.main(["detect", str(DEMO / "face.mpg"), "--seconds", "1.2", "--json", "--report", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    (face,) = found["faces"]
    assert found["verdict"] == face["verdict"] in ("real", "lip-synced", "cannot tell")
    assert found["marked"] is False and face["mark"]["chance"] > 0.01
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
    """A face: what is measured of its picture is ``sharp`` in each frame, of sound and mouth together ``follow``."""
    values = np.full((count, len(TRACES)), sharp, np.float32)
    none = np.full(3, np.nan, np.float32)
    times, boxes = np.arange(count) / 25, np.zeros((count, 4))
    agreement = Agreement(none, np.full(count, np.nan, np.float32))
    each = np.full((count, len(following.NAMES)), follow, np.float32)
    heard = following.Following(each[0], each)
    return FaceSeen(0, times, values, agreement, heard, np.zeros(count), size, Marks(), boxes)


def test_a_judge_is_learned_kept_and_says_when_it_cannot_tell(tmp_path):
    rng = np.random.default_rng(0)
    kinds = np.array(["", "moved", "generated"])[np.arange(90) % 3]
    measured = rng.normal(0, 1, (90, len(MEASURES)))
    measured[kinds == "generated", : len(TRACES)] += 2
    measured[kinds == "moved", -len(following.NAMES) :] += 3
    measured[kinds == "generated", -len(following.NAMES) :] = np.nan  # no sound
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
