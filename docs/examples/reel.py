"""A batch: one reel in which two passages get new speech, and everything else passes through untouched.

    python docs/examples/reel.py REEL SPEECH_1 SPEECH_2 OUTPUT

The job file can as well be written by hand, and run from the command line: wav2lip-hq batch run reel.yaml. Killed at
any instant and started again, a batch continues where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wav2lip_hq import jobs

JOBFILE = """\
jobs:
  - face: {face}
    output: {output}
    segments:
      - {{in: 0.2, out: 1.0, audio: {first}}}
      - {{in: 1.4, out: 2.2, audio: {second}, set: [articulate.expression=1.2]}}
"""


def main(face: str, first: str, second: str, output: str) -> Path:
    """Write OUTPUT.yaml, check it, run it; returns the page that shows what came of it."""
    paths = {"face": face, "first": first, "second": second, "output": output}
    jobfile = Path(output).with_suffix(".yaml")
    jobfile.parent.mkdir(parents=True, exist_ok=True)
    jobfile.write_text(JOBFILE.format(**{key: Path(path).resolve() for key, path in paths.items()}), encoding="utf-8")
    plan = jobs.plan(jobfile)
    print(plan.text())
    if plan.fatal:
        raise SystemExit("nothing was rendered")
    print(jobs.run(jobfile).text())
    return jobs.report(jobfile)


if __name__ == "__main__":
    print(main(*sys.argv[1:5]))
