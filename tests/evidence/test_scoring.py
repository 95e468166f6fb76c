"""Scores on the disk: those that share passes, those that do not, and the reasons in place of a number."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from evidence.pretend_proxies import pretend_proxies

from gas.architecture import Architecture
from gas.errors import SettingError, UnknownNameError
from gas.evidence.scoring import Scores, sorted_out, together
from gas.plan import plan
from gas.proxies import create
from gas.space import load_space

FREE = {"fidelity": {"resolution": 32, "seeds": 1, "batch": 8}}
NAMES = {"passing": FREE, "naswot": FREE, "trainee": {}, "widest": {"seed": 4}}


@pytest.fixture(autouse=True)
def proxies() -> Iterator[None]:
    with pretend_proxies():
        yield


@pytest.fixture(scope="module")
def designs() -> list[Architecture]:
    """A wide one of more than 2 million macs; one of fewer, and one of more, that end in 64 channels."""
    drawn = list(load_space("tiny.yaml").sample_feasible(200, 0))
    kinds = ((True, True), (False, False), (False, True))
    return [next(d for d in drawn if (d.dims[-1] > 64, plan(d).cost.macs > 2e6) == kind) for kind in kinds]


def test_kinds_and_who_is_left_out() -> None:
    kinds, out = sorted_out()
    assert kinds["naswot"] == kinds["pca_count"] == kinds["widest"] == "training-free"
    assert kinds["trainee"] == "trained"
    assert set(out) == {"shared_weights"}
    assert "bank" in out["shared_weights"]
    assert sorted_out(["trainee", "naswot"]) == ({"trainee": "trained", "naswot": "training-free"}, {})
    with pytest.raises(UnknownNameError, match=r"got 'nasswot'; .*did you mean 'naswot'"):
        sorted_out(["nasswot"])
    with pytest.raises(SettingError, match="got 'shared_weights'; expected others: it needs a bank"):
        sorted_out(["shared_weights"])


def test_every_score_is_that_of_the_proxy_or_missing_with_the_reason(
    tmp_path: Path, designs: list[Architecture]
) -> None:
    told: list[tuple[int, int, str]] = []
    scores = Scores(tmp_path / "scores.csv")
    scores.score(designs, NAMES, watch=lambda *state: told.append(state))
    frame = Scores(tmp_path / "scores.csv").frame().set_index("id").loc[[d.id for d in designs]]
    assert list(frame["trainee"]) == [plan(d).cost.params for d in designs]
    assert frame["widest"].iloc[0] == designs[0].dims[-1]
    assert math.isnan(frame["widest"].iloc[1])
    assert frame["passing"].iloc[0] == plan(designs[0]).cost.macs
    assert math.isnan(frame["passing"].iloc[1])
    alone = create("naswot", NAMES["naswot"])
    assert list(frame["naswot"]) == [alone.score(d)["naswot"] for d in designs]
    reasons = scores.reasons()
    assert reasons["passing"] == {"too little": 1}
    assert reasons["widest"] == {"ValueError: widest: got nan; expected a finite number": 2}
    assert set(reasons) == {"passing", "widest"}
    assert [state[0] for state in told] == list(range(1, 13))
    assert {state[1] for state in told} == {12}
    extras = {row["proxy"]: row["metrics"] for row in scores.table.rows if row["id"] == designs[0].id}
    assert json.loads(extras["passing"]) == {"passing_twice": 2 * plan(designs[0]).cost.macs}
    assert json.loads(extras["widest"]) == {"widest_seed": 4}
    assert set(scores.seconds()) == set(NAMES)
    assert all(seconds >= 0 for seconds in scores.seconds().values())


def test_what_is_there_is_not_scored_again(tmp_path: Path, designs: list[Architecture]) -> None:
    file = tmp_path / "scores.csv"
    Scores(file).score(designs[:2], NAMES)
    before = file.read_text()
    Scores(file).score(designs[:2], NAMES)
    assert file.read_text() == before
    Scores(file).score(designs, NAMES)
    assert file.read_text().startswith(before)
    assert len(Scores(file).table.rows) == 12


def test_after_the_time_is_up_nothing_is_scored(tmp_path: Path, designs: list[Architecture]) -> None:
    scores = Scores(tmp_path / "scores.csv")
    scores.score(designs, NAMES, until=0.0)
    assert scores.table.rows == []
    assert list(scores.frame().columns) == ["id"]


def test_a_design_that_cannot_be_built_is_a_reason_for_each(
    designs: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("not enough memory")

    monkeypatch.setattr("gas.evidence.scoring.score_together", broken)
    rows = together([create("naswot"), create("passing")], designs[0])
    assert [row["reason"] for row in rows] == ["RuntimeError: not enough memory"] * 2
    assert [row["score"] for row in rows] == [None, None]
