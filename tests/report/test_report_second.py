"""What the report says of searches with a ladder, and of a front that a second proxy looked at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_search import QUICK, quick_proxy, written

from gas.archive import Archive
from gas.report.html import tables
from gas.report.html.page import opinion, page
from gas.report.html.reading import Contents
from gas.session import search

FIDELITY = {"steps": 6, "images": 64, "validation": 64, "batch": 16}
LADDER = ({"steps": 2}, {"steps": 4})
SAID = r"log_params looked at (\d+) of (\d+) designs of the front; Kendall (-?\d\.\d\d) with quick; highest is (\w{12})"


def section(text: str, name: str) -> str:
    """What stands in a section of the page."""
    return re.search(rf'<section id="{name}">(.*?)</section>', text, re.DOTALL)[1]


def test_what_a_second_proxy_says_of_the_front_is_told(tmp_path: Path) -> None:
    with quick_proxy():
        run = search(written(tmp_path), out=tmp_path / "run", budget=16, check="log_params", **QUICK)
        contents = Contents.of(run)
        text = page(contents)
    front = run.front()
    looked, all_, kendall, best = re.fullmatch(SAID + r" \(`checked`\)", opinion(contents)).groups()
    assert int(looked) == int(all_) == len(front) > 2
    pairs = front[["log_params", "quick"]].astype(float)
    assert float(kendall) == pytest.approx(pairs.corr(method="kendall").iloc[0, 1], abs=0.005)
    assert best == front.loc[pairs["log_params"].idxmax(), "id"]
    assert opinion(contents) in section(text, "opinion")
    assert "log params" in section(text, "table")
    assert '<option value="log_params">' in section(text, "front")
    assert "Every design was trained in full" in section(text, "ladder")


def test_the_rungs_of_a_ladder_are_told(tmp_path: Path) -> None:
    given = {"proxy": "short_training", "generator": "random", "fidelity": FIDELITY, "ladder": LADDER, "workers": 1}
    run = search("tiny.yaml", out=tmp_path / "run", budget=9, seed=4, **given)
    contents = Contents.of(run)
    with Archive.open(run.path, readonly=True) as archive:
        climbs = archive.climbs()
    states = run.frame()["status"].value_counts()
    rows = [[cell.text for cell in row] for row in tables.ladder_table(contents).rows]
    came, went_on = [int(row[2]) for row in rows], [int(row[3]) for row in rows]
    assert [row[:2] for row in rows] == [["0", "steps 2"], ["1", "steps 4"]]
    assert came[0] == 9
    assert came[1] == went_on[0] < 9
    assert went_on[1] == states["ok"]
    assert sum(came) - sum(went_on) == states["stopped"]
    assert sum(climb.seconds for climb in climbs) > 0
    text = section(page(contents), "ladder")
    assert "One in 2 goes on" in text
    assert "steps 4" in text
    assert "No second proxy looked at the front" in section(page(contents), "opinion")
