"""Avatars: faces that are kept with consent, and what they say about a topic."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from voice_doubles import Wordy

from wav2lip_hq import HQPipeline, audio, provenance, video
from wav2lip_hq.avatars import AvatarLibrary, MakeOptions, make
from wav2lip_hq.cli import main
from wav2lip_hq.errors import CheckpointError, EngineError, InputError, NoFaceError, OptionError
from wav2lip_hq.run_options import RunOptions

DEMO = Path(__file__).parents[1] / "wav2lip_hq" / "_data" / "demo"
FACE = DEMO / "face.mpg"  # 3 s
YES = "Speaker 31 agreed when the corpus was recorded"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("WAV2LIP_HQ_AVATARS", str(tmp_path / "avatars"))
    return tmp_path


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "eileen.png"
    video.write_png(path, data.astronaut()[:300, 60:380])
    return path


def test_a_face_is_kept_with_its_consent_and_survey_until_it_is_removed(place, capsys):
    folder = place / "avatars"
    assert main(["avatar", "list"]) == 0
    assert "there are no avatars in" in capsys.readouterr().out and not folder.exists()

    assert main(["avatar", "add", "anna-2", str(FACE), "--consent", YES, "--preset", "fast", "--quiet"]) == 0
    assert "anna-2: video, 360x288, 3.0 s, added 2" in capsys.readouterr().out
    assert main(["avatar", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["said"] == YES and row["problem"] == "" and row["seconds"] == pytest.approx(3, abs=0.05)
    assert Path(row["face"]).read_bytes() == FACE.read_bytes()
    assert len(list((folder / "anna-2").glob("survey-*.npz"))) == 1
    assert main(["avatar", "show", "anna-2"]) == 0
    assert YES in capsys.readouterr().out
    assert main(["avatar", "remove", "anna-2"]) == 0
    assert list(folder.iterdir()) == []
    assert main(["avatar", "show", "anna-2"]) == 3
    assert "there is no avatar 'anna-2'" in capsys.readouterr().err


def test_a_note_of_consent_may_be_a_file_which_is_kept(place):
    note = place / "signed form.pdf"
    note.write_bytes(b"%PDF signed")
    kept = AvatarLibrary().add("anna", FACE, consent=str(note))
    assert kept.consent.read_bytes() == b"%PDF signed" and kept.consent.parent == kept.folder and kept.said == ""


def test_faces_that_cannot_be_kept_leave_nothing(place, photograph, capsys):
    library, nobody = AvatarLibrary(), place / "nobody.png"
    video.write_png(nobody, np.full((200, 200, 3), 90, np.uint8))
    (place / "broken.mp4").write_bytes(b"no video")

    def told(*arguments: str) -> tuple[int, str]:
        code = main(["avatar", "add", *arguments, "--preset", "fast", "--quiet"])
        return code, capsys.readouterr().err.strip().splitlines()[-1]

    for arguments, code, words in (
        (("anna", str(FACE)), 2, "needs a note of consent"),
        (("anna", str(FACE), "--consent", "  "), 2, "needs a note of consent"),
        (("anna", str(FACE), "--consent", "absent.txt"), 3, "there is no file absent.txt"),
        (("../anna", str(FACE), "--consent", YES), 2, "letters, digits, - and _"),
        ((".anna", str(FACE), "--consent", YES), 2, "letters, digits, - and _"),
        (("a" * 65, str(FACE), "--consent", YES), 2, "at most 64"),
        (("NUL", str(FACE), "--consent", YES), 2, "letters, digits, - and _"),
        (("anna", str(place), "--consent", YES), 3, "a video file or a photograph"),
        (("anna", str(place / "absent.mp4"), "--consent", YES), 3, "absent.mp4"),
        (("anna", str(place / "broken.mp4"), "--consent", YES), 3, "broken.mp4"),
        (("anna", str(nobody), "--consent", YES), 6, "no face was found in nobody.png"),
        (("anna", str(FACE), "--consent", YES, "--personalize", "nobodys"), 5, "no weights 'nobodys'"),
    ):
        assert told(*arguments)[0] == code, arguments
        assert words in told(*arguments)[1], arguments
    assert not library.folder.exists() or list(library.folder.iterdir()) == []
    library.add("anna", FACE, consent=YES)
    with pytest.raises(OptionError, match="there is an avatar 'Anna' already"):
        library.add("Anna", photograph, consent=YES)
    assert library.get("anna").kind == "video"
    with pytest.raises(NoFaceError):
        library.add("nobody", nobody, consent=YES, pipeline=HQPipeline("fast"))
    with pytest.raises(CheckpointError):
        library.add("ben", photograph, consent=YES, weights="nobodys")
    assert [one.name for one in library.list()] == ["anna"]


def test_damaged_entries_are_told_and_can_be_removed(place, photograph, capsys):
    library = AvatarLibrary()
    for name in ("good", "empty", "json", "lost", "escape", "newer"):
        library.add(name, photograph, consent=YES)
    root = library.folder
    shutil.rmtree(root / "empty")
    (root / "empty").mkdir()
    (root / "json" / "avatar.json").write_text('{"format": ')
    (root / "lost" / "face.png").unlink()
    for name, old, new in (("escape", '"face.png"', '"../good/face.png"'), ("newer", '"version": 1', '"version": 9')):
        note = root / name / "avatar.json"
        note.write_text(note.read_text().replace(old, new))
    (root / "stranger.txt").write_text("no avatar")
    problems = {one.name: one.problem for one in library.list()}
    assert problems == {
        "good": "",
        "empty": "avatar.json is missing",
        "json": "avatar.json is not what was written",
        "lost": "face.png is missing",
        "escape": "avatar.json names a file elsewhere: '../good/face.png'",
        "newer": "it was made by another version (wav2lip_hq avatar 9)",
    }
    with pytest.raises(InputError, match="the avatar 'lost' is damaged: face.png is missing; remove it"):
        library.get("lost")
    assert main(["avatar", "list"]) == 0
    assert "lost: damaged: face.png is missing" in capsys.readouterr().out
    for name in ("empty", "json", "lost", "escape", "newer"):
        library.remove(name)
    assert [one.name for one in library.list()] == ["good"]


def test_weights_of_ones_own_are_kept_and_used(place, photograph):
    from wav2lip_hq.avatars.making import personal

    weights = place / "mine.safetensors"
    weights.write_bytes(b"tensors")
    kept = AvatarLibrary().add("anna", photograph, consent=YES, weights=str(weights))
    assert kept.weights["generator"].read_bytes() == b"tensors"
    pipe = personal(HQPipeline("generated"), kept)
    model = next(stage.model for stage in pipe.stages if stage.name == "lipsync")
    assert model == str(kept.folder / "generator.safetensors")
    assert personal(HQPipeline("fast"), kept).stages == HQPipeline("fast").stages


MAKE = ["--speaker", "voice_doubles:Tone", "--preset", "fast", "--crf", "23", "--quiet"]


def test_a_topic_becomes_a_video_and_each_step_is_a_file(place, capsys):
    library = AvatarLibrary()
    library.add("anna", FACE, consent=YES, pipeline=HQPipeline("fast"))
    out, script = place / "out.mp4", place / "out.mp4.script.txt"
    command = ["avatar", "make", "anna", str(out), "--topic", "tea", "--seconds", "3", *MAKE]

    # 1. only the text, which somebody shortens
    assert main([*command, "--until", "write"]) == 0
    assert str(script) in capsys.readouterr().out and "tea" in script.read_text()
    script.write_text("Tea is broken and good.\n")

    # 2. a voice that fails is one line; the text is kept
    assert main(command) == 10
    assert "the tone generator is broken" in capsys.readouterr().err
    assert not out.exists()

    # 3. corrected, it goes on
    script.write_text("Tea is good.\n")
    assert main([*command, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["lipsync"]["frames"] == pytest.approx(25 * 1.3, abs=3) and done["lipsync"]["faces"] > 20
    assert set(done["seconds"]) == {"speak", "survey", "lip-sync"}
    assert "Tea is good." in (place / "out.srt").read_text()
    assert float(np.abs(audio.load_audio(place / "out.mp4.speech.wav")).max()) > 0.3
    assert YES in str(vars(provenance.read(out)))

    # 4. another topic does not get the text of this one, nor is an edited text lost
    other = [("pears" if part == "tea" else part) for part in command]
    assert main(other) == 3
    assert "was written about another topic (tea) and edited since" in capsys.readouterr().err
    script.unlink()
    assert main([*other, "--until", "write"]) == 0
    assert "pears" in script.read_text()


def test_a_text_of_another_length_than_the_voice_needs_is_written_once_more(place, photograph):
    library = AvatarLibrary()
    library.add("anna", photograph, consent=YES)
    options = MakeOptions(seconds=4, writer="voice_doubles:Wordy", speaker="voice_doubles:Tone")
    Wordy.asked.clear()
    done = make("anna", place / "out.mp4", options, topic="word", until="speak")
    assert len(Wordy.asked) == 2 and done.length == pytest.approx(4, rel=0.1)
    assert done.script is not None and done.script.read_text().count("word") == 14
    again = make("anna", place / "out.mp4", options, topic="word", until="speak")
    assert len(Wordy.asked) == 2 and again.length == done.length  # what is there is gone on from
    with pytest.raises(EngineError, match="the writer wordy wrote nothing about 'nothing'"):
        make("anna", place / "other.mp4", options, topic="nothing")
    assert not (place / "other.mp4.script.txt").exists()


def test_speech_that_is_there_needs_no_text(place):
    library = AvatarLibrary()
    library.add("anna", FACE, consent=YES)
    run = RunOptions(crf=30, measure=False)
    done = make("anna", place / "out.mp4", speech=DEMO / "speech.wav", run=run, pipeline=HQPipeline("fast"))
    assert done.report is not None and done.report.faces > 20 and done.script is None and not done.subtitles
    with pytest.raises(InputError, match=r"absent\.wav"):
        make("anna", place / "other.mp4", speech=place / "absent.wav", pipeline=HQPipeline("fast"))
    assert sorted(p.name for p in place.iterdir()) == ["avatars", "out.mp4"]


def test_what_cannot_be_made_is_told_before_anything_is(place, capsys):
    library = AvatarLibrary()
    library.add("anna", FACE, consent=YES)
    out = place / "out.mp4"
    for arguments, code, words in (
        (["ana", str(out), "--topic", "tea"], 3, "did you mean 'anna'"),
        (["anna", str(out)], 2, "say what it is to say"),
        (["anna", str(out), "--topic", "tea", "--text", "Hello"], 2, "one of topic, text"),
        (["anna", str(out), "--text", "<speak>a"], 3, "the SSML cannot be read"),
        (["anna", str(out), "--topic", "tea", "--language", "qq"], 10, "there is no writer for 'qq'"),
        (["anna", str(out), "--topic", " "], 10, "no topic"),
        (["anna", str(out), "--script", str(place / "absent.txt")], 3, "there is no script"),
        (["anna", str(out), "--topic", "tea", "--writer", "http"], 10, "the writer 'http' cannot be used"),
        (["anna", str(out), "--topic", "tea", "--until", "lunch"], 2, "until is write or speak"),
        (["anna", str(place / "out.xyz"), "--topic", "tea"], 2, "xyz"),
    ):
        assert main(["avatar", "make", *arguments]) == code, arguments
        assert words in capsys.readouterr().err, arguments
    assert sorted(p.name for p in place.iterdir()) == ["avatars"]
