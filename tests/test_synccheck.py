"""Sync of finished files: measured without synthesis, corrected without encoding."""

from __future__ import annotations

import csv
import json
from fractions import Fraction

import av
import numpy as np
import pytest
from media import clip, write_video, write_wav
from two_people import demo, write

from wav2lip_hq import HQPipeline, synccheck, synccheck_page
from wav2lip_hq.cli import main
from wav2lip_hq.errors import InputError, NoFaceError, OutputError
from wav2lip_hq.provenance import Claim, Input, Seal, load_identity, read
from wav2lip_hq.stages import Detect, Track
from wav2lip_hq.synccheck import Checked, SyncCheck
from wav2lip_hq.video import decode_audio, open_video, shift_sound, shifted_name


def packets(path):
    """Bytes of all packets, by kind of stream, joined: PCM may be cut into other packets."""
    out: dict[str, bytes] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            out[packet.stream.type] = out.get(packet.stream.type, b"") + bytes(packet)
    return out


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    return write(tmp_path_factory.mktemp("sync") / "talk.mp4", *demo())


# ---- moving sound


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("ms", [160, -160])
def test_sound_is_moved_without_encoding(talk, tmp_path, suffix, ms):
    moved = tmp_path / f"moved{suffix}"
    assert shift_sound(talk, moved, Fraction(ms, 1000)) == []
    assert packets(moved) == packets(talk)
    with open_video(talk) as a, open_video(moved) as b:
        first = [time for time, _, _ in a], [time for time, _, _ in b]
    begins = float(first[1][0] - first[0][0])  # where timestamps cannot be negative, the picture begins later instead
    assert np.allclose(np.diff(np.array(first[0], float)), np.diff(np.array(first[1], float)), atol=0.0011)
    old, new = decode_audio(talk), decode_audio(moved)
    count = min(len(old), len(new))
    size = 1 << (2 * count).bit_length()
    both = np.fft.irfft(np.fft.rfft(new[:count], size) * np.conj(np.fft.rfft(old[:count], size)))
    lag = int(both.argmax()) - (size if both.argmax() > size // 2 else 0)
    assert lag / 16000 - begins == pytest.approx(ms / 1000, abs=0.002)
    assert [p.name for p in tmp_path.iterdir()] == [moved.name]


def test_a_copy_is_the_same_kind_of_prores(tmp_path):
    """The tag alone says which it is; with another one players decode fewer bits."""
    frames = np.concatenate([clip(2), np.full((2, 120, 160, 1), 255, np.uint8)], -1)
    sound = write_wav(tmp_path / "s.wav", 0.2)
    given = write_video(
        tmp_path / "a.mov", frames, codec="prores_ks", pix_fmt="yuva444p10le", options={"profile": "4444"}, sound=sound
    )
    shift_sound(given, tmp_path / "b.mov", Fraction(1, 25))
    for path in (given, tmp_path / "b.mov"):
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.codec_tag == "ap4h"


def test_what_cannot_be_moved_says_so(talk, tmp_path):
    with pytest.raises(OutputError, match="would replace the file itself"):
        shift_sound(talk, talk, Fraction(1, 10))
    with pytest.raises(OutputError, match="no times of its own in .avi"):
        shift_sound(talk, tmp_path / "a.avi", Fraction(1, 10))
    mute = write_video(tmp_path / "mute.mp4", clip(3))
    with pytest.raises(InputError, match="needs picture and sound"):
        shift_sound(mute, tmp_path / "b.mp4", Fraction(1, 10))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mute.mp4"]


def test_names_of_corrected_files(tmp_path):
    assert shifted_name(tmp_path / "a.MOV").name == "a.fixed.MOV"
    assert shifted_name(tmp_path / "a.avi", tmp_path / "out") == tmp_path / "out" / "a.fixed.mkv"


# ---- measuring


def test_a_known_shift_is_measured_and_corrected(talk, tmp_path, capsys):
    late = tmp_path / "late.mp4"
    shift_sound(talk, late, Fraction(200, 1000))
    pages = ["--html", str(tmp_path / "s.html"), "--csv", str(tmp_path / "s.csv")]
    assert main(["sync", str(talk), str(late), "--fix", "--out", str(tmp_path / "fixed"), "--json", *pages]) == 0
    own, moved = json.loads(capsys.readouterr().out)
    assert own["verdict"] == "in sync" and own["fixed"] is None and own["shots"][0]["certain"]
    assert moved["verdict"] == "picture early" and own["offset_ms"] - moved["offset_ms"] == pytest.approx(200, abs=20)
    fixed = tmp_path / "fixed" / "late.fixed.mp4"
    assert moved["fixed"] == str(fixed) and packets(fixed) == packets(talk)
    pipe = HQPipeline((Detect(every=5), Track()))
    again = synccheck.check(fixed, pipe)
    assert abs(again.offset_ms) < 20 and again.verdict == "in sync"
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == [str(talk), str(late)] and float(rows[1]["offset_ms"]) < -100
    text = (tmp_path / "s.html").read_text()
    assert "picture early" in text and text.count("data:image/jpeg") == 2


def test_files_that_cannot_be_measured_do_not_stop_the_others(tmp_path, capsys):
    mute = write_video(tmp_path / "mute.mp4", clip(3))
    (tmp_path / "text.mp4").write_text("hello")
    assert main(["sync", str(mute), str(tmp_path / "text.mp4"), "--html", str(tmp_path / "s.html"), "--quiet"]) == 9
    said = capsys.readouterr().err
    assert "has no sound" in said and "is not a media file" in said
    assert (tmp_path / "s.html").read_text().count('class="failed"') == 2
    assert main(["sync", str(mute), "--quiet"]) == InputError.exit_code
    assert main(["sync", str(mute), "--tolerance", "0"]) == 2 and main(["sync", str(mute), "--out", "x"]) == 2


def test_nobody_there(tmp_path):
    empty = write(tmp_path / "empty.mp4", np.zeros((10, 64, 64, 3), np.uint8), np.zeros(6400, np.float32))
    with pytest.raises(NoFaceError, match="no face was found"):
        synccheck.check(empty, HQPipeline((Detect(), Track())))


def shot(offset, lead=6.0, seconds=2.0):
    return Checked(0.0, seconds, 0, 1.0, offset, lead, ())


@pytest.mark.parametrize(
    ("shots", "verdict"),
    [
        ([shot(10.0), shot(-20.0)], "in sync"),
        ([shot(120.0), shot(118.0), shot(-400.0, lead=1.0)], "picture late"),
        ([shot(-150.0)], "picture early"),
        ([shot(200.0, lead=2.0), shot(None)], "not certain"),
        ([shot(-200.0), shot(200.0)], "differs from shot to shot"),
    ],
)
def test_verdicts(tmp_path, shots, verdict):
    found = SyncCheck(tmp_path / "a.mp4", tuple(shots), synccheck._common(shots))
    assert found.verdict == verdict and found.fixable == (verdict in ("picture late", "picture early"))
    assert verdict in synccheck_page.lines(found)[0]
    if not found.fixable:
        with pytest.raises(InputError, match=verdict):
            synccheck.fix(found)


def test_no_formula_gets_into_a_table(tmp_path):
    found = SyncCheck(type(tmp_path)("=cmd.mp4"), (shot(1.0),), 1.0)
    assert "\n'=cmd.mp4," in synccheck_page.table([found])


# ---- a signed file stays one


def measured(path, offset):
    checks = (shot(offset),)
    return SyncCheck(path, checks, synccheck._common(checks))


@pytest.mark.parametrize(
    ("name", "state"), [("signed.mp4", "intact"), ("signed.mov", "intact"), ("signed.mkv", "none")]
)
def test_the_manifest_of_a_corrected_file_is_kept_or_it_is_said(talk, tmp_path, name, state):
    path = tmp_path / name
    claim = Claim(name, Input("talk.mp4", talk), ())
    shift_sound(talk, path, Fraction(0), Seal(load_identity(), claim, path).finish)
    assert read(path).state == "valid"
    fixed = synccheck.fix(measured(path, 120.0))
    found = read(fixed.path)
    assert found.state == "valid" and found.actions == ("c2pa.opened", "c2pa.edited") and not found.synthesis
    assert [(one.name, one.relation, one.state) for one in found.ingredients] == [(name, "parentOf", state)]
    assert fixed.provenance.startswith("signed by")
    assert bool(fixed.lost) == (state == "none") and "without the manifest" in (*fixed.lost, "without the manifest")[0]
    assert packets(fixed.path) == packets(talk), "the manifest moves nothing"
    bare = synccheck.fix(measured(path, 120.0), tmp_path / f"bare{path.suffix}", provenance=False)
    assert bare.provenance == "" and read(bare.path).state == "none"


def test_a_file_without_a_manifest_gets_none(talk, tmp_path):
    fixed = synccheck.fix(measured(talk, -80.0), tmp_path / "fixed.mp4")
    assert fixed == synccheck.Fixed(tmp_path / "fixed.mp4", (), "") and read(fixed.path).state == "none"
