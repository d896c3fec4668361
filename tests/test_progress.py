"""Progress of unattended work, as lines in a log."""

from __future__ import annotations

from wav2lip_hq.progress import Lines


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    now, told = [0.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lines = Lines("render", every=30, on_log=told.append)
    for second in range(0, 101, 10):
        now[0] = float(second)
        lines(second * 20, 4000)
    assert told == [
        "render 600 of 4000 frames, 20.0 frames/s, about 3 min left",
        "render 1200 of 4000 frames, 20.0 frames/s, about 2 min left",
        "render 1800 of 4000 frames, 20.0 frames/s, about 2 min left",
    ]
    now[0] = 140.0
    lines(2800, None, "1 of 3 jobs, ")
    assert told[-1] == "render 1 of 3 jobs, 2800 frames, 20.0 frames/s"
