"""Manifests and labels of runs and batches: signed in one place, left out only on request."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from media import clip, tiny_pipeline, write_video, write_wav
from talker import talker

from wav2lip_hq import jobs, label
from wav2lip_hq.audio import load_audio
from wav2lip_hq.errors import InputError, OptionError
from wav2lip_hq.jobs import render as rendering
from wav2lip_hq.provenance import read
from wav2lip_hq.session import Session
from wav2lip_hq.survey import footage_hash
from wav2lip_hq.types import Chunk
from wav2lip_hq.video import open_video
from wav2lip_hq.watermark import speech_id


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline(missing=(4, 5))


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    write_video(folder / "talk.mp4", clip(8))
    write_wav(folder / "dub.wav", 0.4)
    return folder


def pictures(path):
    with open_video(path) as reader:
        return [frame for _, frame, _ in reader]


def test_a_run_signs_what_it_did(pipe, desk, tmp_path):
    (tmp_path / "note.md").write_text("Anna agreed.")
    report = pipe.run(desk / "talk.mp4", desk / "dub.wav", tmp_path / "o.mp4", consent=str(tmp_path / "note.md"))
    assert report.provenance.startswith("signed by wav2lip_hq identity") and not report.warnings
    found = read(tmp_path / "o.mp4")
    assert found.state == "valid"
    assert found.marks == (f"{speech_id(load_audio(desk / 'dub.wav')):08x}",), "the mark leads back to the manifest"
    said = found.synthesis
    assert said["source"] == {"name": "talk.mp4", "sha256": footage_hash(desk / "talk.mp4")}
    assert said["speech"] == [{"name": "dub.wav", "sha256": footage_hash(desk / "dub.wav")}]
    made = [(s.first, s.last) for s in report.stretches if s.reason is None]
    assert [(s["first"], s["last"]) for s in said["synthesized"]] == made and said["frames"] == report.frames
    assert {m["name"] for m in said["models"]} == {"tiny-generator", "tiny-restorer"}
    assert said["consent"]["text"] == "Anna agreed." and said["consent"]["name"] == "note.md"


def test_it_is_left_out_only_by_its_option_and_pictures_stay_the_same(pipe, desk, tmp_path):
    for name, options in (("with", {}), ("without", {"without_provenance": True})):
        report = pipe.run(desk / "talk.mp4", desk / "dub.wav", tmp_path / f"{name}.mkv", **options)
    assert "--without-provenance" in report.provenance and read(report.output).state == "none"
    assert (tmp_path / "with.c2pa").exists() and not (tmp_path / "without.c2pa").exists()
    same = zip(pictures(tmp_path / "with.mkv"), pictures(report.output), strict=True)
    assert all(np.array_equal(a, b) for a, b in same)
    pipe.run(desk / "talk.mp4", desk / "dub.wav", tmp_path / "with.mkv", without_provenance=True)
    assert not (tmp_path / "with.c2pa").exists(), "the manifest of the file that was replaced"


def test_frames_from_memory_into_pictures(pipe, desk, tmp_path):
    report = pipe.run(clip(3), desk / "dub.wav", tmp_path / "o", extend="stop")
    found = read(tmp_path / "o")
    assert (found.state, found.files) == ("valid", report.frames)
    assert found.actions[0] == "c2pa.created" and found.ingredients[0].name == "dub.wav"


def test_what_keeps_a_result_from_being_signed_is_known_before_anything_is_done(pipe, desk, tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("the footage was surveyed")

    monkeypatch.setattr(Session, "prepare", never)
    with pytest.raises(InputError, match="no file absent.pdf"):
        pipe.run(desk / "talk.mp4", desk / "dub.wav", tmp_path / "o.mp4", consent="absent.pdf")
    with pytest.raises(OptionError, match="languages"):
        pipe.run(desk / "talk.mp4", desk / "dub.wav", tmp_path / "o.mp4", label="klingon")
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "key.pem").write_text("not a key")
    monkeypatch.setenv("WAV2LIP_HQ_IDENTITY", str(tmp_path / "identity"))
    with pytest.raises(InputError, match="certificates.pem cannot be read"):
        pipe.run(desk / "talk.mp4", desk / "dub.wav", tmp_path / "o.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["identity"]


# ---- batches


def test_a_batch_signs_and_reports_its_parts_as_one(tmp_path, monkeypatch):
    talker(tmp_path / "anna.mp4", 1, 2.0)
    (tmp_path / "note.txt").write_text("Anna agreed.")
    row = {"face": "anna.mp4", "audio": "anna.wav", "output": "o.mp4", "consent": "note.txt", "label": "en"}
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump({"defaults": {"preset": "fast", "part_seconds": 1}, "jobs": [row]}))
    assert jobs.work_here(path).exit_code == 0
    found = read(tmp_path / "o.mp4")
    facts = json.loads((tmp_path / "o.mp4.json").read_text())
    assert found.state == "valid" and facts["provenance"].startswith("signed by")
    assert found.synthesis["consent"] == facts["consent"] and facts["consent"]["text"] == "Anna agreed."
    assert found.synthesis["frames"] == facts["output"]["frames"] and facts["parts"]["rendered"] == 2
    assert sum(s["last"] - s["first"] + 1 for s in found.synthesis["synthesized"]) == facts["faces"]["synthesized"]
    assert max(s["last"] for s in found.synthesis["synthesized"]) > 25, "numbered through the parts"
    assert found.synthesis["visible_label"] == label.TEXTS["en"]

    # The same job again: manifests hold random salts, but the file is the same around them, and as long.
    whole = (tmp_path / "o.mp4").read_bytes()
    (tmp_path / "o.mp4").unlink()
    assert jobs.work_here(path).exit_code == 0
    again = (tmp_path / "o.mp4").read_bytes()
    assert again != whole and around_manifest(again) == around_manifest(whole) and len(again) == len(whole)


def around_manifest(data: bytes) -> list[bytes]:
    """The boxes of an MP4 file but that of the manifest."""
    out, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] != b"uuid":
            out.append(data[at : at + size])
        at += size
    return out


def test_consent_can_be_required(tmp_path):
    (tmp_path / "note.txt").write_text("Anna agreed.")
    row = {"face": "anna.mp4", "audio": "anna.wav"}
    rows = [
        {**row, "output": "a.mp4"},
        {**row, "output": "b.mp4", "consent": "Anna agreed on the phone"},
        {**row, "output": "c.mp4", "consent": "note.txt"},
        {**row, "output": "d.mp4", "consent": "absent.txt"},
    ]
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump({"defaults": {"require_consent": True}, "jobs": rows}))
    found = jobs.read_jobs(path)
    assert "says nothing of consent" in found[0].fault and "no file absent.txt" in found[3].fault
    assert not found[1].fault and found[1].consent is None
    assert found[2].consent == tmp_path / "note.txt" and found[2].consent in found[2].inputs
    table = tmp_path / "jobs.csv"
    table.write_text("face,audio,output,require_consent,consent\na.mp4,a.wav,o.mp4,true,\na.mp4,a.wav,p.mp4,true,yes\n")
    assert [bool(job.fault) for job in jobs.read_jobs(table)] == [True, False]


def test_a_plan_names_what_cannot_be_signed(desk, tmp_path, monkeypatch):
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "key.pem").write_text("not a key")
    row = {"face": str(desk / "talk.mp4"), "audio": str(desk / "dub.wav"), "output": "o.mp4", "preset": "fast"}
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump({"jobs": [row]}))
    monkeypatch.setenv("WAV2LIP_HQ_IDENTITY", str(tmp_path / "identity"))
    assert "certificates.pem cannot be read" in jobs.plan(path, device="cpu").problems[0].text


def test_parts_of_an_earlier_version_are_made_again(tmp_path):
    note = tmp_path / "part-00000.json"
    note.write_text(json.dumps({"number": 0, "file": "x", "zero": "0"}))
    assert rendering.Part.read(note) is None


# ---- the label


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("language", ["en", "de", "el"])
def test_the_label_changes_its_corner_alone(language, dtype):
    frames = np.stack([np.full((360, 640, 3), v, dtype) for v in (0, np.iinfo(dtype).max)])
    alpha = np.zeros((2, 360, 640), dtype)
    chunk = Chunk(0, frames, (), alpha=alpha)
    text = label.label_text(language)
    made = label.labeled(chunk, text)
    left, top, right, bottom = label.region(text, 640, 360)
    assert right - left < 400 and bottom - top < 40 and left > 0 and bottom < 360
    changed = made.frames != frames
    assert changed[:, top:bottom, left:right].any() and (made.alpha[:, top:bottom, left:right] > 0).all()
    changed[:, top:bottom, left:right] = False
    assert not changed.any() and not frames[0].any() and not alpha.any(), "the frames given stay as they are"
    corner = made.frames[:, top:bottom, left:right] / np.iinfo(dtype).max
    assert (corner.max((1, 2, 3)) > 0.95).all() and (corner.min((1, 2, 3)) < 0.45).all(), "to be read on any picture"


def test_every_language_can_be_written_and_most_of_it_differs():
    assert len(set(label.TEXTS.values())) == len(label.TEXTS)
    for code, text in label.TEXTS.items():
        assert label.label_text(f" {code.upper()} ") == text
        assert all(label._has(c) for c in text if c != " "), code
    assert label.label_text("") == "" and label.label_text("my own  words") == "my own words"
    for wrong, says in (("xx", "languages"), ("a " * 60, "characters"), ("日本 語", "no '日'"), ("a \x07b", "no")):
        with pytest.raises(OptionError, match=says):
            label.label_text(wrong)


@pytest.mark.parametrize(("width", "height"), [(16, 16), (64, 48), (200, 100), (96, 300)])
def test_small_frames_hold_what_fits(width, height):
    text = label.TEXTS["cs"]
    made = label.labeled(Chunk(0, np.zeros((1, height, width, 3), np.uint8), ()), text)
    assert made.frames.any() and label.too_small(text, width, height)


def test_a_label_is_in_every_frame_of_every_way_to_render(pipe, desk, tmp_path):
    plain = pipe.run(desk / "talk.mp4", desk / "dub.wav", tmp_path / "p.mkv", codec="ffv1").output
    shown = pipe.run(desk / "talk.mp4", desk / "dub.wav", tmp_path / "l.mkv", codec="ffv1", label="en")
    assert any("hardly be read" in text for text in shown.warnings), "160 x 120"
    left, top, right, bottom = label.region(label.TEXTS["en"], 160, 120)
    for a, b in zip(pictures(plain), pictures(shown.output), strict=True):
        different = (a != b).any(-1)
        assert different[top:bottom, left:right].mean() > 0.5
        different[top:bottom, left:right] = False
        assert not different.any()
    with pipe.open(desk / "talk.mp4", desk / "dub.wav", label="en") as chunks:
        frames = np.concatenate([chunk.frames for chunk in chunks])
    assert np.array_equal(frames, np.stack(pictures(shown.output)))
