"""Real heads that turn away: which of them are dubbed."""

from __future__ import annotations

from wav2lip_hq import HQPipeline, audio
from wav2lip_hq.types import Reason


def dubbed(shared, name, folder):
    """Report of two seconds of a clip with another's speech."""
    speech = audio.load_audio(shared("data/speech/latentsync_demo3.wav"))[: int(2.4 * audio.RATE)]
    face = shared(f"data/talking/people/{name}.mp4")
    return HQPipeline("default").run(face, (speech, audio.RATE), folder / "out.mp4", trim=True, measure=False)


def test_a_profile_whose_landmarks_say_40_degrees_is_left_as_it_is(shared, tmp_path):
    """Seen from the side its lips crumpled; a mouth was opened in the air beside it."""
    report = dubbed(shared, "mer_p059_1", tmp_path)
    beside = [s for s in report.stretches if s.reason == Reason.BESIDE]
    assert any(s.first <= 55 <= s.last for s in beside)
    assert any(s.reason is None and s.first <= 35 <= s.last for s in report.stretches), "dubbed before it turns"
    assert "parse.max_beyond" in report.explain(55)


def test_a_head_turned_by_45_degrees_is_dubbed(shared, tmp_path):
    report = dubbed(shared, "lrs23_p035_1", tmp_path)
    assert [s.reason for s in report.stretches if s.first <= 52 and s.last >= 42] == [None]
