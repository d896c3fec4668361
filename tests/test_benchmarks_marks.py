"""The benchmarks of marks and forensics: statistics that can be checked without footage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import forensics, items, marks
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


def rows(people: int, out: Path) -> list[dict]:
    rng = np.random.default_rng(1)
    found = []
    for person in range(people):
        for method in ("real", "default", "generated"):
            values = rng.normal(size=len(MEASURES))
            values[[MEASURES.index(name) for name in ("sharp_m", "moves_m")]] -= 4 * (method == "generated")
            values[MEASURES.index("misses")] -= 4 * (method == "default")
            row = {"person": f"p{person}", "method": method, "chain": "crf 23", "file": f"{method} (crf 23).mp4"}
            found.append(row | {"values": values.tolist()})
            file = (out / "videos" / row["person"] / row["file"]).with_suffix(".npz")
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, each=np.tile(values, (50, 1)), times=np.arange(50) / 25)
    return found


def test_people_are_judged_by_what_others_taught(tmp_path):
    scores, said, final = forensics.evaluated(rows(30, tmp_path), tmp_path)
    rates = final.facts["folds"]
    assert rates["people"] == 30 and rates["videos"] == 90 and final.above > final.below
    assert min(rates["auc"].values()) > 0.9 and len(scores) == len(said) == 90
    assert forensics.area(np.array([0.0, 1.0]), np.array([0.5, 2.0])) == 0.75
    table = forensics.table({"all": (rows(30, tmp_path), scores, said)}, final)
    assert "| real | 30 | - |" in table and "misses" in table
    with pytest.raises(InputError, match="too few people"):
        forensics.evaluated(rows(1, tmp_path), tmp_path)


def test_a_quarter_of_the_people_are_held_back_and_judged_on_request_alone(tmp_path, monkeypatch, capsys):
    from argparse import Namespace

    from benchmarks import dubs

    groups = [forensics.group_of(f"p{n}") for n in range(400)]
    assert 80 < groups.count(forensics.HELD) < 120 and set(groups) == {forensics.HELD, *range(forensics.FOLDS)}
    assert all(forensics.group_of(person) != forensics.HELD for person in dubs.known()["designed"])
    for row in rows(60, tmp_path):
        with (tmp_path / "videos" / row["person"] / "measured.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    apart = sum(forensics.group_of(f"p{n}") == forensics.HELD for n in range(60))
    args = Namespace(out=tmp_path, clips=None, workers=1, held_back=False, install=False)
    assert forensics.main(args) == 0
    assert f"{60 - apart} people" in (text := capsys.readouterr().out) and "Held back" not in text
    judged = []
    monkeypatch.setattr(forensics.judge, "write", lambda final, path: judged.append(final))
    args.held_back = args.install = True
    assert (
        forensics.main(args) == 0
        and f"Held back: nothing was chosen or learned by them: {apart} people" in capsys.readouterr().out
    )
    assert judged[0].facts["held back"]["people"] == apart and f"on {apart} put aside" in judged[0].facts["stated"]


def test_who_is_in_a_clip_and_how_it_is_encoded():
    from benchmarks import dubs

    names = {"people/ad_p027_1.mp4": "p027", "grid/s4/bbaf.mpg": "s4", "grid_s1_extra/x.mkv": "s1", "talk.mp4": "talk"}
    assert {name: items.person_of(Path("data") / name) for name in names} == names
    assert len(set(dubs.chains("anybody", 2))) == 2 and dubs.chains("anybody", 1) == dubs.chains("anybody", 2)[:1]
