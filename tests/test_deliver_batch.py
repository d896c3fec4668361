"""Patches, film pictures and ProRes through batches: parts make what an undisturbed run makes, and it is signed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from talker import talker

from wav2lip_hq import HQPipeline, jobs
from wav2lip_hq.jobs import render as rendering
from wav2lip_hq.provenance import read
from wav2lip_hq.video import open_video

pytest.importorskip("OpenImageIO")
pytest.importorskip("PyOpenColorIO")

from wav2lip_hq.video import look, pictures  # noqa: E402 - only where these are installed

COUNT = 30
LOG = {"colorspace": "arri_logc3_ei800"}
LINEAR = {"colorspace": "ACEScg"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """cleo.mp4, and the same frames as EXR (half floats) and as DPX (10 bits)."""
    folder = tmp_path_factory.mktemp("desk")
    talker(folder / "cleo.mp4", 3, COUNT / 25)
    (folder / "exr").mkdir()
    (folder / "dpx").mkdir()
    with open_video(folder / "cleo.mp4") as reader:
        for n, (_, frame, _) in enumerate(reader):
            linear = (frame.astype(np.float32) / 255) ** 2.4
            pictures.save_picture(folder / "exr" / f"cleo.{1001 + n}.exr", linear.astype(np.float16))
            deep = look.as_type(frame.astype(np.float64) / 255, np.uint16)
            pictures.save_picture(folder / "dpx" / f"cleo.{1001 + n}.dpx", deep, depth=10)
    return folder


def job(desk: Path, folder: Path, face: str, output: str, **options) -> Path:
    """A job file of one job in two parts."""
    row = {"face": str(desk / face), "audio": str(desk / "cleo.wav"), "output": output, "fps": 25, **options}
    path = folder / "jobs.yaml"
    path.write_text(json.dumps({"defaults": {"preset": "fast", "part_seconds": 1}, "jobs": [row]}))
    return path


def content(path: Path):
    """What a result holds: bytes of each picture, or pixels and alpha of each frame."""
    if path.is_dir():
        return {p.name: p.read_bytes() for p in sorted(path.iterdir()) if p.suffix in (".exr", ".dpx", ".png")}
    with open_video(path) as reader:
        return [(pts, rgb.tobytes(), None if a is None else a.tobytes()) for pts, rgb, a in reader]


@pytest.mark.parametrize(
    ("face", "output", "options"),
    [
        ("exr", "result", LINEAR),
        pytest.param("exr", "patch", {**LINEAR, "deliver": "patch"}, marks=pytest.mark.slow),
        pytest.param("exr", "offset", {**LINEAR, "deliver": "offset"}, marks=pytest.mark.slow),
        pytest.param("dpx", "result", LOG, marks=pytest.mark.slow),
        ("dpx", "patch", {**LOG, "deliver": "patch"}),
        pytest.param("dpx", "matte", {**LOG, "deliver": "matte"}, marks=pytest.mark.slow),
        ("cleo.mp4", "patch.mov", {"deliver": "patch"}),
        pytest.param("cleo.mp4", "patch.mkv", {"deliver": "patch"}, marks=pytest.mark.slow),
        pytest.param("cleo.mp4", "matte", {"deliver": "matte"}, marks=pytest.mark.slow),
        pytest.param("cleo.mp4", "r.mov", {"codec": "prores_4444"}, marks=pytest.mark.slow),
    ],
)
def test_parts_make_what_a_run_makes(desk, tmp_path, face, output, options):
    path = job(desk, tmp_path, face, output, without_provenance=True, **options)
    assert jobs.work_here(path).exit_code == 0
    made = content(tmp_path / output)
    assert json.loads((tmp_path / f"{output}.json").read_text())["parts"]["rendered"] == 2
    whole = tmp_path / f"whole{Path(output).suffix}"
    more = {"fps": 25} if face != "cleo.mp4" else {}
    HQPipeline("fast").run(desk / face, desk / "cleo.wav", whole, without_provenance=True, **more, **options)
    assert len(made) == COUNT and made == content(whole)
    left = sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("."))
    assert not left, "nothing hidden is left"


@pytest.mark.parametrize("damaged", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_killed_in_a_sequence_it_goes_on_and_is_the_same(desk, tmp_path, monkeypatch, damaged):
    path = job(desk, tmp_path, "exr", "out/p", deliver="patch", without_provenance=True, **LINEAR)
    original, calls = rendering._part, []

    def dies(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(rendering, "_part", dies)
    with pytest.raises(KeyboardInterrupt):
        jobs.work_here(path)
    assert not (tmp_path / "out" / "p").exists()
    work = next((tmp_path / "jobs.yaml.work").glob("*/part-00000"))
    (work.parent / ".part-00001.dead.part").mkdir()  # as a process that was killed leaves it
    if damaged:  # a picture that did not reach the disk: the part is made again
        next(work.glob("*.exr")).write_bytes(b"half")
    monkeypatch.setattr(rendering, "_part", original)
    assert jobs.work_here(path).exit_code == 0
    assert json.loads((tmp_path / "out" / "p.json").read_text())["parts"] == (
        {"rendered": 2, "kept_from_before": 0} if damaged else {"rendered": 1, "kept_from_before": 1}
    )
    names = sorted(p.name for p in (tmp_path / "out" / "p").iterdir())
    assert names == [f"cleo.{1001 + n}.exr" for n in range(COUNT)]
    assert not list((tmp_path / "out").glob(".*"))
    rgb, alpha = pictures.load_picture(tmp_path / "out" / "p" / names[7])
    assert alpha.any() and rgb.dtype == np.float32


@pytest.mark.parametrize(("face", "options"), [("exr", LINEAR), pytest.param("dpx", LOG, marks=pytest.mark.slow)])
def test_folders_of_film_are_signed_by_a_list(desk, tmp_path, face, options):
    path = job(desk, tmp_path, face, "out", part_seconds=1, **options)
    assert jobs.work_here(path).exit_code == 0
    out = tmp_path / "out"
    said = json.loads((tmp_path / "out.json").read_text())["provenance"]
    assert said.startswith("signed by") and "out/pictures.c2pa" in said
    found = read(out)
    assert (found.state, found.files, found.problems) == ("valid", COUNT, ())
    assert found.synthesis["frames"] == COUNT and found.synthesis["synthesized"]
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--quiet", "pictures.sha256"], cwd=out, check=True)
    with open_video(out) as reader:
        assert reader.info.frames == COUNT or sum(1 for _ in reader) == COUNT, "a sequence like any other"

    first, second, third = sorted(p for p in out.iterdir() if p.suffix == f".{face}")[:3]
    first.write_bytes(first.read_bytes()[:-1] + b"\1")
    second.unlink()
    shutil.copyfile(third, out / f"cleo.2000.{face}")
    found = read(out)
    assert found.state == "tampered"
    assert found.problems == (
        f"{second.name} is missing",
        f"{first.name} is not the one that was signed",
        f"cleo.2000.{face} was not there when it was signed",
    )
    line = (out / "pictures.sha256").read_text()
    (out / "pictures.sha256").write_text(line.replace("0", "1", 1))
    assert read(out).state == "tampered"
    (out / "pictures.c2pa").unlink()
    assert read(out).state == "stripped", "the pictures still say so themselves"
    (out / "pictures.sha256").unlink()
    assert read(out).state == "stripped"


def test_names_that_are_taken_are_said_before_any_work(desk, tmp_path):
    row = {"face": str(desk / "exr"), "audio": str(desk / "cleo.wav"), "fps": 25, **LINEAR}
    rows = [
        {**row, "output": "a"},
        {**row, "output": "a", "deliver": "matte"},
        {**row, "output": "a/b"},
        {**row, "output": "full"},
        {**row, "output": str(desk / "exr")},
    ]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "keep.txt").write_text("mine")
    path = tmp_path / "jobs.yaml"
    path.write_text(json.dumps({"defaults": {"preset": "fast"}, "jobs": rows}))
    said = jobs.plan(path).text()
    assert "job 1 writes the same file" in said
    assert "b lies in the folder of pictures that jobs.yaml: job 1 writes" in said
    assert "full exists and is not an empty folder; choose another name" in said
    assert f"{desk / 'exr'} exists and is not an empty folder" in said
    assert (tmp_path / "full" / "keep.txt").read_text() == "mine"
