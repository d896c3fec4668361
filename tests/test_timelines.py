"""Edits become job files, and their results an edit again: OTIO, EDL, FCPXML; unusable shots are reported."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
import yaml
from media import tiny_pipeline, write_wav

otio = pytest.importorskip("opentimelineio", reason="timelines need the extra 'delivery'")

from cutting import Range, Time, edit, reel, span  # noqa: E402

from wav2lip_hq import cli, jobs  # noqa: E402
from wav2lip_hq.errors import InputError, OptionError  # noqa: E402
from wav2lip_hq.jobs import identity  # noqa: E402
from wav2lip_hq.jobs.cutlist import edl, files, shots  # noqa: E402
from wav2lip_hq.jobs.cutlist.exporting import export_timeline  # noqa: E402
from wav2lip_hq.jobs.cutlist.importing import Wanted, import_timeline  # noqa: E402
from wav2lip_hq.jobs.worker import Worker  # noqa: E402
from wav2lip_hq.timecode import timecode_frames  # noqa: E402
from wav2lip_hq.video import VideoWriter, open_video  # noqa: E402

PAL, NTSC, FILM = Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001)


def listed(path, rate=None):
    cut = files.read(path, rate)
    return shots.shots(cut, shots.picture(cut)), cut


def facts(shot):
    return shot.name, shot.start, shot.length, shot.record


def as_edl(timeline, fps, drop):
    alone = otio.schema.Timeline(timeline.name, global_start_time=timeline.global_start_time)
    alone.tracks.append(timeline.video_tracks()[0].clone())
    return edl.written(alone, fps, drop)


@pytest.fixture(autouse=True)
def no_weights(monkeypatch):
    """The tiny networks have no files to hash."""
    monkeypatch.setattr(identity, "weights", lambda job, base, store: {})


def rendered(jobfile):
    worker = Worker(jobfile)
    worker._pipelines["default"] = tiny_pipeline()
    return worker.work()


def passed_on(jobfile):
    """Results that are their footage, as if they had been rendered: for what has to do with the edit alone."""
    found = jobs.read_jobs(jobfile)
    for job in found:
        job.output.parent.mkdir(exist_ok=True)
        with open_video(job.face, **job.run.reading) as reader:
            with VideoWriter(job.output, reader.info, codec="h264", preset="ultrafast") as writer:
                for time, frame, _ in reader:
                    writer.write(frame, time)
        jobs.Store(jobfile).put(job.name, status="done")
    return len(found)


@pytest.mark.parametrize(
    ("fps", "first", "count", "make"),
    [
        (PAL, "01:00:00:00", 12, passed_on),
        (NTSC, "01:00:58;20", 4, passed_on),
        (FILM, "10:00:00:00", 4, passed_on),
        pytest.param(PAL, "01:00:00:00", 12, rendered, marks=pytest.mark.slow),
    ],
)
def test_shots_to_jobs_to_results_and_back(tmp_path, fps, first, count, make):
    """EDL -> jobs -> results -> OTIO, FCPXML and EDL, opened again: every shot at its place, frame for frame."""
    timeline = edit(tmp_path, fps, first, count=count)
    source = tmp_path / "cut.edl"
    source.write_text(as_edl(timeline, fps, ";" in first))
    wanted = Wanted(speech=str(tmp_path / "dub" / "line{index:02}.wav"), handles=2, defaults={"part_seconds": 1})
    made = import_timeline(source, tmp_path / "cut.yaml", wanted)
    assert (made.shots, made.jobs, made.problems) == (count, count, [])
    before, given = listed(source, fps)
    assert make(tmp_path / "cut.yaml") == count
    for job, shot in zip(jobs.read_jobs(tmp_path / "cut.yaml"), before, strict=True):
        with open_video(job.output) as reader:
            at = timecode_frames(reader.info.timecode, fps)
            assert at == shot.start - max(2, shot.head)
            assert len(list(reader)) == shot.length + max(2, shot.head) + max(2, shot.tail)
            assert (";" in reader.info.timecode) == (";" in first)
    for name in ("back.otio", "back.fcpxml", "back.edl"):
        done = export_timeline(tmp_path / "cut.yaml", tmp_path / name)
        assert (done.results, done.problems) == (count, [])
        cut = files.read(tmp_path / name, fps if name.endswith("edl") else None)
        assert cut.rate == fps and cut.drop == (";" in first and not name.endswith("otio"))
        assert round(cut.timeline.global_start_time.value) == round(given.timeline.global_start_time.value) > 0
        tracks = list(cut.timeline.video_tracks())
        assert len(tracks) == (1 if name.endswith("edl") else 2)
        after = shots.shots(cut, tracks[-1])
        assert [facts(s) for s in after] == [facts(s) for s in before]
        assert [s.media for s in after] == [str(j.output) for j in jobs.read_jobs(tmp_path / "cut.yaml")]
        if len(tracks) == 2:  # the picture below is what it was
            assert [facts(s) for s in shots.shots(cut, tracks[0])] == [facts(s) for s in before]
        for clip in tracks[-1].find_clips():  # what is shown lies within the file
            media = clip.media_reference.available_range
            assert media is None or (media.contains(clip.source_range.start_time) and media.contains(clip.source_range))


@pytest.mark.parametrize(("fps", "first"), [(PAL, "01:00:00:00"), (NTSC, "01:00:58;20"), (FILM, "10:00:00:00")])
def test_the_three_formats_say_the_same(tmp_path, fps, first):
    timeline = edit(tmp_path, fps, first, count=3)
    otio.adapters.write_to_file(timeline, str(tmp_path / "cut.otio"))
    (tmp_path / "cut.edl").write_text(as_edl(timeline, fps, ";" in first))
    plain = timeline.clone()
    for item in plain.find_children():  # the adapter's own file, at a whole rate, brought to the true one
        for value in (item, getattr(item, "media_reference", None)):
            for name in ("source_range", "available_range"):
                if isinstance(old := getattr(value, name, None), Range):
                    times = (Time(t.value, round(fps)) for t in (old.start_time, old.duration))
                    setattr(value, name, Range(*times))
    files.write(plain, tmp_path / "cut.fcpxml", fps, ";" in first)
    otio.adapters.write_to_file(timeline, str(tmp_path / "cut.xml"), "fcp_xml")
    read = [listed(tmp_path / "cut.otio"), listed(tmp_path / "cut.edl", fps), listed(tmp_path / "cut.fcpxml")]
    plain = timeline.clone()
    for track in plain.tracks:  # the adapter wants to know how long all media are, and writes no other ones
        track[:] = [c.clone() for c in track if not isinstance(c, otio.schema.Transition)]
    otio.adapters.write_to_file(plain, str(tmp_path / "cut.aaf"), "AAF", use_empty_mob_ids=True)
    read += [listed(tmp_path / "cut.xml"), listed(tmp_path / "cut.aaf")]
    assert all([facts(s) for s in found] == [facts(s) for s in read[0][0]] for found, _ in read)
    assert all(cut.rate == fps for _, cut in read)
    rows = []
    for name in ("cut.otio", "cut.fcpxml", "cut.xml"):
        import_timeline(tmp_path / name, tmp_path / f"{name}.yaml", Wanted(handles=0))
        rows.append(yaml.safe_load((tmp_path / f"{name}.yaml").read_text())["jobs"])
    rows[0][2]["end"] = rows[1][2]["end"]  # FCPXML's adapter knows no transitions
    assert [r["start"] for r in rows[0]] == [r["start"] for r in rows[1]] and len(rows[0]) == 3
    assert [(r["start"], r["end"], r["face"]) for r in rows[0]][:2] == [
        (r["start"], r["end"], r["face"]) for r in rows[2]
    ][:2]
    line = rows[0][0]["segments"][0]
    assert line["audio"] == "dub/line01.wav" and line["speech_start"] == pytest.approx(float(2 / fps), abs=1e-8)


EDL = """TITLE: reel 1
FCM: NON-DROP FRAME

001  A000     V     C        01:00:00:10 01:00:01:00 01:00:00:00 01:00:00:15
* FROM CLIP NAME:  good
002  B999     V     C        01:00:00:10 01:00:01:00 01:00:00:15 01:00:01:05
* FROM CLIP NAME:  lost
003  A000     V     C        01:00:00:00 01:00:02:00 01:00:01:05 01:00:02:05
M2   A000       050.0                01:00:00:00
* FROM CLIP NAME:  fast
004  A000     V     C        01:00:00:00 01:00:01:00 01:00:02:05 01:00:03:05
M2   A000      -025.0                01:00:00:00
* FROM CLIP NAME:  backwards
005  A000     V     C        01:00:00:00 01:00:01:00 01:00:03:05 01:00:05:05
* FROM CLIP NAME:  unsaid
006  BL       V     C        00:00:00:00 00:00:01:00 01:00:05:05 01:00:06:05
007  A000     V     C        01:00:09:00 01:00:10:00 01:00:06:05 01:00:07:05
* FROM CLIP NAME:  beyond
008  A000     V     C        nonsense
009  N000     V     C        01:00:00:00 01:00:01:00 01:00:07:05 01:00:08:05
* FROM CLIP NAME:  other rate
010  A000     V     C        01:00:00:20 01:00:01:10 01:00:08:05 01:00:08:20
* FROM CLIP NAME:  good too
"""


@pytest.fixture
def desk(tmp_path):
    reel(tmp_path / "A000.mov", 50, PAL, "01:00:00:00")
    reel(tmp_path / "N000.mov", 50, Fraction(24), "01:00:00:00")
    write_wav(tmp_path / "dub.wav", 10)
    (tmp_path / "cut.edl").write_text(EDL)
    return tmp_path


def test_unusable_shots_are_reported_and_the_others_are_imported(desk, capsys):
    code = cli.main(
        [
            "batch",
            "import",
            str(desk / "cut.edl"),
            "--media",
            str(desk),
            "--speech",
            str(desk / "dub.wav"),
            "--rate",
            "25",
        ]
        + ["--handles", "2", "--default", "preset=fast", "--default", "codec=prores_422hq"]
    )
    said = capsys.readouterr().out
    assert code == 9
    for text in (
        "shot 2 (lost): B999 is not in",
        "shot 3 (fast): it is retimed (to 200%)",
        "shot 4 (backwards): it is retimed (to -100%)",
        "event 005 is left out: its source and its record differ in length",
        "it is not footage (black)",
        "A000.mov holds 01:00:00:00 to 01:00:02:00",
        "event 008 is left out",
        "N000.mov has 24 frames a second, the timeline counts 25",
    ):
        assert text in said, text
    assert "9 shots" not in said and "2 jobs" in said and "Traceback" not in said
    text = (desk / "cut.yaml").read_text()
    assert "#   shot 2 (lost): B999 is not in" in text
    found = jobs.read_jobs(desk / "cut.yaml")
    assert [(j.output.name, j.run.start, j.run.end, j.run.codec) for j in found] == [
        ("001_good.mov", "01:00:00:08", "01:00:01:02", "prores_422hq"),
        ("008_good_too.mov", "01:00:00:18", "01:00:01:12", "prores_422hq"),
    ]
    assert found[1].spans[0].speech_start == pytest.approx(8.2) and found[0].spans[0].end == "01:00:01:00"


def test_an_edl_takes_the_rate_of_its_footage(desk):
    lines = EDL.replace("N000", "A000").splitlines()
    (desk / "one.edl").write_text("\n".join(lines[:5]))
    wanted = Wanted(media=(desk,), speech=str(desk / "dub.wav"))
    import_timeline(desk / "one.edl", desk / "one.yaml", wanted)
    assert yaml.safe_load((desk / "one.yaml").read_text())["timeline"]["rate"] == "25"
    with pytest.raises(OptionError, match="its footage has several rates; give --rate"):
        import_timeline(desk / "cut.edl", desk / "two.yaml", wanted)
    with pytest.raises(OptionError, match="none of its footage is found; give --rate"):
        import_timeline(desk / "cut.edl", desk / "two.yaml", Wanted(speech=str(desk / "dub.wav")))
    with pytest.raises(OptionError, match="exists; remove it"):
        import_timeline(desk / "one.edl", desk / "one.yaml", wanted)


def test_fcm_says_how_an_edl_counts(tmp_path):
    reel(tmp_path / "A000.mov", 40, NTSC, "01:00:59;00")
    text = (
        "TITLE: x\nFCM: DROP FRAME\n001  A000     V     C        01:00:59:10 01:01:00:05 01:00:00:00 01:00:00:23\n"
        "* FROM CLIP NAME:  s\n"
    )
    (tmp_path / "cut.edl").write_text(text)
    found, cut = listed(tmp_path / "cut.edl", NTSC)
    assert cut.drop and found[0].start == timecode_frames("01:00:59;10", NTSC) and found[0].length == 23
    (tmp_path / "ndf.edl").write_text(text.replace("DROP", "NON-DROP").replace("01:01:00:05", "01:01:00:03"))
    write_wav(tmp_path / "a.wav", 2)
    done = import_timeline(tmp_path / "ndf.edl", tmp_path / "n.yaml", Wanted((tmp_path,), str(tmp_path / "a.wav")))
    assert done.problems == ["shot 1 (s): the edit counts non-drop-frame (FCM), A000.mov drop-frame"]


def test_nested_and_frozen_and_silent_shots(tmp_path):
    path = reel(tmp_path / "A000.mov", 50, PAL, "00:00:00:00")
    media = otio.schema.ExternalReference(path.as_uri())
    timeline, track = otio.schema.Timeline("t"), otio.schema.Track("V1", kind="Video")
    timeline.tracks.append(track)
    frozen = otio.schema.Clip("frozen", media.clone(), span(0, 10, PAL))
    frozen.effects.append(otio.schema.FreezeFrame())
    nest = otio.schema.Stack("nest", source_range=span(0, 10, PAL))
    nest.append(otio.schema.Track("inner", [otio.schema.Clip("in", media.clone(), span(0, 10, PAL))], kind="Video"))
    wrong = otio.schema.Clip("ntsc", media.clone(), span(0, 10, NTSC))
    plain = [otio.schema.Clip(f"s{n}", media.clone(), span(5, 15, PAL)) for n in range(2)]
    track[:] = [frozen, nest, wrong, *plain]
    dub = otio.schema.Track("A1", kind="Audio")
    timeline.tracks.append(dub)
    said = otio.schema.ExternalReference(write_wav(tmp_path / "d.wav", 2).as_uri())
    dub[:] = [otio.schema.Gap(source_range=span(0, 30, PAL)), otio.schema.Clip("d", said, span(0, 14, PAL))]
    otio.adapters.write_to_file(timeline, str(tmp_path / "cut.otio"))
    done = import_timeline(tmp_path / "cut.otio", tmp_path / "cut.yaml", Wanted())
    assert done.problems == [
        "shot 1 (frozen): it is a freeze frame; render it first",
        "shot 2 (nest): it is a nested sequence; flatten it first",
        "shot 3 (ntsc): it counts 29.97 frames a second, the timeline 25",
    ]
    assert done.notes == ["shot 5 (s1): nothing is said in it, it stays as it is"] and done.jobs == 1


FCPXML = """<?xml version="1.0"?><!DOCTYPE fcpxml>
<fcpxml version="1.9"><resources><format id="r1" frameDuration="1001/30000s"/>
<asset id="r2" name="A" src="file:///nowhere/A.mov" start="0s" duration="10010/30000s" hasVideo="1" format="r1"/>
</resources><library><event name="e"><project name="p">
<sequence format="r1" tcStart="3603600/1000s" tcFormat="NDF"><spine>
<asset-clip ref="r2" name="one" offset="3603600/1000s" start="1001/30000s" duration="4004/30000s"/>
<asset-clip ref="r2" name="fast" offset="108112004/30000s" start="0s" duration="2002/30000s"><timeMap/></asset-clip>
<mc-clip ref="r9" name="multi" offset="108114006/30000s" duration="2002/30000s"/>
<video ref="r7" name="title" offset="108116008/30000s" duration="2002/30000s"/>
<asset-clip ref="r2" name="two" offset="108118010/30000s" start="3003/30000s" duration="5005/30000s"/>
</spine></sequence></project></event></library></fcpxml>"""


def test_fcpxml_as_the_suite_writes_it(tmp_path):
    """29.97, a first timecode, a retime, a multicam clip, something without media."""
    (tmp_path / "cut.fcpxml").write_text(FCPXML)
    found, cut = listed(tmp_path / "cut.fcpxml")
    assert cut.rate == NTSC and round(cut.timeline.global_start_time.value) == 108000
    assert [(s.name, s.start, s.length, s.record) for s in found] == [
        ("one", 1, 4, 0),
        ("fast", 0, 2, 4),
        ("two", 3, 5, 10),
    ]
    assert "retimed" in found[1].refused and not found[0].refused and found[0].media == "/nowhere/A.mov"
    assert cut.problems == ["multi is left out: a mc-clip cannot be read; flatten it first"]


XMEML = """<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE xmeml>
<xmeml version="4"><sequence id="s"><name>cut</name><duration>20</duration>
<rate><timebase>30</timebase><ntsc>TRUE</ntsc></rate>
<timecode><rate><timebase>30</timebase><ntsc>TRUE</ntsc></rate><string>01:00:00;00</string><frame>107892</frame>
<displayformat>DF</displayformat></timecode>
<media><video><track>
<clipitem id="c1"><name>one</name><duration>10</duration><rate><timebase>30</timebase><ntsc>TRUE</ntsc></rate>
<start>0</start><end>4</end><in>1</in><out>5</out><file id="f1"><name>A.mov</name>
<pathurl>file://localhost/nowhere/my%20reel/A.mov</pathurl><rate><timebase>30</timebase><ntsc>TRUE</ntsc></rate>
<duration>10</duration></file></clipitem>
<clipitem id="c2"><name>fast</name><duration>10</duration><rate><timebase>30</timebase><ntsc>TRUE</ntsc></rate>
<start>4</start><end>6</end><in>0</in><out>2</out><file id="f1"/><filter><effect><name>Time Remap</name>
<effectid>timeremap</effectid><effecttype>motion</effecttype><parameter><parameterid>speed</parameterid>
<value>200</value></parameter></effect></filter></clipitem>
<clipitem id="c3"><name>two</name><duration>10</duration><rate><timebase>30</timebase><ntsc>TRUE</ntsc></rate>
<start>10</start><end>15</end><in>3</in><out>8</out><file id="f1"/></clipitem>
</track></video></media></sequence></xmeml>"""


def test_final_cut_7_as_premiere_writes_it(tmp_path):
    """29.97 drop-frame, one file named once, a retime, a gap, a URL with a host."""
    (tmp_path / "cut.xml").write_text(XMEML)
    found, cut = listed(tmp_path / "cut.xml")
    assert cut.rate == NTSC and cut.drop and round(cut.timeline.global_start_time.value) == 107892
    assert [(s.name, s.start, s.length, s.record) for s in found] == [
        ("one", 1, 4, 0),
        ("fast", 0, 2, 4),
        ("two", 3, 5, 10),
    ]
    assert "retimed" in found[1].refused and not found[0].refused and not found[2].refused
    assert {s.media for s in found} == {"/nowhere/my reel/A.mov"}
    (tmp_path / "same.xml").write_text(FCPXML)  # the other XML under this ending
    assert [s.name for s in listed(tmp_path / "same.xml")[0]] == ["one", "fast", "two"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.aaf", b"\0\1\2\xff" * 9, "is not an AAF file, or it is damaged"),
        ("a.xml", b"<xmeml><sequence>", "is not XML, or it is damaged"),
        ("a.xml", b"<html/>", "holds no sequence of Final Cut Pro 7's XML"),
        ("a.xml", b'<!DOCTYPE x [<!ENTITY a "b">]><xmeml/>', "XML entities"),
        ("a.xml", b"<xmeml><sequence><media/></sequence></xmeml>", "cannot be read as Final Cut Pro 7's XML"),
        ("a.edl", b"", "is empty"),
        ("a.edl", b"\0\1\2\xff" * 9, "is not a text file"),
        ("a.edl", b"TITLE: x\n", "holds no events"),
        ("a.otio", b"{", "is not an OTIO file, or it is damaged"),
        ("a.otio", b"[" * 100_000, "nested more than"),
        ("a.otio", b'{"OTIO_SCHEMA": "Clip.1", "name": "x"}', "is not an OTIO file"),
        ("a.otio", b'{"OTIO_SCHEMA": "Timeline.1", "tracks": null}', "a.otio"),
        ("a.fcpxml", b"<fcpxml>", "is not XML, or it is damaged"),
        ("a.fcpxml", b"<fcpxml/>", "holds no project"),
        ("a.fcpxml", b'<!DOCTYPE f [<!ENTITY a "b">]><fcpxml/>', "XML entities"),
        ("a.fcpxml", b"<fcpxml><project><sequence format='r1'/></project></fcpxml>", "cannot be read as FCPXML"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, capfd, name, content, says):
    (tmp_path / name).write_bytes(content)
    code = cli.main(["batch", "import", str(tmp_path / name), "--rate", "25"])
    said = capfd.readouterr().err.strip()
    assert code in (2, 3) and says in said and len(said.splitlines()) == 1, said
    assert not (tmp_path / "a.yaml").exists()


def test_shots_without_a_result_are_said(desk, capsys):
    lines = EDL.splitlines()
    (desk / "cut.edl").write_text("\n".join([*lines[:5], *lines[-2:]]))
    import_timeline(desk / "cut.edl", desk / "cut.yaml", Wanted((desk,), str(desk / "dub.wav"), handles=0))
    text = (desk / "cut.yaml").read_text()
    (desk / "cut.yaml").write_text(text.replace("face: A000.mov", "face: gone.mov", 1))
    jobs.Store(desk / "cut.yaml").put(str(desk / "out" / "001_good.mov"), status="failed", message="no such footage")
    with pytest.raises(InputError):
        passed_on(desk / "cut.yaml")
    other = jobs.read_jobs(desk / "cut.yaml")[1]
    other.output.parent.mkdir(exist_ok=True)
    (desk / "two.yaml").write_text((desk / "cut.yaml").read_text().replace("gone.mov", "A000.mov"))
    passed_on(desk / "two.yaml")
    jobs.Store(desk / "cut.yaml").put(other.name, status="done")
    (desk / "out" / "001_good.mov").unlink()
    assert cli.main(["batch", "export", str(desk / "cut.yaml"), "--timeline", str(desk / "back.edl")]) == 9
    assert "shot 1 (good) has no result: failed" in capsys.readouterr().out
    found, _ = listed(desk / "back.edl", PAL)
    assert [s.name for s in found] == ["good", "good too"] and found[0].reel == "A000"  # the original stays
    assert found[1].media.endswith("out/002_good_too.mov") and found[1].record == 205
    (desk / "cut.edl").write_text(EDL)
    with pytest.raises(InputError, match="has changed since"):
        export_timeline(desk / "cut.yaml", desk / "back.otio")
    (desk / "other.yaml").write_text(json.dumps({"jobs": []}))
    with pytest.raises(InputError, match="was not made from a timeline"):
        export_timeline(desk / "other.yaml", desk / "back.otio")
    with pytest.raises(OptionError, match="ends in .edl, .fcpxml, .otio"):
        export_timeline(desk / "cut.yaml", desk / "back.aaf")


def test_bad_edits_at_the_command_line_are_one_line_each(tmp_path, capfd):
    """A reel that is missing, and a timeline at another rate: said, with exit code 9, and nothing else is lost."""
    path = reel(tmp_path / "A001.mov", 30, PAL, "01:00:00:00")
    dub = write_wav(tmp_path / "dub.wav", 2)
    event = "{0:03}  {1}     V     C        01:00:00:00 01:00:00:10 01:00:0{2}:00 01:00:0{2}:10"
    (tmp_path / "cut.edl").write_text(
        "\n".join(["TITLE: x", "", event.format(1, "A001", 0), event.format(2, "A009", 1)])
    )
    base = ["batch", "import", str(tmp_path / "cut.edl"), "--speech", str(dub), "--handles", "0"]
    for more, says, count in (
        (["--rate", "25"], ["A009 is not where the edit says; give the folder that it is in (--media FOLDER)"], 0),
        (["--rate", "25", "--media", str(tmp_path)], [f"A009 is not in {tmp_path}"], 1),
        (["--rate", "24", "--media", str(tmp_path)], ["25 frames a second, the timeline counts 24", "A009"], 0),
    ):
        (tmp_path / "cut.yaml").unlink(missing_ok=True)
        assert cli.main([*base, *more]) == 9
        said = capfd.readouterr()
        assert all(text in said.out + said.err for text in says)
        made = yaml.safe_load((tmp_path / "cut.yaml").read_text())
        assert len(made["jobs"] or []) == count and path.exists()
