"""What only lists, looks up or refuses does not import torch, which takes seconds of CPU time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from media import clip, write_video, write_wav

import wav2lip_hq

HEAVY = ("torch", "scipy", "librosa", "skimage")
CODE = """
import sys
from pathlib import Path
from wav2lip_hq.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
print("code", code, *(m for m in {heavy} if m in sys.modules))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("startup")
    write_video(folder / "face.mp4", clip(3))
    write_wav(folder / "speech.wav", 0.2)
    (folder / "jobs.yaml").write_text("jobs:\n- {face: face.mp4, audio: speech.wav, output: out.mp4}\n")
    return folder


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ("--help", 0),
        ("run --help", 0),
        ("presets", 0),
        ("options", 0),
        ("options restore", 0),
        ("options gfpgan", 0),
        ("options --markdown", 0),
        ("voices", 0),
        ("avatar list", 0),
        ("avatar make nobody out.mp4 --topic tea", 3),
        ("dub face.mp4 out.mp4", 2),
        ("dub face.mp4 out.mp4 --to es --from qq", 3),
        ("say face.mp4 hello out.mp4 --speaker espaek", 2),
        ("options restor", 2),
        ("checkpoints list", 0),
        ("checkpoints where", 0),
        ("batch status jobs.yaml", 0),
        ("batch status absent.yaml", 3),
        ("run face.mp4 speech.wav out.mp4 -p defualt", 2),
        ("run face.mp4 speech.wav out.mp4 -p gfpgan --set restor.strength=1", 2),
        ("run face.mp4 speech.wav out.mp4 -p gfpgan --set restore.strength=7", 2),
        ("run face.mp4 speech.wav out.mp4 -p gfpgan --set restore.model=absent:thing --precision int4", 2),
        ("run face.mp4 speech.wav out.xyz", 2),
        ("run absent.mp4 speech.wav out.mp4", 3),
        ("run face.mp4 absent.wav out.mp4", 3),
        ("checkpoints fetch wav2lip_gun", 2),
        ("checkpoints import absent.pth", 5),
        ("train generatr", 2),
        ("identity --json", 0),
        ("identity --key absent.pem", 2),
        ("provenance face.mp4", 11),
        ("provenance absent.mp4", 3),
        ("run face.mp4 speech.wav out.mp4 --consent absent.pdf --label xx -p gfpgan --set restor.strength=1", 2),
    ],
)
def test_listing_and_refusing_do_not_import_torch(place, args, code):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE.format(heavy=HEAVY), *args.split()],
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "WAV2LIP_HQ_AVATARS": str(place), "PYTHONPATH": str(Path(wav2lip_hq.__file__).parents[1])},
    )
    assert done.stdout.splitlines()[-1:] == [f"code {code}"], done.stdout[-500:] + done.stderr


def test_public_names_are_listed_and_importable():
    assert {"HQPipeline", "Detect", "Stage", "Report", "metrics", "jobs", "checkpoints"} <= set(dir(wav2lip_hq))
    for name in dir(wav2lip_hq):
        assert getattr(wav2lip_hq, name) is not None
    assert set(wav2lip_hq.__all__) - {"__version__"} <= set(dir(wav2lip_hq))


def test_metrics_have_a_public_surface():
    from wav2lip_hq import metrics
    from wav2lip_hq.metrics import lip_sync_error, psnr, ssim

    assert callable(lip_sync_error) and callable(psnr) and callable(ssim)
    assert set(metrics.__all__) == set(dir(metrics))
    for name in metrics.__all__:
        assert getattr(metrics, name).__doc__, name
    with pytest.raises(AttributeError, match="attribute psnrr"):
        _ = metrics.psnrr
