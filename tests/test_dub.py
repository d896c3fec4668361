"""``say`` and ``dub`` from text to video, with engines whose answers are known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from voice_doubles import Tone

from wav2lip_hq import HQPipeline, audio, provenance, video
from wav2lip_hq.cli import main
from wav2lip_hq.errors import EngineError, InputError, OptionError
from wav2lip_hq.run_options import RunOptions
from wav2lip_hq.voices import DubOptions, Role, dub, script
from wav2lip_hq.watermark import heard

DEMO = Path(__file__).parents[1] / "wav2lip_hq" / "_data" / "demo"
FACE = DEMO / "face.mpg"  # 3 s
ENGINES = {
    "source": "en",
    "listener": "voice_doubles:Heard",
    "translator": "voice_doubles:Backwards",
    "speaker": "voice_doubles:Tone",
}
TO_XX = DubOptions(to="xx", **ENGINES)
DUB = ["--from", "en", *(f"--{k}={v}" for k, v in ENGINES.items() if k != "source")]


def frames(path: Path) -> np.ndarray:
    with video.open_video(str(path)) as reader:
        return np.stack([image for _, image, _ in reader])


def pitch(wav: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(wav * np.hanning(len(wav))))
    return float(np.argmax(spectrum) * audio.RATE / len(wav))


def test_a_dub_from_the_script_to_the_video_and_once_more(tmp_path, capsys):
    out = tmp_path / "out.mp4"
    path = tmp_path / "out.mp4.script.yaml"

    # 1. only listen: a script to be corrected
    assert main(["dub", str(FACE), str(out), "--to", "xx", *DUB, "--until", "listen"]) == 0
    assert str(path) in capsys.readouterr().out and not out.exists()
    heard = script.read(path)
    assert [(one.start, one.text, one.translation) for one in heard.lines] == [
        (0.5, "good morning", None),
        (1.5, "how are you", None),
    ]

    # 2. somebody corrects it; the voice fails in the middle of the job
    lines = (heard.lines[0], dataclasses.replace(heard.lines[1], translation="broken now"))
    dataclasses.replace(heard, lines=lines).save(path, "face.mpg")
    Tone.spoken.clear()
    arguments = ["dub", str(FACE), str(out), "--to", "xx", *DUB, "--preset", "fast", "--json"]
    assert main(arguments) == 10
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "line 2 of 2, at 1.50 s: the tone generator is broken; 1 lines are kept" in error
    assert [one.translation for one in script.read(path).lines] == ["doog gninrom", "broken now"]

    # 3. corrected again, it goes on from there
    text = path.read_text(encoding="utf-8").replace("broken now", "uoy era woh")
    path.write_text(text, encoding="utf-8")
    assert main(arguments) == 0
    assert [said for said, _ in Tone.spoken] == ["doog gninrom", "uoy era woh"]
    done = json.loads(capsys.readouterr().out)
    assert done["lipsync"]["frames"] == 75 and 30 < done["lipsync"]["faces"] < 60
    assert done["lines"][0]["start"] == 0.5 and done["lines"][0]["cut"] == ""

    made, source = frames(out), frames(FACE)
    change = np.abs(made.astype(float) - source).max((1, 2, 3))
    assert change[15:25].max() > 60 and change[:10].max() < 40 and change[66:].max() < 40  # encoding
    wav = audio.load_audio(out)
    assert pitch(wav[round(0.55 * 16000) : round(0.8 * 16000)]) == pytest.approx(110, abs=5)
    # Where the dub is shorter than the line, the original is gone all the same.
    assert np.abs(wav[round(2.2 * 16000) : round(2.35 * 16000)]).max() < 0.01
    assert "00:00:00,500 --> " in (tmp_path / "out.xx.srt").read_text() and (tmp_path / "out.en.vtt").exists()

    # 4. nothing is done twice
    before = out.stat().st_mtime_ns
    assert main(arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert out.stat().st_mtime_ns == before and again["lipsync"]["kept"] == again["lipsync"]["parts"]
    assert len(Tone.spoken) == 2


def test_speakers_keep_their_voices_apart(tmp_path):
    out, path = tmp_path / "out.mp4", tmp_path / "two.yaml"
    dub(FACE, out, TO_XX, script_path=path, until="translate")
    known = script.read(path)
    lines = (known.lines[0], dataclasses.replace(known.lines[1], speaker="Ben"))
    dataclasses.replace(known, lines=lines, speakers={"A": Role("high")}).save(path, "x")
    Tone.spoken.clear()
    done = dub(FACE, out, TO_XX, script_path=path, until="speak")
    assert Tone.spoken == [("doog gninrom", "high"), ("woh era uoy", "low")]
    assert done.synced is None and done.output is None and len(done.lines) == 2 and not out.exists()


def test_long_lines_are_cut_and_told_or_refused(tmp_path):
    out, path = tmp_path / "out.mp4", tmp_path / "out.mp4.script.yaml"
    dub(FACE, out, TO_XX, until="translate")
    known = script.read(path)
    first = dataclasses.replace(known.lines[0], translation="a line that is much too long for its time")
    dataclasses.replace(known, lines=(first, known.lines[1])).save(path, "x")
    done = dub(FACE, out, TO_XX, until="speak")
    assert done.lines[0].speed == pytest.approx(1.35) and done.lines[0].end <= 1.5
    assert len(done.warnings) == 1 and "line 1, at 0.50 s, is too long: '" in done.warnings[0]
    assert done.lines[0].cut.endswith("for its time")
    with pytest.raises(InputError, match="line 1, at 0.50 s, is too long: .* does not fit; shorten it"):
        dub(FACE, out, dataclasses.replace(TO_XX, overlong="refuse"), until="speak")


def test_a_glossary_decides_lines_and_does_without_a_translator(tmp_path):
    words = tmp_path / "words.yaml"
    words.write_text("en>xx: {good morning: ohayo}\nen>yy: {good morning: g, how: h, are you: r}\n")
    done = dub(FACE, tmp_path / "a.mp4", dataclasses.replace(TO_XX, glossary=str(words)), until="translate")
    assert [one.translation for one in script.read(done.script).lines] == ["ohayo", "woh era uoy"]
    alone = dataclasses.replace(TO_XX, to="yy", glossary=str(words), translator="glossary")
    done = dub(FACE, tmp_path / "b.mp4", alone, until="translate")
    assert [one.translation for one in script.read(done.script).lines] == ["g", "h r"]


def test_a_translator_that_fails_keeps_the_transcript(tmp_path, monkeypatch):
    import voice_doubles

    from wav2lip_hq.voices import Segment

    monkeypatch.setattr(
        voice_doubles.Heard, "transcribe", lambda *_: [Segment(0.1 * n, 0.1 * n + 0.05, "a") for n in range(21)]
        + [Segment(2.5, 2.7, "chaos")],
    )  # fmt: skip
    with pytest.raises(EngineError, match="there is no word for chaos; 20 of 22 lines are translated"):
        dub(FACE, tmp_path / "a.mp4", TO_XX, until="translate")
    kept = script.read(tmp_path / "a.mp4.script.yaml").lines
    assert len(kept) == 22 and [one.translation for one in kept[18:]] == ["a", "a", None, None]


def test_dubs_that_cannot_be(tmp_path, capsys):
    out = tmp_path / "out.mp4"

    def told(*arguments: str) -> tuple[int, str]:
        code = main(["dub", *arguments])
        return code, capsys.readouterr().err.strip().splitlines()[-1]

    assert told(str(FACE), str(out)) == (2, "wav2lip-hq: say which language to dub into: --to es")
    code, text = told(str(FACE), str(out), "--to", "qq", *DUB)
    assert code == 10 and "'voice_doubles:Backwards' does not know 'en' to 'qq'" in text and "--until listen" in text
    code, text = told(str(FACE), str(out), "--to", "es", "--from", "qq")
    assert code == 10 and "there is no listener for 'qq'" in text
    assert told(str(tmp_path / "absent.mp4"), str(out), "--to", "es")[0] == 3
    assert told(str(FACE), str(out), "--to", "xx", *DUB, "--until", "lunch")[0] == 2
    (tmp_path / "out.mp4.script.yaml").write_text("to: de\nlines: []\n")
    code, text = told(str(FACE), str(out), "--to", "xx", *DUB)
    assert code == 3 and "is for 'de', not 'xx'" in text
    (tmp_path / "out.mp4.script.yaml").write_text("to: xx\nfootage: abc\nlines: []\n")
    assert "is of other footage than" in told(str(FACE), str(out), "--to", "xx", *DUB)[1]
    (tmp_path / "out.mp4.script.yaml").write_text("to: xx\nlines: [{start: 7, end: 8, text: a}]\n")
    assert "line 1 begins after the end of the footage" in told(str(FACE), str(out), "--to", "xx", *DUB)[1]
    assert not out.exists()
    with pytest.raises(OptionError, match="say which language"):
        dub(FACE, out)
    with pytest.raises(OptionError, match="a dub has no option 'compare'"):
        dub(FACE, out, TO_XX, run=RunOptions(compare=True))


def test_say_writes_video_and_subtitles(tmp_path, capsys):
    out = tmp_path / "said.mp4"
    text = "<speak>Good <break time='200ms'/> day</speak>"
    arguments = ["say", str(FACE), text, str(out), "--speaker", "voice_doubles:Tone", "--language", "xx"]
    assert main([*arguments, "--voice", "high", "--preset", "fast", "--trim", "--crf", "23", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    # 0.3 s before, 4 and 3 letters of 0.06 s, 0.2 s between, 0.3 s after
    assert done["frames"] == pytest.approx(25 * (0.6 + 0.42 + 0.2), abs=3) == len(frames(out))
    assert [(n["text"], n["start"]) for n in done["lines"]] == [("Good", 0.3), ("day", pytest.approx(0.74, abs=0.04))]
    assert "00:00:00.300 --> " in (tmp_path / "said.vtt").read_text()
    assert pitch(audio.load_audio(out)[round(0.33 * 16000) : round(0.5 * 16000)]) == pytest.approx(220, abs=8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["said.mp4", "said.srt", "said.vtt"]


def test_what_is_said_is_marked_in_picture_sound_and_manifest(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WAV2LIP_HQ_IDENTITY", str(tmp_path / "me"))
    out = tmp_path / "said.mp4"
    arguments = ["say", str(FACE), "anything", str(out), "--speaker", "voice_doubles:Recorded", "--language", "xx"]
    assert main([*arguments, "--preset", "fast", "--trim", "--crf", "23"]) == 0
    capsys.readouterr()
    assert main(["detect", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["voice"]["marked"] and found["marked"] and found["manifest"].startswith("valid")
    assert provenance.read(out).marks == (found["faces"][0]["mark"]["id"],)
    assert not heard(audio.load_audio(DEMO / "speech.wav")).marked


def test_texts_that_cannot_be_said_are_told_before_anything_is_made(tmp_path, capsys):
    out = tmp_path / "said.mp4"
    for text, code, words in (
        ("", 3, "there is nothing to say"),
        ("<speak>a", 3, "the SSML cannot be read"),
        ("@" + str(tmp_path / "absent.txt"), 3, "absent.txt cannot be read"),
        ("broken", 10, "the tone generator is broken"),
    ):
        assert main(["say", str(FACE), text, str(out), "--speaker", "voice_doubles:Tone"]) == code
        assert words in capsys.readouterr().err
    assert main(["say", str(FACE), "hello", str(out), "--language", "qq"]) == 10
    assert "there is no speaker for 'qq'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_python_with_a_still_picture_is_told_to_say(tmp_path):
    from wav2lip_hq.video import write_png

    picture = tmp_path / "a.png"
    write_png(picture, np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="use `say` to make a picture speak"):
        dub(picture, tmp_path / "a.mp4", TO_XX, pipeline=HQPipeline("fast"))
