"""The user's own restorers and stages, by name: from the command line, YAML presets and installed packages."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from media import write_wav

from wav2lip_hq.cli import main
from wav2lip_hq.config import load_preset, parse_stage, set_options, stage_kind
from wav2lip_hq.errors import OptionError, StageError
from wav2lip_hq.runtime import Runtime
from wav2lip_hq.stages import Restore
from wav2lip_hq.stages._restorers import own_restorer

CODE = '''
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from wav2lip_hq import Stage
from wav2lip_hq.options import option


def red(faces):
    faces = faces.copy()
    faces[..., 0] = 255
    return faces


class Double:
    scale = 2

    def __call__(self, faces):
        return faces.repeat(2, 1).repeat(2, 2)


class Greedy:
    def __init__(self, weights):
        pass


def small(faces):
    return faces[:, ::2, ::2]


number = 3


@dataclass(frozen=True)
class Whole(Stage):
    """A mask of the whole face."""

    name: ClassVar[str] = "whole"
    reads: ClassVar[tuple[str, ...]] = ("faces.aligned",)
    adds: ClassVar[tuple[str, ...]] = ("faces.mask",)

    value: int = option(255, "How much of the face is replaced.", low=0, high=255)

    def process(self, chunk, runtime):
        return chunk.with_faces(mask=np.full((len(chunk.faces), 512, 512), self.value, np.uint8))


@dataclass(frozen=True)
class Corner(Stage):
    name: ClassVar[str] = "corner"
    reads: ClassVar[tuple[str, ...]] = ("frames",)
    adds: ClassVar[tuple[str, ...]] = ("frames",)

    def process(self, chunk, runtime):
        frames = chunk.frames.copy()
        frames[:, :40, :40] = (0, 255, 0)
        return replace(chunk, frames=frames)


class Nameless(Stage):
    pass
'''


@pytest.fixture(scope="module")
def runtime():
    return Runtime(device="cpu", precision="fp32")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module ``mine``, being the current directory."""
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "torn.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "failing.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine", "torn", "failing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("mine:redd", "there is no 'redd' in .*mine.py; did you mean 'red'"),
        ("absent:red", "there is no module 'absent', neither installed nor in"),
        ("absent.deeper:red", "there is no module 'absent'"),
        ("torn:red", "its module needs 'nowhere_to_be_found'"),
        ("failing:red", r"its module fails \(ZeroDivisionError"),
        ("mine:number", "is not a restorer"),
        ("mine:Greedy", "cannot be made without arguments"),
    ],
)
def test_a_restorer_that_cannot_be_is_explained(mine, runtime, reference, message):
    stage = Restore(reference)  # nothing of the user's is run before it is needed
    assert stage.models == ()
    with pytest.raises(OptionError, match=message):
        stage.load(runtime)


def test_a_restorer_by_name(mine, runtime):
    faces = np.zeros((2, 8, 8, 3), np.uint8)
    run, scale = own_restorer("mine:red", runtime)
    assert scale == 1 and (run(faces)[..., 0] == 255).all() and not faces.any()
    run, scale = own_restorer("mine:Double", runtime)
    assert scale == 2 and run(faces).shape == (2, 16, 16, 3)
    run, _ = own_restorer("mine:small", runtime)
    with pytest.raises(StageError, match=r"mine:small' gave \(2, 4, 4, 3\) uint8"):
        run(faces)


def test_a_restorer_is_set_like_any_option(mine):
    stages = set_options(load_preset("generated"), ["restore.model=mine:red", "restore.strength=0.5"])
    assert next(s for s in stages if s.name == "restore") == Restore("mine:red", strength=0.5)


def test_a_preset_with_a_stage_of_ones_own(mine):
    (mine / "chain.yaml").write_text(
        "stages: [detect, track, align, lipsync, {stage: mine:Whole, value: 7},"
        " {stage: restore, model: mine:red}, blend]"
    )
    stages = load_preset("chain.yaml")
    assert stages[4].name == "whole" and stages[4].value == 7 and stages[5] == Restore("mine:red")
    assert set_options(stages, ["whole.value=9"])[4].value == 9
    with pytest.raises(OptionError, match="whole.value is between 0 and 255"):
        set_options(stages, ["whole.value=999"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine:Whol", "did you mean 'Whole'"),
        ("mine:red", "is not a stage"),
        ("mine:Nameless", "has no name"),
        ("prase", "unknown stage 'prase'; did you mean 'parse'"),
        ("{stage: mine:Whole, vlaue: 1}", "no option 'vlaue'; did you mean 'value'"),
        ("{stage: [", "neither a stage's name"),
    ],
)
def test_a_stage_that_cannot_be_is_explained(mine, text, message):
    with pytest.raises(OptionError, match=message):
        parse_stage(text)


def test_stages_of_installed_packages(mine, monkeypatch):
    info = mine / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wav2lip_hq.stages]\ncorner = mine:Corner\nbroken = mine:Absent\n")
    monkeypatch.syspath_prepend(str(mine))
    assert stage_kind("corner").__name__ == "Corner"
    with pytest.raises(OptionError, match="'broken' of an installed package fails"):
        stage_kind("broken")
    with pytest.raises(OptionError, match="did you mean 'corner'"):
        stage_kind("corner2")


def test_a_run_with_all_of_it_from_the_command_line(mine, capsys):
    import av
    from skimage import data

    from wav2lip_hq.video import write_png

    write_png(mine / "face.png", data.astronaut())
    write_wav(mine / "speech.wav", 0.2)
    code = main(
        [
            *("run", "face.png", "speech.wav", "out.mp4", "-p", "generated", "--quiet", "--json"),
            *("--set", "restore.model=mine:red", "--replace", "parse={stage: mine:Whole, value: 200}"),
            *("--insert-after", "blend=mine:Corner", "--set", "blend.method=feather", "--set", "blend.color=false"),
            *("--set", "blend.texture=0", "--set", "blend.recall=0", "--set", "whole.value=255"),
        ]
    )
    assert code == 0, capsys.readouterr().err
    with av.open(str(mine / "out.mp4")) as movie:
        frame = next(movie.decode(video=0)).to_ndarray(format="rgb24")
    assert frame[20, 20, 1] > 200 and frame[20, 20, 0] < 60  # the corner's stage came last
    assert frame[150, 225, 0] > 220 and data.astronaut()[150, 225, 0] < frame[150, 225, 0]  # a red mouth


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--replace", "prase=mine:Whole"], "no stage 'prase'"),
        (["--replace", "parse"], "--replace takes NAME=STAGE"),
        (["--without", "prase"], "no stage 'prase'"),
        (["--insert-after", "detect=mine:Whole"], "whole reads 'faces.aligned'"),
        (["--set", "restore.model=mine:nothing"], "there is no 'nothing'"),
    ],
)
def test_mistakes_on_the_command_line(mine, capsys, args, message):
    from skimage import data

    from wav2lip_hq.video import write_png

    write_png(mine / "face.png", data.astronaut())
    write_wav(mine / "speech.wav", 0.2)
    assert main(["run", "face.png", "speech.wav", "out.mp4", "-p", "generated", *args]) == 2
    assert message in capsys.readouterr().err and not (mine / "out.mp4").exists()


def test_batch_jobs_see_that_own_code_has_changed(mine):
    from wav2lip_hq import HQPipeline
    from wav2lip_hq.jobs import Job, Span, Store
    from wav2lip_hq.jobs.identity import own_code

    (mine / "jobs.yaml").write_text("jobs: []\n")
    base = HQPipeline("generated").set("restore.model=mine:red").insert(parse_stage("mine:Corner"), after="blend")
    job = Job(face="face.mp4", output=mine / "out.mp4", spans=(Span(mine / "speech.wav"),))
    before = own_code(job, base, Store(mine / "jobs.yaml"))
    assert set(before) == {"mine:red", "mine:Corner"}
    (mine / "mine.py").write_text(CODE + "\nchanged = True\n")
    after = own_code(job, base, Store(mine / "jobs.yaml"))
    assert all(after[name] != before[name] for name in before)
    assert own_code(job, HQPipeline(), Store(mine / "jobs.yaml")) == {}
