"""The page of one run: before and after, worst frames, reasons, figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from media import clip, tiny_pipeline, write_video, write_wav

from wav2lip_hq.cli import build_parser
from wav2lip_hq.errors import OptionError, OutputError
from wav2lip_hq.jobs.schema import RUN_FIELDS
from wav2lip_hq.run_watch import RunWatch, Worst
from wav2lip_hq.types import Chunk, Faces
from wav2lip_hq.video import open_video


@pytest.fixture
def footage(tmp_path):
    return write_video(tmp_path / "a<b>.mp4", clip(30))


def test_a_run_writes_its_page(footage, tmp_path):
    page = tmp_path / "pages" / "run.html"
    wav = write_wav(tmp_path / "say.wav", 0.8)
    report = tiny_pipeline(missing=(0, 1, 2)).run(footage, wav, tmp_path / "o.mp4", report=str(page))
    text = page.read_text()
    assert text.count('<div class="pair">') == 5 and text.count('class="worst"') >= 2
    assert "no face was detected" in text and "the speech has ended" in text and "say.wav" in text
    assert f"{report.frames}, 0:01.200" in text and "a&lt;b&gt;.mp4" in text and "a<b>" not in text
    assert "http" not in text and "<script>" in text
    assert [p.name for p in page.parent.iterdir()] == ["run.html"]


def test_the_result_is_the_same_with_and_without(footage, tmp_path):
    wav = write_wav(tmp_path / "say.wav", 0.8)
    for name, more in (("a", {}), ("b", {"report": str(tmp_path / "r.html"), "compare": False})):
        tiny_pipeline().run(footage, wav, tmp_path / f"{name}.mkv", codec="ffv1", **more)
    with open_video(tmp_path / "a.mkv") as a, open_video(tmp_path / "b.mkv") as b:
        assert all(np.array_equal(x[1], y[1]) for x, y in zip(a, b, strict=True))


def test_where_a_page_cannot_be(footage, tmp_path):
    wav = write_wav(tmp_path / "say.wav", 0.8)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        tiny_pipeline().run(footage, wav, tmp_path / "o.mp4", report=str(tmp_path / "file" / "r.html"))
    with pytest.raises(OptionError, match="a report needs footage that can be read again"):
        tiny_pipeline().run(iter(clip(5)), wav, tmp_path / "o.mp4", report=str(tmp_path / "r.html"))
    assert not (tmp_path / "o.mp4").exists()


def test_the_frame_that_jumps_is_the_worst():
    source = np.full((20, 60, 80, 3), 90, np.uint8)
    result = source.copy()
    result[9, 30:, :] = 200
    faces = Faces(np.arange(20), np.zeros(20, np.int64), np.tile(np.float32([20, 10, 60, 50]), (20, 1)))
    with open_video(source) as reader:
        watch = RunWatch(reader, 20)
        times = tuple(time for time, _, _ in reader)
        watch.add(Chunk(0, result, times, source_pts=times, faces=faces))
    assert watch.worst[0].number == 9 and watch.worst[0].jump > 100 and len(watch.pairs) == 5
    assert max(watch.jumps, key=lambda j: j[1])[0] == 9 and isinstance(watch.worst[0], Worst)


def test_batches_report_in_their_own_way():
    assert "report" not in RUN_FIELDS and "plan" in RUN_FIELDS
    args = build_parser().parse_args(["run", "a.mp4", "b.wav", "c.mp4", "--report", "p.html", "--plan", "p.yaml"])
    assert json.dumps([args.report, args.plan]) == '["p.html", "p.yaml"]'
