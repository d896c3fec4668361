"""Agreement: correlation of different faces that say the same speech. About 0 for different speech.

And the leak by chance: two speeches may pause and open at the same moments, so that a mouth that knows nothing of the
footage still correlates with it. What other people's results of the same speech have in common with the footage is that
coincidence; only what goes beyond it can come from the footage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from wav2lip_hq.metrics import leakage
from wav2lip_hq.types import Array


def pairs(tasks: Sequence[Any], rows: dict[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Every pair of different people that say the same speech at one frame rate: method, speech, both clips, agreement,
    and the largest with a lag of up to a frame."""
    said: dict[tuple[str, str], list[Any]] = {}
    for task in tasks:
        if task.trial.setup == "mismatched" and not rows[task.method.name, task.trial.name].get("error"):
            said.setdefault((task.method.name, task.trial.told), []).append(task)
    return [
        {"method": method, "speech": speech, "a": a.trial.label, "b": b.trial.label, **pair}
        for (method, speech), those in said.items()
        for a, b in _different_people(those)
        if (pair := agreement(_kept(a), _kept(b))) is not None
    ]


def by_chance(tasks: Sequence[Any], rows: dict[tuple[str, str], dict[str, Any]], copy: str) -> None:
    """Add to the rows with other people's speech ``by_chance``, the mean correlation of other people's results of the
    same speech with this row's footage, and ``beyond``, by how much the row's leak is larger.

    copy: name of the control whose openings are the footage's own. Rows without such others are left as they are.
    """
    those = [t for t in tasks if t.trial.setup == "mismatched" and not rows[t.method.name, t.trial.name].get("error")]
    sources = {t.trial.label: _kept(t) for t in those if t.method.name == copy}
    for task in those:
        row = rows[task.method.name, task.trial.name]
        if task.method.name == copy or row.get("leak") is None or task.trial.label not in sources:
            continue
        others = [
            o
            for o in those
            if (o.method.name, o.trial.told) == (task.method.name, task.trial.told)
            and o.trial.person != task.trial.person
        ]
        found = [agreement(sources[task.trial.label], _kept(o)) for o in others]
        values = [f["agreement"] for f in found if f is not None]
        if values:
            row["by_chance"] = round(float(np.mean(values)), 4)
            row["beyond"] = round(row["leak"] - row["by_chance"], 4)


def _different_people(those: list[Any]) -> Iterator[tuple[Any, Any]]:
    for n, a in enumerate(those):
        yield from ((a, b) for b in those[n + 1 :] if a.trial.person != b.trial.person)


def _kept(task: Any) -> tuple[Array, Array]:
    with np.load(task.place.with_suffix(".npz")) as data:
        return data["time"], data["opening"]


def agreement(a: tuple[Array, Array], b: tuple[Array, Array]) -> dict[str, Any] | None:
    """Correlation of two results' openings, each (times (T,), openings (T,)), at the same times of the speech.
    None for different frame rates (by more than a hundredth) or too few common frames."""
    steps = [float(np.ptp(time)) / (len(time) - 1) if len(time) > 1 else 0.0 for time, _ in (a, b)]
    if not min(steps) or abs(steps[0] / steps[1] - 1) > 0.01:
        return None
    # Timestamps may have jitter, so b is interpolated at a's times.
    x, y = a[1], np.interp(a[0], *b, left=np.nan, right=np.nan)
    value, near = leakage.correlation(x, y), leakage.lagged(x, y)
    if value is None or near is None:
        return None
    return {
        "agreement": round(value, 4),
        "agreement_lag": round(near[0], 4),
        "lag": near[1],
        "frames": int(np.isfinite(x + y).sum()),
    }
