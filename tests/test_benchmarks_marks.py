"""The benchmarks of marks and forensics: statistics that can be checked without footage."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import forensics, marks
from wav2lip_hq.errors import InputError
from wav2lip_hq.forensics.look import MEASURES
from wav2lip_hq.watermark import reader
from wav2lip_hq.watermark.signs import meant


def test_random_keys_find_nothing_and_the_right_one_does(tmp_path):
    rng = np.random.default_rng(0)
    here = np.zeros((24, 36), bool)
    here[4:16, 6:32] = True
    for name, strength in (("unmarked", 0.0), ("marked", 0.8)):
        noise = rng.normal(size=(2, len(reader.PLACES), here.sum()))
        views = noise[0] + 1j * noise[1] + strength * meant(0xC0FFEE)[here]
        views /= np.linalg.norm(views, axis=1, keepdims=True)
        np.savez(tmp_path / f"{name}.npz", here=here, views=views.astype(np.complex64))
        found = marks.by_chance([tmp_path / f"{name}.npz"], 40)
        assert found.shape == (40, 2) and found[:, 1].min() > reader.FALSE_ALARM
        scores = reader.likelihoods(views.astype(np.complex64), reader.words()[:, here], here).max(-1).sum(-1)
        where = reader.best(scores)
        bound = reader.chance(float(scores[where]), reader.turned(views[where[0]], where[1]), reader.shares()[where])
        assert (bound <= reader.FALSE_ALARM) == (name == "marked")


def rows(people: int) -> list[dict]:
    rng = np.random.default_rng(1)
    out = []
    for person in range(people):
        for method in ("real", "default", "generated"):
            values = rng.normal(size=len(MEASURES))
            values[: len(MEASURES) // 2] -= 4 * (method == "generated")
            values[MEASURES.index("follow")] += 4 * (method == "default")
            out.append({"person": f"p{person}", "method": method, "chain": "crf 23", "values": values.tolist()})
    return out


def test_people_are_judged_by_what_others_taught():
    scores, said, final = forensics.evaluated(rows(30))
    assert final.facts["people"] == 30 and final.facts["videos"] == 90 and final.above > final.below
    assert min(final.facts["auc"].values()) > 0.9 and len(scores) == len(said) == 90
    assert forensics.area(np.array([0.0, 1.0]), np.array([0.5, 2.0])) == 0.75
    table = forensics.table(rows(30), scores, said, final)
    assert "| real | 30 | - |" in table and "follow" in table
    with pytest.raises(InputError, match="too few people"):
        forensics.evaluated(rows(1))
