"""``say`` and ``dub`` from text to video, with engines whose answers are known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from voice_doubles import Tone

from wav2lip_hq import HQPipeline, audio, mixing, provenance, video
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

    # 2. the user corrects it; the voice fails in the middle of the job
    lines = (heard.lines[0], dataclasses.replace(heard.lines[1], translation="broken now"))
    dataclasses.replace(heard, lines=lines).save(path, "face.mpg")
    Tone.spoken.clear()
    arguments = ["dub", str(FACE), str(out), "--to", "xx", *DUB, "--preset", "fast", "--json"]
    assert main(arguments) == 10
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "line 2 of 2, at 1.50 s: the tone generator is broken; 1 lines are kept" in error
    assert [one.translation for one in script.read(path).lines] == ["doog gninrom", "broken now"]

    # 3. corrected again, it continues from there
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


def test_footage_is_slowed_where_a_line_needs_it(tmp_path):
    from dataclasses import replace

    out, path = tmp_path / "out.mp4", tmp_path / "out.mp4.script.yaml"
    dub(FACE, out, TO_XX, until="translate")
    known = script.read(path)
    first = replace(known.lines[0], translation="a line much too long for it")  # 1.0 s of room, 1.52 s long
    replace(known, lines=(first, known.lines[1])).save(path, "x")
    options, run = replace(TO_XX, overlong="slow"), RunOptions(crf=35)
    done = dub(FACE, out, options, run=run, pipeline=HQPipeline("fast"))
    slower = done.footage_seconds / 2.98
    assert 1.1 < slower < 1.3 and not done.warnings and not any(line.cut for line in done.lines)
    assert done.lines[0].start == pytest.approx(0.5 * slower, abs=0.01)
    assert done.lines[1].start == pytest.approx(1.5 * slower, abs=0.01)
    shown = frames(out)
    assert done.synced is not None and len(shown) == done.synced.frames == pytest.approx(25 * 2.98 * slower, abs=2)
    wav = audio.load_audio(out)
    at = round((done.lines[1].start + 0.03) * audio.RATE)
    assert pitch(wav[at : at + 3000]) == pytest.approx(110, abs=6)
    assert f"00:00:01,{round(1500 * slower) % 1000:03}" in (tmp_path / "out.en.srt").read_text()
    # What does not fit even so is cut.
    done = dub(FACE, out, replace(options, slowest=1.05), until="speak")
    assert (
        done.lines[0].cut and len(done.warnings) == 1 and done.footage_seconds == pytest.approx(2.98 * 1.05, abs=0.03)
    )


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


@pytest.mark.slow
def test_a_dub_as_a_batch_job_has_the_pixels_of_a_dub(tmp_path, capsys):
    jobs = tmp_path / "jobs.yaml"
    jobs.write_text("# mine\ndefaults: {part_seconds: 5}\njobs: []\n")
    plain = ["--preset", "fast", "--crf", "30", "--set", "articulate.expression=0.9", "--quiet"]
    for name in ("later {1}.mp4", "later {1}.mp4", "other.mp4"):  # a job that is there is replaced
        assert main(["dub", str(FACE), str(tmp_path / name), "--to", "xx", *DUB, *plain, "--batch", str(jobs)]) == 0
    assert "1 passages in " in capsys.readouterr().out
    rows = yaml.safe_load(jobs.read_text())
    assert rows["defaults"] == {"part_seconds": 5} and len(rows["jobs"]) == 2
    assert (tmp_path / "other.xx.srt").exists() and not (tmp_path / "other.mp4").exists()

    assert main(["batch", "run", str(jobs), str(tmp_path / "later {1}.mp4")]) == 0
    assert main(["dub", str(FACE), str(tmp_path / "now.mp4"), "--to", "xx", *DUB, *plain]) == 0
    assert (frames(tmp_path / "later {1}.mp4") == frames(tmp_path / "now.mp4")).all()
    heard = [audio.load_audio(tmp_path / name) for name in ("later {1}.mp4", "now.mp4")]
    assert (heard[0] == heard[1]).all()
    capsys.readouterr()
    code = main(["dub", str(FACE), str(tmp_path / "a.mp4"), "--to", "xx", *DUB, "--batch", str(tmp_path / "a.csv")])
    assert code == 2 and "a job file of dubs is a .yaml" in capsys.readouterr().err


def test_music_and_effects_take_the_place_of_the_footages_sound(tmp_path):
    from media import write_wav

    bed, out = write_wav(tmp_path / "me.wav", 3.0, rate=48000, amplitude=0.2), tmp_path / "out.mkv"
    run = RunOptions(bed=str(bed), bed_gain=-6.0, codec="h264", crf=35)
    done = dub(FACE, out, TO_XX, run=run, pipeline=HQPipeline("fast"))
    wav, music = mixing.stereo(str(out))[:, 0], mixing.stereo(str(bed))[:, 0]
    quiet = slice(round(2.6 * mixing.RATE), round(2.9 * mixing.RATE))  # after the last line
    expected = float(np.abs(music[quiet]).max()) * 10 ** (-6 / 20)
    assert float(np.abs(wav[quiet]).max()) == pytest.approx(expected, rel=0.1)
    said = slice(round(0.55 * mixing.RATE), round(0.8 * mixing.RATE))
    assert float(np.abs(wav[said] - music[said] * 10 ** (-6 / 20)).max()) > 0.02 and done.synced is not None


def test_nothing_heard_nothing_to_say_and_no_network_are_one_line_each(tmp_path, monkeypatch, capsys):
    import voice_doubles

    out, path = tmp_path / "out.mp4", tmp_path / "out.mp4.script.yaml"

    def told(*arguments: str) -> tuple[int, str]:
        code = main(["dub", str(FACE), str(out), "--to", "xx", *DUB, "--quiet", *arguments])
        return code, capsys.readouterr().err.strip().splitlines()[-1]

    monkeypatch.setattr(voice_doubles.Heard, "transcribe", lambda *_: [])
    assert told() == (3, f"wav2lip-hq: no speech was recognized in {FACE}; write {path} yourself (docs/dub.md)")
    monkeypatch.undo()

    monkeypatch.setenv("WAV2LIP_HQ_TRANSLATOR_URL", "http://127.0.0.1:9/v1")  # nobody listens there
    monkeypatch.setattr("wav2lip_hq.voices.http.time.sleep", lambda seconds: None)
    code, text = told("--translator", "http")
    assert code == 10 and "127.0.0.1:9" in text and "0 of 2 lines are translated" in text
    assert [one.text for one in script.read(path).lines] == ["good morning", "how are you"]  # what was heard is kept

    known = script.read(path)
    known.translated({0: "", 1: ""}).save(path, "x")
    assert told() == (3, f"wav2lip-hq: {path} has nothing to say: every translation is empty")
    assert not out.exists()


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


def test_texts_that_cannot_be_said_are_reported_before_anything_is_made(tmp_path, capsys):
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


@pytest.mark.slow
def test_people_in_one_picture_get_voices_and_faces_of_their_own(tmp_path):
    from two_people import demo, write

    shown, wav = demo()
    late = np.roll(shown, 30, axis=0)
    left, right = np.concatenate([shown, late]), np.concatenate([late, shown])[:, :, ::-1]
    face = write(tmp_path / "two.mp4", np.concatenate([left, right], 2), np.tile(wav, 2))
    options = dataclasses.replace(TO_XX, listener="voice_doubles:Talk", speakers="seen")
    Tone.spoken.clear()
    done = dub(face, tmp_path / "out.mp4", options, until="speak", pipeline=HQPipeline("fast"))
    known = script.read(done.script)
    assert [line.speaker for line in known.lines] == ["A", "B"]
    assert known.role("A").face == "left" and known.role("B").face == "right"
    assert [voice for _, voice in Tone.spoken] == ["low", "high"]
