"""Installation: third-party packages import, and so does this one on systems without Unix's modules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import wav2lip_hq

ROOT = Path(wav2lip_hq.__file__).parents[1]
UNIX_ONLY = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios")
WITHOUT_UNIX = """
import importlib, os, pkgutil, signal, sys
import subprocess, selectors, tempfile, multiprocessing, asyncio
import torch, librosa, numba, filelock, lightning_fabric, tensorboard  # they may use what this system has
for name in {blocked}:
    sys.modules[name] = None
for name in ("sched_getaffinity", "sched_setaffinity", "fork", "killpg", "setsid", "geteuid", "getuid"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGPIPE", "SIGHUP", "SIGALRM", "pthread_sigmask"):
    if hasattr(signal, name):
        delattr(signal, name)
import wav2lip_hq
for found in pkgutil.walk_packages(wav2lip_hq.__path__, "wav2lip_hq."):
    if not found.name.endswith(("__main__", "comfyui.nodes")):  # the latter is imported by its host program alone
        importlib.import_module(found.name)
from pathlib import Path
from wav2lip_hq.jobs.store import Store
from wav2lip_hq.machine import peak_memory
folder = Path(sys.argv[1])
with Store(folder / "jobs.yaml").hold("a") as first, Store(folder / "jobs.yaml").hold("a") as second:
    print("held", first, second)
print("memory", peak_memory() >= 0)
"""


def _python(code: str, *args: str, path: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *args],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (path, str(ROOT))))},
    )


def test_everything_imports_where_the_modules_of_unix_are_missing(tmp_path):
    done = _python(WITHOUT_UNIX.format(blocked=UNIX_ONLY), str(tmp_path))
    assert done.stdout.splitlines() == ["held True False", "memory True"], done.stderr


def test_what_basicsr_and_its_kin_need_is_there():
    packages = "torchvision.models, basicsr, facexlib, gfpgan, realesrgan, lpips, spandrel"
    done = _python(f"import wav2lip_hq.compat, {packages}")
    assert done.returncode == 0, done.stderr


def test_a_torchvision_whose_operators_do_not_load_is_made_importable(tmp_path):
    """A CUDA build beside a CPU build of torch."""
    package = tmp_path / "torchvision"
    (package / "transforms").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import torch\n"
        "for name in ('nms', 'qnms'):\n"
        "    torch.library.register_fake(f'torchvision::{name}', lambda dets, scores, iou_threshold: dets)\n"
    )
    (package / "transforms" / "__init__.py").touch()
    (package / "transforms" / "functional.py").write_text("def rgb_to_grayscale(): ...\n")
    alone = _python("import torchvision", path=str(tmp_path))
    assert "operator torchvision::nms does not exist" in alone.stderr
    code = "import wav2lip_hq.compat, torchvision.transforms.functional_tensor as f; print(f.rgb_to_grayscale.__name__)"
    done = _python(code, path=str(tmp_path))
    assert done.stdout.strip() == "rgb_to_grayscale", done.stderr


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="needs a checkout")
def test_every_dependency_is_imported_by_the_product():
    """A dependency that nothing imports would only cost the user time."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {"opencv-python": "cv2", "scikit-image": "skimage", "pillow": "PIL", "pyyaml": "yaml"}
    names |= {"c2pa-python": "c2pa", "lazy-loader": "lazy_loader"}
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "wav2lip_hq").rglob("*.py"))
    for line in project["dependencies"]:
        package = line.partition(">=")[0]
        module = names.get(package, package)
        used = (f"import {module}", f"from {module}", f'find_spec("{module}")')  # the last: files that come with it
        assert any(text in code for text in used), f"{package} is a dependency and not used"


# Stands for pip-audit: knows a canary's advisories or not, and finds the lock file sound or not.
AUDIT = """#!/bin/sh
case "$*" in *requirements.lock*) echo audited; exit {lock};; *) echo '{answer}'; exit 1;; esac
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a script for bash")
@pytest.mark.parametrize(
    ("answer", "lock", "code", "says"),
    [
        ('{"vulns": [{"id": "CVE-1"}]}', 0, 0, "audited"),
        ('{"vulns": [{"id": "CVE-1"}]}', 1, 1, "audited"),
        ('{"skip_reason": "not found"}', 1, 0, "no advisory database can be reached from here: nothing was audited"),
        ("", 1, 0, "no advisory database can be reached from here: nothing was audited"),
    ],
)
def test_an_audit_without_a_database_says_so_and_does_not_fail(tmp_path, answer, lock, code, says):
    fake = tmp_path / "pip-audit"
    fake.write_text(AUDIT.format(lock=lock, answer=answer))
    fake.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", ROOT / ".ci" / "audit"], capture_output=True, text=True, env=env)
    assert done.returncode == code and (done.stdout + done.stderr).strip() == says


def test_the_workflows_run_what_the_makefile_has():
    """Every ``make TARGET`` in a workflow or a CI script is a target, and every file that a workflow tests exists."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / ".ci" / "run"]
    asked = {
        target
        for file in files
        for line in re.findall(r"\bmake ([a-z ]+)", file.read_text())
        for target in line.split()
    }
    assert {"setup", "lint", "test", "slow", "docs", "wheel", "audit"} <= asked <= targets
    tested = {name for file in files for name in re.findall(r"tests/test_\w+\.py", file.read_text())}
    assert tested and all((ROOT / name).is_file() for name in tested)


@pytest.mark.skipif(not (ROOT / "Dockerfile").exists(), reason="needs a checkout")
@pytest.mark.skipif(shutil.which("sed") is None, reason="needs sed, as the image has it")
def test_the_image_gets_the_versions_of_the_lock(tmp_path):
    """The Dockerfile's own command: one version of each package for its Python, none lost; what it copies is there."""
    text = (ROOT / "Dockerfile").read_text()
    (command,) = [line.removeprefix("RUN ") for line in text.splitlines() if line.startswith("RUN sed")]
    made = tmp_path / "versions.txt"
    subprocess.run(["sh", "-c", command.replace("/versions.txt", str(made))], cwd=ROOT, check=True)
    python = re.search(r"^ARG PYTHON=(\S+)", text, re.M)[1]
    found = [Requirement(line) for line in made.read_text().splitlines()]
    here = {"python_full_version": f"{python}.9", "python_version": python}
    names = [one.name for one in found if one.marker is None or one.marker.evaluate(here)]
    assert len(names) == len(set(names)) > 50
    locked = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.M)
    assert [one.name for one in found] == locked
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        assert all((ROOT / name).exists() for name in source.split())
