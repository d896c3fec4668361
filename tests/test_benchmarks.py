"""``python -m benchmarks quality``: lists, runs continued after a stop, other tools' videos, tables and the page."""

from __future__ import annotations

import csv
import json
import math

import cv2
import numpy as np
import pytest
from media import clip, write_video, write_wav
from talker import talker

from benchmarks import items, measure, page, published, quality, tables
from benchmarks.__main__ import main
from benchmarks.measure import ratio, reach
from wav2lip_hq.errors import InputError, OptionError
from wav2lip_hq.metrics.motion import flicker, sharpness


@pytest.fixture(scope="module")
def frames():
    return list(clip(12))


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Two talking clips of different length, one of them with speech beside it, and a broken file."""
    folder = tmp_path_factory.mktemp("footage")
    talker(folder / "anna.mp4", 1, 0.8)
    talker(folder / "bert.mp4", 2, 0.6)
    (folder / "bert.wav").unlink()
    (folder / "broken.mp4").write_bytes(b"not a film")
    return folder


# ---- metrics


def test_a_copy_scores_one(frames):
    pairs = [(f, f) for f in frames]
    assert ratio(pairs, flicker) == 1 and ratio(pairs, sharpness) == 1


def test_blur_and_jitter_are_detected(frames):
    rng = np.random.default_rng(0)
    blurred = [(f, cv2.GaussianBlur(f, (0, 0), 2)) for f in frames]
    noisy = [(f, np.clip(f + rng.normal(0, 8, f.shape), 0, 255).astype(np.uint8)) for f in frames]
    assert ratio(blurred, sharpness) < 0.5
    assert ratio(noisy, flicker) > 1.5


def test_too_few_frames_give_no_figure(frames):
    assert ratio([(frames[0], frames[0])], flicker) is None


def test_reach_covers_the_mask_and_little_more():
    mask = np.zeros((512, 512), np.uint8)
    mask[200:300, 200:300] = 255
    where = reach(mask, np.array([[2.0, 0, 0], [0, 2.0, 0]]), (256, 256))
    assert where[105:145, 105:145].all() and where.sum() < 56 * 56


# ---- what is judged


def test_protocols_pair_footage_with_speech(footage):
    clips = items.movies([footage])
    own = items.collect("reconstruction", clips)
    assert [i.name for i in own] == ["anna", "bert", "broken"] and all(i.own and i.video == i.audio for i in own)
    dubbed = items.collect("dubbed", clips)
    assert not any(i.own for i in dubbed)
    (spoken,) = items.collect("tts", clips)
    assert (spoken.name, spoken.audio.name) == ("anna", "anna.wav")
    (paired,) = items.collect("random", clips)  # only bert's words fit into anna's footage
    assert (paired.video.stem, paired.audio.stem, paired.own) == ("anna", "bert", False)


def test_names_never_collide(tmp_path):
    a, b = tmp_path / "a" / "x.mp4", tmp_path / "b" / "x.mp4"
    names = [i.name for i in items.named([(a, a), (b, b), (b, b)])]
    assert len(set(names)) == 3 and names[:2] == ["x", "b-x"]


def test_a_pair_list_is_written_and_read_back(footage, tmp_path):
    pairs = [(footage / "anna.mp4", footage / "bert.mp4"), (footage / "anna.mp4", footage / "anna.wav")]
    items.write_pairs(tmp_path / "list.txt", pairs, footage)
    assert (tmp_path / "list.txt").read_text().splitlines()[1:] == ["bert anna", "anna.wav anna"]
    assert items.read_pairs(tmp_path / "list.txt", footage) == pairs


def test_pair_lists_of_the_papers(footage, tmp_path):
    listed = tmp_path / "lrs2.txt"
    listed.write_text("bert anna\n\n")
    assert items.read_pairs(listed, footage) == [(footage / "anna.mp4", footage / "bert.mp4")]
    listed.write_text("anna.mp4 anna.wav\n")
    assert items.read_pairs(listed, footage, "video audio") == [(footage / "anna.mp4", footage / "anna.wav")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bert anna extra\n", "line 1: expected two names"),
        ("bert anna\nbert nobody\n", "line 2: there is no"),
        ("", "is empty"),
    ],
)
def test_a_bad_pair_list_names_the_line(footage, tmp_path, text, said):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        items.read_pairs(tmp_path / "list.txt", footage)


def test_made_pairs_are_seeded_and_the_speech_is_shorter(tmp_path):
    clips = [
        write_video(tmp_path / f"{n}.mp4", clip(10 + 5 * n), sound=write_wav(tmp_path / f"{n}.wav", 0.4 + 0.2 * n))
        for n in range(4)
    ]
    made = items.make_pairs(clips, 5, seed=3)
    assert made == items.make_pairs(clips, 5, seed=3) and len(made) == 5
    assert made != items.make_pairs(clips, 5, seed=4)
    assert all(int(a.stem) <= int(v.stem) and a != v for v, a in made)
    assert main(["pairs", "--data", str(tmp_path), "--count", "2", "--out", str(tmp_path / "out" / "list.txt")]) == 0
    assert len(items.read_pairs(tmp_path / "out" / "list.txt", tmp_path)) == 2


def test_nothing_to_judge_is_an_error(tmp_path, capsys):
    assert main(["quality", "--data", str(tmp_path)]) != 0
    assert "no clips in" in capsys.readouterr().err
    assert main(["quality", "--data", str(tmp_path / "nowhere")]) != 0
    assert "does not exist" in capsys.readouterr().err
    with pytest.raises(InputError, match="--pairs LIST"):
        items.collect("pairs", [tmp_path])


# ---- tables


def result(rows, protocol="reconstruction", judge="embedded-syncnet", frechet=("FID", {"default": 3.5})):
    return tables.Result(protocol, rows, frechet, judge, "python -m benchmarks quality")


def test_the_papers_table_has_ours_with_intervals_and_theirs_marked():
    rows = [{"method": "default", "clip": str(n), "lse_d": float(n), "face_ssim": 0.9, "error": None} for n in range(5)]
    head, ours, *theirs = tables.papers(result(rows))
    assert head[2:9] == ["LSE-D ↓", "LSE-C ↑", "SyncNet ↑", "SSIM ↑", "PSNR ↑", "FID ↓", "TSS ↑"]
    assert ours[:2] == ["default", "measured here"] and ours[2].startswith("2 (0.") and ours[5].startswith("0.9 (")
    assert ours[7] == "3.5" and ours[-1] == "5"
    hq = next(row for row in theirs if row[0] == "Wav2Lip-HQ")
    assert hq[2:9] == ["3.74", "6.92", "7.58", "0.88", "32.64", "23.18", "0.85"]
    assert all(row[1].startswith("published") for row in theirs)


@pytest.mark.parametrize(("protocol", "count"), [("pairs", 20), ("dubbed", 5), ("random", 5), ("tts", 5)])
def test_published_rows_belong_to_the_protocol(protocol, count):
    assert len(published.rows(protocol)) == count


def test_a_reader_is_warned_of_what_does_not_compare():
    said = " ".join(tables.notes(result([], frechet=("FD-parser", {"default": 1.0}))))
    assert "not with published figures" in said and "is not FID" in said
    said = " ".join(tables.notes(result([], judge=None, frechet=("FID", {"default": "needs fetch inception-fid"}))))
    assert "checkpoints fetch syncnet_v2" in said and "checkpoints fetch inception-fid" in said
    assert "embedded" not in " ".join(tables.notes(result([], judge="syncnet_v2")))


def test_failed_clips_do_not_count():
    rows = [{"method": "m", "clip": "a", "lse_d": 1.0}, {"method": "m", "clip": "b", "lse_d": 9.0, "error": "no"}]
    mean, _, _, count = tables.summary(result(rows), "lse_d", "m")
    assert (mean, count) == (1.0, 1) and math.isnan(tables.summary(result(rows), "lmd", "m")[0])


# ---- whole runs


def test_a_run_of_presets_and_the_source(footage, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    command = ["quality", "--data", str(footage), "--presets", "source", "default", "--seconds", "0.6"]
    command += ["--frechet", "parser", "--out", str(out)]
    assert main(command) == 0
    document = json.loads((out / "results.json").read_text())
    rows = {(r["method"], r["clip"]): r for r in document["rows"]}
    assert len(rows) == 6
    copy, made, broken = rows["source", "anna"], rows["default", "anna"], rows["default", "broken"]
    assert copy["mouth_ssim"] == copy["face_ssim"] == copy["frame_ssim"] == 1 and copy["lmd"] == 0
    assert copy["flicker"] == copy["sharpness"] == 1 and copy["face_psnr"] == 100
    assert made["frames"] == made["faces"] == 15 and made["outside"] == 0 and made["fps"] > 0
    assert 0.5 < made["mouth_ssim"] < 1 and made["face_ssim"] > made["mouth_ssim"] and made["background_psnr"] == 100
    assert "broken.mp4" in broken["error"]
    assert document["frechet"]["name"] == "FD-parser"
    assert abs(document["frechet"]["source"]) < 1e-3 < document["frechet"]["default"]
    assert document["summary"]["default"]["mouth_ssim"]["clips"] == 2
    with (out / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    text = (out / "index.html").read_text()
    assert text.count("data:image/jpeg") == 8 and text.count("<svg") == 4 and "broken.mp4" in text
    assert "http" not in text.split("<svg")[0]
    assert "| Wav2Lip-HQ | published: Wav2Lip-HQ 2025 | 3.74 |" in (out / "results.md").read_text()

    # Again: what was judged is read, what failed is tried again.
    tried = []
    real = quality.judge_clip
    monkeypatch.setattr(quality, "judge_clip", lambda task: tried.append(task.item.name) or real(task))
    capsys.readouterr()
    assert main(command) == 0
    assert tried == ["broken", "broken"]
    again = json.loads((out / "results.json").read_text())
    assert again["rows"] == document["rows"]
    tried.clear()
    monkeypatch.setattr(
        quality, "judge_clip", lambda task: tried.append(task.item.name) or quality.keep(task, {"error": "not judged"})
    )
    main([*command[:6], "--seconds", "0.4", *command[8:]])
    assert len(tried) == 6  # other figures are wanted


def test_other_tools_videos(footage, tmp_path):
    """A result that ends early, in another size; one that is missing; one under its number in the list."""
    peers = tmp_path / "peers"
    peers.mkdir()
    from wav2lip_hq.video import open_video

    with open_video(footage / "anna.mp4") as reader:
        frames = [frame for _, frame, _ in reader]
    small = [cv2.resize(f, (130, 130), interpolation=cv2.INTER_AREA) for f in frames[:-5]]
    write_video(peers / "anna.mp4", np.stack(small))
    command = ["quality", "--data", str(footage / "anna.mp4"), str(footage / "bert.mp4")]
    command += ["--predictions", f"peer={peers}", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    rows = {r["clip"]: r for r in json.loads((tmp_path / "out" / "results.json").read_text())["rows"]}
    assert rows["anna"]["short"] == 5 and rows["anna"]["frames"] == len(frames) - 5
    assert rows["anna"]["note"] == "resized from 130x130 to compare"
    assert 0.5 < rows["anna"]["face_ssim"] < 1 and "outside" not in rows["anna"] and "fps" not in rows["anna"]
    assert "no prediction for 'bert'" in rows["bert"]["error"]
    (peers / "anna.mp4").rename(peers / "0.mp4")
    assert main(command) == 0
    again = {r["clip"]: r for r in json.loads((tmp_path / "out" / "results.json").read_text())["rows"]}
    assert again["anna"]["short"] == 5


def test_presets_whose_weights_are_missing_are_left_out(footage, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = ["quality", "--data", str(footage / "bert.mp4"), "--seconds", "0.3", "--out", str(tmp_path / "out")]
    assert main([*command, "--presets", "gfpgan", "fast"]) == 0
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [r["method"] for r in rows] == ["fast"]
    assert "gfpgan is left out" in (tmp_path / "out" / "results.md").read_text()
    capsys.readouterr()
    assert main([*command, "--presets", "gfpgan"]) != 0
    assert "checkpoints fetch" in capsys.readouterr().err


def test_a_picture_is_footage_too(footage, tmp_path):
    from skimage import data

    cv2.imwrite(str(tmp_path / "astronaut.png"), data.astronaut()[:, :, ::-1])
    command = ["quality", "--data", str(tmp_path / "astronaut.png"), "--speech", str(footage / "anna.wav")]
    command += ["--presets", "source", "fast", "--seconds", "0.4", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    source, fast = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert source["frames"] == fast["frames"] == 10 and source["face_ssim"] == 1 and fast["outside"] == 0


def test_predictions_must_be_a_folder_and_names_differ(footage, tmp_path):
    with pytest.raises(OptionError, match="not a folder"):
        quality.predictions(str(tmp_path / "nowhere"))
    assert quality.predictions(f"peer={tmp_path}").name == "peer"
    assert quality.predictions(str(tmp_path)).name == tmp_path.name


@pytest.mark.slow
def test_workers_give_the_same_figures(footage, tmp_path):
    rows = []
    for workers in ("1", "2"):
        out = tmp_path / workers
        command = ["quality", "--data", str(footage), "--presets", "fast", "--seconds", "0.4", "--workers", workers]
        assert main([*command, "--out", str(out)]) == 0
        rows.append(json.loads((out / "results.json").read_text())["rows"])
    for a, b in zip(*rows, strict=True):
        for figures in (a, b):
            figures.pop("fps", None), figures.pop("peak_mb", None)
        assert a.keys() == b.keys()
        for name, value in a.items():
            # Workers share the cores, and sums over other numbers of threads round differently: figures have four.
            assert b[name] == (pytest.approx(value, rel=2e-3, abs=2e-4) if isinstance(value, float) else value), name


def test_the_page_says_when_there_is_nothing_to_show(tmp_path):
    page.write(result([]), [], tmp_path / "index.html")
    assert "reconstruction" in (tmp_path / "index.html").read_text()


def test_figures_are_explained():
    assert all(title and meaning and better in (-1, 0, 1) for title, better, meaning in measure.FIGURES.values())


@pytest.mark.slow
def test_metrics_detect_known_changes_of_real_footage(shared, tmp_path):
    """Shifted sound moves the offset by the shift, blur costs SSIM, a copy is perfect, a frozen mouth loses LSE-C."""
    clip = shared("data/talking/opendubbing_english.mp4")
    assert main(["sanity", "--data", str(clip), "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert len(rows) == 7 and all(row[-1] == "yes" for row in rows)
