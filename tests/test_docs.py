"""README and docs: links lead somewhere, and commands are ones that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from wav2lip_hq.cli import build_parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "checkpoints" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
COMMANDS = sorted(
    {
        line.strip().removeprefix("$ ").removeprefix("cd docs/examples; ")
        for page in PAGES
        for line in page.read_text(encoding="utf-8").splitlines()
        if re.match(r"( {4}|)(\$ |cd docs/examples; )?wav2lip-hq [a-z]", line)
    }
)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target} names no heading"


def test_enough_commands_are_found():
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line):
    build_parser().parse_args(shlex.split(line, comments=True)[1:])


def test_every_example_is_included_in_its_page():
    page = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    included = re.findall(r'^--8<-- "docs/examples/(\w+\.py)"$', page, re.M)
    assert sorted(included) == sorted(path.name for path in (ROOT / "docs" / "examples").glob("*.py"))
