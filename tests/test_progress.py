"""Progress of unattended work, as lines in a log."""

from __future__ import annotations

import time

from wav2lip_hq.progress import Lines


def test_a_log_says_how_far_the_work_is():
    lines = Lines("render", on_log=lambda text: None)
    lines(100, 4000)
    lines._began -= 10  # ten seconds ago
    lines(300, 4000)
    assert lines.text().startswith("render 300 of 4000 frames, 2") and lines.text().endswith("about 3 min left")
    lines(2800, None, "1 of 3 jobs, ")
    assert lines.text().startswith("render 1 of 3 jobs, 2800 frames, ") and "left" not in lines.text()
    lines.close()


def test_lines_come_however_long_a_frame_takes():
    told = []
    lines = Lines("render", every=0.05, on_log=told.append)
    lines(8, 16)
    time.sleep(0.5)
    lines.close()
    count = len(told)
    assert count >= 3 and told[0].startswith("render 8 of 16 frames")
    time.sleep(0.2)
    assert len(told) == count
