"""Another tool's videos, judged by this project's metrics, beside our default preset and the footage as it is.

    python docs/examples/judge_other_tool.py CLIPS SPEECH RESULTS OUT [SECONDS]         # from a checkout

CLIPS is a folder of footage, RESULTS one with the other tool's videos of the same names, SPEECH what both were given.
OUT/index.html holds tables, contact sheets and the worst frames; what the figures mean stands in docs/benchmarks.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # benchmarks belong to the checkout, not to the package

from benchmarks.__main__ import main as benchmarks


def main(clips: str, speech: str, results: str, out: str, seconds: str = "5") -> int:
    """The same as `python -m benchmarks quality --data CLIPS --speech SPEECH --predictions other=RESULTS ...`."""
    what = ["--data", clips, "--speech", speech, "--predictions", f"other={results}", "--presets", "source", "default"]
    return benchmarks(["quality", *what, "--seconds", seconds, "--out", out])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:6]))
